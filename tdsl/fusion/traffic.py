"""The bytes that a kernel moves, read off the kernel and its schedule.

In: a `Kernel`, its `Schedule`, and sizes. Out: `Traffic`, by buffer. Between: a buffer counts its touched
footprint once for each pass that streams it; what lacks the walked axes counts once, up to 8 MB, since
it stays in the cache; a streamed row that the same program reads again counts as re-read too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from tdsl.fusion.kernel import Kernel, Store, used
from tdsl.fusion.offsets import base_of
from tdsl.fusion.online import streamed_passes
from tdsl.fusion.schedule import Schedule
from tdsl.ir.dtype import item_bytes
from tdsl.ir.function import Function
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ops import index, input_, take

CACHED = 8 << 20
"""Bytes that stay on the chip while rows are walked."""

Sizes = Callable[[Size], int]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes by buffer. `reread` is the part of `reads` that the same program had read before."""

    reads: Mapping[str, int]
    writes: Mapping[str, int]
    reread: int

    @property
    def moved(self) -> int:
        """All bytes."""
        return sum(self.reads.values()) + sum(self.writes.values())


def traffic(kernel: Kernel, schedule: Schedule, size: Sizes) -> Traffic:
    """The bytes that the kernel moves at these sizes."""
    footprints = _footprints(kernel.nodes(), {read.node for read in kernel.reads}, size)
    rows = set(schedule.rows)
    blocks = -(-prod(map(size, schedule.rows)) // schedule.block_rows)
    reads: dict[str, int] = {}
    reread = 0
    for read in kernel.reads:
        parts = footprints.get(read.node, {})
        whole = prod(map(size, read.shape)) * item_bytes(read.node.dtype)
        once = min(sum(parts.values()), whole)
        passes = _passes(kernel, schedule, set(parts))
        if once > CACHED and not any(rows & set(node.axes) for node in parts):
            passes *= blocks
        reads[read.name] = once * passes
        reread += once * (passes - 1) if schedule.kind == "looped" else 0
    writes: dict[str, int] = {}
    for store in kernel.stores:
        kept, written = _stored(store, schedule, size)
        if kept:
            reads[store.buffer] = kept
        writes[store.buffer] = writes.get(store.buffer, 0) + written
    return Traffic(reads, writes, reread)


def _stored(store: Store, schedule: Schedule, size: Sizes) -> tuple[int, int]:
    """The bytes that a store reads and writes.

    A program's part of a streamed row lies in memory: read for each row but its first, written for each. A
    program without rows writes once. What is the same along the row is written by every tile of it.
    """
    each = prod(map(size, store.node.axes)) * item_bytes(store.node.dtype)
    if store.share:
        parts = size(store.shape[0])
        if schedule.kind == "looped" and store.node.axes:
            rows = prod(map(size, schedule.rows))
            return each * max(rows - parts, 0), each * max(rows, parts)
        each *= parts
    if schedule.kind == "tiled" and not set(schedule.columns) & set(store.node.axes):
        each *= -(-prod(map(size, schedule.columns)) // schedule.block_columns)
    return 0, each


def compulsory(function: Function, size: Sizes) -> int:
    """The least that any program moves: what is needed of arguments read once, results written once."""
    footprints = _footprints(function.nodes(), {param.node for param in function.params}, size)
    total = 0
    for param in function.params:
        whole = prod(map(size, param.shape)) * item_bytes(param.node.dtype)
        total += min(sum(footprints.get(param.node, {}).values()), whole)
    return total + sum(
        prod(map(size, result.shape)) * item_bytes(result.node.dtype) for result in function.results
    )


def _footprints(nodes: list[Node], memory: set[Node], size: Sizes) -> dict[Node, dict[Node, int]]:
    """For each buffer the reads of it, with the bytes that each touches."""
    found: dict[Node, dict[Node, int]] = {}
    values = set(nodes)
    for node in nodes:
        base = base_of(node)
        is_read = node.op in (index, take) or node.op is input_
        if is_read and base in memory and _is_used(node, values, memory):
            touched = prod(map(size, node.axes)) * item_bytes(node.dtype)
            found.setdefault(base, {})[node] = touched
    return found


def _is_used(node: Node, values: set[Node], memory: set[Node]) -> bool:
    """Whether the read's value is taken, not only what it reads through."""
    users = [other for other in values if node in other.operands]
    return not users or any(node in used(other, memory) for other in users)


def _passes(kernel: Kernel, schedule: Schedule, reads: set[Node]) -> int:
    """How many passes over the row need one of these reads."""
    columns = set(schedule.columns)
    along = {node for node in reads if columns & set(node.axes)}
    if schedule.kind != "looped" or not along:
        return 1
    nodes = kernel.nodes()
    passes = streamed_passes(nodes, columns)
    needed: set[int] = set()
    ends = [(n.operands[0], passes.of(n)) for n in nodes if n.op.family == "reduction"]
    ends += [(store.node, passes.known[store.node]) for store in kernel.stores if not store.share]
    memory = {read.node for read in kernel.reads}
    for root, number in ends:
        if along & _streamed(root, memory):
            needed.add(number)
    return max(len(needed), 1)


def _streamed(root: Node, memory: set[Node]) -> set[Node]:
    """The values that are made in the pass that has the root."""
    found: set[Node] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node not in found and node.op.family != "reduction":
            found.add(node)
            waiting += used(node, memory)
    return found
