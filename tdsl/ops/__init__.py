"""The operations, each defined in exactly one place; `CATALOGUE` has them by name.

An operation is called to make a node: `exp(x)`, `sum_(x, axes=(D,))`, `dot(a, b, axes=(K,))`. Names
that Python has taken end in an underscore.
"""

from tdsl.ir.node import OPS, Op
from tdsl.ops.arithmetic import (
    abs_,
    add,
    ceil,
    clamp,
    div,
    floor,
    floordiv,
    fmod,
    maximum,
    minimum,
    mul,
    neg,
    pow_,
    remainder,
    round_,
    sign,
    sub,
    trunc,
)
from tdsl.ops.axis_maps import (
    concat_axis,
    flatten_axes,
    flip_axis,
    pad_axis,
    rename,
    roll_axis,
    select_axis,
    shift,
    slice_axis,
    unflatten_axis,
    window_axis,
)
from tdsl.ops.base import Operation, numpy_dtype
from tdsl.ops.bits import bitand, bitnot, bitor, bitxor, shift_left, shift_right
from tdsl.ops.calls import call
from tdsl.ops.comparison import (
    equal,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    not_equal,
)
from tdsl.ops.contraction import dot
from tdsl.ops.elementary import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cbrt,
    cos,
    cosh,
    exp,
    exp2,
    expm1,
    log,
    log1p,
    log2,
    log10,
    rsqrt,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)
from tdsl.ops.expr import total, unalign
from tdsl.ops.gather import scatter, take
from tdsl.ops.index_map import compose, disjoint_pieces, index
from tdsl.ops.leaves import arange, constant, input_, size_
from tdsl.ops.pointwise import Pointwise
from tdsl.ops.reductions import all_, any_, argmax, argmin, max_, min_, prod, sum_
from tdsl.ops.scans import cummax, cumprod, cumsum, logcumsumexp, recurrence
from tdsl.ops.selection import cast, cast_to, checkpoint, save, stop_gradient, where

CATALOGUE: dict[str, Op] = OPS

__all__ = [
    "CATALOGUE", "Operation", "Pointwise", "abs_", "acos", "acosh", "add", "all_", "any_", "arange",
    "argmax", "argmin", "asin", "asinh", "atan", "atan2", "atanh", "bitand", "bitnot", "bitor",
    "bitxor", "call", "cast", "cast_to", "cbrt", "ceil", "checkpoint", "clamp", "compose",
    "concat_axis", "constant", "cos", "cosh", "cummax", "cumprod", "cumsum", "disjoint_pieces", "div",
    "dot", "equal", "exp", "exp2", "expm1", "flatten_axes", "flip_axis", "floor", "floordiv", "fmod",
    "greater", "greater_equal", "index", "input_", "isfinite", "isinf", "isnan", "less", "less_equal",
    "log", "log10", "log1p", "log2", "logcumsumexp", "max_", "maximum", "min_", "minimum", "mul",
    "neg", "not_equal", "numpy_dtype", "pad_axis", "pow_", "prod", "recurrence", "remainder",
    "rename", "roll_axis", "round_", "rsqrt", "save", "scatter", "select_axis", "shift",
    "shift_left", "shift_right", "sign", "sin", "sinh", "size_", "slice_axis", "sqrt",
    "stop_gradient", "sub", "sum_", "take", "tan", "tanh", "total", "trunc", "unalign",
    "unflatten_axis", "where", "window_axis",
]  # fmt: skip
