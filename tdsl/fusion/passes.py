"""Passes over a row: when each value of a kernel is first known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tdsl.ir.node import Node, topological
from tdsl.ir.size import Size

Joins = Callable[[Node, Mapping[Node, int]], bool]


def pass_numbers(
    nodes: Sequence[Node], columns: set[Size], joins: Joins | None = None
) -> dict[Node, int]:
    """The pass over the row in which each value is first known.

    A reduction along the row is known one pass after its operand. One that `joins`, as the numbers of
    what is below it tell, is known together with the reduction that its operand waits for.
    """
    found: dict[Node, int] = {}
    for node in topological(nodes):
        before = max((found[o] for o in node.operands), default=0)
        ends = node.op.family == "reduction" and bool(columns & set(node["axes"]))
        is_later = ends and not (joins is not None and joins(node, found))
        found[node] = before + 1 if is_later else before
    return found
