"""How results are handed out: one array, a tuple, or a value with its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tdsl.ir.dtype import may_be_float
from tdsl.ir.function import Function as Graph
from tdsl.runtime.pipeline import Derivation

Arrange = Callable[[list[Any]], Any]


def arrangement(derivations: tuple[Derivation, ...], graph: Graph) -> Arrange:
    """From the results in a row to what the caller gets, by the last derivative taken."""
    if not derivations:
        return tuple if len(graph.results) > 1 else _first
    last = derivations[-1]
    if last.kind == "vjp":
        return tuple
    gradients: Arrange = _first if last.single else tuple
    if last.kind == "grad":
        return gradients
    floating = sum(may_be_float(param.dtype) for param in graph.params)
    count = len(graph.results) - (floating if last.wrt is None else len(last.wrt))
    values: Arrange = tuple if count > 1 else _first
    return lambda results: (values(results[:count]), gradients(results[count:]))


def _first(results: list[Any]) -> Any:
    return results[0]
