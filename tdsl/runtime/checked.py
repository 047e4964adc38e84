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
    """For each node its own origin, or that of the first named value made of it."""
    found = dict(function.origins)
    for node in reversed(function.nodes()):
        if node in found:
            for operand in node.operands:
                found.setdefault(operand, found[node])
    return found


def _span(origin: Origin | None) -> tuple[Any, ...]:
    return (origin.span,) if origin is not None else ()


def _name(origin: Origin | None) -> str:
    return f" for `{origin.name}`" if origin is not None else ""
