"""The error function and the gamma function's family, evaluated by `tdsl.ops.special`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tdsl.ir.dtype import AnyDtype
from tdsl.ir.node import Attrs, Node
from tdsl.ops import special
from tdsl.ops.base import require, require_kind
from tdsl.ops.elementary import exp
from tdsl.ops.expr import Expr
from tdsl.ops.pointwise import FLOAT, POSITIVE, Pointwise, elementwise, pointwise

ROOT_PI = math.sqrt(math.pi)

erf = pointwise(
    "erf", "The error function, 2/sqrt(pi) times the integral of exp(-t*t) from 0 to x.",
    special.erf, lambda g, y, x: g * (2.0 / ROOT_PI) * exp(-(x * x)), triton="tl.erf({0})",
    c="erf_{t}({0})",
)  # fmt: skip
erfc = pointwise(
    "erfc", "1 - erf(x), exact where it is small.", special.erfc,
    lambda g, y, x: g * (-2.0 / ROOT_PI) * exp(-(x * x)), triton="libdevice.erfc({0})",
    c="erfc{s}({0})",
)  # fmt: skip
erfinv = pointwise(
    "erfinv", "The inverse of erf.", special.erfinv,
    lambda g, y, x: g * (ROOT_PI / 2.0) * exp(y * y), domain=((-0.9, 0.9),),
    triton="libdevice.erfinv({0})", c="erfinv_{t}({0})",
)  # fmt: skip
lgamma = pointwise(
    "lgamma", "log(|gamma(x)|).", special.lgamma, lambda g, y, x: g * digamma(x),
    domain=(POSITIVE,), triton="libdevice.lgamma({0})", c="lgamma_{t}({0})",
)  # fmt: skip
digamma: Pointwise = pointwise(
    "digamma", "The derivative of lgamma.", special.digamma,
    lambda g, y, x: g * polygamma(x, n=1), domain=(POSITIVE,), triton="digamma({0})",
    c="digamma_{t}({0})",
)  # fmt: skip


def _polygamma_types(operands: Sequence[Node], attrs: Attrs) -> AnyDtype:
    require(len(operands) == 1, "polygamma", "takes one operand")
    require(isinstance(attrs["n"], int) and attrs["n"] >= 1, "polygamma", "n is below 1")
    require_kind("polygamma", operands[0].dtype, FLOAT)
    return operands[0].dtype


def _polygamma_function(node: Node) -> Callable[..., Any]:
    n = node["n"]
    return lambda x: special.polygamma(n, x)


def _polygamma_share(g: Expr, y: Expr, x: Expr) -> Expr:
    return g * polygamma(x, n=y.node["n"] + 1)


polygamma: Pointwise = elementwise(
    "polygamma", "The derivative of order `n` of digamma, n >= 1.", _polygamma_types,
    _polygamma_function, _polygamma_share, domain=(POSITIVE,),
    variants=({"n": 1}, {"n": 2}, {"n": 5}), triton="polygamma({0}, {n})",
    c="polygamma_{t}({0}, {n})",
)  # fmt: skip
