"""One place of each row, stored or read: rows that are 0 elsewhere, and the values at given places.

In: a selection by whether a position is a given one, or a `take`, and the order in which axes lie in
memory. Out: a function of arrays. Between: a place that no row has leaves its row 0, and gives 0.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from tdsl.backends.numpy.sums import Order
from tdsl.ir.node import Node
from tdsl.ops import arange, constant, equal, take, where
from tdsl.ops.base import Array


def place_and_value(node: Node, order: Order) -> tuple[Node, Node] | None:
    """Of a selection of a value at one place of the last axis, else 0: both, which lack that axis."""
    if node.op is not where or not node.axes:
        return None
    condition, value, rest = node.operands
    last = order(node.axes)[-1]
    if condition.op is not equal or rest.op is not constant or rest["value"] != 0:
        return None
    for positions, at in (condition.operands, condition.operands[::-1]):
        if positions.op is arange and positions["axis"] == last and last not in at.axes:
            return None if last in value.axes else (at, value)
    return None


def one_hot(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Callable[..., Array]:
    """The function from places and values, which broadcast along all axes but the last, to the rows."""
    rows, length = shape[:-1], shape[-1]

    def run(at: Any, value: Any, out: Any = None) -> Array:
        found: Array = np.empty(shape, dtype) if out is None else out
        found[...] = 0
        places, values = np.broadcast_to(at, rows), np.broadcast_to(value, rows)
        inside = np.nonzero((places >= 0) & (places < length))
        found[(*inside, places[inside])] = values[inside]
        return found

    return run


def is_picked(node: Node, order: Order) -> bool:
    """Whether this takes one element of each row, along the last axis in memory."""
    if node.op is not take:
        return False
    *rows, last = order(node.operands[0].axes)
    return bool(rows) and last == node["axis"] and order(node.operands[1].axes) == (*rows,)


def picking(shape: tuple[int, ...]) -> Callable[[Any, Any], Array]:
    """The function from rows, and a place for each, to the values: by one number for each element."""
    rows, length = shape[:-1], shape[-1]
    starts = np.arange(prod(rows)).reshape(rows) * length

    def run(x: Any, at: Any) -> Array:
        inside = (at >= 0) & (at < length)
        if not length or not inside.all():
            known = run(x, np.where(inside, at, 0)) if length else np.zeros(rows, x.dtype)
            return np.where(inside, known, x.dtype.type(0))
        found: Array
        if x.flags.c_contiguous:
            found = x.reshape(-1).take(np.add(starts, at, dtype=np.int64, casting="unsafe"))
        else:
            found = np.take_along_axis(x, at[..., None], -1)[..., 0]
        return found

    return run
