"""Passes over a row: when each value of a kernel is first known."""

from __future__ import annotations

from collections.abc import Sequence

from tdsl.ir.node import Node, topological
from tdsl.ir.size import Size


def pass_numbers(nodes: Sequence[Node], columns: set[Size]) -> dict[Node, int]:
    """The pass over the row in which each value is first known.

    A reduction along the row is known one pass after its operand.
    """
    found: dict[Node, int] = {}
    for node in topological(nodes):
        before = max((found[o] for o in node.operands), default=0)
        ends = node.op.family == "reduction" and bool(columns & set(node["axes"]))
        found[node] = before + 1 if ends else before
    return found
