"""The checked mode: the interpreter with eyes open.

In: a Function with concrete dtypes, sizes and arrays. Out: its results, or the first fault as a TdslError:
an index out of range, or the operation that makes a NaN or infinity out of finite operands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tdsl import faults
from tdsl.ir.function import Function, Origin
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ops import scatter, take
from tdsl.runtime.interpreter import Array, prepare

DERIVED = "derivative of "
"""Begins the name of a place that a derivative's node has from the source's node."""


def run_checked(
    function: Function, sizes: Mapping[str, int], arrays: Sequence[Array]
) -> list[Array]:
    """The results. Raises TdslIndexError or TdslValueError naming the source's value and line."""
    places = _nearest_origins(function)

    def observe(node: Node, operands: list[Any], value: Any) -> None:
        if node.op in (take, scatter):
            _check_index(node, operands[1], sizes, places.get(node))
        if _is_finite(operands) and not _is_finite([value]):
            raise faults.NOT_FINITE.at(
                *_span(places.get(node)), op=node.op.name, name=_name(places.get(node))
            )

    return prepare(function, sizes).run_observed(arrays, observe)


def _check_index(
    node: Node,
    index: Any,
    sizes: Mapping[str, int],
    origin: Origin | None,
) -> None:
    axis: Size = node["axis"]
    size = axis.evaluate(sizes)
    indices = np.asarray(index)
    wrong = indices[(indices < 0) | (indices >= size)]
    if wrong.size:
        raise faults.INDEX_OUT_OF_RANGE.at(
            *_span(origin), index=int(wrong.flat[0]), axis=axis, size=size, name=_name(origin)
        )


def _is_finite(values: Sequence[Any]) -> bool:
    arrays = [np.asarray(value) for value in values]
    return all(
        a.dtype.kind in "biu" or bool(np.isfinite(a.astype(np.float64)).all()) for a in arrays
    )


def _nearest_origins(function: Function) -> dict[Node, Origin]:
    """For each node its own origin, or that of the first value made of it, or of what it is made of.

    The last are nodes of a derivative: they are told of at the value that they are a derivative of.
    """
    found = dict(function.origins)
    nodes = function.nodes()
    for node in reversed(nodes):
        if node in found:
            for operand in node.operands:
                found.setdefault(operand, found[node])
    for node in nodes:
        nearest = next((found[o] for o in reversed(node.operands) if o in found), None)
        if node not in found and nearest is not None:
            name = nearest.name if nearest.name.startswith(DERIVED) else DERIVED + nearest.name
            found[node] = Origin(name, nearest.span)
    return found


def _span(origin: Origin | None) -> tuple[Any, ...]:
    return (origin.span,) if origin is not None else ()


def _name(origin: Origin | None) -> str:
    if origin is None or not origin.name:
        return ""
    if origin.name.startswith(DERIVED):
        of = origin.name.removeprefix(DERIVED)
        return f", in the derivative of `{of}`" if of else ", in the derivative of what stands here"
    return f" for `{origin.name}`"
