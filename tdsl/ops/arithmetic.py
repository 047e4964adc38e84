"""Arithmetic: `+ - * / // %`, powers, minimum, maximum, clamp, and steps."""

from __future__ import annotations

import numpy as np

from tdsl.ops.base import Array
from tdsl.ops.comparison import equal
from tdsl.ops.elementary import log
from tdsl.ops.expr import Expr
from tdsl.ops.pointwise import ANY, NUMBER, POSITIVE, REAL, Pointwise, pointwise
from tdsl.ops.selection import where

Shares = tuple[Expr, Expr]

add = pointwise(
    "add", "x + y. Integers wrap; on bools it is or.", np.add,
    lambda g, z, x, y: (g, g), kinds=ANY, domain=(REAL, REAL),
    triton={"bool": "{0} | {1}", "": "{0} + {1}"}, c={"bool": "{0} | {1}", "": "{0} + {1}"},
)  # fmt: skip
sub = pointwise(
    "sub", "x - y. Integers wrap.", np.subtract,
    lambda g, z, x, y: (g, -g), kinds=NUMBER, domain=(REAL, REAL), triton="{0} - {1}",
    c="{0} - {1}",
)  # fmt: skip
mul = pointwise(
    "mul", "x * y. Integers wrap; on bools it is and.", np.multiply,
    lambda g, z, x, y: (g * y, g * x), kinds=ANY, domain=(REAL, REAL),
    triton={"bool": "{0} & {1}", "": "{0} * {1}"}, c={"bool": "{0} & {1}", "": "{0} * {1}"},
)  # fmt: skip
div = pointwise(
    "div", "x / y, for floats.", np.divide,
    lambda g, z, x, y: (g / y, -(g * z / y)), domain=(REAL, POSITIVE), triton="{0} / {1}",
    c="{0} / {1}",
)  # fmt: skip
neg = pointwise(
    "neg", "-x. Integers wrap.", np.negative, lambda g, y, x: -g, kinds=NUMBER, triton="-{0}",
    c="-{0}",
)  # fmt: skip
abs_ = pointwise(
    "abs", "|x|; the derivative at 0 is 0. The smallest integer stays itself.", np.absolute,
    lambda g, y, x: g * sign(x), kinds=NUMBER, domain=(POSITIVE,), triton="tl.abs({0})",
    c={"float": "fabs{s}({0})", "uint": "{0}", "": "{0} < 0 ? -{0} : {0}"},
)  # fmt: skip
sign: Pointwise = pointwise(
    "sign",
    "-1, 0 or 1; NaN for NaN. Piecewise constant.",
    np.sign,
    kinds=NUMBER,
    domain=(POSITIVE,),
    triton={"float": "sign({0})", "": "integer_sign({0})"},
    c="sign_{t}({0})",
)


def _quotient_shares(g: Expr, z: Expr, x: Expr, y: Expr) -> Shares:
    """Both remainders are x - q*y with an integer q that is locally constant."""
    return g, -(g * round_((x - z) / y))


floordiv = pointwise(
    "floordiv", "floor(x / y). Integers: by 0 gives 0, and the smallest by -1 wraps to itself.",
    np.floor_divide, kinds=NUMBER, domain=(REAL, POSITIVE),
    triton={"float": "float_floordiv({0}, {1})", "": "integer_floordiv({0}, {1})"},
    c="floordiv_{t}({0}, {1})",
)  # fmt: skip
remainder = pointwise(
    "remainder", "x - y * floor(x / y), with the sign of y. Integers: by 0 gives 0.", np.remainder,
    _quotient_shares, kinds=NUMBER, domain=((0.1, 0.9), (1.0, 2.0)),
    triton={"float": "remainder({0}, {1})", "": "integer_remainder({0}, {1})"},
    c="remainder_{t}({0}, {1})",
)  # fmt: skip
fmod = pointwise(
    "fmod", "x - y * trunc(x / y), with the sign of x. Integers: by 0 gives 0.", np.fmod,
    _quotient_shares, kinds=NUMBER, domain=((2.1, 2.9), (0.95, 1.05)),
    triton={"float": "libdevice.fmod({0}, {1})", "": "integer_fmod({0}, {1})"},
    c={"float": "fmod{s}({0}, {1})", "": "fmod_{t}({0}, {1})"},
)  # fmt: skip

floor = pointwise(
    "floor",
    "The largest integer not above x.",
    np.floor,
    domain=((0.1, 0.9),),
    triton="tl.floor({0})",
    c="floor{s}({0})",
)
ceil = pointwise(
    "ceil",
    "The smallest integer not below x.",
    np.ceil,
    domain=((0.1, 0.9),),
    triton="tl.ceil({0})",
    c="ceil{s}({0})",
)
trunc = pointwise(
    "trunc",
    "x without its fraction.",
    np.trunc,
    domain=((0.1, 0.9),),
    triton="libdevice.trunc({0})",
    c="trunc{s}({0})",
)
round_: Pointwise = pointwise(
    "round",
    "The nearest integer, halves to even.",
    np.rint,
    domain=((0.6, 0.9),),
    triton="libdevice.rint({0})",
    c="rint{s}({0})",
)


def _maximum_shares(g: Expr, z: Expr, x: Expr, y: Expr) -> Shares:
    tied = where(equal(x, y), g * 0.5, g)
    return where(x < y, 0.0, tied), where(y < x, 0.0, tied)


def _minimum_shares(g: Expr, z: Expr, x: Expr, y: Expr) -> Shares:
    tied = where(equal(x, y), g * 0.5, g)
    return where(x > y, 0.0, tied), where(y > x, 0.0, tied)


maximum = pointwise(
    "maximum", "The larger of x and y; NaN if either is. Ties share the gradient equally.",
    np.maximum, _maximum_shares, kinds=ANY, domain=(REAL, REAL),
    triton={"float": "tl.maximum({0}, {1}, propagate_nan=tl.PropagateNan.ALL)", "bool": "{0} | {1}",
            "": "tl.maximum({0}, {1})"}, c={"bool": "{0} | {1}", "": "larger_{t}({0}, {1})"},
)  # fmt: skip
minimum = pointwise(
    "minimum", "The smaller of x and y; NaN if either is. Ties share the gradient equally.",
    np.minimum, _minimum_shares, kinds=ANY, domain=(REAL, REAL),
    triton={"float": "tl.minimum({0}, {1}, propagate_nan=tl.PropagateNan.ALL)", "bool": "{0} & {1}",
            "": "tl.minimum({0}, {1})"}, c={"bool": "{0} & {1}", "": "smaller_{t}({0}, {1})"},
)  # fmt: skip


def _clamp_shares(g: Expr, z: Expr, x: Expr, lo: Expr, hi: Expr) -> tuple[Expr, Expr, Expr]:
    low = (x < lo) & (lo < hi)
    high = (x > hi) | ((x < lo) & (lo >= hi))
    return where((x >= lo) & (x <= hi), g, 0.0), where(low, g, 0.0), where(high, g, 0.0)


clamp = pointwise(
    "clamp",
    "minimum(maximum(x, y), z): x kept between y and z, or z where y > z. The derivative for x is 1"
    " on the closed interval.",
    lambda x, lo, hi: np.minimum(np.maximum(x, lo), hi), _clamp_shares,
    kinds=NUMBER, domain=(REAL, (-1.0, -0.5), (0.5, 1.0)),
    triton={"float": "clamp({0}, {1}, {2})", "": "tl.minimum(tl.maximum({0}, {1}), {2})"},
    c="smaller_{t}(larger_{t}({0}, {1}), {2})",
)  # fmt: skip


def _power(x: Array, y: Array) -> Array:
    """NumPy's power; integers to a negative power are truncated: 0 but for bases 1 and -1."""
    if x.dtype.kind in "uf":
        return np.power(x, y)
    positive = np.power(x, np.maximum(y, 0))
    unit = np.where((x == 1) | (x == -1), np.power(x, y & 1), 0)
    return np.where(y < 0, unit, positive).astype(x.dtype, copy=False)


def _power_shares(g: Expr, z: Expr, x: Expr, y: Expr) -> Shares:
    """Y * x**(y-1) and z * log(x), written so that neither 0**-1 nor log(0) is ever computed.

    At y = 0 the power is constant in x, and at x = 0 with y >= 0 constant in y (0 for y > 0).
    """
    constant = equal(y, 0.0)
    base = where(constant, 0.0, g * y * pow_(x, where(constant, 0.0, y - 1.0)))
    flat = equal(x, 0.0) & (y >= 0.0)
    exponent = where(flat, 0.0, g * z * log(where(flat, 1.0, x)))
    return base, exponent


pow_: Pointwise = pointwise(
    "pow", "x ** y. Integers wrap; a negative exponent truncates towards 0.", _power, _power_shares,
    kinds=NUMBER, domain=(POSITIVE, REAL),
    triton={"float": "libdevice.pow({0}, {1})", "": "integer_pow({0}, {1})"},
    c={"float": "pow{s}({0}, {1})", "": "pow_{t}({0}, {1})"},
)  # fmt: skip
