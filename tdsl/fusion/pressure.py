"""What a kernel keeps in registers while a row is held whole.

In: a `Kernel`. Out: how many values of a row wait at once. Between: a value that is known before a
reduction and used after it stays in registers meanwhile; what is computed between two reductions is
computed element by element, so that it needs few. Which place along the row equals a value takes none:
places are compared in parts, few of which differ within a lane.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tdsl.fusion.kernel import Kernel, used
from tdsl.fusion.layout import along, is_replicated
from tdsl.fusion.offsets import COLUMN, accesses, is_contiguous, is_read, ordered
from tdsl.ir.dtype import F64, I64
from tdsl.ir.node import Node
from tdsl.ops import arange, equal

STREAMED, SPREAD = 0.5, 1.25
"""How much of a value from memory is there before it is needed, because loads are issued early: of one
that lies contiguous, and of one that has an address for each element."""

SCANNED = 4
"""Values that wait in a running reduction beside its operand: parts of it, and what follows from them."""


def runs_along(node: Node, kernel: Kernel) -> bool:
    """Whether a node needs the row whole: a reduction over the columns, or a scan."""
    if node.op.family == "scan":
        return True
    if node.op.family != "reduction" or node in kernel.layout.crossed:
        return False
    return not is_replicated(node, kernel.nodes())


def kept_values(kernel: Kernel, *, is_whole: bool = True) -> float:
    """How many values of 32 bits wait for each element of a row, at the worst of the reductions.

    Values are made in the order of `kernel.nodes()`; what is the same for every walked row, and sums
    across rows, are there all the time. Of a row that is held whole places are compared in parts.
    """
    rows, columns = set(kernel.layout.rows), set(kernel.layout.columns)
    crossed = kernel.layout.crossed
    nodes = kernel.nodes()
    last = _last_uses(kernel, nodes)
    known = _sought_places(kernel) if is_whole else []
    long = [
        node for node in nodes
        if columns & set(node.axes) and node not in crossed and node not in known
    ]  # fmt: skip
    still = [node for node in long if crossed and not rows & set(node.axes)]
    place = {node: number for number, node in enumerate(nodes)}
    waiting = [
        _weight(n for n in long if n not in still and place[n] < place[end] < last.get(n, 0))
        + SCANNED * _weight([end] * (end.op.family == "scan"))
        for end in nodes if runs_along(end, kernel)
    ]  # fmt: skip
    sums = [node for node in crossed if columns & set(along(node))]
    loads = [node for node in long if node not in still and is_read(node, kernel)]
    always = _weight(sums) + _weight(_frontier(still)) + max(1.0, _loaded(kernel, loads))
    return max(waiting, default=0.0) + always


def _sought_places(kernel: Kernel) -> list[Node]:
    """The places along a row that are only asked whether they equal a value of the row."""
    columns, memory = set(kernel.layout.columns), {read.node for read in kernel.reads}
    nodes = kernel.nodes()

    def is_sought(node: Node, place: Node) -> bool:
        others = [operand for operand in node.operands if operand is not place]
        return node.op is equal and not any(columns & set(o.axes) for o in others)

    places = [node for node in nodes if node.op is arange and columns & set(node.axes)]
    return [
        place for place in places
        if all(is_sought(node, place) for node in nodes if place in used(node, memory))
        and all(store.node is not place for store in kernel.stores)
    ]  # fmt: skip


def _loaded(kernel: Kernel, loads: Sequence[Node]) -> float:
    rows, columns = kernel.layout.rows, kernel.layout.columns
    offsets = dict(accesses(kernel, ordered(kernel, rows), ordered(kernel, columns)))
    streamed = [node for node in loads if is_contiguous(offsets[node], COLUMN)]
    return STREAMED * len(streamed) + SPREAD * (len(loads) - len(streamed))


def _last_uses(kernel: Kernel, nodes: Sequence[Node]) -> dict[Node, int]:
    """The number of the last node that uses each value; stores come last."""
    memory = {read.node for read in kernel.reads}
    last: dict[Node, int] = {}
    for number, node in enumerate(nodes):
        last |= dict.fromkeys(used(node, memory), number)
    return last | dict.fromkeys((store.node for store in kernel.stores), len(nodes))


def _frontier(nodes: Sequence[Node]) -> list[Node]:
    """The nodes that no other of them uses."""
    inside = {operand for node in nodes for operand in node.operands}
    return [node for node in nodes if node not in inside]


def _weight(nodes: Iterable[Node]) -> float:
    return sum((2.0 if node.dtype in (F64, I64) else 1.0 for node in nodes), 0.0)
