"""Alignment by name, promotion, and elementwise operations on values.

In: values. Out: the value of an elementwise operation. Between: nodes have the compute dtype of their
value's dtype; weak values are computed in i64 and f64 and take the dtype of the array that they meet.
"""

from __future__ import annotations

from collections.abc import Sequence

from tdsl import faults
from tdsl.errors import Span
from tdsl.ir.dtype import (
    BOOL,
    F32,
    F64,
    I64,
    AnyDtype,
    Dtype,
    compute,
    may_be_float,
    promote,
)
from tdsl.ir.function import DtypeKind
from tdsl.ir.node import Node, Op
from tdsl.ir.size import Size
from tdsl.ops import cast_to
from tdsl.syntax.elaboration.frame import Frame, axis_text
from tdsl.syntax.elaboration.values import Value
from tdsl.transforms.simplify import tidy


def elementwise(
    frame: Frame,
    op: Op,
    values: Sequence[Value],
    span: Span,
    *,
    kind: DtypeKind = "any",
    result: AnyDtype | None = None,
) -> Value:
    """The operation on values of one dtype, after alignment and promotion."""
    order = align(frame, values, span)
    dtype = common_dtype(frame, values, span)
    is_weak = all(value.weak for value in values)
    if is_weak and kind == "float" and dtype in (I64, BOOL):
        dtype = F64
    frame.constrain(dtype, kind, span, f"`{op.name}`")
    nodes = [as_dtype(frame, value, dtype, span) for value in values]
    node = tidy(op(*nodes))
    return Value(node, order, result or (node.dtype if is_weak else dtype), weak=is_weak)


def as_dtype(frame: Frame, value: Value, dtype: AnyDtype, span: Span) -> Node:
    """The value's node in the compute dtype of `dtype`; a weak number must fit."""
    if value.weak:
        check_fits(frame, value, dtype, span)
    return tidy(cast_to(value.node, compute(dtype)))


def check_fits(frame: Frame, value: Value, dtype: AnyDtype, span: Span) -> None:
    """Refuse a weak float among integers, and a number that the dtype cannot hold."""
    if not isinstance(dtype, Dtype):
        if value.dtype == F64:
            frame.constrain(dtype, "float", span, "a number with a fraction")
        return
    if value.dtype == F64 and dtype.kind != "float":
        raise frame.fail(
            faults.FRACTION_MEETS_INTEGERS, span, dtype=dtype, hint="cast the array to f32 first"
        )
    number = value.static
    if number is None or isinstance(number, bool) or dtype.kind not in ("int", "uint"):
        return
    low = 0 if dtype.kind == "uint" else -(2 ** (dtype.bits - 1))
    high = low + 2**dtype.bits - 1
    if not low <= number <= high:
        raise frame.fail(faults.DOES_NOT_FIT, span, value=number, dtype=dtype)


def common_dtype(frame: Frame, values: Sequence[Value], span: Span) -> AnyDtype:
    """The dtype that all operands take: that of the arrays, else the widest of the weak ones."""
    arrays = [value for value in values if not value.weak]
    if not arrays:
        widths: dict[AnyDtype, int] = {BOOL: 0, I64: 1, F64: 2}
        return max((v.dtype for v in values), key=lambda dtype: widths[dtype])
    dtype = arrays[0].dtype
    for value in arrays[1:]:
        both = promote(dtype, value.dtype)
        if both is None:
            raise frame.fail(
                faults.NO_COMMON_DTYPE, span, a=dtype, b=value.dtype, hint="cast one of them"
            )
        dtype = both
    if dtype == BOOL and any(v.weak and v.dtype == I64 for v in values):
        return I64
    return dtype


def align(frame: Frame, values: Sequence[Value], span: Span) -> tuple[Size, ...]:
    """The order of the result: that of the operand whose axes contain all others'."""
    every = tuple(dict.fromkeys(axis for value in values for axis in value.axes))
    if not every:
        return max(values, key=lambda value: len(value.order)).order
    for value in values:
        if len(value.axes) == len(every):
            return value.order
    if set(every) <= set(frame.declared):
        return tuple(axis for axis in frame.declared if axis in every)
    orders = [axis_text(v.order) for v in values if v.axes]
    raise frame.fail(
        faults.NOT_ALIGNED,
        span,
        axes=" and ".join(dict.fromkeys(orders)),
        note="elementwise operations align by name: one operand must have the axes of all others",
        hint="for an outer product name the result's axes on the left: "
        f"`y[{', '.join(map(str, every))}] = ...`",
    )


def settle(frame: Frame, value: Value) -> Value:
    """A value with a dtype: a weak one where no array decides is bool, i64 or f32."""
    if not value.weak:
        return value
    dtype = F32 if value.dtype == F64 else value.dtype
    return Value(tidy(cast_to(value.node, dtype)), value.order, dtype)


def convert(frame: Frame, value: Value, dtype: AnyDtype, span: Span, where: str) -> Value:
    """The value as a `dtype`, as a return or typed local converts: among floats, and from weak ones."""
    if value.weak:
        return Value(as_dtype(frame, value, dtype, span), value.order, dtype)
    if value.dtype == dtype:
        return value
    if not (may_be_float(value.dtype) and may_be_float(dtype)):
        raise frame.fail(
            faults.NEEDS_CAST,
            span,
            where=where,
            found=value.dtype,
            wanted=dtype,
            hint=f"write `cast(..., {dtype})`",
        )
    for side in (value.dtype, dtype):
        frame.constrain(side, "float", span, where)
    return Value(tidy(cast_to(value.node, compute(dtype))), value.order, dtype)


def rounded(value: Value) -> Value:
    """The value rounded to its dtype, as a typed local or a contraction's operand is."""
    if compute(value.dtype) == value.dtype:
        return value
    stored = tidy(cast_to(value.node, value.dtype))
    node = tidy(cast_to(stored, compute(value.dtype)))
    return Value(node, value.order, value.dtype, value.weak)
