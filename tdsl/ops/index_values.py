"""Evaluation of index maps with concrete sizes.

In: an index node and its sizes. Out: the closure on arrays.
Between: each piece is read by the cheapest form that the concrete positions prove: a reshape, a
basic slice, else fancy indexing with clamped positions under a mask. A node that is one such view
of its operand gives the view itself, which shares the operand's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdsl.ir.dtype import AnyDtype
from tdsl.ir.index_map import Condition, InRange, Piece
from tdsl.ir.node import Kernel, Node
from tdsl.ir.size import Atom, Axis, Size, as_size, floordiv, index, mod
from tdsl.ops.base import Aligner, Array, Sizes, aligner, numpy_dtype, shape_of

Grids = Mapping[Axis, NDArray[np.int64]]
Values = Any
Write = Callable[[Array, Array], None]


def index_value(node: Node, sizes: Sizes) -> Kernel:
    """The closure from the operands' arrays to the node's."""
    mapping = node["map"]
    shape = shape_of(node.axes, sizes)
    pieces = list(zip(node.operands, mapping.pieces, strict=True))
    if len(pieces) == 1:
        view = _whole_view(node, *pieces[0], sizes)
        if view is not None:
            return view
    writes = [_writer(node, operand, piece, sizes) for operand, piece in pieces]
    fill = fill_value(mapping.fill, node.dtype)

    def run(*arrays: Array) -> Array:
        result = np.full(shape, fill)
        for write, array in zip(writes, arrays, strict=True):
            write(result, array)
        return result

    return run


def fill_value(value: float, dtype: AnyDtype) -> Array:
    """What stands where nothing is read."""
    return np.asarray(value).astype(numpy_dtype(dtype))


def index_axes(size: Size) -> frozenset[Axis]:
    """The axes along which the value of an index expression varies."""
    return frozenset(atom.args[0] for atom in size.atoms() if atom.kind == "index")


def values_at(size: Size, sizes: Sizes, grids: Grids) -> Values:
    """The value of an index expression where the indices have the values in `grids`."""
    if not index_axes(size):
        return sizes(size)
    return sum(c * prod((_atom_at(a, sizes, grids) for a in m), start=1) for m, c in size.terms)


def _atom_at(atom: Atom, sizes: Sizes, grids: Grids) -> Values:
    if atom.kind == "index":
        return grids[atom.args[0]]
    if atom.kind in ("name", "pack"):
        return sizes(Size((((atom,), 1),)))
    a, b = (values_at(arg, sizes, grids) for arg in atom.args)
    rules: dict[str, Callable[[Values, Values], Values]] = {
        "floordiv": np.floor_divide,
        "mod": np.remainder,
        "min": np.minimum,
        "max": np.maximum,
    }
    with np.errstate(divide="ignore"):  # along an axis of no elements there are no indices
        return rules[atom.kind](a, b)


def _holds(condition: Condition, sizes: Sizes, grids: Grids) -> Values:
    value = values_at(condition.expr, sizes, grids)
    if isinstance(condition, InRange):
        return (value >= 0) & (value < sizes(condition.size))
    return np.remainder(value, sizes(condition.divisor)) == 0


@dataclass(frozen=True, slots=True)
class Box:
    """A piece as basic slicing: where it lies in the result, and the view of its operand there.

    The view has the axes `found` in the result's order. `covers`: it lies everywhere.
    """

    target: tuple[slice, ...]
    view: Aligner
    found: frozenset[Axis]
    covers: bool


def _whole_view(node: Node, operand: Node, piece: Piece, sizes: Sizes) -> Kernel | None:
    """The node as one view of its operand, if the piece is that."""
    whole = reshaped(node, operand, piece, sizes)
    if whole is not None:
        return whole
    box = box_of(node, operand, piece, sizes)
    if box is None or not box.covers:
        return None
    shape, view = shape_of(node.axes, sizes), box.view
    if box.found == set(node.axes):
        return view
    return lambda x: np.broadcast_to(view(x), shape)


def _writer(node: Node, operand: Node, piece: Piece, sizes: Sizes) -> Write:
    box = box_of(node, operand, piece, sizes)
    if box is None:
        return _masked_writer(node, operand, piece, sizes)
    target, view = box.target, box.view

    def write(result: Array, array: Array) -> None:
        result[target] = view(array)

    return write


def box_of(node: Node, operand: Node, piece: Piece, sizes: Sizes) -> Box | None:
    """The piece as basic slicing: every condition and expression varies along one axis at most."""
    exprs = {a: e for a, e in piece.exprs if a in operand.axes}
    if any(len(index_axes(e)) > 1 for e in (*exprs.values(), *(c.expr for c in piece.domain))):
        return None
    if not all(_holds(c, sizes, {}) for c in piece.domain if not index_axes(c.expr)):
        return None
    places = {o: _places(o, piece.domain, sizes) for o in node["map"].axes}
    source = [_source(axis, exprs, places, sizes) for axis in operand.axes]
    found = [o for axis in operand.axes for o in index_axes(exprs.get(axis, index(axis)))]
    target = {o: _progression(place) for o, place in places.items()}
    if None in source or None in target.values() or len(set(found)) < len(found):
        return None
    align, key = aligner(found, node.axes), tuple(source)
    return Box(
        tuple(target.get(axis) or slice(None) for axis in node.axes),
        (lambda x: align(x[key])) if align else (lambda x: x[key]),
        frozenset(found),
        all(len(place) == sizes(o) for o, place in places.items()),
    )


def _places(axis: Axis, domain: Sequence[Condition], sizes: Sizes) -> NDArray[np.int64]:
    """The positions along an output axis at which the conditions on it hold."""
    places = np.arange(sizes(axis), dtype=np.int64)
    for condition in domain:
        if index_axes(condition.expr) == {axis}:
            places = places[_holds(condition, sizes, {axis: places})]
    return places


def _source(
    axis: Axis, exprs: Mapping[Axis, Size], places: Grids, sizes: Sizes
) -> slice | int | None:
    """What is read along an operand's axis, as a basic index."""
    if axis not in exprs:
        return _progression(places[axis]) if axis in places else slice(None)
    read = values_at(exprs[axis], sizes, places)
    return int(read) if np.ndim(read) == 0 else _progression(read)


def _progression(places: NDArray[np.int64]) -> slice | None:
    """The slice that reads exactly these places, if there is one."""
    if not len(places):
        return slice(0, 0)
    first, last = int(places[0]), int(places[-1])
    step = int(places[1]) - first if len(places) > 1 else 1
    if step == 0 or not np.array_equal(places, first + step * np.arange(len(places))):
        return None
    end = last + (1 if step > 0 else -1)
    return slice(first, end if end >= 0 else None, step)


def reshaped(node: Node, operand: Node, piece: Piece, sizes: Sizes) -> Kernel | None:
    """Flatten or unflatten of axes that are all there and turn up nowhere else."""
    listed = tuple(axis for axis, _ in piece.exprs)
    new = node["map"].axes
    rest = tuple(axis for axis in operand.axes if axis not in listed)
    if piece.domain or set(new) & set(rest) or not set(listed) <= set(operand.axes):
        return None
    split = len(listed) == 1 and piece.exprs[0][1] == row_major(new)
    joined = len(new) == 1 and [e for _, e in piece.exprs] == digits(index(new[0]), listed)
    if not (split or joined):
        return None
    if prod(shape_of(listed, sizes)) != prod(shape_of(new, sizes)):
        return None
    gather = aligner(operand.axes, (*rest, *listed))
    shape = shape_of((*rest, *new), sizes)
    order = aligner((*rest, *new), node.axes)

    def run(x: Array) -> Array:
        x = (gather(x) if gather else x).reshape(shape)
        return order(x) if order else x

    return run


def _masked_writer(node: Node, operand: Node, piece: Piece, sizes: Sizes) -> Write:
    """The general form: clamped positions on the grid of the map's axes, under a mask."""
    new = node["map"].axes
    exprs = dict(piece.exprs)
    others = tuple(axis for axis in node.axes if axis not in new)
    read = tuple(axis for axis in operand.axes if axis in exprs or axis in new)
    rest = tuple(axis for axis in others if axis in operand.axes and axis not in exprs)
    grids = {axis: _grid(axis, new, sizes) for axis in new}
    mask = np.ones(shape_of(new, sizes), dtype=bool)
    for condition in piece.domain:
        mask &= _holds(condition, sizes, grids)
    flat = np.zeros((1,) * len(new), dtype=np.int64)
    places = tuple(
        flat + np.clip(values_at(exprs.get(axis, index(axis)), sizes, grids), 0, sizes(axis) - 1)
        for axis in read
    )
    key = places or (None,) * len(new)
    widen = (*(slice(None) for _ in new), *(slice(None) if a in rest else None for a in others))
    turn = aligner(operand.axes, (*read, *rest))
    lie = tuple(node.axes.index(axis) for axis in (*new, *others))
    where = mask.reshape(mask.shape + (1,) * len(others))
    needed = bool(mask.any())

    def write(result: Array, array: Array) -> None:
        if needed:
            values = (turn(array) if turn else array)[key][widen]
            np.copyto(result.transpose(lie), values, where=where)

    return write


def _grid(axis: Axis, within: Sequence[Axis], sizes: Sizes) -> NDArray[np.int64]:
    """The positions along an axis, shaped to broadcast along all of `within`."""
    positions = np.arange(sizes(axis), dtype=np.int64)
    return positions.reshape([-1 if axis == other else 1 for other in within])


def row_major(axes: Sequence[Axis]) -> Size:
    """The position in the flattened axes, the last varying fastest."""
    position = as_size(0)
    for axis in axes:
        position = position * axis + index(axis)
    return position


def digits(position: Size, axes: Sequence[Axis]) -> list[Size]:
    """The indices along the axes of a position in them flattened: the inverse of `row_major`."""
    found: list[Size] = []
    stride = as_size(1)
    for axis in reversed(axes):
        digit = floordiv(position, stride)
        found.append(digit if axis == axes[0] else mod(digit, axis))
        stride = stride * axis
    return found[::-1]
