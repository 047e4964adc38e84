"""Where a loop is parted so that no function waits for another: each stage calls functions side by side.

In: the values of a kernel, and its columns. Out: for each value the loop in which it is known, and what
each loop leaves for a later one. Between: a processor looks ahead over some hundred instructions, which one
element of two functions in a row takes up alone, so that it waits for most of them; in loops of their own
many elements are on their way. Reductions part loops as in `tdsl.fusion.passes`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tdsl.backends.c.helpers import MATH
from tdsl.ir.node import Node, topological
from tdsl.ir.size import Size


@dataclass(frozen=True, slots=True)
class Stages:
    """`known` has the loop in which each value is known; `left` what is called for one in a later loop."""

    known: Mapping[Node, int]
    left: Mapping[int, tuple[Node, ...]]


def stages(nodes: Sequence[Node], columns: Collection[Size], ready: Collection[Node]) -> Stages:
    """The loops of values along these columns; those in `ready` are there before the first."""
    known: dict[Node, int] = {}
    recent: dict[Node, frozenset[Node]] = {}
    left: dict[int, dict[Node, None]] = {}
    for node in topological(nodes):
        before = max((known[o] for o in node.operands), default=0)
        is_long = not {*columns}.isdisjoint(node.axes) and node not in ready
        called = frozenset[Node]().union(
            *(recent[o] for o in node.operands if known[o] == before and is_long)
        )
        ends = node.op.family == "reduction" and not {*columns}.isdisjoint(node["axes"])
        calls = is_long and node.op.name in MATH
        is_second = calls and bool(called)
        if is_second:
            left.setdefault(before, {}).update(dict.fromkeys(called))
        known[node] = before + (ends or is_second)
        recent[node] = frozenset([node]) if calls else frozenset() if ends else called
    return Stages(known, {number: tuple(found) for number, found in left.items()})
