"""The standard library beside torch: one row for each function.

A row gives the arguments (a shape is normal data; a callable makes other data from a generator), the
static arguments, torch's function on the same arguments, and which arguments are not differentiated.
`single` are arguments, `single_results` results that remain f32 where the others are f16 or bf16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

from tests.kernels import oracles
from tests.kernels.data import (
    Argument,
    classes,
    constant,
    labels,
    log_probability,
    mask,
    number,
    positive,
    probability,
    signs,
    whole_signs,
)


@dataclass(frozen=True)
class Row:
    """One function with one set of arguments."""

    file: str
    name: str
    arguments: tuple[Argument, ...]
    torch: Callable[..., Any]
    static: dict[str, Any] = field(default_factory=dict)
    frozen: tuple[int, ...] = ()
    single: tuple[int, ...] = ()
    single_results: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.name}{list(self.static.values()) or ''}{len(self.arguments)}"


def unary(file: str, name: str, function: Callable[..., Any], **static: Any) -> Row:
    return Row(file, name, ((3, 5),), function, static)


ACT, X = "activations", (3, 5)
ACTIVATIONS: tuple[Row, ...] = (
    unary(ACT, "relu", F.relu),
    unary(ACT, "leaky_relu", F.leaky_relu),
    unary(ACT, "leaky_relu", partial(F.leaky_relu, negative_slope=0.2), slope=0.2),
    unary(ACT, "elu", F.elu),
    unary(ACT, "elu", partial(F.elu, alpha=0.7), alpha=0.7),
    unary(ACT, "selu", F.selu),
    unary(ACT, "celu", F.celu),
    unary(ACT, "celu", partial(F.celu, alpha=0.5), alpha=0.5),
    unary(ACT, "gelu", F.gelu),
    unary(ACT, "gelu_tanh", lambda x: F.gelu(x, approximate="tanh")),
    unary(ACT, "sigmoid", torch.sigmoid),
    unary(ACT, "silu", F.silu),
    unary(ACT, "softplus", F.softplus),
    unary(ACT, "softplus", partial(F.softplus, beta=2.0), beta=2.0),
    unary(ACT, "softplus", partial(F.softplus, beta=2.0, threshold=1.0), beta=2.0, threshold=1.0),
    unary(ACT, "logsigmoid", F.logsigmoid),
    unary(ACT, "mish", F.mish),
    unary(ACT, "hardtanh", F.hardtanh),
    unary(ACT, "hardtanh", lambda x: F.hardtanh(x, -3.0, 0.5), low=-3.0, high=0.5),
    unary(ACT, "relu6", F.relu6),
    unary(ACT, "hardsigmoid", lambda x: F.relu6(x + 3) / 6),
    unary(ACT, "hardswish", F.hardswish),
    unary(ACT, "hardshrink", F.hardshrink),
    unary(ACT, "softshrink", F.softshrink),
    unary(ACT, "softshrink", lambda x: F.softshrink(x, 1.0), lambd=1.0),
    unary(ACT, "softsign", F.softsign),
    unary(ACT, "tanhshrink", F.tanhshrink),
    unary(ACT, "threshold", lambda x: F.threshold(x, 0.5, -2.0), limit=0.5, value=-2.0),
    Row(ACT, "prelu", ((2, 3, 5), (3,)), F.prelu),
    Row(ACT, "sigmoid_vjp", (X, X, X), lambda x, y, g: g * y * (1 - y)),
    Row(ACT, "softplus_vjp", (X, X, X), lambda x, y, g: g * torch.sigmoid(x) + 0 * y),
    Row(ACT, "swiglu", (X, X), lambda a, b: F.silu(a) * b),
    Row(ACT, "geglu", (X, X), lambda a, b: F.gelu(a) * b),
    Row(ACT, "reglu", (X, X), lambda a, b: F.relu(a) * b),
    Row(ACT, "glu", ((3, 2, 10),), F.glu),
    Row(ACT, "swiglu_packed", ((3, 2, 10),), lambda x: F.silu(x[..., :5]) * x[..., 5:]),
    Row(ACT, "geglu_packed", ((3, 2, 10),), lambda x: F.gelu(x[..., :5]) * x[..., 5:]),
    Row(ACT, "reglu_packed", ((3, 2, 10),), lambda x: F.relu(x[..., :5]) * x[..., 5:]),
)  # fmt: skip

MOMENTS = ((3, 5), (3, 5), (3, 5), positive(3, 5))

Y, CLASSIFIED, WEIGHTED = (
    probability(3, 5),
    ((4, 7), labels(4, 7)),
    ((4, 7), labels(4, 7), positive(7)),
)
LOGS = (log_probability(4, 7), log_probability(4, 7))


def reductions(
    name: str,
    arguments: tuple[Argument, ...],
    function: Callable[..., Any],
    *more: str,
    frozen: tuple[int, ...] = (),
    **static: Any,
) -> tuple[Row, ...]:
    """A row of a loss for each reduction."""
    return tuple(
        Row(
            "losses",
            name,
            arguments,
            partial(function, reduction=r),
            {**static, "reduction": r},
            frozen=frozen,
        )
        for r in ("mean", "sum", "none", *more)
    )


LOSSES: tuple[Row, ...] = (
    *reductions("reduced", (X,), oracles.reduce),
    Row("losses", "pick", ((4, 7), classes(7, 4)), lambda x, y: x.gather(1, y[:, None])[:, 0]),
    *reductions("mse", (X, X), F.mse_loss),
    *reductions("l1", (X, X), F.l1_loss),
    *reductions("huber", (X, X), partial(F.huber_loss, delta=0.7), delta=0.7),
    *reductions("smooth_l1", (X, X), partial(F.smooth_l1_loss, beta=0.5), beta=0.5),
    Row("losses", "smooth_l1", (X, X), partial(F.smooth_l1_loss, beta=0.0), {"beta": 0.0}),
    Row("losses", "bce_term", (Y, Y), partial(F.binary_cross_entropy, reduction="none"), frozen=(1,)),
    Row("losses", "bce_term_vjp", (Y, Y, X, X), lambda p, y, _, d: (
        d * (p - y) / (p * (1 - p)), d * (torch.log1p(-p) - p.log()))),
    *reductions("bce", (Y, Y), F.binary_cross_entropy, frozen=(1,)),
    *reductions("bce", (Y, Y, positive(3, 5)), F.binary_cross_entropy, frozen=(1, 2)),
    *reductions("bce_with_logits", (X, Y), F.binary_cross_entropy_with_logits),
    *reductions("bce_with_logits", (X, Y, positive(3, 5), positive(5)),
        lambda x, y, w, v, reduction: F.binary_cross_entropy_with_logits(x, y, w, None, None, reduction, v),
        frozen=(2, 3)),
    *reductions("nll", CLASSIFIED, F.nll_loss),
    *reductions("nll", (*CLASSIFIED, constant(-100), positive(7)),
        lambda x, y, i, w, reduction: F.nll_loss(x, y, w, None, i, None, reduction), frozen=(3,)),
    *reductions("cross_entropy", CLASSIFIED, F.cross_entropy),
    *reductions("cross_entropy", WEIGHTED, F.cross_entropy, frozen=(2,)),
    *reductions("cross_entropy", CLASSIFIED, oracles.smoothed, label_smoothing=0.2),
    *reductions("cross_entropy", WEIGHTED, oracles.smoothed, label_smoothing=0.2, frozen=(2,)),
    *reductions("cross_entropy", CLASSIFIED, oracles.z_loss, z_loss=0.1),
    *reductions("cross_entropy", WEIGHTED, oracles.z_loss, z_loss=0.1, frozen=(2,)),
    Row("losses", "cross_entropy", ((2, 3, 7), classes(7, 2, 3)),
        lambda x, y: F.cross_entropy(x.movedim(-1, 1), y, reduction="none"), {"reduction": "none"}),
    *reductions("kl_div", (X, Y), oracles.kl_div, "batchmean"),
    *reductions("kl_div", LOGS, partial(oracles.kl_div, log_target=True), "batchmean", log_target=True),
    *reductions("jsd", LOGS, oracles.jsd, "batchmean"),
    *reductions("jsd", LOGS, partial(oracles.jsd, beta=0.1), "batchmean", beta=0.1),
    *reductions("jsd", LOGS, partial(oracles.jsd, beta=0.0), "batchmean", beta=0.0),
    *reductions("jsd", LOGS, partial(oracles.jsd, beta=1.0), "batchmean", beta=1.0),
    *reductions("tvd", (probability(4, 7), probability(4, 7)), oracles.tvd, "batchmean"),
    *reductions("hinge", (X, signs(3, 5)), oracles.hinge),
    *reductions("cosine_embedding", ((4, 5), (4, 5), signs(4)), oracles.cosine, margin=0.1),
    Row("losses", "cosine_embedding", ((4, 5), (4, 5), whole_signs(4)), F.cosine_embedding_loss),
    *reductions("triplet", ((4, 5), (4, 5), (4, 5)), F.triplet_margin_loss),
    Row("losses", "triplet", ((4, 5), (4, 5), (4, 5)), partial(F.triplet_margin_loss, swap=True), {"swap": True}),
)  # fmt: skip

QKV = ((2, 3, 4, 8), (2, 3, 5, 8), (2, 3, 5, 7))
SQUARE = ((2, 3, 4, 8), (2, 3, 4, 8), (2, 3, 4, 8))
GROUPS = ((2, 6, 4, 8), (2, 3, 5, 8), (2, 3, 5, 7))
BIASED, MASKED = (
    (constant(False), (2, 3, 4, 5)),
    (constant(False), constant(None), mask(2, 3, 4, 5)),
)
ATTENTION: tuple[Row, ...] = (
    Row("attention", "attention", QKV, oracles.sdpa),
    Row("attention", "attention", ((4, 8), (5, 8), (5, 7)), oracles.sdpa),
    Row("attention", "attention", SQUARE, partial(oracles.sdpa, is_causal=True), {"causal": True}),
    Row("attention", "attention", QKV, partial(oracles.cached, offset=1), {"causal": True, "offset": 1}),
    Row("attention", "attention", QKV, partial(oracles.sdpa, scale=0.7), {"scale": 0.7}),
    Row("attention", "attention", (*QKV, *BIASED), oracles.without_causal(oracles.sdpa)),
    Row("attention", "attention", (*QKV, *MASKED), oracles.without_causal(oracles.sdpa)),
    Row("attention", "attention_weights", ((3, 4, 4),), oracles.weights, {"causal": True}),
    Row("attention", "attention_bias", (*QKV, (3, 4, 5)), oracles.sdpa),
    Row("attention", "grouped_attention", GROUPS, partial(oracles.sdpa, enable_gqa=True)),
    Row("attention", "grouped_attention", ((2, 6, 4, 8), (2, 3, 4, 8), (2, 3, 4, 8)),
        partial(oracles.sdpa, enable_gqa=True, is_causal=True), {"causal": True}),
    Row("attention", "grouped_attention", GROUPS, partial(oracles.cached, offset=1, enable_gqa=True),
        {"causal": True, "offset": 1}),
    Row("attention", "grouped_attention", (*GROUPS, constant(False), (2, 6, 4, 5), mask(2, 6, 4, 5)),
        oracles.without_causal(partial(oracles.sdpa, enable_gqa=True, scale=0.3)), {"scale": 0.3}),
)  # fmt: skip

IMAGE, C = (2, 6, 3, 4), (6,)
RUNNING = (IMAGE, C, positive(6))
NORMS: tuple[Row, ...] = (
    Row("norms", "rms_norm", ((2, 3, 5),), oracles.rms),
    Row("norms", "rms_norm", ((2, 3, 5), (5,)), oracles.rms),
    Row("norms", "rms_norm", ((2, 3, 5), (5,)), oracles.rms, single=(1,)),
    Row("norms", "layer_norm", ((2, 3, 5),), oracles.layer_norm),
    Row("norms", "layer_norm", ((2, 3, 5), (5,)), oracles.layer_norm),
    Row("norms", "layer_norm", ((2, 3, 5), (5,), (5,)), oracles.layer_norm),
    Row("norms", "layer_norm", ((2, 3, 5), (5,), (5,)), oracles.layer_norm, single=(1, 2)),
    Row("norms", "affine", (IMAGE, C, C), oracles.affine),
    Row("norms", "group_norm", (IMAGE,), lambda x: F.group_norm(x, 3), {"groups": 3}),
    Row("norms", "group_norm", (IMAGE, C, C), lambda x, w, b: F.group_norm(x, 2, w, b), {"groups": 2}),
    Row("norms", "instance_norm", (IMAGE,), oracles.instance_norm),
    Row("norms", "instance_norm", (IMAGE, C, C), oracles.instance_norm, single=(1, 2)),
    Row("norms", "batch_norm", RUNNING, F.batch_norm, frozen=(1, 2)),
    Row("norms", "batch_norm", (*RUNNING, C, C), F.batch_norm, frozen=(1, 2), single=(1, 2, 3, 4)),
    Row("norms", "batch_norm_train", RUNNING, oracles.batch_train),
    Row("norms", "batch_norm_train", (*RUNNING, C, C), oracles.batch_train, single=(1, 2, 3, 4),
        single_results=(1, 2)),
    unary("norms", "l2_normalize", lambda x: F.normalize(x, dim=-1)),
    unary("norms", "l2_normalize", lambda x: F.normalize(x, dim=0), axis=0),
)  # fmt: skip

LR = number(0.1)
OPTIMIZERS: tuple[Row, ...] = (
    Row("optimizers", "descent", (X, X), partial(oracles.descent, decay=0.1, maximize=True),
        {"decay": 0.1, "maximize": True}),
    Row("optimizers", "descent", (X, X), partial(oracles.descent, decay=0.0, maximize=False),
        {"decay": 0.0, "maximize": False}),
    Row("optimizers", "sgd", (X, X, X, LR), partial(oracles.sgd, momentum=0.0), single=(2, 3),
        single_results=(1,)),
    Row("optimizers", "sgd", (X, X, X, LR), partial(oracles.sgd, momentum=0.9), {"momentum": 0.9},
        single=(2, 3), single_results=(1,)),
    Row("optimizers", "sgd", (X, X, X, LR), partial(oracles.sgd, momentum=0.9, nesterov=True),
        {"momentum": 0.9, "nesterov": True}, single=(2, 3), single_results=(1,)),
    Row("optimizers", "adam_step", (X, X, positive(3, 5), number(3.0), LR), oracles.adam_step,
        {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}, single=(1, 2, 4), single_results=(0, 1, 2)),
    Row("optimizers", "adam", (*MOMENTS, number(3.0), LR), oracles.adam, single=(2, 3, 5), single_results=(1, 2)),
    Row("optimizers", "adamw", (*MOMENTS, number(3.0), LR), partial(oracles.adam, decay=0.01),
        single=(2, 3, 5), single_results=(1, 2)),
    Row("optimizers", "rmsprop", (X, X, positive(3, 5), LR), oracles.rmsprop, single=(2, 3), single_results=(1,)),
    Row("optimizers", "adagrad", (X, X, positive(3, 5), LR), oracles.adagrad, single=(2, 3), single_results=(1,)),
)  # fmt: skip

ROWS: tuple[Row, ...] = (
    *ACTIVATIONS,
    unary("softmax", "softmax", lambda x: F.softmax(x, -1)),
    unary("softmax", "softmax", lambda x: F.softmax(x, 0), axis=0),
    unary("softmax", "masked_softmax", lambda x: F.softmax(x, -1)),
    unary("softmax", "masked_softmax", lambda x: F.softmax(x, 0), axis=0),
    unary("softmax", "softmin", lambda x: F.softmin(x, -1)),
    unary("softmax", "logsumexp", lambda x: torch.logsumexp(x, -1)),
    unary("softmax", "log_softmax", lambda x: F.log_softmax(x, -1)),
    *NORMS,
    *LOSSES,
    Row("linear", "linear", ((2, 3, 4), (5, 4)), F.linear),
    Row("linear", "linear", ((2, 3, 4), (5, 4), (5,)), F.linear),
    Row("linear", "bilinear", ((3, 4), (3, 2), (5, 4, 2), (5,)), F.bilinear),
    Row("linear", "mlp", ((3, 4), (6, 4), (6,), (2, 6), (2,)),
        lambda x, w, b, v, c: F.linear(F.relu(F.linear(x, w, b)), v, c)),
    *ATTENTION,
    Row("rope", "rope", ((2, 3, 8), (3, 4), (3, 4)), oracles.rope),
    Row("rope", "rope", ((2, 3, 8), (3, 4), (3, 4)), oracles.rope, single=(1, 2)),
    Row("rope", "rope_angles", ((2, 3, 8),), oracles.rope_angles),
    Row("rope", "rope_angles", ((2, 3, 8),), partial(oracles.rope_angles, base=5e5, offset=100_000),
        {"base": 5e5, "offset": 100_000}),
    *OPTIMIZERS,
)  # fmt: skip
