"""The contraction `dot`: a sum of products over shared axes, done by matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tdsl.ir.dtype import F16, F64, AnyDtype, Dtype, compute
from tdsl.ir.node import Attrs, Kernel, Node, union_axes
from tdsl.ir.size import Axis, name
from tdsl.ops.base import (
    Aligner,
    Array,
    Operation,
    Sizes,
    count,
    numpy_dtype,
    require,
    shape_of,
    spread,
    unique_axes,
)
from tdsl.ops.leaves import input_
from tdsl.ops.selection import cast_to


def _infer(operands: Sequence[Node], attrs: Attrs) -> tuple[AnyDtype, tuple[Axis, ...]]:
    require(len(operands) == 2, "dot", "takes two operands")
    a, b = operands
    require(a.dtype == b.dtype, "dot", f"{a.dtype} meets {b.dtype}")
    require(not isinstance(a.dtype, Dtype) or a.dtype.kind != "bool", "dot", "not defined for bool")
    axes: tuple[Axis, ...] = attrs["axes"]
    require(len(set(axes)) == len(axes), "dot", "an axis stands twice")
    return compute(a.dtype), tuple(x for x in union_axes(operands) if x not in axes)


def _evaluate(node: Node, sizes: Sizes) -> Kernel:
    """Batch axes first, then the free ones of each side as one, the contracted ones as one."""
    a, b = node.operands
    summed: tuple[Axis, ...] = node["axes"]
    batch = tuple(x for x in a.axes if x in b.axes and x not in summed)
    rows = tuple(x for x in a.axes if x not in b.axes and x not in summed)
    columns = tuple(x for x in b.axes if x not in a.axes and x not in summed)
    left = _matrix(a, batch, rows, summed, sizes)
    right = _matrix(b, batch, summed, columns, sizes)
    axes = (*batch, *rows, *columns)
    shape = shape_of(axes, sizes)
    order = tuple(axes.index(axis) for axis in node.axes)
    dtype = numpy_dtype(node.dtype)

    def run(x: Array, y: Array) -> Array:
        product: Array = np.matmul(
            left(x).astype(dtype, copy=False), right(y).astype(dtype, copy=False)
        )
        return product.reshape(shape).transpose(order)

    return run


def _matrix(
    x: Node, batch: Sequence[Axis], first: Sequence[Axis], second: Sequence[Axis], sizes: Sizes
) -> Aligner:
    view = spread(x.axes, (*batch, *first, *second), sizes)
    shape = (*shape_of(batch, sizes), count(first, sizes), count(second, sizes))
    return lambda array: view(array).reshape(shape)


def _adjoint(node: Node, g: Node) -> Sequence[Node]:
    """The cotangent against the other operand, over every axis that this one lacks."""
    a, b = node.operands
    every = unique_axes(a.axes, b.axes, node["axes"])
    return [_share(g, a, b, every), _share(g, b, a, every)]


def _share(g: Node, operand: Node, other: Node, every: Sequence[Axis]) -> Node:
    axes = tuple(axis for axis in every if axis not in operand.axes)
    wide = cast_to(other, compute(other.dtype))
    return dot(cast_to(g, wide.dtype), wide, axes=axes)


def _samples() -> list[Node]:
    n, d, h, k = map(name, "NDHK")
    x = input_(name="x", dtype=F64, axes=(n, d, h))
    y = input_(name="y", dtype=F64, axes=(h, k, n))
    v = input_(name="v", dtype=F64, axes=(d,))
    half = [input_(name=s, dtype=F16, axes=axes) for s, axes in (("p", (n, d)), ("q", (k, d)))]
    axes = [(h,), (h, n), (n,), (), (n, d, h, k), (d, h), (d, k)]
    nodes = [dot(x, y, axes=summed) for summed in axes]
    return [*nodes, dot(x, v, axes=(d,)), dot(v, v, axes=(d,)), dot(v, y, axes=(n,)),
            dot(v, v, axes=(h, d)), dot(*half, axes=(d,))]  # fmt: skip


dot: Operation = Operation(
    "dot", "contraction",
    "The sum over `axes` of x * y; shared axes that are not summed are batch axes. f16 and bf16 are"
    " widened to f32, and so is the result.",
    _infer, _evaluate, _adjoint, is_linear=True, samples=_samples,
)  # fmt: skip
