"""Reductions over a set of axes.

Between: the result has the operand's axes without `axes`; an operand that lacks one of `axes` is
invariant along it, so a sum is then multiplied by its size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tdsl import faults
from tdsl.ir.dtype import BOOL, F64, I64, AnyDtype, Dtype, accumulate, compute
from tdsl.ir.node import AdjointRule, Attrs, Kernel, Node, TypeRule
from tdsl.ir.size import Axis, name
from tdsl.ops.arithmetic import div, mul
from tdsl.ops.base import (
    Array,
    Operation,
    Sizes,
    count,
    numpy_dtype,
    require,
    require_kind,
    shape_of,
    spread,
    unique_axes,
)
from tdsl.ops.comparison import equal
from tdsl.ops.expr import total
from tdsl.ops.leaves import constant, input_, size_
from tdsl.ops.pointwise import ANY
from tdsl.ops.scans import exclusive_products
from tdsl.ops.selection import cast_to, where

Types = Callable[[AnyDtype], AnyDtype]


def _infer(op: str, dtype: Types, kinds: Sequence[str]) -> TypeRule:
    def infer(operands: Sequence[Node], attrs: Attrs) -> tuple[AnyDtype, tuple[Axis, ...]]:
        require(len(operands) == 1, op, "takes one operand")
        (x,) = operands
        require_kind(op, x.dtype, kinds)
        axes: tuple[Axis, ...] = attrs["axes"]
        require(len(set(axes)) == len(axes), op, "an axis stands twice")
        return dtype(x.dtype), tuple(axis for axis in x.axes if axis not in axes)

    return infer


def _reduction(
    op: str,
    doc: str,
    ufunc: np.ufunc,
    adjoint: AdjointRule | None,
    *,
    dtype: Types = lambda dtype: dtype,
    kinds: Sequence[str] = ANY,
    identity: Callable[[np.dtype[Any]], Any] | None = None,
    samples: Callable[[], Sequence[Node]],
) -> Operation:
    """The reduction by a NumPy ufunc; `identity`: its value of nothing, where NumPy has none."""

    def evaluate(node: Node, sizes: Sizes) -> Kernel:
        (x,) = node.operands
        axes = unique_axes(x.axes, node["axes"])
        places = tuple(axes.index(axis) for axis in node["axes"])
        options: dict[str, Any] = {"axis": places, "dtype": numpy_dtype(node.dtype)}
        if identity is not None and not count(node["axes"], sizes):
            options["initial"] = identity(options["dtype"])
        reduce = ufunc.reduce
        if len(axes) == len(x.axes):
            return lambda x: reduce(x, **options)
        view = spread(x.axes, axes, sizes)
        return lambda x: reduce(view(x), **options)

    infer = _infer(op, dtype, kinds)
    return Operation(op, "reduction", doc, infer, evaluate, adjoint, samples=samples)


def _samples(op: Operation, real: Dtype = F64, integer: Dtype = I64) -> list[Node]:
    n, d, h = name("N"), name("D"), name("H")
    x = input_(name="x", dtype=real, axes=(n, d, h))
    i = input_(name="i", dtype=integer, axes=(n, d))
    lacking = input_(name="v", dtype=real, axes=(n,))
    nodes = [op(x, axes=axes) for axes in ((), (d,), (h, n), (n, d, h))]
    return [*nodes, op(i, axes=(n,)), op(lacking, axes=(d, n)), op(lacking, axes=(d,))]


def _sum_adjoint(node: Node, g: Node) -> Sequence[Node]:
    """The cotangent itself, which is invariant along the summed axes; once for each copy summed."""
    (x,) = node.operands
    share = cast_to(g, compute(x.dtype))
    for axis in node["axes"]:
        if axis not in x.axes:
            share = mul(share, cast_to(size_(value=axis), share.dtype))
    return [share]


def _prod_adjoint(node: Node, g: Node) -> Sequence[Node]:
    """The product of the others, axis by axis, without a division."""
    (x,) = node.operands
    share = cast_to(g, x.dtype)
    inner = x
    for axis in node["axes"]:
        share = mul(share, exclusive_products(inner, axis))
        inner = cast_to(prod(inner, axes=(axis,)), x.dtype)
    extra = [axis for axis in node["axes"] if axis not in x.axes]
    return [total(share, extra)]


def _extremum_adjoint(node: Node, g: Node) -> Sequence[Node]:
    """The cotangent divided by the number of ties, where the maximum is attained."""
    (x,) = node.operands
    attained = equal(x, node)
    present = tuple(axis for axis in node["axes"] if axis in x.axes)
    ties = cast_to(sum_(attained, axes=present), x.dtype)
    share = cast_to(g, x.dtype)
    return [where(attained, div(share, ties), constant(value=0.0, dtype=share.dtype))]


def _lowest(dtype: np.dtype[Any]) -> Any:
    return False if dtype.kind == "b" else -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _highest(dtype: np.dtype[Any]) -> Any:
    return True if dtype.kind == "b" else np.inf if dtype.kind == "f" else np.iinfo(dtype).max


sum_: Operation = _reduction(
    "sum", "The sum over `axes`, 0 of nothing; in i64 or u64 for integers and bools.", np.add,
    _sum_adjoint, dtype=accumulate, samples=lambda: _samples(sum_),
)  # fmt: skip
prod: Operation = _reduction(
    "prod", "The product over `axes`, 1 of nothing; in i64 or u64 for integers and bools.",
    np.multiply, _prod_adjoint, dtype=accumulate, samples=lambda: _samples(prod),
)  # fmt: skip
max_: Operation = _reduction(
    "max", "The largest value, or NaN if one is; ties share gradients; of nothing, the lowest.",
    np.maximum, _extremum_adjoint, identity=_lowest, samples=lambda: _samples(max_),
)  # fmt: skip
min_: Operation = _reduction(
    "min", "The smallest value, or NaN if one is; ties share gradients; of nothing, the highest.",
    np.minimum, _extremum_adjoint, identity=_highest, samples=lambda: _samples(min_),
)  # fmt: skip
any_: Operation = _reduction(
    "any", "Whether one is true; false of nothing.", np.logical_or, None, kinds=("bool",),
    samples=lambda: _samples(any_, BOOL, BOOL),
)  # fmt: skip
all_: Operation = _reduction(
    "all", "Whether all are true; true of nothing.", np.logical_and, None, kinds=("bool",),
    samples=lambda: _samples(all_, BOOL, BOOL),
)  # fmt: skip


def _position(
    op: str, doc: str, find: Callable[..., Array], samples: Callable[[], Sequence[Node]]
) -> Operation:
    def evaluate(node: Node, sizes: Sizes) -> Kernel:
        (x,) = node.operands
        reduced: tuple[Axis, ...] = node["axes"]
        if not count(reduced, sizes):
            raise faults.EMPTY_ARGMAX.at(op=op)
        view = spread(x.axes, (*node.axes, *reduced), sizes)
        shape = (*shape_of(node.axes, sizes), count(reduced, sizes))
        return lambda x: find(view(x).reshape(shape), axis=-1)

    infer = _infer(op, lambda dtype: I64, ANY)
    return Operation(op, "reduction", doc, infer, evaluate, samples=samples)


argmax: Operation = _position(
    "argmax",
    "The position of the first largest value, or of the first NaN; over several axes counted in"
    " their order, the last fastest. An empty axis is an error.",
    np.argmax, lambda: _samples(argmax),
)  # fmt: skip
argmin: Operation = _position(
    "argmin",
    "The position of the first smallest value, or of the first NaN; over several axes counted in"
    " their order, the last fastest. An empty axis is an error.",
    np.argmin, lambda: _samples(argmin),
)  # fmt: skip
