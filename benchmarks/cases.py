"""Every memory-bound function of the library: its data, and the same in torch, NumPy, JAX and NumExpr.

In: nothing. Out: `CASES`. Between: each row's expressions compute what the function computes, with the
derivatives that the row names; which arguments have gradients is said by name.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

from benchmarks import by_hand as hand
from benchmarks import data as d
from benchmarks import losses_by_hand as loss
from benchmarks.activations import AB, GATES, POINTWISE, X
from benchmarks.case import Case, Expression

SOFTMAX = (
    Case("softmax", "softmax", X, lambda x: F.softmax(x, -1), hand.softmax, hand.softmax_back),
    Case("softmax", "masked_softmax", X, lambda x: F.softmax(x, -1), hand.softmax,
         hand.softmax_back),
    Case("softmax", "softmin", X, lambda x: F.softmin(x, -1), lambda xp, x: hand.softmax(xp, -x),
         lambda y, g, x: -hand.softmax_back(y, g, x)),
    Case("softmax", "logsumexp", X, lambda x: torch.logsumexp(x, -1), hand.logsumexp,
         lambda y, g, x: g[:, None] * np.exp(x - y[:, None])),
    Case("softmax", "log_softmax", X, lambda x: F.log_softmax(x, -1), hand.log_softmax,
         lambda y, g, x: g - np.exp(y) * g.sum(-1, keepdims=True)),
)  # fmt: skip

W = {"w": d.normal(d.row)}
CHANNELS = {"w": d.normal(d.channels), "b": d.normal(d.channels)}
IMAGES = {"x": d.normal(d.images), **CHANNELS}
STATISTICS = {
    "x": d.normal(d.images), "mu": d.normal(d.channels), "v": d.uniform(0.5, 2, d.channels),
    **CHANNELS,
}  # fmt: skip
ALL = ("x", "w", "b")


def _batch_train(x: Any, mu: Any, v: Any, w: Any, b: Any) -> Any:
    y = F.batch_norm(x, None, None, w, b, True, 0.1, 1e-5)
    return y, 0.9 * mu + 0.1 * x.mean((0, 2)), 0.9 * v + 0.1 * x.var((0, 2), unbiased=True)


NORMS = (
    Case("norms", "rms_norm", {**X, **W}, lambda x, w: F.rms_norm(x, x.shape[-1:], w, 1e-6),
         hand.rms_norm, hand.rms_norm_back, ("x", "w")),
    Case("norms", "layer_norm", {**X, **W, "b": d.normal(d.row)},
         lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b), hand.layer_norm,
         hand.layer_norm_back, ALL),
    Case("norms", "group_norm", IMAGES, lambda x, w, b: F.group_norm(x, 8, w, b),
         hand.group_norm, hand.group_norm_back, ALL, {"groups": 8}),
    Case("norms", "instance_norm", IMAGES, lambda x, w, b: F.instance_norm(x, None, None, w, b),
         hand.instance_norm, hand.instance_norm_back, ALL),
    Case("norms", "batch_norm", STATISTICS, F.batch_norm, hand.batch_norm, hand.batch_norm_back,
         ALL),
    Case("norms", "batch_norm_train", STATISTICS, _batch_train, hand.batch_norm_train,
         hand.batch_norm_train_back, ALL),
    Case("norms", "l2_normalize", X, lambda x: F.normalize(x, dim=-1), hand.l2_normalize,
         hand.l2_normalize_back),
)  # fmt: skip

XY = {"x": d.normal(d.rows), "y": d.normal(d.rows)}


def losses(name: str, data: dict[str, d.Make], function: Expression, stem: str = "", *wrt: str,
           **static: Any) -> Case:  # fmt: skip
    """A loss, with the expressions of that name."""
    forward, both = getattr(loss, stem or name), getattr(loss, f"{stem or name}_both")
    return Case("losses", name, data, function, forward, both, wrt or ("x",), static)


def _jsd(x: Any, y: Any) -> Any:
    p, q = y.exp(), x.exp()
    m = ((p + q) / 2).log()
    return 0.5 * (p * (y - m) + q * (x - m)).sum() / len(x)


CLASSES = {"labels": d.labels}
UNIT = d.uniform(0.05, 0.95, d.rows)
LOSSES = (
    losses("mse", XY, F.mse_loss),
    losses("l1", XY, F.l1_loss),
    losses("huber", XY, F.huber_loss),
    losses("smooth_l1", XY, F.smooth_l1_loss, "huber"),
    losses("bce", {"p": UNIT, "y": UNIT}, F.binary_cross_entropy, "", "p"),
    losses("bce_with_logits", {**X, "y": UNIT}, F.binary_cross_entropy_with_logits),
    losses("nll", {"logp": d.log_probabilities, **CLASSES}, F.nll_loss, "", "logp"),
    losses("cross_entropy", {"logits": d.normal(d.rows), **CLASSES}, F.cross_entropy, "", "logits"),
    losses("kl_div", {"logp": d.log_probabilities, "y": d.probabilities},
           lambda x, y: F.kl_div(x, y, reduction="none").mean(), "", "logp"),
    losses("jsd", {"x": d.log_probabilities, "y": d.log_probabilities}, _jsd),
    losses("tvd", {"p": d.probabilities, "q": d.probabilities},
           lambda p, q: 0.5 * (p - q).abs().sum() / len(p), "", "p"),
    losses("hinge", {**X, "y": d.signs}, lambda x, y: (1 - x * y).clamp(min=0).mean()),
    losses("cosine_embedding", {**AB, "y": d.row_signs}, F.cosine_embedding_loss, "cosine", "a", "b"),
    losses("triplet", {name: d.normal(d.rows) for name in "apn"}, F.triplet_margin_loss, "", *"apn"),
)  # fmt: skip

TABLE = {"cosines": d.uniform(-1, 1, d.table), "sines": d.uniform(-1, 1, d.table)}


def _rope(x: Any, c: Any, s: Any) -> Any:
    a, b = x.chunk(2, -1)
    return torch.cat((a * c - b * s, b * c + a * s), -1)


def _rope_angles(x: Any) -> Any:
    half = x.shape[-1] // 2
    frequency = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * frequency
    return _rope(x, angle.cos().to(x.dtype), angle.sin().to(x.dtype))


ROPE = (
    Case("rope", "rope", {"x": d.normal(d.sequences), **TABLE}, _rope, hand.rope, hand.rope_back),
    Case("rope", "rope_angles", {"x": d.normal(d.sequences)}, _rope_angles,
         lambda xp, x: hand.rope(xp, x, *hand.angles(xp, x)),
         lambda y, g, x: hand.rope_back(y, g, x, *hand.angles(np, x))),
)  # fmt: skip

PG = {"p": d.normal(d.rows), "g": d.normal(d.rows)}
POSITIVE = d.uniform(0.1, 2, d.rows)
LR = {"lr": d.number(0.1)}
ADAM = {**PG, "m": d.normal(d.rows), "v": POSITIVE, "t": d.number(3), **LR}


def _adam(p: Any, g: Any, m: Any, v: Any, t: Any, lr: Any, decay: float = 0.0) -> Any:
    a, b = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    step = (a / (1 - 0.9**t)) / ((b / (1 - 0.999**t)).sqrt() + 1e-8)
    return p * (1 - lr * decay) - lr * step, a, b


def _sgd(p: Any, g: Any, m: Any, lr: Any) -> Any:
    n = 0.9 * m + g
    return p - lr * n, n


def _rmsprop(p: Any, g: Any, v: Any, lr: Any) -> Any:
    n = 0.99 * v + 0.01 * g * g
    return p - lr * g / (n.sqrt() + 1e-8), n


def _adagrad(p: Any, g: Any, s: Any, lr: Any) -> Any:
    n = s + g * g
    return p - lr * g / (n.sqrt() + 1e-10), n


OPTIMIZERS = (
    Case("optimizers", "sgd", {**PG, "m": d.normal(d.rows), **LR}, _sgd, hand.sgd, None, (),
         {"momentum": 0.9}),
    Case("optimizers", "adam", ADAM, _adam, hand.adam, None, ()),
    Case("optimizers", "adamw", ADAM, partial(_adam, decay=0.01), partial(hand.adam, decay=0.01),
         None, ()),
    Case("optimizers", "rmsprop", {**PG, "v": POSITIVE, **LR}, _rmsprop, hand.rmsprop, None, ()),
    Case("optimizers", "adagrad", {**PG, "s": POSITIVE, **LR}, _adagrad, hand.adagrad, None, ()),
)  # fmt: skip
CASES = (*POINTWISE, *GATES, *SOFTMAX, *NORMS, *LOSSES, *ROPE, *OPTIMIZERS)
"""Optimisers have no backward stage: nobody differentiates a step."""
QUICK = ("gelu", "softmax", "rms_norm", "cross_entropy", "adamw")
