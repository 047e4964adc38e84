"""Loss functions in plain NumPy: the value, and the value with its gradients, as one writes them by hand.

In: arrays. Out: a number; from `_both` functions also gradients. Between: see `by_hand`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.by_hand import sigmoid, softmax


def mse(xp: Any, x: Any, y: Any) -> Any:
    """mean((x - y)^2)."""
    return ((x - y) ** 2).mean()


def mse_both(x: Any, y: Any) -> Any:
    """With its gradient."""
    d = x - y
    return (d * d).mean(), d * (2 / d.size)


def l1(xp: Any, x: Any, y: Any) -> Any:
    """mean(|x - y|)."""
    return xp.abs(x - y).mean()


def l1_both(x: Any, y: Any) -> Any:
    """With its gradient."""
    d = x - y
    return np.abs(d).mean(), np.sign(d) * (1 / d.size)


def huber(xp: Any, x: Any, y: Any) -> Any:
    """The Huber loss with delta 1."""
    d = xp.abs(x - y)
    return xp.where(d <= 1, 0.5 * d * d, d - 0.5).mean()


def huber_both(x: Any, y: Any) -> Any:
    """With its gradient."""
    return huber(np, x, y), np.clip(x - y, -1, 1) * (1 / x.size)


def bce(xp: Any, p: Any, y: Any) -> Any:
    """The cross-entropy of probabilities."""
    terms = y * xp.maximum(xp.log(p), -100) + (1 - y) * xp.maximum(xp.log1p(-p), -100)
    return -terms.mean()


def bce_both(p: Any, y: Any) -> Any:
    """With its gradient."""
    return bce(np, p, y), (p - y) / np.maximum(p * (1 - p), 1e-12) * (1 / p.size)


def bce_with_logits(xp: Any, x: Any, y: Any) -> Any:
    """The cross-entropy of logits."""
    return (xp.maximum(x, 0) - x * y + xp.log1p(xp.exp(-xp.abs(x)))).mean()


def bce_with_logits_both(x: Any, y: Any) -> Any:
    """With its gradient."""
    return bce_with_logits(np, x, y), (sigmoid(np, x) - y) * (1 / x.size)


def nll(xp: Any, x: Any, y: Any) -> Any:
    """The negative log-likelihood."""
    return -x[xp.arange(len(y)), y].mean()


def nll_both(x: Any, y: Any) -> Any:
    """With its gradient."""
    dx = np.zeros_like(x)
    dx[np.arange(len(y)), y] = -1 / len(y)
    return nll(np, x, y), dx


def cross_entropy(xp: Any, x: Any, y: Any) -> Any:
    """The cross-entropy of labels."""
    z = x - x.max(-1, keepdims=True)
    return (xp.log(xp.exp(z).sum(-1)) - z[xp.arange(len(y)), y]).mean()


def cross_entropy_both(x: Any, y: Any) -> Any:
    """With its gradient."""
    p = softmax(np, x)
    place = np.arange(len(y)), y
    value = -np.log(p[place]).mean()
    p[place] -= 1
    return value, p * (1 / len(y))


def kl_div(xp: Any, x: Any, y: Any) -> Any:
    """mean(y (log y - x))."""
    return (y * (xp.log(y) - x)).mean()


def kl_div_both(x: Any, y: Any) -> Any:
    """With its gradient."""
    return kl_div(np, x, y), y * (-1 / y.size)


def jsd(xp: Any, x: Any, y: Any) -> Any:
    """The Jensen-Shannon divergence of logarithms."""
    p, q = xp.exp(y), xp.exp(x)
    m = xp.log(0.5 * (p + q))
    return 0.5 * (p * (y - m) + q * (x - m)).sum() / len(x)


def jsd_both(x: Any, y: Any) -> Any:
    """With its gradient for x."""
    p, q = np.exp(y), np.exp(x)
    m = np.log(0.5 * (p + q))
    back = q * (x - m)
    return 0.5 * (p * (y - m) + back).sum() / len(x), back * (0.5 / len(x))


def tvd(xp: Any, p: Any, q: Any) -> Any:
    """The total variation distance."""
    return 0.5 * xp.abs(p - q).sum() / len(p)


def tvd_both(p: Any, q: Any) -> Any:
    """With its gradient for p."""
    return tvd(np, p, q), np.sign(p - q) * (0.5 / len(p))


def hinge(xp: Any, x: Any, y: Any) -> Any:
    """mean(max(0, 1 - x y))."""
    return xp.maximum(1 - x * y, 0).mean()


def hinge_both(x: Any, y: Any) -> Any:
    """With its gradient for x."""
    d = 1 - x * y
    return np.maximum(d, 0).mean(), np.where(d > 0, y * (-1 / d.size), 0)


def cosine(xp: Any, a: Any, b: Any, y: Any) -> Any:
    """The cosine embedding loss."""
    c = (a * b).sum(-1) / xp.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return xp.where(y == 1, 1 - c, xp.maximum(c, 0)).mean()


def cosine_both(a: Any, b: Any, y: Any) -> Any:
    """With its gradients for a and b."""
    aa, bb = (a * a).sum(-1, keepdims=True), (b * b).sum(-1, keepdims=True)
    r = 1 / np.sqrt(aa * bb)
    c, y = (a * b).sum(-1, keepdims=True) * r, y[:, None]
    d = np.where(y == 1, -1, c > 0).astype(a.dtype) * (1 / len(a))
    value = np.where(y == 1, 1 - c, np.maximum(c, 0)).mean()
    return value, d * (b * r - a * (c / aa)), d * (a * r - b * (c / bb))


def triplet(xp: Any, a: Any, p: Any, n: Any) -> Any:
    """mean(max(0, |a - p| - |a - n| + 1))."""
    near, far = (xp.sqrt(((a - other + 1e-6) ** 2).sum(-1)) for other in (p, n))
    return xp.maximum(near - far + 1, 0).mean()


def triplet_both(a: Any, p: Any, n: Any) -> Any:
    """With its gradients."""
    to_p, to_n = a - p + 1e-6, a - n + 1e-6
    near, far = (np.sqrt((d * d).sum(-1, keepdims=True)) for d in (to_p, to_n))
    apart = near - far + 1
    share = (apart > 0).astype(a.dtype) * (1 / len(a))
    dp, dn = to_p * (share / near), to_n * (share / far)
    return np.maximum(apart, 0).mean(), dp - dn, -dp, dn
