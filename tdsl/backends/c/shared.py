"""Values along the columns that are alike for several rows, and costly: they are computed once for those.

In: a `Kernel`, its rows and columns. Out: the rows' axes along which such values are shared; the values.
Between: what is shared follows from no reduction, so that it is known before a row's first pass. What all
rows share may be known before what some of them do.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tdsl.fusion.kernel import Kernel, used
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ops import take

CHEAP = frozenset((
    "add", "sub", "mul", "neg", "abs", "where", "cast", "maximum", "minimum", "clamp", "equal",
    "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan", "isinf", "isfinite",
    "bitand", "bitor", "bitxor", "bitnot", "sign", "floor", "ceil", "trunc",
))  # fmt: skip
"""Operations that are cheaper to repeat than to keep."""


@dataclass(frozen=True, slots=True)
class Shared:
    """`short` are values of a row that `nodes`, those along the columns, need; `kept` wait for the rows.

    Of `alone` nothing else has need.
    """

    short: tuple[Node, ...] = ()
    nodes: tuple[Node, ...] = ()
    kept: tuple[Node, ...] = ()
    alone: frozenset[Node] = frozenset()


def is_costly(node: Node) -> bool:
    """Whether a value is worth its place in memory."""
    if node.op.family == "scan" or node.op is take:
        return True
    return node.op.family == "pointwise" and node.op.name not in CHEAP


def shared_axes(
    kernel: Kernel, rows: Collection[Size], columns: Collection[Size]
) -> frozenset[Size]:
    """The axes of rows along which all of the costly values that lack some of those are alike."""
    lacking = [
        frozenset(rows) - {*node.axes}
        for node in _early(kernel)
        if is_costly(node) and {*columns} & {*node.axes}
    ]
    found = [axes for axes in lacking if axes]
    common = frozenset(rows).intersection(*found) if found else frozenset[Size]()
    return common or (found[0] if found else common)


def shared_values(
    kernel: Kernel, inner: Collection[Size], columns: Collection[Size], known: Collection[Node] = ()
) -> Shared:
    """What is shared along the axes `inner`, operands first, where some values are known."""
    memory = {read.node for read in kernel.reads}
    alike = [node for node in _early(kernel) if not {*inner} & {*node.axes}]
    dear: set[Node] = set()
    for node in alike:
        if is_costly(node) or not dear.isdisjoint(used(node, memory)):
            dear.add(node)
    outside = [node for node in kernel.nodes() if node not in alike]
    results = [store.node for store in kernel.stores]
    wanted = {*results, *(operand for node in outside for operand in used(node, memory))}
    kept = [n for n in alike if n in dear & wanted and {*columns} & {*n.axes} and n not in known]
    needed = _below(kept, memory, stop=known)
    nodes = [node for node in kernel.nodes() if node in needed]
    long = [node for node in nodes if {*columns} & {*node.axes}]
    short = [node for node in nodes if node not in long]
    alone = needed - _below([*outside, *results], memory, stop=[*kept, *known])
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
