"""Built-ins over axes: reductions and running reductions."""

from __future__ import annotations

from tdsl import faults
from tdsl.errors import Span
from tdsl.ir.dtype import (
    BOOL,
    I64,
    AnyDtype,
    Dtype,
    accumulate,
    compute,
    is_floating,
)
from tdsl.ir.function import unit_free
from tdsl.ir.node import OPS
from tdsl.ir.size import ONE, Size
from tdsl.ops import (
    abs_,
    cast_to,
    cumprod,
    cumsum,
    div,
    equal,
    maximum,
    mul,
    not_equal,
    pow_,
    sqrt,
    sub,
    sum_,
)
from tdsl.syntax.elaboration.arithmetic import (
    elementwise,
    settle,
)
from tdsl.syntax.elaboration.builtin import Given, builtin
from tdsl.syntax.elaboration.expressions import choose, size_value
from tdsl.syntax.elaboration.frame import Frame
from tdsl.syntax.elaboration.values import Meaning, Value, weak
from tdsl.transforms.simplify import tidy


def kept(x: Value, axes: tuple[Size, ...]) -> tuple[Size, ...]:
    """The order of a value without the axes."""
    return tuple(axis for axis in x.order if axis not in axes)


def total(frame: Frame, x: Value, axes: tuple[Size, ...]) -> Value:
    """The sum of a value over axes, unit axes among them dropped."""
    x = settle(frame, x)
    node = tidy(sum_(x.node, axes=unit_free(axes)))
    return Value(node, kept(x, axes), _accumulated(x.dtype))


def _accumulated(dtype: AnyDtype) -> AnyDtype:
    if is_floating(dtype):
        return dtype
    return accumulate(dtype) if isinstance(dtype, Dtype) else accumulate(compute(dtype))


@builtin("sum(x, axis=)")
def _sum(given: Given) -> Meaning:
    """Over the axes, or all of them. Integers and bools are added in i64."""
    x = given.tensor("x")
    return total(given.frame, x, given.axes("axis", x))


@builtin("prod(x, axis=)")
def _prod(given: Given) -> Meaning:
    """Over the axes, or all of them. Gradients are right with zeros too."""
    x = settle(given.frame, given.tensor("x"))
    axes = given.axes("axis", x)
    return Value(OPS["prod"](x.node, axes=unit_free(axes)), kept(x, axes), _accumulated(x.dtype))


@builtin("max(x, axis=)", "min(x, axis=)", "amax(x, axis=)", "amin(x, axis=)")
def _extreme(given: Given) -> Meaning:
    """The largest (smallest) over the axes, or all; a NaN wins; ties share the gradient."""
    x = settle(given.frame, given.tensor("x"))
    axes = given.axes("axis", x)
    node = OPS[given.name.removeprefix("a")](x.node, axes=unit_free(axes))
    return Value(node, kept(x, axes), x.dtype)


@builtin("any(x, axis=)", "all(x, axis=)")
def _truth(given: Given) -> Meaning:
    """Over the axes, or all of them, of bools."""
    x = given.tensor("x")
    if x.dtype != BOOL:
        raise given.fail(faults.CONDITION_NOT_BOOL, "x", dtype=x.dtype, hint="write `x != 0`")
    axes = given.axes("axis", x)
    return Value(OPS[given.name](x.node, axes=unit_free(axes)), kept(x, axes), BOOL)


@builtin("argmax(x, axis=)", "argmin(x, axis=)")
def _arg(given: Given) -> Meaning:
    """The position, in i64, of the first largest (smallest).

    Along one axis or, without `axis`, in the flattened value.
    """
    x = settle(given.frame, given.tensor("x"))
    axes = given.axes("axis", x)
    return Value(OPS[given.name](x.node, axes=unit_free(axes)), kept(x, axes), I64)


def _count(axes: tuple[Size, ...]) -> Value:
    size = ONE
    for axis in axes:
        size = size * axis
    return size_value(size)


def _average(given: Given, x: Value, axes: tuple[Size, ...]) -> Value:
    """A sum and a multiplication by the reciprocal of the count."""
    given.frame.constrain(x.dtype, "float", given.span, f"`{given.name}`")
    reciprocal = given.elementwise(div, weak(1.0), _count(axes))
    return given.elementwise(mul, total(given.frame, x, axes), reciprocal)


@builtin("mean(x, axis=)")
def _mean(given: Given) -> Meaning:
    """Over the axes, or all of them, of floating values."""
    x = settle(given.frame, given.tensor("x"))
    return _average(given, x, given.axes("axis", x))


@builtin("var(x, axis=, correction=)", "std(x, axis=, correction=)")
def _var(given: Given) -> Meaning:
    """Over the axes, or all.

    The sum of squares is divided by `N - correction`, and `correction` is 0 unless told, as
    in NumPy (torch: 1). The gradient of `std` is 0 where it is 0.
    """
    frame, span = given.frame, given.span
    x = settle(frame, given.tensor("x"))
    axes = given.axes("axis", x)
    centred = given.elementwise(sub, x, _average(given, x, axes))
    squares = total(frame, given.elementwise(mul, centred, centred), axes)
    count = _count(axes)
    if given.has("correction"):
        freedom = given.elementwise(sub, count, given.tensor("correction"))
        count = given.elementwise(maximum, freedom, weak(0))
    reciprocal = given.elementwise(div, weak(1.0), count)
    result = given.elementwise(mul, squares, reciprocal)
    return _safe_root(frame, result, span) if given.name == "std" else result


@builtin("norm(x, axis=, ord=)")
def _norm(given: Given) -> Meaning:
    """The vector p-norm over the axes; the gradient at 0 is 0."""
    frame, span = given.frame, given.span
    x = settle(frame, given.tensor("x"))
    frame.constrain(x.dtype, "float", span, "`norm`")
    axes, order = given.axes("axis", x), given.number("ord", 2)
    size = elementwise(frame, abs_, (x,), span)
    if abs(order) == float("inf"):
        node = OPS["max" if order > 0 else "min"](size.node, axes=unit_free(axes))
        return Value(node, kept(x, axes), x.dtype)
    if order == 0:
        differs = elementwise(frame, not_equal, (x, weak(0)), span)
        ones = tidy(cast_to(differs.node, compute(x.dtype)))
        return total(frame, Value(ones, x.order, x.dtype), axes)
    if order == 1:
        return total(frame, size, axes)
    if order == 2:
        squares = total(frame, elementwise(frame, mul, (x, x), span), axes)
        return _safe_root(frame, squares, span)
    powers = total(frame, _safe_power(frame, size, order, span), axes)
    return _safe_power(frame, powers, 1.0 / order, span)


def _safe_power(frame: Frame, x: Value, exponent: float, span: Span) -> Value:
    """X ** exponent for x >= 0, with gradient 0 at 0: the branch taken there is a constant."""
    value_at_zero = 0.0 if exponent > 0 else float("inf")
    at_zero = elementwise(frame, equal, (x, weak(0)), span)
    inside = choose(frame, at_zero, weak(1.0), x, span)
    power = elementwise(frame, pow_, (inside, weak(float(exponent))), span)
    return choose(frame, at_zero, weak(value_at_zero), power, span)


def _safe_root(frame: Frame, squares: Value, span: Span) -> Value:
    """The square root with gradient 0 at 0: the branch taken there is a constant."""
    at_zero = elementwise(frame, equal, (squares, weak(0)), span)
    inside = choose(frame, at_zero, weak(1.0), squares, span)
    return choose(frame, at_zero, weak(0.0), elementwise(frame, sqrt, (inside,), span), span)


@builtin("cumsum(x, axis)", "cumprod(x, axis)", "cummax(x, axis)", "logcumsumexp(x, axis)")
def _scan(given: Given) -> Meaning:
    """Running, along the axis; of the same size as `x`."""
    x = settle(given.frame, given.tensor("x"))
    axis = given.axis("axis", x)
    if given.name == "logcumsumexp":
        given.frame.constrain(x.dtype, "float", given.span, "`logcumsumexp`")
    if given.name == "cummax":
        given.frame.constrain(x.dtype, "number", given.span, "`cummax`")
    op = OPS[given.name]
    dtype = _accumulated(x.dtype) if op in (cumsum, cumprod) else x.dtype
    if axis == ONE:
        return Value(tidy(cast_to(x.node, compute(dtype))), x.order, dtype)
    return Value(op(x.node, axis=axis, reverse=False), x.order, dtype)
