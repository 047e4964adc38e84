"""Views of buffers: what a kernel reads and where it stores, with axes in the order of memory.

In: a buffer's array, and a node or a store. Out: a view with the axes of a value in a given order, of
which a tile takes its part; a store whose places are not linear has the positions instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tdsl.backends.arrays import view
from tdsl.fusion.kernel import Store
from tdsl.ir.size import ONE, Size, index
from tdsl.ops.base import Aligner, Array, aligner
from tdsl.ops.index_values import index_axes, values_at

Sizes = Callable[[Size], int]
Put = Callable[[Array, Sequence[slice]], None]


def reader(shape: Sequence[Size], axes: Sequence[Size], order: Sequence[Size]) -> Aligner | None:
    """From a buffer to its view without unit axes, as a value that has `axes` lies in `order`."""
    turn = aligner(axes, order)
    if ONE not in shape:
        return turn
    key = tuple(0 if size == ONE else slice(None) for size in shape)
    return lambda array: turn(array[key]) if turn else array[key]


def is_linear(store: Store) -> bool:
    """Whether a view of the buffer has all elements of the value."""
    places = store.places
    inside = (atom for place in places for atom in place.atoms() if atom.kind != "index")
    divided = any(index_axes(arg) for atom in inside for arg in atom.args)
    products = any(
        sum(atom.kind == "index" for atom in monomial) > 1
        for place in places
        for monomial, _ in place.terms
    )
    return not divided and not products


def writer(store: Store, order: Sequence[Size], size: Sizes) -> Aligner | None:
    """From a buffer to where a value is stored whose axes lie in `order`; its places are linear."""
    shape = store.shape[1:] if store.share else store.shape
    if store.places == tuple(map(index, shape)) and set(shape) == set(store.node.axes):
        return aligner(shape, order)
    turn = aligner(store.node.axes, order)

    def find(array: Array) -> Array:
        found: Array = view(array, store, size)
        return turn(found) if turn else found

    return find


def put(
    array: Array, store: Store, order: Sequence[Size], size: Sizes, value: Any, key: Sequence[slice]
) -> None:
    """Store a value of a tile, which lies in `order` at `key`, at places that are not linear."""
    grids: Mapping[Size, Array] = {
        axis: np.arange(part.start or 0, size(axis) if part.stop is None else part.stop).reshape(
            [-1 if axis == other else 1 for other in order]
        )
        for axis, part in zip(order, key, strict=True)
    }
    places = [
        np.int64(0) if place_size == ONE else values_at(place, size, grids)
        for place, place_size in zip(store.places, store.shape, strict=True)
    ]
    array[tuple(places)] = value
