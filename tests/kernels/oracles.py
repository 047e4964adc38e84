"""What the standard library is compared with, where torch has no one function for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from torch.nn.attention import SDPBackend, sdpa_kernel


def rms(x: Any, w: Any = None) -> Any:
    return F.rms_norm(x, x.shape[-1:], w, eps=1e-6)


def layer_norm(x: Any, w: Any = None, b: Any = None) -> Any:
    return F.layer_norm(x, x.shape[-1:], w, b)


def affine(x: Any, w: Any, b: Any) -> Any:
    return x * w[:, None, None] + b[:, None, None]


def instance_norm(x: Any, *weights: Any) -> Any:
    return F.instance_norm(x, None, None, *weights)


def batch_train(x: Any, mu: Any, v: Any, w: Any = None, b: Any = None) -> Any:
    y = F.batch_norm(x, None, None, w, b, True, 0.1, 1e-5)
    axes = [d for d in range(x.ndim) if d != 1]
    mean = 0.9 * mu + 0.1 * x.mean(axes)
    var = 0.9 * v + 0.1 * x.var(axes, unbiased=True)
    return y, mean, var


def rope(x: Any, c: Any, s: Any) -> Any:
    a, b = x.chunk(2, -1)
    return torch.cat((a * c - b * s, b * c + a * s), -1)


def rope_angles(x: Any, *, base: float = 10000.0, offset: int = 0) -> Any:
    half = x.shape[-1] // 2
    frequency = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = (offset + torch.arange(x.shape[-2], dtype=torch.float64))[:, None] * frequency
    return rope(x, angle.cos().to(x.dtype), angle.sin().to(x.dtype))


def sdpa(q: Any, k: Any, v: Any, bias: Any = None, mask: Any = None, **static: Any) -> Any:
    """Torch's composition of operations, which has second derivatives."""
    hidden = bias
    if mask is not None:
        hidden = torch.zeros_like(mask, dtype=q.dtype) if bias is None else bias
        hidden = hidden.masked_fill(~mask, -torch.inf)
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(q, k, v, hidden, **static)


def cached(q: Any, k: Any, v: Any, offset: int, **static: Any) -> Any:
    seen = offset + torch.arange(q.shape[-2])[:, None] >= torch.arange(k.shape[-2])
    return sdpa(q, k, v, None, seen, **static)


def without_causal(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda q, k, v, causal, *more: function(q, k, v, *more)


def weights(s: Any) -> Any:
    hidden = ~torch.ones(s.shape[-2:], dtype=torch.bool).tril()
    return s.masked_fill(hidden, -torch.inf).softmax(-1)


def z_loss(x: Any, y: Any, w: Any = None, *, reduction: str = "mean") -> Any:
    keep = y != -100
    scale = (torch.ones_like(x[0]) if w is None else w)[y.where(keep, 0)] * keep
    loss = F.cross_entropy(x, y, w, reduction="none") + scale * 0.1 * x.logsumexp(1) ** 2
    return loss.sum() / scale.sum() if reduction == "mean" else reduce(loss, reduction)


def reduce(loss: Any, reduction: str) -> Any:
    if reduction == "batchmean":
        return loss.sum() / len(loss)
    return loss if reduction == "none" else getattr(loss, reduction)()


def hinge(x: Any, y: Any, *, reduction: str) -> Any:
    return reduce((1 - x * y).clamp(min=0), reduction)


def kl_div(x: Any, y: Any, *, log_target: bool = False, reduction: str = "none") -> Any:
    """Torch warns of its own mean."""
    return reduce(F.kl_div(x, y, reduction="none", log_target=log_target), reduction)


def jsd(x: Any, y: Any, *, beta: float = 0.5, reduction: str) -> Any:
    """As Liger-Kernel's tests have it."""
    if beta in (0, 1):
        return kl_div(*((x, y) if beta == 0 else (y, x)), log_target=True, reduction=reduction)
    mixed = (beta * y.exp() + (1 - beta) * x.exp()).log()
    towards, back = (kl_div(mixed, a, log_target=True) for a in (y, x))
    return reduce(beta * towards + (1 - beta) * back, reduction)


def tvd(p: Any, q: Any, *, reduction: str) -> Any:
    return reduce(0.5 * (p - q).abs(), reduction)


def smoothed(x: Any, y: Any, w: Any = None, *, reduction: str) -> Any:
    return F.cross_entropy(x, y, w, reduction=reduction, label_smoothing=0.2)


def cosine(a: Any, b: Any, y: Any, *, reduction: str) -> Any:
    return F.cosine_embedding_loss(a, b, y, margin=0.1, reduction=reduction)


def descent(p: Any, g: Any, *, decay: float, maximize: bool) -> Any:
    return (-g if maximize else g) + decay * p


def sgd(p: Any, g: Any, m: Any, lr: float, *, momentum: float, nesterov: bool = False) -> Any:
    n = momentum * m + g
    return p - lr * (g + momentum * n if nesterov else n), n


def adam(p: Any, g: Any, m: Any, v: Any, t: float, lr: float, decay: float = 0.0) -> Any:
    a, b = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    step = (a / (1 - 0.9**t)) / ((b / (1 - 0.999**t)).sqrt() + 1e-8)
    return p * (1 - lr * decay) - lr * step, a, b


def adam_step(g: Any, m: Any, v: Any, t: float, lr: float) -> Any:
    p, a, b = adam(torch.zeros_like(g), g, m, v, t, lr)
    return -p, a, b


def rmsprop(p: Any, g: Any, v: Any, lr: float) -> Any:
    n = 0.99 * v + 0.01 * g * g
    return p - lr * g / (n.sqrt() + 1e-8), n


def adagrad(p: Any, g: Any, s: Any, lr: float) -> Any:
    n = s + g * g
    return p - lr * g / (n.sqrt() + 1e-10), n
