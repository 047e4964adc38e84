"""The activation functions, and the gates made of them, as rows of the table of benchmarks."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

from benchmarks import by_hand as hand
from benchmarks import data as d
from benchmarks.case import Case, Expression

X = {"x": d.normal(d.rows)}


def unary(
    name: str,
    function: Expression,
    forward: Expression,
    backward: Expression,
    numexpr: str = "",
    **static: Any,
) -> Case:
    """An activation function."""
    return Case("activations", name, X, function, forward, backward, static=static, numexpr=numexpr)


S = "1 / (1 + exp(-x))"
SP = "where(x > 0, x, 0.0) + log1p(exp(-abs(x)))"
POINTWISE = (
    unary("relu", F.relu, lambda xp, x: xp.maximum(x, 0), lambda y, g, x: g * (x > 0),
          "where(x > 0, x, 0)"),
    unary("leaky_relu", F.leaky_relu, lambda xp, x: xp.where(x > 0, x, 0.01 * x),
          lambda y, g, x: np.where(x > 0, g, 0.01 * g), "where(x > 0, x, 0.01 * x)"),
    unary("elu", F.elu, lambda xp, x: xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0))),
          lambda y, g, x: np.where(x > 0, g, g * (y + 1)), "where(x > 0, x, expm1(x))"),
    unary("selu", F.selu,
          lambda xp, x: hand.SCALE * xp.where(x > 0, x, hand.ALPHA * xp.expm1(xp.minimum(x, 0))),
          lambda y, g, x: g * np.where(x > 0, hand.SCALE, y + hand.SCALE * hand.ALPHA)),
    unary("celu", F.celu, lambda xp, x: xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0))),
          lambda y, g, x: np.where(x > 0, g, g * (y + 1))),
    unary("gelu", F.gelu, hand.gelu, lambda y, g, x: g * hand.gelu_slope(x)),
    unary("gelu_tanh", partial(F.gelu, approximate="tanh"), hand.gelu_tanh, hand.gelu_tanh_back,
          f"0.5 * x * (1 + tanh({hand.ROOT} * (x + 0.044715 * x * x * x)))"),
    unary("sigmoid", torch.sigmoid, hand.sigmoid, lambda y, g, x: g * y * (1 - y), S),
    unary("silu", F.silu, lambda xp, x: x * hand.sigmoid(xp, x),
          lambda y, g, x: g * hand.silu_slope(x), f"x * {S}"),
    unary("softplus", F.softplus, hand.softplus, lambda y, g, x: g * hand.sigmoid(np, x), SP),
    unary("logsigmoid", F.logsigmoid, lambda xp, x: -hand.softplus(xp, -x),
          lambda y, g, x: g * hand.sigmoid(np, -x)),
    unary("mish", F.mish, lambda xp, x: x * xp.tanh(hand.softplus(xp, x)), hand.mish_back,
          f"x * tanh({SP})"),
    unary("hardtanh", F.hardtanh, lambda xp, x: xp.clip(x, -1, 1),
          lambda y, g, x: g * ((x > -1) & (x < 1))),
    unary("relu6", F.relu6, lambda xp, x: xp.clip(x, 0, 6),
          lambda y, g, x: g * ((x > 0) & (x < 6))),
    unary("hardsigmoid", F.hardsigmoid, lambda xp, x: xp.clip(x + 3, 0, 6) * (1 / 6),
          lambda y, g, x: g * ((x > -3) & (x < 3)) * (1 / 6)),
    unary("hardswish", F.hardswish, lambda xp, x: x * xp.clip(x + 3, 0, 6) * (1 / 6),
          lambda y, g, x: g * np.where(x <= -3, 0, np.where(x >= 3, 1, x * (1 / 3) + 0.5))),
    unary("hardshrink", F.hardshrink, lambda xp, x: xp.where(xp.abs(x) <= 0.5, 0, x),
          lambda y, g, x: g * (np.abs(x) > 0.5)),
    unary("softshrink", F.softshrink,
          lambda xp, x: xp.where(xp.abs(x) <= 0.5, 0, x - 0.5 * xp.sign(x)),
          lambda y, g, x: g * (np.abs(x) > 0.5)),
    unary("tanhshrink", F.tanhshrink, lambda xp, x: x - xp.tanh(x),
          lambda y, g, x: g * np.tanh(x) ** 2, "x - tanh(x)"),
    unary("threshold", lambda x: F.threshold(x, 0.5, -2.0), lambda xp, x: xp.where(x > 0.5, x, -2),
          lambda y, g, x: g * (x > 0.5), limit=0.5, value=-2.0),
    unary("softsign", F.softsign, lambda xp, x: x / (1 + xp.abs(x)),
          lambda y, g, x: g / (1 + np.abs(x)) ** 2, "x / (1 + abs(x))"),
    Case("activations", "prelu", {"x": d.normal(d.images), "w": d.normal(d.channels)}, F.prelu,
         lambda xp, x, w: xp.where(x > 0, x, w[:, None] * x),
         lambda y, g, x, w: (np.where(x > 0, g, w[:, None] * g),
                             np.where(x > 0, 0, g * x).sum((0, 2))), ("x", "w")),
)  # fmt: skip

AB = {"a": d.normal(d.rows), "b": d.normal(d.rows)}
HALVES = {"x": d.normal(d.rows)}


def packed(forward: Expression, backward: Expression) -> tuple[Expression, Expression]:
    """Of a gate of two arguments that of the halves of one, and its gradient."""

    def whole(xp: Any, x: Any) -> Any:
        return forward(xp, *xp.split(x, 2, -1))

    def back(y: Any, g: Any, x: Any) -> Any:
        return np.concatenate(backward(y, g, *np.split(x, 2, -1)), -1)

    return whole, back


SWIGLU = (
    lambda xp, a, b: a * hand.sigmoid(xp, a) * b,
    lambda y, g, a, b: (g * b * hand.silu_slope(a), g * a * hand.sigmoid(np, a)),
)
GEGLU = (
    lambda xp, a, b: hand.gelu(xp, a) * b,
    lambda y, g, a, b: (g * b * hand.gelu_slope(a), g * hand.gelu(np, a)),
)
REGLU = (
    lambda xp, a, b: xp.maximum(a, 0) * b,
    lambda y, g, a, b: (g * b * (a > 0), g * np.maximum(a, 0)),
)


def _glu_back(y: Any, g: Any, a: Any, b: Any) -> Any:
    s = hand.sigmoid(np, b)
    return g * s, g * a * s * (1 - s)


def halves(function: Expression) -> Expression:
    """Of a gate in torch that of the halves of one argument."""

    def gate(x: Any) -> Any:
        a, b = x.chunk(2, -1)
        return function(a) * b

    return gate


GATES = (
    Case("activations", "swiglu", AB, lambda a, b: F.silu(a) * b, *SWIGLU, ("a", "b"),
         numexpr="a / (1 + exp(-a)) * b"),
    Case("activations", "geglu", AB, lambda a, b: F.gelu(a) * b, *GEGLU, ("a", "b")),
    Case("activations", "reglu", AB, lambda a, b: F.relu(a) * b, *REGLU, ("a", "b"),
         numexpr="where(a > 0, a, 0) * b"),
    Case("activations", "glu", HALVES, F.glu,
         *packed(lambda xp, a, b: a * hand.sigmoid(xp, b), _glu_back)),
    Case("activations", "swiglu_packed", HALVES, halves(F.silu), *packed(*SWIGLU)),
    Case("activations", "geglu_packed", HALVES, halves(F.gelu), *packed(*GEGLU)),
    Case("activations", "reglu_packed", HALVES, halves(F.relu), *packed(*REGLU)),
)  # fmt: skip
