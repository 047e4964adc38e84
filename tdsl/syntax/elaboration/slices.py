"""Subscripts: slices, integers and `...`, as in NumPy but never clamped."""

from __future__ import annotations

from tdsl import faults
from tdsl.ir.dtype import BOOL
from tdsl.ir.node import Node
from tdsl.ir.size import ONE, ZERO, Size, as_size, floordiv
from tdsl.ops import select_axis, slice_axis
from tdsl.syntax import ast
from tdsl.syntax.elaboration.axes import try_size
from tdsl.syntax.elaboration.expressions import HANDLERS, describe, evaluate
from tdsl.syntax.elaboration.frame import Frame, axis_text
from tdsl.syntax.elaboration.values import Meaning, Value


def subscript(frame: Frame, expr: ast.Subscript) -> Meaning:
    """`x[..., :H]`, `x[0]`, `x[::-1]`; of a tuple, the item."""
    meaning = evaluate(frame, expr.value)
    if isinstance(meaning, tuple):
        return _item(frame, meaning, expr)
    if not isinstance(meaning, Value):
        raise frame.fail(
            faults.NOT_A_VALUE, expr.value.span, what="a value", found=describe(meaning)
        )
    return _sliced(frame, meaning, expr)


def _item(frame: Frame, items: tuple[Meaning, ...], expr: ast.Subscript) -> Meaning:
    position = try_size(frame, expr.items[0]) if len(expr.items) == 1 else None
    number = position.constant if position is not None else None
    if number is None or not -len(items) <= number < len(items):
        raise frame.fail(faults.BAD_ITEM, expr.span, count=len(items))
    return items[number]


def _sliced(frame: Frame, value: Value, expr: ast.Subscript) -> Value:
    items = _filled(frame, value, expr)
    node, order = value.node, []
    for axis, item in zip(value.order, items, strict=True):
        if item is None:
            order.append(axis)
        elif isinstance(item, ast.Slice):
            node, new = _slice(frame, Value(node, value.order, value.dtype), axis, item)
            order.append(new)
        else:
            position = _position(frame, item, axis)
            node = select_axis(node, axis, position) if axis != ONE else node
    return Value(node, tuple(order), value.dtype, value.weak)


def _filled(frame: Frame, value: Value, expr: ast.Subscript) -> list[ast.Expr | None]:
    """One item for each axis: `...` stands for as many full slices as are missing."""
    for item in expr.items:
        if isinstance(item, ast.NoneValue):
            raise frame.fail(faults.NEW_AXIS, item.span)
    dots = [i for i, item in enumerate(expr.items) if isinstance(item, ast.Ellipsis)]
    missing = len(value.order) - len(expr.items) + len(dots)
    if len(dots) > 1:
        raise frame.fail(
            faults.MISPLACED, expr.items[dots[1]].span, hint="`...` stands once in a subscript"
        )
    if missing < 0:
        raise frame.fail(
            faults.TOO_MANY_INDICES, expr.span, count=len(expr.items) - len(dots),
            axes=axis_text(value.order),
        )  # fmt: skip
    items: list[ast.Expr | None] = [None if isinstance(i, ast.Ellipsis) else i for i in expr.items]
    place = dots[0] if dots else len(items)
    return items[:place] + [None] * missing + items[place + len(dots) :]


def _bound(frame: Frame, expr: ast.Expr | None, axis: Size, default: Size) -> Size:
    """A slice's bound: from the end of the axis if it is negative."""
    if expr is None:
        return default
    size = _index_size(frame, expr)
    is_negative = size.constant is not None and size.constant < 0
    negative = is_negative or (isinstance(expr, ast.Unary) and expr.op == "-")
    return frame.size(axis + size if negative else size)


def _index_size(frame: Frame, expr: ast.Expr) -> Size:
    size = try_size(frame, expr)
    if size is not None:
        return frame.size(size)
    meaning = evaluate(frame, expr)
    if isinstance(meaning, Value) and isinstance(meaning.static, int) and meaning.dtype != BOOL:
        return as_size(meaning.static)
    hint = "`take(x, index, axis=...)` gathers by a tensor" if isinstance(meaning, Value) else ""
    raise frame.fail(faults.TENSOR_INDEX, expr.span, hint=hint)


def _slice(frame: Frame, value: Value, axis: Size, item: ast.Slice) -> tuple[Node, Size]:
    step = 1
    if item.step is not None:
        constant = _index_size(frame, item.step).constant
        if constant is None or constant == 0:
            raise frame.fail(faults.BAD_STEP, item.step.span)
        step = constant
    if step < 0:
        if item.start is not None or item.stop is not None:
            raise frame.fail(faults.BAD_STEP, item.span)
        start, length = axis - 1, frame.size(floordiv(axis + (-step - 1), as_size(-step)))
    else:
        start = _bound(frame, item.start, axis, ZERO)
        stop = _bound(frame, item.stop, axis, axis)
        for low, high in ((ZERO, start), (start, stop), (stop, axis)):
            frame.require(low, "<=", high, item.span, f"the slice {start}:{stop} leaves 0:{axis}")
        length = frame.size(floordiv(stop - start + (step - 1), as_size(step)))
    if step == 1 and length == axis:
        return value.node, axis
    if axis == ONE:
        raise frame.fail(faults.UNIT_SLICE, item.span)
    if length == ONE:
        return select_axis(value.node, axis, start), ONE
    if length in value.order and length != axis:
        raise frame.fail(faults.AXIS_TWICE, item.span, axes=axis_text((*value.order, length)))
    return slice_axis(value.node, axis, start, step, length), length


def _position(frame: Frame, expr: ast.Expr, axis: Size) -> Size:
    position = _bound(frame, expr, axis, ZERO)
    why = f"the index {position} lies outside the axis {axis}"
    frame.require(ZERO, "<=", position, expr.span, why)
    frame.require(position, "<", axis, expr.span, why)
    return position


HANDLERS[ast.Subscript] = subscript
