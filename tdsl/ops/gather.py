"""Gather and its transpose, scatter: an index tensor reads or writes along one axis.

Between: an index out of range reads 0 and scatters nothing. `take` puts the index's axes in the
place of `axis`; axes that the operand and the index share are aligned. `scatter` sums over `sums`,
then has `axis` besides what is left; values that vary along `axis` are kept where the index points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tdsl.ir.dtype import F64, I64, AnyDtype, Dtype, compute
from tdsl.ir.node import Attrs, Kernel, Node, union_axes
from tdsl.ir.size import Axis, name
from tdsl.ops.base import (
    Array,
    Operation,
    Sizes,
    numpy_dtype,
    require,
    shape_of,
    spread,
    unique_axes,
)
from tdsl.ops.comparison import equal
from tdsl.ops.expr import unalign
from tdsl.ops.leaves import arange, constant, input_
from tdsl.ops.selection import cast_to, where

Type = tuple[AnyDtype, tuple[Axis, ...]]


def _require_index(op: str, operands: Sequence[Node]) -> None:
    require(len(operands) == 2, op, "takes two operands")
    dtype = operands[1].dtype
    integer = not isinstance(dtype, Dtype) or dtype.kind in ("int", "uint")
    require(integer, op, f"an index of {dtype}")


def _take_type(operands: Sequence[Node], attrs: Attrs) -> Type:
    _require_index("take", operands)
    x, index = operands
    others = [axis for axis in x.axes if axis != attrs["axis"]]
    new = [axis for axis in index.axes if axis not in others]
    place = x.axes.index(attrs["axis"]) if attrs["axis"] in x.axes else len(others)
    return x.dtype, (*others[:place], *new, *others[place:])


def _take_value(node: Node, sizes: Sizes) -> Kernel:
    """Fancy indexing with the axes that take part in front; a mask only where one is needed."""
    x, index = node.operands
    axis = node["axis"]
    shared = tuple(a for a in index.axes if a in x.axes and a != axis)
    rest = tuple(a for a in x.axes if a not in shared and a != axis)
    view = spread(x.axes, (*shared, axis, *rest), sizes)
    places = grids(shared, index.axes, sizes)
    size = sizes(axis)
    found = (*index.axes, *rest)
    order = tuple(found.index(a) for a in node.axes)
    dtype, shape = numpy_dtype(node.dtype), shape_of(node.axes, sizes)
    beyond = (...,) + (None,) * len(rest)

    def run(x: Array, i: Array) -> Array:
        if not size:
            return np.zeros(shape, dtype)
        inside = (i >= 0) & (i < size)
        if inside.all():
            read = np.asarray(view(x)[(*places, i)])
        else:
            read = view(x)[(*places, np.where(inside, i, 0))]
            read = np.where(inside[beyond], read, dtype.type(0))
        return read.transpose(order)

    return run


def grids(axes: Sequence[Axis], within: Sequence[Axis], sizes: Sizes) -> tuple[Array, ...]:
    """For each axis its positions, shaped to broadcast along `within`."""
    return tuple(
        np.arange(sizes(axis)).reshape([-1 if axis == other else 1 for other in within])
        for axis in axes
    )


def _take_adjoint(node: Node, g: Node) -> Sequence[Node | None]:
    x, index = node.operands
    axis = node["axis"]
    sums = tuple(a for a in index.axes if a not in x.axes or a == axis)
    return [unalign(scatter(g, index, axis=axis, sums=sums), (axis,), x), None]


def _scatter_type(operands: Sequence[Node], attrs: Attrs) -> Type:
    _require_index("scatter", operands)
    values, index = operands
    axis, sums = attrs["axis"], attrs["sums"]
    require(axis in sums or axis not in index.axes, "scatter", f"the index varies along {axis}")
    kept = tuple(a for a in union_axes(operands) if a not in sums)
    return compute(values.dtype), unique_axes(kept, (axis,))


def _scatter_value(node: Node, sizes: Sizes) -> Kernel:
    values, index = node.operands
    axis, sums = node["axis"], node["sums"]
    if axis in values.axes and axis not in sums:
        return _masked_value(node, sizes)
    shared = tuple(a for a in index.axes if a not in sums)
    rest = tuple(a for a in node.axes if a not in shared and a != axis)
    points = (*sums, *shared)
    place = spread(index.axes, points, sizes)
    view = spread(values.axes, (*points, *rest), sizes)
    places = grids(shared, points, sizes)
    size, dtype = sizes(axis), numpy_dtype(node.dtype)
    shape = (*shape_of(shared, sizes), size + 1, *shape_of(rest, sizes))
    found = (*shared, axis, *rest)
    order = tuple(found.index(a) for a in node.axes)
    real = (slice(None),) * len(shared) + (slice(size),)

    def run(x: Array, i: Array) -> Array:
        """Sums with one place more than there is, for what lies out of range."""
        result = np.zeros(shape, dtype)
        i = place(i)
        where_to = (*places, np.where((i >= 0) & (i < size), i, size))
        np.add.at(result, where_to, view(x))
        return result[real].transpose(order)

    return run


def _masked_value(node: Node, sizes: Sizes) -> Kernel:
    """The sum over `sums` of the values where the index equals the position along `axis`."""
    values, index = node.operands
    axes = (*node["sums"], *node.axes)
    places = tuple(range(len(node["sums"])))
    view, place = spread(values.axes, axes, sizes), spread(index.axes, axes, sizes)
    (grid,) = grids((node["axis"],), axes, sizes)
    dtype = numpy_dtype(node.dtype)

    def run(x: Array, i: Array) -> Array:
        kept = np.where(place(i) == grid, view(x), x.dtype.type(0))
        total: Array = np.add.reduce(kept, axis=places, dtype=dtype)
        return total

    return run


def _scatter_adjoint(node: Node, g: Node) -> Sequence[Node | None]:
    """Each value gets what stands where it went; summed where it has fewer axes than the index."""
    values, index = node.operands
    axis, sums = node["axis"], node["sums"]
    every = unique_axes(union_axes(node.operands), sums)
    if axis in values.axes and axis not in sums:
        here = equal(arange(axis=axis), cast_to(index, I64))
        share = where(here, g, constant(value=0.0, dtype=g.dtype))
    else:
        share = take(g, index, axis=axis)
    return [unalign(share, every, values), None]


def _take_samples() -> list[Node]:
    n, d, v = name("N"), name("D"), name("V")
    x = input_(name="x", dtype=F64, axes=(n, v, d))
    u = input_(name="u", dtype=F64, axes=(n,))
    indices = [(), (name("K"),), (n,), (name("K"), d), (d, v, n), (v,)]
    return [
        take(operand, input_(name="i", dtype=I64, axes=axes), axis=v)
        for operand in (x, u)
        for axes in indices
    ]


def _scatter_samples() -> list[Node]:
    n, d, k, v = map(name, "NDKV")
    x = input_(name="x", dtype=F64, axes=(n, k, d))
    i, j = (input_(name=s, dtype=I64, axes=axes) for s, axes in (("i", (k, n)), ("j", (n, v))))
    w = input_(name="w", dtype=F64, axes=(n, v))
    s = input_(name="s", dtype=I64, axes=(n,))
    sums = [(), (k,), (n, k), (n, k, d)]
    return [
        *(scatter(x, i, axis=v, sums=axes) for axes in sums),
        scatter(w, i, axis=v, sums=(k,)),
        scatter(w, i, axis=v, sums=()),
        scatter(w, j, axis=v, sums=(v,)),
        scatter(_vector(n), s, axis=v, sums=(n,)),
        scatter(_vector(d), s, axis=v, sums=(n,)),
        scatter(_vector(d), s, axis=v, sums=(n, k)),
    ]


def _vector(axis: Axis) -> Node:
    """A vector of values."""
    return input_(name="values", dtype=F64, axes=(axis,))


take: Operation = Operation(
    "take", "gather",
    "x read along `axis` at the index, whose axes stand in its place; 0 where it is out of range.",
    _take_type, _take_value, _take_adjoint, is_linear=True, samples=_take_samples,
)  # fmt: skip
scatter: Operation = Operation(
    "scatter", "gather",
    "The transpose of `take`: at v along `axis`, the sum over `sums` of the values with index v.",
    _scatter_type, _scatter_value, _scatter_adjoint, is_linear=True, samples=_scatter_samples,
)  # fmt: skip
