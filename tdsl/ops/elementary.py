"""Elementary functions of reals, with their derivatives as a calculus sheet.

Below, g is the cotangent, y the value and x the operand.
"""

from __future__ import annotations

import math

import numpy as np

from tdsl.ops.comparison import equal
from tdsl.ops.expr import Expr
from tdsl.ops.pointwise import POSITIVE, REAL, Pointwise, pointwise
from tdsl.ops.selection import where

LN2 = math.log(2.0)
LN10 = math.log(10.0)
UNIT = (-0.9, 0.9)

exp = pointwise(
    "exp",
    "e ** x.",
    np.exp,
    lambda g, y, x: g * y,
    triton="tl.exp({0})",
    c="exp_{t}({0})",
)
exp2 = pointwise(
    "exp2",
    "2 ** x.",
    np.exp2,
    lambda g, y, x: g * y * LN2,
    triton="tl.exp2({0})",
    c="exp2{s}({0})",
)
expm1 = pointwise(
    "expm1",
    "e ** x - 1, exact near 0.",
    np.expm1,
    lambda g, y, x: g * (y + 1.0),
    triton="libdevice.expm1({0})",
    c="expm1{s}({0})",
)

log = pointwise(
    "log",
    "The natural logarithm.",
    np.log,
    lambda g, y, x: g / x,
    domain=(POSITIVE,),
    triton="tl.log({0})",
    c="log_{t}({0})",
)
log2 = pointwise(
    "log2",
    "The logarithm to base 2.",
    np.log2,
    lambda g, y, x: g / (x * LN2),
    domain=(POSITIVE,),
    triton="tl.log2({0})",
    c="log2{s}({0})",
)
log10 = pointwise(
    "log10", "The logarithm to base 10.", np.log10, lambda g, y, x: g / (x * LN10),
    domain=(POSITIVE,), triton="libdevice.log10({0})", c="log10{s}({0})",
)  # fmt: skip
log1p = pointwise(
    "log1p", "log(1 + x), exact near 0.", np.log1p, lambda g, y, x: g / (x + 1.0),
    domain=((-0.7, 2.0),), triton="libdevice.log1p({0})", c="log1p_{t}({0})",
)  # fmt: skip

sqrt = pointwise(
    "sqrt",
    "The square root.",
    np.sqrt,
    lambda g, y, x: g * 0.5 / y,
    domain=(POSITIVE,),
    triton="tl.sqrt({0})",
    c="sqrt{s}({0})",
)
rsqrt: Pointwise = pointwise(
    "rsqrt", "1 / sqrt(x).", lambda x: np.reciprocal(np.sqrt(x)),
    lambda g, y, x: g * -0.5 * (y * y * y), domain=(POSITIVE,), triton="tl.rsqrt({0})",
    c="1.0{s} / sqrt{s}({0})",
)  # fmt: skip
cbrt = pointwise(
    "cbrt", "The real cube root, of negative numbers too.", np.cbrt,
    lambda g, y, x: g / (y * y * 3.0), domain=(POSITIVE,), triton="libdevice.cbrt({0})",
    c="cbrt{s}({0})",
)  # fmt: skip

sin: Pointwise = pointwise(
    "sin",
    "The sine.",
    np.sin,
    lambda g, y, x: g * cos(x),
    triton="tl.sin({0})",
    c="sin{s}({0})",
)
cos: Pointwise = pointwise(
    "cos",
    "The cosine.",
    np.cos,
    lambda g, y, x: -(g * sin(x)),
    triton="tl.cos({0})",
    c="cos{s}({0})",
)
tan = pointwise(
    "tan",
    "The tangent.",
    np.tan,
    lambda g, y, x: g * (y * y + 1.0),
    domain=((-1.2, 1.2),),
    triton="libdevice.tan({0})",
    c="tan{s}({0})",
)
asin = pointwise(
    "asin", "The inverse sine, in [-pi/2, pi/2].", np.arcsin,
    lambda g, y, x: g * rsqrt((1.0 - x) * (x + 1.0)), domain=(UNIT,), triton="libdevice.asin({0})",
    c="asin{s}({0})",
)  # fmt: skip
acos = pointwise(
    "acos", "The inverse cosine, in [0, pi].", np.arccos,
    lambda g, y, x: -(g * rsqrt((1.0 - x) * (x + 1.0))), domain=(UNIT,),
    triton="libdevice.acos({0})", c="acos{s}({0})",
)  # fmt: skip
atan = pointwise(
    "atan",
    "The inverse tangent, in [-pi/2, pi/2].",
    np.arctan,
    lambda g, y, x: g / (x * x + 1.0),
    triton="libdevice.atan({0})",
    c="atan{s}({0})",
)


def _atan2_shares(g: Expr, z: Expr, x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """The gradient at the origin is taken to be 0."""
    square = x * x + y * y
    origin = equal(square, 0.0)
    scale = where(origin, 0.0, g / where(origin, 1.0, square))
    return scale * y, -(scale * x)


atan2 = pointwise(
    "atan2", "The angle, in [-pi, pi], of the point with ordinate x and abscissa y: atan(x / y) in the"
    " right quadrant. The gradient at the origin is 0.",
    np.arctan2, _atan2_shares, domain=(POSITIVE, REAL), triton="libdevice.atan2({0}, {1})",
    c="atan2{s}({0}, {1})",
)  # fmt: skip

sinh: Pointwise = pointwise(
    "sinh",
    "The hyperbolic sine.",
    np.sinh,
    lambda g, y, x: g * cosh(x),
    triton="libdevice.sinh({0})",
    c="sinh{s}({0})",
)
cosh: Pointwise = pointwise(
    "cosh",
    "The hyperbolic cosine.",
    np.cosh,
    lambda g, y, x: g * sinh(x),
    triton="libdevice.cosh({0})",
    c="cosh{s}({0})",
)
tanh = pointwise(
    "tanh",
    "The hyperbolic tangent.",
    np.tanh,
    lambda g, y, x: g * (1.0 - y * y),
    triton="libdevice.tanh({0})",
    c="tanh_{t}({0})",
)
asinh = pointwise(
    "asinh",
    "The inverse hyperbolic sine.",
    np.arcsinh,
    lambda g, y, x: g * rsqrt(x * x + 1.0),
    triton="libdevice.asinh({0})",
    c="asinh{s}({0})",
)
acosh = pointwise(
    "acosh", "The inverse hyperbolic cosine, for x >= 1.", np.arccosh,
    lambda g, y, x: g * (rsqrt(x - 1.0) * rsqrt(x + 1.0)), domain=((1.2, 3.0),),
    triton="libdevice.acosh({0})", c="acosh{s}({0})",
)  # fmt: skip
atanh = pointwise(
    "atanh", "The inverse hyperbolic tangent.", np.arctanh,
    lambda g, y, x: g / ((1.0 - x) * (x + 1.0)), domain=(UNIT,), triton="libdevice.atanh({0})",
    c="atanh{s}({0})",
)  # fmt: skip
