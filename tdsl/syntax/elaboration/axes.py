"""Axis arguments and sizes: from syntax to canonical sizes.

In: expressions where the language expects an axis or a size. Out: `Size`s.
"""

from __future__ import annotations

from collections.abc import Sequence

from tdsl import faults
from tdsl.errors import Span, TdslError
from tdsl.ir.node import Node
from tdsl.ir.size import ONE, ZERO, Size, as_size, copy, floordiv, mod
from tdsl.ops import select_axis
from tdsl.syntax import ast
from tdsl.syntax.elaboration.frame import Frame, axis_text
from tdsl.syntax.elaboration.values import AxisValue, Value
from tdsl.transforms.simplify import tidy

_SIZE_OPS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": floordiv,
    "%": mod,
}


def size_of(frame: Frame, expr: ast.Expr) -> Size:
    """The size that an expression over names and integers spells.

    Raises TdslError for an unknown name or anything else.
    """
    try:
        size = try_size(frame, expr)
    except TdslError as error:
        raise frame.located(error, expr.span) from None
    if size is None:
        if isinstance(expr, ast.Name):
            raise unknown_axis(frame, expr)
        raise frame.fail(faults.NOT_A_SIZE, expr.span)
    return frame.size(size)


def extent(frame: Frame, expr: ast.Expr) -> Size:
    """The size of a new axis, which must not be negative."""
    return whole_axis(frame, size_of(frame, expr), expr.span)


def whole_axis(frame: Frame, size: Size, span: Span) -> Size:
    """A size that is an axis from here on. Raises TdslError if it is known to be negative."""
    frame.require(as_size(0), "<=", size, span, f"the axis `{size}` would have a negative size")
    return size


def unit_dropped(node: Node) -> Node:
    """A node without the unit axis that it was made along: units stand in a value's order alone."""
    return tidy(select_axis(node, ONE, ZERO)) if ONE in node.axes else node


def try_size(frame: Frame, expr: ast.Expr) -> Size | None:
    """The size, or None if the expression is none or has a name that is not bound yet."""
    match expr:
        case ast.Number(value=int() as number):
            return as_size(number)
        case ast.Name(id=text):
            return name_size(frame, text)
        case ast.Binary(op=op, left=left, right=right) if op in _SIZE_OPS:
            a, b = try_size(frame, left), try_size(frame, right)
            return None if a is None or b is None else _SIZE_OPS[op](a, b)
        case ast.Unary(op="-", value=value):
            size = try_size(frame, value)
            return None if size is None else -size
        case ast.Star(value=ast.Name(id=text)) if text in frame.packs:
            total = as_size(1)
            for axis in frame.packs[text]:
                total = total * axis
            return total
    return None


def name_size(frame: Frame, text: str) -> Size | None:
    """The size that a name stands for: an axis, an `Axis` parameter with one axis, or an integer."""
    if text in frame.axes:
        return frame.axes[text]
    meaning = frame.variables.get(text)
    if isinstance(meaning, AxisValue) and len(meaning.axes) == 1:
        return meaning.axes[0]
    if isinstance(meaning, Value) and isinstance(meaning.static, int):
        return as_size(int(meaning.static))
    if isinstance(meaning, Value) and meaning.weak and meaning.node.op.name == "size":
        size: Size = meaning.node["value"]
        return size
    return None


def axes_of(frame: Frame, expr: ast.Expr, order: Sequence[Size]) -> tuple[Size, ...]:
    """The axes that an `axis=` argument names in a value of this order.

    An integer is a position; a name, a size expression, a pack, an `Axis` parameter, or a tuple of these.
    """
    if isinstance(expr, ast.Tuple):
        found = [axis for item in expr.items for axis in axes_of(frame, item, order)]
    elif isinstance(expr, ast.Star) and isinstance(expr.value, ast.Name):
        found = list(pack_of(frame, expr.value))
    elif isinstance(expr, ast.Ellipsis):
        found = list(frame.packs.get("...", ()))
    else:
        found = list(_one_axis(frame, expr, order))
    if len(set(found)) != len(found):
        raise frame.fail(faults.AXIS_TWICE, expr.span, axes=axis_text(found))
    for axis in found:
        if axis not in order:
            raise frame.fail(
                faults.NO_SUCH_AXIS, expr.span, axis=axis, hint=f"the value has {axis_text(order)}"
            )
    return tuple(found)


def _one_axis(frame: Frame, expr: ast.Expr, order: Sequence[Size]) -> tuple[Size, ...]:
    position = _position(frame, expr)
    named = name_size(frame, expr.id) if isinstance(expr, ast.Name) else None
    if named is not None and named in order:
        return (named,)
    if position is not None:
        if not -len(order) <= position < len(order):
            raise frame.fail(
                faults.POSITION_OUT_OF_RANGE, expr.span, position=position, rank=len(order),
                hint=f"the value has {axis_text(order)}",
            )  # fmt: skip
        return (order[position],)
    if isinstance(expr, ast.Name):
        meaning = frame.variables.get(expr.id)
        if isinstance(meaning, AxisValue):
            return meaning.axes
        if expr.id in frame.packs and expr.id not in frame.axes:
            return frame.packs[expr.id]
        if isinstance(meaning, Value) and expr.id not in frame.axes:
            raise frame.fail(faults.NOT_AN_AXIS, expr.span, name=expr.id)
    return (size_of(frame, expr),)


def _position(frame: Frame, expr: ast.Expr) -> int | None:
    match expr:
        case ast.Number(value=int() as number):
            return number
        case ast.Unary(op="-", value=ast.Number(value=int() as number)):
            return -number
        case ast.Name(id=text) if text not in frame.axes:
            meaning = frame.variables.get(text)
            if isinstance(meaning, Value) and isinstance(meaning.static, int):
                return int(meaning.static)
    return None


def pack_of(frame: Frame, expr: ast.Name) -> tuple[Size, ...]:
    """The axes of a pack."""
    if expr.id in frame.packs:
        return frame.packs[expr.id]
    raise frame.fail(faults.UNKNOWN_PACK, expr.span, name=expr.id)


def new_axis(frame: Frame, expr: ast.Expr, size: Size, span: Span) -> Size:
    """The axis that a name introduces for a dimension of this size.

    A name in scope (or a size expression) is that axis, whose size must be equal.
    """
    if isinstance(expr, ast.Name) and name_size(frame, expr.id) is None:
        return bind_axis(frame, expr.id, size)
    axis = size_of(frame, expr)
    frame.require(axis, "==", size, span, f"the axis `{axis}` has another size than `{size}`")
    return axis


def bind_axis(frame: Frame, text: str, size: Size) -> Size:
    """A new axis name in scope. It is `size` itself where no value could have both."""
    frame.session.fresh += 1
    label = text if frame.callers == () else f"{text}.{frame.session.fresh}"
    axis = copy(size, label)
    frame.axes[text] = axis
    return axis


def unknown_axis(frame: Frame, expr: ast.Name) -> Exception:
    """The error for a name that is no axis in scope."""
    known = ", ".join(f"`{n}`" for n in frame.axes)
    return frame.fail(
        faults.UNKNOWN_AXIS, expr.span, name=expr.id, hint=f"in scope are {known}" if known else ""
    )


__all__ = [
    "axes_of",
    "bind_axis",
    "extent",
    "new_axis",
    "pack_of",
    "size_of",
    "try_size",
    "unit_dropped",
    "whole_axis",
]
