"""Alignment by name, promotion, and elementwise operations on values.

In: values. Out: the value of an elementwise operation. Between: nodes have the compute dtype of their
value's dtype; weak values are computed in i64 and f64 and take the dtype of the array that they meet.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence

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
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ops import Pointwise, cast_to
from tdsl.ops.pointwise import ANY, BITS, FLOAT, INTEGER, NUMBER
from tdsl.syntax.elaboration.frame import Frame, axis_text
from tdsl.syntax.elaboration.values import Value, weak
from tdsl.transforms.simplify import tidy

F32_LIMIT = 2.0**128 - 2.0**103
"""Half a unit above the largest f32: what is not below it rounds to infinity."""
KINDS: dict[tuple[str, ...], DtypeKind] = {
    FLOAT: "float", INTEGER: "int", NUMBER: "number", ANY: "any",
}  # fmt: skip
EXACT: dict[str, Callable[..., int]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "neg": operator.neg,
    "abs": abs, "pow": pow,
}  # fmt: skip
"""Operations whose result on 64-bit integers may need more bits; of numbers that is an error."""


def elementwise(
    frame: Frame, op: Pointwise, values: Sequence[Value], span: Span, what: str = ""
) -> Value:
    """The operation on values of one dtype, after alignment and promotion.

    `what` is how the source calls it. Raises TdslError for axes and dtypes that do not fit.
    """
    order = align(frame, values, span)
    dtype = common_dtype(frame, values, span)
    is_weak = all(value.weak for value in values)
    if is_weak and op.kinds == FLOAT and dtype in (I64, BOOL):
        dtype = F64
    frame.constrain(dtype, _kind(op, dtype), span, what or f"`{op.name}`")
    if is_weak and dtype == I64 and op.name in EXACT:
        exact = _exact(frame, op, values, span)
        if exact is not None:
            return weak(exact)
    nodes = [as_dtype(frame, value, dtype, span) for value in values]
    node = tidy(op(*nodes))
    is_given = is_weak or node.dtype == BOOL
    return Value(node, order, node.dtype if is_given else dtype, weak=is_weak)


def _kind(op: Pointwise, dtype: AnyDtype) -> DtypeKind:
    """The kind of dtype that an operation takes; a bitwise one takes bools beside integers."""
    if op.kinds == BITS:
        return "any" if dtype == BOOL else "int"
    return KINDS[op.kinds]


def _exact(frame: Frame, op: Pointwise, values: Sequence[Value], span: Span) -> int | None:
    """The result on integers known at compile time, which must fit 64 bits; None for others."""
    integers = [int(v.static) for v in values if isinstance(v.static, int)]
    if len(integers) != len(values):
        return None
    if op.name == "pow":
        base, exponent = integers
        if exponent < 0:
            return None
        if abs(base) > 1 and base.bit_length() * exponent > 128:
            raise frame.fail(faults.DOES_NOT_FIT, span, value=f"{base}**{exponent}", dtype=I64)
    exact = EXACT[op.name](*integers)
    if not -(2**63) <= exact < 2**64:
        raise frame.fail(faults.DOES_NOT_FIT, span, value=exact, dtype=I64)
    return exact


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
    if number is not None and not _fits(number, dtype):
        raise frame.fail(faults.DOES_NOT_FIT, span, value=number, dtype=dtype)


def _fits(number: float, dtype: Dtype) -> bool:
    """Whether a number is in the range of a dtype; of f16 and bf16 in that of their arithmetic."""
    if isinstance(number, bool) or dtype.kind == "bool" or not math.isfinite(number):
        return True
    if dtype.kind == "float":
        return dtype == F64 or abs(number) < F32_LIMIT
    low: int = 0 if dtype.kind == "uint" else -(2 ** (dtype.bits - 1))
    high: int = low + 2**dtype.bits - 1
    return low <= number <= high


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
        f"`y[{', '.join(map(str, every))}] = ...`"
        if all(axis.atom is not None and axis.atom.kind == "name" for axis in every)
        else "where both are the same axis, `rename` one to the other",
    )


def settle(frame: Frame, value: Value, span: Span | None = None) -> Value:
    """A value with a dtype: a weak one where no array decides is bool, i64 or f32.

    Raises TdslError, where a span is given, for a number that does not fit.
    """
    if not value.weak:
        return value
    dtype = F32 if value.dtype == F64 else value.dtype
    if span is not None:
        check_fits(frame, value, dtype, span)
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
