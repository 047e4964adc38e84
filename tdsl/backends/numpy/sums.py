"""Sums of floats along the last axis in memory, by inner products: fewer passes, and faster ones.

In: a sum, and the order in which axes lie in memory. Out: a function of arrays. Between: what is
summed along other axes is NumPy's own reduction of what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tdsl.ir.dtype import F32, F64
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ops import mul, numpy_dtype, sum_
from tdsl.ops.base import Array

Order = Callable[[Sequence[Size]], tuple[Size, ...]]
PIECE = 4096
"""Elements of one product. A library that has threads of its own uses one for so few."""


def is_inner(node: Node, order: Order) -> bool:
    """Whether this is a sum of floats along the last axis of its operand, which has all summed axes."""
    if node.op is not sum_ or node.dtype not in (F32, F64):
        return False
    (x,), axes = node.operands, node["axes"]
    return (
        x.dtype == node.dtype
        and bool(x.axes)
        and order(x.axes)[-1] in axes
        and {*axes} <= {*x.axes}
    )


def factors(node: Node, order: Order) -> tuple[Node, ...]:
    """The values whose products are summed: two, of which both have the last axis, or the operand alone."""
    (x,) = node.operands
    last = order(x.axes)[-1]
    is_product = x.op is mul and all(last in factor.axes for factor in x.operands)
    return x.operands if is_product else (x,)


def summing(node: Node, axes: Sequence[Size], length: int) -> Callable[..., Any]:
    """The function from the factors, or the operand, to the sum.

    `axes` are the operand's in the order of memory, `length` is that of the last one.
    """
    rest = tuple(place for place, axis in enumerate(axes[:-1]) if axis in node["axes"])
    ones = np.ones(length, numpy_dtype(node.dtype))

    def run(x: Array, y: Array = ones) -> Any:
        rows = inner(x, y)
        return np.add.reduce(rows, axis=rest) if rest else rows

    return run


def inner(x: Array, y: Array) -> Array:
    """The sums of the products along the last axis, which both have."""
    count = x.shape[-1]
    if count <= PIECE:
        return _product(x, y)
    whole = count - count % PIECE
    pieces = _product(*(a[..., :whole].reshape(*a.shape[:-1], -1, PIECE) for a in (x, y)))
    total: Array = np.add.reduce(pieces, axis=-1)
    return total if whole == count else total + _product(x[..., whole:], y[..., whole:])


def _product(x: Array, y: Array) -> Array:
    found: Array = np.matmul(x[..., None, :], y[..., :, None])
    return found[..., 0, 0]
