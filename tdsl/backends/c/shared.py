"""Values along the columns that are alike for all rows, and costly: they are computed once for those.

In: a `Kernel`, its rows and columns. Out: the values. Between: what is shared follows from no reduction, so
that it is known before a row's first pass. What only some rows share has a kernel of its own
(`tdsl.fusion.costly`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tdsl.fusion.costly import is_costly
from tdsl.fusion.kernel import Kernel, used
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ops import take


@dataclass(frozen=True, slots=True)
class Shared:
    """`short` are values of a row that `nodes`, those along the columns, need; `kept` wait for the rows.

    Of `alone` nothing else has need.
    """

    short: tuple[Node, ...] = ()
    nodes: tuple[Node, ...] = ()
    kept: tuple[Node, ...] = ()
    alone: frozenset[Node] = frozenset()


def is_kept(node: Node) -> bool:
    """Whether a value is worth its place in the cache."""
    return is_costly(node) or node.op is take


def shared_values(kernel: Kernel, rows: Collection[Size], columns: Collection[Size]) -> Shared:
    """What the rows share, operands first."""
    memory = {read.node for read in kernel.reads}
    alike = [node for node in _early(kernel) if not {*rows} & {*node.axes}]
    dear: set[Node] = set()
    for node in alike:
        if is_kept(node) or not dear.isdisjoint(used(node, memory)):
            dear.add(node)
    outside = [node for node in kernel.nodes() if node not in alike]
    results = [store.node for store in kernel.stores]
    wanted = {*results, *(operand for node in outside for operand in used(node, memory))}
    kept = [n for n in alike if n in dear & wanted and {*columns} & {*n.axes}]
    needed = _below(kept, memory)
    nodes = [node for node in kernel.nodes() if node in needed]
    long = [node for node in nodes if {*columns} & {*node.axes}]
    short = [node for node in nodes if node not in long]
    alone = needed - _below([*outside, *results], memory, stop=kept)
    return Shared(tuple(short), tuple(long), tuple(kept), frozenset(alone))


def _below(
    roots: Collection[Node], memory: Collection[Node], stop: Collection[Node] = ()
) -> set[Node]:
    """The nodes, and what they follow from, but for those to stop at."""
    found, waiting = set[Node](), list(roots)
    while waiting:
        node = waiting.pop()
        if node not in found and node not in stop:
            found.add(node)
            waiting += used(node, memory)
    return found


def _early(kernel: Kernel) -> list[Node]:
    """The values that follow from no reduction or scan."""
    memory = {read.node for read in kernel.reads}
    late: set[Node] = set()
    for node in kernel.nodes():
        if node.op.family in ("reduction", "scan") or not late.isdisjoint(used(node, memory)):
            late.add(node)
    return [node for node in kernel.nodes() if node not in late]
