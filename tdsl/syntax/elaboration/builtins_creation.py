"""Built-ins that create values."""

from __future__ import annotations

from tdsl import faults
from tdsl.ir.dtype import F32, I64, AnyDtype, compute
from tdsl.ir.node import Node
from tdsl.ir.size import as_size, floordiv
from tdsl.ops import (
    add,
    cast_to,
    constant,
    div,
    equal,
    maximum,
    mul,
    pow_,
    size_,
    sub,
)
from tdsl.syntax import ast
from tdsl.syntax.elaboration.arithmetic import (
    as_dtype,
    settle,
)
from tdsl.syntax.elaboration.axes import extent, whole_axis
from tdsl.syntax.elaboration.builtin import Given, builtin
from tdsl.syntax.elaboration.builtins_axes import listed_axes, number_of, places
from tdsl.syntax.elaboration.expressions import size_value
from tdsl.syntax.elaboration.frame import axis_text
from tdsl.syntax.elaboration.types import refuse_twice
from tdsl.syntax.elaboration.values import Meaning, Value, weak
from tdsl.transforms.simplify import tidy


@builtin("zeros(*axes, dtype=)", "ones(*axes, dtype=)")
def _filled(given: Given) -> Meaning:
    """All zeros or ones, in f32 unless told; only the axes' sizes matter."""
    return _full(given, given.rest, 1.0 if given.name == "ones" else 0.0, F32)


@builtin("zeros_like(x, dtype=)", "ones_like(x, dtype=)")
def _filled_like(given: Given) -> Meaning:
    """All zeros or ones, with the axes and the dtype of `x`."""
    x = settle(given.frame, given.tensor("x"))
    dtype = given.dtype("dtype", x.dtype)
    number = number_of(dtype, 1.0 if given.name == "ones_like" else 0.0)
    return Value(constant(value=number, dtype=compute(dtype)), x.order, dtype)


def _full(given: Given, exprs: tuple[ast.Expr, ...], number: float, default: AnyDtype) -> Value:
    if len(exprs) == 1 and isinstance(exprs[0], ast.Tuple):
        exprs = exprs[0].items
    dtype = given.dtype("dtype", default)
    node = constant(value=number_of(dtype, number), dtype=compute(dtype))
    return Value(node, listed_axes(given.frame, exprs), dtype)


@builtin("full(axes, value, dtype=)")
def _full_value(given: Given) -> Meaning:
    """One value everywhere; of the value's kind unless told."""
    frame, expr = given.frame, given.arguments["axes"]
    order = listed_axes(frame, expr.items if isinstance(expr, ast.Tuple) else (expr,))
    value = given.tensor("value")
    if value.order:
        raise given.fail(faults.WRONG_AXES, "value", expected="[]", found=axis_text(value.order))
    if given.has("dtype"):
        dtype = given.dtype("dtype", F32)
        return Value(as_dtype(frame, value, dtype, given.span), order, dtype)
    settled = settle(frame, value)
    return Value(settled.node, order, settled.dtype)


@builtin("arange(start, stop=, step=, dtype=)")
def _arange(given: Given) -> Meaning:
    """`arange(N)` runs along the axis N; `arange(a, b, step)` along one of the size that follows."""
    frame = given.frame
    dtype = given.dtype("dtype", I64)
    if not given.has("stop"):
        axis = extent(frame, given.arguments["start"])
        return Value(_as(places(axis), dtype), (axis,), dtype)
    start, stop, step = given.size("start"), given.size("stop"), 1
    if given.has("step"):
        step = given.integer("step")
        if step == 0:
            raise given.fail(faults.BAD_STEP, "step")
    span = stop - start if step > 0 else start - stop
    whole_axis(frame, frame.size(span), given.span)
    axis = frame.size(floordiv(span + (abs(step) - 1), as_size(abs(step))))
    node = tidy(mul(places(axis), constant(value=step, dtype=I64)))
    node = add(node, tidy(size_(value=start)))
    return Value(_as(node, dtype), (axis,), dtype)


def _as(node: Node, dtype: AnyDtype) -> Node:
    return tidy(cast_to(node, compute(dtype)))


@builtin("linspace(a, b, axis, dtype=)", "logspace(a, b, axis, dtype=)")
def _linspace(given: Given) -> Meaning:
    """Both ends included: `a + i * (b - a) / (N - 1)`."""
    axis, dtype = extent(given.frame, given.arguments["axis"]), given.dtype("dtype", F32)
    a, b = given.tensor("a"), given.tensor("b")
    last = given.elementwise(maximum, size_value(axis - 1), weak(1))
    step = given.elementwise(div, given.elementwise(sub, b, a), last)
    place = Value(_as(places(axis), dtype), (axis,), dtype)
    value = given.elementwise(add, given.elementwise(mul, place, step), a)
    return given.elementwise(pow_, weak(10.0), value) if given.name == "logspace" else value


@builtin("eye(N, M, dtype=)")
def _eye(given: Given) -> Meaning:
    """1 where both positions are equal, 0 elsewhere."""
    rows, columns = (extent(given.frame, given.arguments[name]) for name in "NM")
    refuse_twice(given.frame, (rows, columns), given.span)
    dtype = given.dtype("dtype", F32)
    node = cast_to(equal(places(rows), places(columns)), compute(dtype))
    return Value(node, (rows, columns), dtype)
