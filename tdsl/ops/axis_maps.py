"""Builders of index nodes: slice, pad, flip, roll, concat, window and the like.

Between: an axis that the operand lacks is one that it is invariant along. Sizes are taken as given:
whoever builds has proved (or left as a check) that what is read exists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tdsl.ir.index_map import Divides, IndexMap, InRange, Piece
from tdsl.ir.node import Node
from tdsl.ir.size import ONE, ZERO, Axis, Size, as_size, floordiv, index, is_nonnegative, mod
from tdsl.ops.index_map import index as index_node
from tdsl.ops.index_map import read
from tdsl.ops.index_values import digits, row_major

Exprs = tuple[tuple[Axis, Size], ...]


def rename(x: Node, new: Mapping[Axis, Axis]) -> Node:
    """The value with axes under new names, all at once (so two may swap)."""
    moved = {a: b for a, b in new.items() if a != b and a in x.axes}
    exprs = tuple((a, index(b)) for a, b in moved.items())
    return read(x, IndexMap(tuple(moved.values()), (Piece(exprs),))) if moved else x


def slice_axis(x: Node, axis: Axis, start: Size | int, step: Size | int, new_axis: Axis) -> Node:
    """`new_axis` elements of `axis`, the first at `start`; `step` may be negative."""
    if axis not in x.axes:
        return x
    expr = as_size(start) + as_size(step) * index(new_axis)
    return read(x, IndexMap((new_axis,), (Piece(((axis, expr),)),)))


def select_axis(x: Node, axis: Axis, position: Size | int) -> Node:
    """The element of `axis` at the position: the axis is gone."""
    if axis not in x.axes:
        return x
    return read(x, IndexMap((), (Piece(((axis, as_size(position)),)),)))


def pad_axis(
    x: Node,
    axis: Axis,
    low: Size | int,
    fill: float,
    new_axis: Axis,
    *,
    interior: Size | int = 0,
) -> Node:
    """The axis with `low` fills before it, `interior` between its elements, and the rest after."""
    place, step = index(new_axis) - low, as_size(interior) + 1
    expr = floordiv(place, step)
    exact = () if step == ONE else (Divides(place, step),)
    piece = Piece(((axis, expr),), (*exact, InRange(expr, axis)))
    return index_node(x, map=IndexMap((new_axis,), (piece,), fill))


def shift(x: Node, axis: Axis, by: int, fill: float) -> Node:
    """`x` moved `by` places along the axis, which keeps its size; `fill` where nothing moves to."""
    return pad_axis(x, axis, by, fill, axis)


def flip_axis(x: Node, axis: Axis) -> Node:
    """The axis in reverse."""
    return slice_axis(x, axis, axis - 1, -1, axis)


def roll_axis(x: Node, axis: Axis, by: Size | int) -> Node:
    """The axis turned: element i goes to `(i + by) % axis`."""
    if axis not in x.axes:
        return x
    cut = mod(as_size(by), axis)
    place = index(axis) - cut
    pieces = (
        Piece(((axis, place),), (InRange(place, axis),)),
        Piece(((axis, place + axis),), (InRange(index(axis), cut),)),
    )
    return index_node(x, x, map=IndexMap((axis,), pieces)) if cut != ZERO else x


def concat_axis(parts: Sequence[tuple[Node, Axis]], new_axis: Axis) -> Node:
    """The parts one after the other, each along its own axis; `new_axis` is the sum of these."""
    pieces, offset = [], ZERO
    for _, axis in parts:
        place = index(new_axis) - offset
        pieces.append(Piece(((axis, place),), (InRange(place, axis),)))
        offset = offset + axis
    return index_node(*(x for x, _ in parts), map=IndexMap((new_axis,), tuple(pieces)))


def unflatten_axis(x: Node, axis: Axis, axes: Sequence[Axis]) -> Node:
    """The axis split into several, of which the last varies fastest; `axis` is their product."""
    if axis not in x.axes or tuple(axes) == (axis,):
        return x
    return read(x, IndexMap(tuple(axes), (Piece(((axis, row_major(axes)),)),)))


def flatten_axes(x: Node, axes: Sequence[Axis], new_axis: Axis) -> Node:
    """Several axes as one, of which the last varies fastest; `new_axis` is their product."""
    if not set(axes) & set(x.axes):
        return x
    exprs = tuple(zip(axes, digits(index(new_axis), axes), strict=True))
    return read(x, IndexMap((new_axis,), (Piece(exprs),)))


def window_axis(
    x: Node,
    axis: Axis,
    positions: Axis,
    taps: Axis,
    *,
    stride: Size | int = 1,
    dilation: Size | int = 1,
    padding: Size | int = 0,
    fill: float = 0,
) -> Node:
    """Sliding windows: at position p and tap r stands element `stride*p + dilation*r - padding`."""
    place = as_size(stride) * index(positions) + as_size(dilation) * index(taps) - padding
    inside = is_nonnegative(-as_size(padding))
    piece = Piece(((axis, place),), () if inside else (InRange(place, axis),))
    return index_node(x, map=IndexMap((positions, taps), (piece,), fill))
