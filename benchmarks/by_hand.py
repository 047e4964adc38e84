"""The library's formulas in plain NumPy, as one writes them by hand, and their derivatives.

In: arrays. Out: results; of `backward` functions the gradients, from results, cotangents and arguments; of
losses the value and the gradients. Between: forward functions take the module of arrays first, so that
JAX compiles the same lines.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import erf as np_erf

SQRT2, ROOT = math.sqrt(2.0), math.sqrt(2.0 / math.pi)
ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805


def erf(xp: Any, x: Any) -> Any:
    """The error function, which NumPy has not."""
    if xp is np:
        return np_erf(x)
    from jax.scipy.special import erf as jax_erf

    return jax_erf(x)


def sigmoid(xp: Any, x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + xp.exp(-x))


def gelu(xp: Any, x: Any) -> Any:
    """The product of x and Phi(x)."""
    return 0.5 * x * (1 + erf(xp, x / SQRT2))


def gelu_slope(x: Any) -> Any:
    """The derivative of gelu."""
    density = np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    return 0.5 * (1 + np_erf(x / SQRT2)) + x * density


def silu_slope(x: Any) -> Any:
    """The derivative of silu."""
    s = sigmoid(np, x)
    return s * (1 + x * (1 - s))


def gelu_tanh(xp: Any, x: Any) -> Any:
    """The approximation of gelu by tanh."""
    return 0.5 * x * (1 + xp.tanh(ROOT * (x + 0.044715 * x * x * x)))


def gelu_tanh_back(y: Any, g: Any, x: Any) -> Any:
    """Its gradient."""
    t = np.tanh(ROOT * (x + 0.044715 * x * x * x))
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * ROOT * (1 + 0.134145 * x * x))


def softplus(xp: Any, x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


def mish_back(y: Any, g: Any, x: Any) -> Any:
    """The gradient of mish."""
    t = np.tanh(softplus(np, x))
    return g * (t + x * (1 - t * t) * sigmoid(np, x))


def softmax(xp: Any, x: Any) -> Any:
    """exp(x) / sum(exp(x))."""
    e = xp.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_back(y: Any, g: Any, x: Any) -> Any:
    """Its gradient."""
    return y * (g - (g * y).sum(-1, keepdims=True))


def logsumexp(xp: Any, x: Any) -> Any:
    """log(sum(exp(x)))."""
    m = x.max(-1, keepdims=True)
    return xp.log(xp.exp(x - m).sum(-1)) + m[..., 0]


def log_softmax(xp: Any, x: Any) -> Any:
    """The rows less their logsumexp."""
    z = x - x.max(-1, keepdims=True)
    return z - xp.log(xp.exp(z).sum(-1, keepdims=True))


def rms_norm(xp: Any, x: Any, w: Any) -> Any:
    """Rows over the root of their mean square, times w."""
    return x / xp.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * w


def rms_norm_back(y: Any, g: Any, x: Any, w: Any) -> Any:
    """Its gradients."""
    r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
    h = g * w
    return r * (h - x * (r * r * (h * x).mean(-1, keepdims=True))), (g * x * r).sum(0)


def standardised(xp: Any, x: Any, axes: Any) -> tuple[Any, Any]:
    """(x - mean) / sqrt(var + eps) over the axes, and the factor."""
    r = 1 / xp.sqrt(x.var(axes, keepdims=True) + 1e-5)
    return (x - x.mean(axes, keepdims=True)) * r, r


def standardised_back(n: Any, r: Any, h: Any, axes: Any) -> Any:
    """The gradient through it: of x, from that of the standardised values."""
    return r * (h - h.mean(axes, keepdims=True) - n * (h * n).mean(axes, keepdims=True))


def layer_norm(xp: Any, x: Any, w: Any, b: Any) -> Any:
    """(x - mean(x)) / sqrt(var(x) + eps) * w + b."""
    return standardised(xp, x, -1)[0] * w + b


def layer_norm_back(y: Any, g: Any, x: Any, w: Any, b: Any) -> Any:
    """Its gradients."""
    n, r = standardised(np, x, -1)
    return standardised_back(n, r, g * w, -1), (g * n).sum(0), g.sum(0)


def group_norm(xp: Any, x: Any, w: Any, b: Any, groups: int = 8) -> Any:
    """The same over groups of channels; `instance_norm` has a group for each."""
    n, _ = standardised(xp, x.reshape(x.shape[0], groups, -1), -1)
    return n.reshape(x.shape) * w[:, None] + b[:, None]


def group_norm_back(y: Any, g: Any, x: Any, w: Any, b: Any, groups: int = 8) -> Any:
    """Its gradients."""
    n, r = standardised(np, x.reshape(x.shape[0], groups, -1), -1)
    dx = standardised_back(n, r, (g * w[:, None]).reshape(n.shape), -1)
    return dx.reshape(x.shape), (g * n.reshape(x.shape)).sum((0, 2)), g.sum((0, 2))


def instance_norm(xp: Any, x: Any, w: Any, b: Any) -> Any:
    """Over the positions of each channel."""
    return group_norm(xp, x, w, b, x.shape[1])


def instance_norm_back(y: Any, g: Any, x: Any, w: Any, b: Any) -> Any:
    """Its gradients."""
    return group_norm_back(y, g, x, w, b, x.shape[1])


def batch_norm(xp: Any, x: Any, mu: Any, v: Any, w: Any, b: Any) -> Any:
    """With given statistics."""
    r = 1 / xp.sqrt(v + 1e-5)
    return (x - mu[:, None]) * (r * w)[:, None] + b[:, None]


def batch_norm_back(y: Any, g: Any, x: Any, mu: Any, v: Any, w: Any, b: Any) -> Any:
    """Its gradients."""
    r = 1 / np.sqrt(v + 1e-5)
    dw = (g * (x - mu[:, None])).sum((0, 2)) * r
    return g * (r * w)[:, None], dw, g.sum((0, 2))


def batch_norm_train(xp: Any, x: Any, mu: Any, v: Any, w: Any, b: Any) -> Any:
    """With the batch's statistics, and the running ones after it."""
    n, _ = standardised(xp, x, (0, 2))
    count = x.shape[0] * x.shape[2]
    new_v = 0.9 * v + 0.1 * x.var((0, 2)) * (count / (count - 1))
    return n * w[:, None] + b[:, None], 0.9 * mu + 0.1 * x.mean((0, 2)), new_v


def batch_norm_train_back(y: Any, g: Any, x: Any, mu: Any, v: Any, w: Any, b: Any) -> Any:
    """Its gradients."""
    g, g_mean, g_var = g
    n, r = standardised(np, x, (0, 2))
    count = x.shape[0] * x.shape[2]
    dx = standardised_back(n, r, g * w[:, None], (0, 2))
    dx += (0.1 / count * g_mean)[:, None] + n / r * (0.2 / (count - 1) * g_var)[:, None]
    return dx, (g * n).sum((0, 2)), g.sum((0, 2))


def l2_normalize(xp: Any, x: Any) -> Any:
    """Rows over their length."""
    return x / xp.maximum(xp.sqrt((x * x).sum(-1, keepdims=True)), 1e-12)


def l2_normalize_back(y: Any, g: Any, x: Any) -> Any:
    """Its gradient."""
    return (g - y * (g * y).sum(-1, keepdims=True)) / np.sqrt((x * x).sum(-1, keepdims=True))


def rope(xp: Any, x: Any, c: Any, s: Any) -> Any:
    """(a c - b s, b c + a s) for the halves a and b."""
    a, b = xp.split(x, 2, -1)
    return xp.concatenate((a * c - b * s, b * c + a * s), -1)


def rope_back(y: Any, g: Any, x: Any, c: Any, s: Any) -> Any:
    """Its gradient."""
    return rope(np, g, c, -s)


def angles(xp: Any, x: Any) -> tuple[Any, Any]:
    """The table for rope."""
    half = x.shape[-1] // 2
    frequency = 10000.0 ** (-xp.arange(half) / half)
    angle = xp.arange(x.shape[-2])[:, None] * frequency
    return xp.cos(angle).astype(x.dtype), xp.sin(angle).astype(x.dtype)


def adam(xp: Any, p: Any, g: Any, m: Any, v: Any, t: Any, lr: Any, decay: float = 0.0) -> Any:
    """A step of Adam, with decoupled decay."""
    a, b = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    t = t.astype("float32")
    step = (a / (1 - 0.9**t)) / (xp.sqrt(b / (1 - 0.999**t)) + 1e-8)
    return p * (1 - lr * decay) - lr * step, a, b


def sgd(xp: Any, p: Any, g: Any, m: Any, lr: Any) -> Any:
    """A step with momentum."""
    n = 0.9 * m + g
    return p - lr * n, n


def rmsprop(xp: Any, p: Any, g: Any, v: Any, lr: Any) -> Any:
    """A step of RMSprop."""
    n = 0.99 * v + 0.01 * g * g
    return p - lr * g / (xp.sqrt(n) + 1e-8), n


def adagrad(xp: Any, p: Any, g: Any, s: Any, lr: Any) -> Any:
    """A step of Adagrad."""
    n = s + g * g
    return p - lr * g / (xp.sqrt(n) + 1e-10), n
