"""A graph as a program of JAX, which XLA compiles and JAX differentiates.

In: a flat Function and the sizes of its axes. Out: a function from JAX's arrays to a tuple of them.
Between: an array's dims are its node's axes, in order; one function of JAX stands for each operation, so
that what is fused, and how derivatives are taken, is JAX's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special

from tdsl import faults
from tdsl.backends.triton.export_library import einsum_letters
from tdsl.ir.function import Function, Result
from tdsl.ir.index_map import Piece
from tdsl.ir.node import Node, Op
from tdsl.ir.size import ONE, Axis, Size
from tdsl.ops import (
    arange,
    argmax,
    argmin,
    cast,
    constant,
    dot,
    index,
    numpy_dtype,
    polygamma,
    scatter,
    size_,
    take,
)
from tdsl.ops.base import Sizes, aligner, shape_of, unique_axes
from tdsl.ops.gather import grids
from tdsl.ops.index_values import Box, box_of, fill_value, reshaped

Form = Callable[..., Any]
NAMES = {
    "sub": "subtract", "mul": "multiply", "div": "divide", "neg": "negative", "pow": "power",
    "floordiv": "floor_divide", "clamp": "clip", "asin": "arcsin", "acos": "arccos",
    "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh", "atan2": "arctan2",
    "bitand": "bitwise_and", "bitor": "bitwise_or", "bitxor": "bitwise_xor", "bitnot": "invert",
}  # fmt: skip
"""What jax.numpy calls otherwise; all else there has our name."""
SPECIAL: dict[str, Callable[..., Any]] = {
    "rsqrt": jax.lax.rsqrt, "erf": special.erf, "erfc": special.erfc, "erfinv": special.erfinv,
    "lgamma": special.gammaln, "digamma": special.digamma, "stop_gradient": jax.lax.stop_gradient,
    "checkpoint": lambda x: x, "save": lambda x: x,
}  # fmt: skip
SCANS: dict[str, Callable[..., Any]] = {
    "cumsum": jax.lax.cumsum, "cumprod": jax.lax.cumprod, "cummax": jax.lax.cummax,
    "logcumsumexp": jax.lax.cumlogsumexp,
}  # fmt: skip
NO_FORM = {
    "shift_left": "shifts by 64 bits and more", "shift_right": "shifts by 64 bits and more",
    "recurrence": "a linear recurrence",
}  # fmt: skip
"""Operations for which one function of JAX does not stand."""


def jax_program(function: Function, sizes: Mapping[str, int]) -> Callable[..., tuple[Any, ...]]:
    """The program. Raises TdslError for an operation without a form in JAX."""

    def size(expr: Size) -> int:
        return expr.evaluate(sizes)

    forms = {node: _form(node, size) for node in function.nodes() if node.op.name != "input"}

    def program(*arrays: Any) -> tuple[Any, ...]:
        values = {
            param.node: array.reshape(shape_of(param.node.axes, size))
            for param, array in zip(function.params, arrays, strict=True)
        }
        for node, form in forms.items():
            values[node] = form(*(values[operand] for operand in node.operands))
        return tuple(_result(result, values[result.node], size) for result in function.results)

    return program


def _result(result: Result, value: Any, size: Sizes) -> Any:
    """The value in the result's shape."""
    axes = tuple(axis for axis in result.shape if axis != ONE)
    return _laid(value, result.node.axes, axes, size).reshape(shape_of(result.shape, size))


def _laid(x: Any, found: Sequence[Axis], axes: Sequence[Axis], size: Sizes) -> Any:
    """The array of axes `found` with all of these axes, in this order."""
    align = aligner(found, axes)
    x = align(x) if align else x
    return x if {*axes} == {*found} else jnp.broadcast_to(x, shape_of(axes, size))


def _form(node: Node, size: Sizes) -> Form:
    """The node as a function of its operands' arrays."""
    if node.op.name in NO_FORM:
        raise faults.NO_BACKEND.at(
            backend="jax", note=f"no function of JAX is {NO_FORM[node.op.name]}"
        )
    if node.op in (constant, size_, arange):
        known = np.asarray(node.op.evaluate(node, size)())
        return lambda: jnp.asarray(known)
    if node.op.family == "pointwise":
        return _pointwise(node)
    if node.op.family == "reduction":
        return _reduction(node, size)
    if node.op.family == "scan":
        scan, axis, reverse = SCANS[node.op.name], node.axes.index(node["axis"]), node["reverse"]
        (x,), dtype = node.operands, numpy_dtype(node.dtype)
        return lambda a: scan(_laid(a, x.axes, node.axes, size).astype(dtype), axis, reverse)
    by_name: dict[Op, Callable[[Node, Sizes], Form]] = {
        dot: _product, index: _index, take: _take, scatter: _scatter,
    }  # fmt: skip
    return by_name[node.op](node, size)


def _pointwise(node: Node) -> Form:
    name, dtype = node.op.name, numpy_dtype(node.dtype)
    if node.op is cast:
        return lambda x: x != 0 if dtype == np.bool_ else x.astype(dtype)
    views = [aligner(operand.axes, node.axes) for operand in node.operands]
    if node.op is polygamma:
        order = node["n"]
        return lambda x: special.polygamma(order, x)
    run = SPECIAL.get(name) or getattr(jnp, NAMES.get(name, name))
    return lambda *xs: run(*(v(x) if v else x for v, x in zip(views, xs, strict=True)))


def _reduction(node: Node, size: Sizes) -> Form:
    (x,), dtype, summed = node.operands, numpy_dtype(node.dtype), node["axes"]
    kept = tuple(axis for axis in unique_axes(x.axes, summed) if axis not in summed)
    axes, shape = (*kept, *summed), (*shape_of(kept, size), -1)
    if node.op in (argmax, argmin):
        find = getattr(jnp, node.op.name)
        return lambda a: find(_laid(a, x.axes, axes, size).reshape(shape), -1).astype(dtype)
    reduce, places = getattr(jnp, node.op.name), tuple(range(len(kept), len(axes)))
    if node.op.name in ("sum", "prod"):
        return lambda a: reduce(_laid(a, x.axes, axes, size), places, dtype)
    return lambda a: reduce(_laid(a, x.axes, axes, size), places)


def _product(node: Node, size: Sizes) -> Form:
    letters, dtype = einsum_letters(node), numpy_dtype(node.dtype)
    every = {axis for operand in node.operands for axis in operand.axes}
    times = np.prod([size(axis) for axis in node["axes"] if axis not in every], dtype=dtype)
    return lambda a, b: jnp.einsum(letters, a.astype(dtype), b.astype(dtype)) * times


def _index(node: Node, size: Sizes) -> Form:
    """An index map whose pieces are reshapes or slices."""
    pieces = list(zip(node.operands, node["map"].pieces, strict=True))
    if len(pieces) == 1 and (view := reshaped(node, *pieces[0], size)):
        return view
    boxes = [_box(node, operand, piece, size) for operand, piece in pieces]
    shape = shape_of(node.axes, size)
    fill = fill_value(node["map"].fill, node.dtype)

    def run(*arrays: Any) -> Any:
        result = jnp.full(shape, fill)
        for box, array in zip(boxes, arrays, strict=True):
            if box.covers:
                result = jnp.broadcast_to(box.view(array), shape)
            else:
                result = result.at[box.target].set(box.view(array))
        return result

    return run


def _box(node: Node, operand: Node, piece: Piece, size: Sizes) -> Box:
    box = box_of(node, operand, piece, size)
    if box is None:
        raise faults.NO_BACKEND.at(backend="jax", note="a piece of an index map is no slice")
    return box


def _take(node: Node, size: Sizes) -> Form:
    x, at = node.operands
    axis = node["axis"]
    shared = tuple(a for a in at.axes if a in x.axes and a != axis)
    rest = tuple(a for a in x.axes if a not in shared and a != axis)
    source, found, count = (*shared, axis, *rest), (*at.axes, *rest), size(axis)
    places = grids(shared, at.axes, size)
    view: Form | None = aligner(found, node.axes)

    def run(a: Any, i: Any) -> Any:
        i = i.astype(jnp.int64)  # which holds the count
        inside = ((i >= 0) & (i < count)).reshape(i.shape + (1,) * len(rest))
        read = _laid(a, x.axes, source, size)[(*places, jnp.clip(i, 0, max(count - 1, 0)))]
        read = jnp.where(inside, read, jnp.zeros((), a.dtype))
        return view(read) if view else read

    return run


def _scatter(node: Node, size: Sizes) -> Form:
    values, at = node.operands
    axis, sums, dtype = node["axis"], node["sums"], numpy_dtype(node.dtype)
    if axis in values.axes and axis not in sums:
        axes = (*node.axes, *sums)
        (grid,) = grids((axis,), axes, size)
        summed = tuple(range(len(node.axes), len(axes)))

        def masked(x: Any, i: Any) -> Any:
            is_here = _laid(i, at.axes, axes, size) == grid
            return jnp.where(is_here, _laid(x, values.axes, axes, size), 0).sum(summed, dtype)

        return masked
    shared = tuple(a for a in at.axes if a not in sums)
    rest = tuple(a for a in node.axes if a not in shared and a != axis)
    points, found, count = (*sums, *shared), (*shared, axis, *rest), size(axis)
    places = grids(shared, points, size)
    view: Form | None = aligner(found, node.axes)
    shape = (*shape_of(shared, size), count + 1, *shape_of(rest, size))
    real = (slice(None),) * len(shared) + (slice(count),)

    def run(x: Any, i: Any) -> Any:
        i = _laid(i, at.axes, points, size).astype(jnp.int64)
        where_to = (*places, jnp.where((i >= 0) & (i < count), i, count))
        given = _laid(x, values.axes, (*points, *rest), size).astype(dtype)
        result = jnp.zeros(shape, dtype).at[where_to].add(given)[real]
        return view(result) if view else result

    return run
