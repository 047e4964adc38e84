"""Operations in terms of others, where no kernel and no library has them as they are.

In: a node and its new operands. Out: an equal node. Between: a reduction runs over axes that its operand
has, and over one at least; a product sums over axes that one of its operands has, and is of floats; a
scatter that is left is a sum of values that do not vary along its axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tdsl.ir.dtype import BOOL, I64, AnyDtype, Dtype
from tdsl.ir.index_map import IndexMap, InRange, Piece
from tdsl.ir.node import Attrs, Node, remake
from tdsl.ir.rewrite import keep
from tdsl.ir.size import ONE, ZERO, Axis, Size
from tdsl.ops import (
    add,
    arange,
    argmax,
    argmin,
    cast_to,
    constant,
    dot,
    equal,
    floordiv,
    index,
    integer_bounds,
    mul,
    pow_,
    prod,
    remainder,
    scatter,
    size_,
    sum_,
    where,
)

LOWEST = ("max", "argmax", "cummax", "logcumsumexp")
"""Reductions whose value of nothing is the lowest."""


def lowered(node: Node, operands: tuple[Node, ...]) -> Node:
    """The node on new operands, in operations that kernels or libraries have."""
    if node.op.family == "reduction":
        return _reduction(node, operands[0])
    if node.op is dot:
        return _product(node, *operands)
    if node.op is scatter and not _is_library_sum(node, operands[0]):
        return _placed(node, *operands)
    return keep(node, operands)


def value_of_nothing(name: str, dtype: AnyDtype) -> float:
    """The value over nothing of a reduction of operands of this dtype."""
    if name in ("sum", "any", "cumsum"):
        return 0
    if name in ("prod", "all", "cumprod"):
        return 1
    is_low = name in LOWEST
    if dtype == BOOL:
        return not is_low
    if isinstance(dtype, Dtype) and dtype.kind == "float":
        return -math.inf if is_low else math.inf
    return integer_bounds(dtype)[0 if is_low else 1]


def _reduction(node: Node, x: Node) -> Node:
    """Over the axes that `x` has; what it lacks is a factor, an exponent, or only whether it is empty."""
    present = tuple(axis for axis in node["axes"] if axis in x.axes)
    lacking = [axis for axis in node["axes"] if axis not in x.axes]
    if present and not lacking:
        return keep(node, (x,))
    if node.op in (argmax, argmin):
        return _position(node, x, present)
    attrs = Attrs((k, present if k == "axes" else v) for k, v in node.attrs)
    inner = cast_to(remake(node.op, (x,), attrs) if present else x, node.dtype)
    for axis in lacking:
        if node.op is sum_:
            inner = mul(inner, _count(axis, node.dtype))
        elif node.op is prod:
            inner = pow_(inner, _count(axis, node.dtype))
        elif axis.constant is None:
            nothing = constant(value=value_of_nothing(node.op.name, x.dtype), dtype=node.dtype)
            inner = where(_is_filled(axis), inner, nothing)
    return inner


def _count(axis: Axis, dtype: AnyDtype) -> Node:
    return cast_to(size_(value=axis), dtype)


def _is_filled(axis: Axis) -> Node:
    """Whether the axis has an element."""
    domain = (InRange(ZERO, axis),)
    return index(
        constant(value=True, dtype=BOOL), map=IndexMap((), (Piece((), domain),), fill=False)
    )


def _position(node: Node, x: Node, present: tuple[Axis, ...]) -> Node:
    """A position counted over all axes: it is the first along those that `x` lacks."""
    if not present:
        return constant(value=0, dtype=I64)
    inner = node.op(x, axes=present)
    own, whole = _steps(present), _steps(node["axes"])
    if all(own[axis] == whole[axis] for axis in present):
        return inner
    total = constant(value=0, dtype=I64)
    for axis in present:
        place = floordiv(inner, size_(value=own[axis]))
        place = remainder(place, size_(value=axis)) if axis != present[0] else place
        total = add(total, mul(place, size_(value=whole[axis])))
    return total


def _steps(axes: Sequence[Axis]) -> dict[Axis, Size]:
    """How far apart neighbours along each axis are where the last is counted fastest."""
    steps: dict[Axis, Size] = {}
    step = ONE
    for axis in reversed(axes):
        steps[axis] = step
        step = step * axis
    return steps


def _product(node: Node, a: Node, b: Node) -> Node:
    """A product without sums is arithmetic; a library has none of integers."""
    present = tuple(axis for axis in node["axes"] if axis in a.axes or axis in b.axes)
    is_float = isinstance(node.dtype, Dtype) and node.dtype.kind == "float"
    if present and is_float:
        inner = dot(a, b, axes=present)
    else:
        inner = mul(cast_to(a, node.dtype), cast_to(b, node.dtype))
        inner = cast_to(sum_(inner, axes=present), node.dtype) if present else inner
    for axis in node["axes"]:
        if axis not in present:
            inner = mul(inner, _count(axis, node.dtype))
    return inner


def _is_library_sum(node: Node, values: Node) -> bool:
    axis, sums = node["axis"], node["sums"]
    return bool(sums) and (axis in sums or axis not in values.axes)


def _placed(node: Node, values: Node, at: Node) -> Node:
    """The value where the index points and 0 elsewhere, summed."""
    wide = cast_to(values, node.dtype)
    here = equal(arange(axis=node["axis"]), cast_to(at, I64))
    kept = where(here, wide, constant(value=0, dtype=node.dtype))
    if not node["sums"]:
        return kept
    total = sum_(kept, axes=node["sums"])
    return cast_to(_reduction(total, kept), node.dtype)
