"""Built-ins that compute elementwise."""

from __future__ import annotations

from tdsl import faults
from tdsl.ir.dtype import (
    BOOL,
    F32,
    F64,
    compute,
)
from tdsl.ir.node import OPS
from tdsl.ops import (
    Pointwise,
    cast_to,
    clamp,
    div,
    greater_equal,
    less_equal,
    maximum,
    minimum,
    mul,
    not_equal,
    polygamma,
)
from tdsl.ops.pointwise import FLOAT
from tdsl.syntax.elaboration.arithmetic import (
    as_dtype,
    rounded,
    settle,
)
from tdsl.syntax.elaboration.builtin import Given, builtin
from tdsl.syntax.elaboration.expressions import choose
from tdsl.syntax.elaboration.values import Meaning, Value, weak
from tdsl.transforms.simplify import tidy

OF_REALS = [
    op
    for op in OPS.values()
    if isinstance(op, Pointwise)
    and op.kinds == FLOAT
    and len(op.domain) == 1
    and op.variants == ({},)
]
PREDICATES = [op.name for op in OF_REALS if op.sample(F64, [()], {}).dtype == BOOL]
REAL_FUNCTIONS = [op.name for op in OF_REALS if op.name not in PREDICATES]


@builtin(*(f"{name}(x)" for name in REAL_FUNCTIONS))
def _real(given: Given) -> Meaning:
    """Elementwise, for floating values. The derivative and its ends are in operations.md."""
    x = given.tensor("x")
    return given.elementwise(OPS[given.name], x)


@builtin("round(x)")
def _round(given: Given) -> Meaning:
    """The nearest integer; halves go to the even one."""
    return given.elementwise(OPS["round"], given.tensor("x"))


@builtin("abs(x)", "sign(x)", "neg(x)")
def _number(given: Given) -> Meaning:
    """Elementwise, for numbers."""
    x = given.tensor("x")
    return given.elementwise(OPS[given.name], x)


@builtin("square(x)")
def _square(given: Given) -> Meaning:
    """The product x * x."""
    x = given.tensor("x")
    return given.elementwise(mul, x, x)


@builtin("reciprocal(x)")
def _reciprocal(given: Given) -> Meaning:
    """1 / x."""
    return given.elementwise(div, weak(1.0), given.tensor("x"))


@builtin(*(f"{name}(x)" for name in PREDICATES))
def _predicate(given: Given) -> Meaning:
    """Elementwise, to bool."""
    x = given.tensor("x")
    return given.elementwise(OPS[given.name], x)


@builtin("minimum(x, y)", "maximum(x, y)", "fmod(x, y)", "remainder(x, y)")
def _pair(given: Given) -> Meaning:
    """Elementwise. A NaN on either side gives NaN; equal operands share the gradient."""
    return given.elementwise(OPS[given.name], given.tensor("x"), given.tensor("y"))


@builtin("pow(x, y)")
def _pow(given: Given) -> Meaning:
    """The power x ** y; a static integer exponent is exact for negative x."""
    return given.elementwise(OPS["pow"], given.tensor("x"), given.tensor("y"))


@builtin("atan2(y, x)")
def _atan2(given: Given) -> Meaning:
    """The angle of the point (x, y), from -pi to pi."""
    return given.elementwise(OPS["atan2"], given.tensor("y"), given.tensor("x"))


@builtin("clamp(x, lo=, hi=)", "clip(x, lo=, hi=)")
def _clamp(given: Given) -> Meaning:
    """The nearest value between `lo` and `hi`; either may be left out.

    The derivative for `x` is 1 on the closed interval.
    """
    x = given.tensor("x")
    lo = given.tensor("lo") if given.has("lo") else None
    hi = given.tensor("hi") if given.has("hi") else None
    if lo is not None and hi is not None:
        return given.elementwise(clamp, x, lo, hi)
    if lo is not None:
        return _above(given, x, lo)
    if hi is not None:
        return _below(given, x, hi)
    raise given.fail(faults.MISSING_ARGUMENT, argument="lo", name=given.name)


def _above(given: Given, x: Value, lo: Value) -> Value:
    """`maximum`, but with the whole gradient for `x` at the bound."""
    inside = given.elementwise(greater_equal, x, lo)
    return choose(given.frame, inside, x, given.elementwise(maximum, x, lo), given.span)


def _below(given: Given, x: Value, hi: Value) -> Value:
    """`minimum`, but with the whole gradient for `x` at the bound."""
    inside = given.elementwise(less_equal, x, hi)
    return choose(given.frame, inside, x, given.elementwise(minimum, x, hi), given.span)


@builtin("polygamma(n, x)")
def _polygamma(given: Given) -> Meaning:
    """The derivative of order `n`, a static integer, of `digamma`."""
    order, x = given.integer("n"), given.tensor("x")
    given.frame.constrain(x.dtype, "float", given.span, "`polygamma`")
    return Value(polygamma(settle(given.frame, x).node, n=order), x.order, x.dtype)


@builtin("where(condition, a, b)")
def _where(given: Given) -> Meaning:
    """`a` where the condition holds, else `b`.

    The branch not taken passes no gradient, not even NaN.
    """
    condition, a, b = (given.tensor(name) for name in ("condition", "a", "b"))
    return choose(given.frame, condition, a, b, given.span)


@builtin("cast(x, dtype)")
def _cast(given: Given) -> Meaning:
    """The value in another dtype. The derivative of rounding is 1."""
    x, dtype = given.tensor("x"), given.dtype("dtype", F32)
    if x.weak:
        number = as_dtype(given.frame, x, x.dtype, given.span)
        return Value(tidy(cast_to(tidy(cast_to(number, dtype)), compute(dtype))), (), dtype)
    return rounded(Value(tidy(cast_to(x.node, compute(dtype))), x.order, dtype))


@builtin("logical_and(x, y)", "logical_or(x, y)", "logical_xor(x, y)")
def _logical(given: Given) -> Meaning:
    """Elementwise, of the operands' truth: a number is true where it is not 0."""
    op = {"logical_and": "bitand", "logical_or": "bitor", "logical_xor": "bitxor"}[given.name]
    return given.elementwise(OPS[op], _truth_of(given, "x"), _truth_of(given, "y"))


def _truth_of(given: Given, name: str) -> Value:
    x = given.tensor(name)
    return x if x.dtype == BOOL else given.elementwise(not_equal, x, weak(0))


@builtin("logical_not(x)")
def _logical_not(given: Given) -> Meaning:
    """Elementwise, of the operand's truth: a number is true where it is not 0."""
    return given.elementwise(OPS["bitnot"], _truth_of(given, "x"))
