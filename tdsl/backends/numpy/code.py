"""What happens on a tile: operations in order, and which of them write to which memory.

In: restricted nodes, and the order in which axes lie in memory. Out: `Code`. Between: a ufunc writes to
scratch memory, which another value takes after its last use, or straight to a result; any other function
gives a fresh array. What is the same for every tile is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tdsl.backends.numpy.functions import is_written
from tdsl.backends.numpy.sums import factors, is_inner
from tdsl.ir.node import Node, topological, uses
from tdsl.ir.size import Atom, Size
from tdsl.ops import erf, index, input_, numpy_dtype, where

Order = Callable[[Sequence[Size]], tuple[Size, ...]]
Operands = Mapping[Node, tuple[Node, ...]]


TWICE = (where, erf)
"""Operations whose functions read an operand again after they have begun to write."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Scratch memory for values along these axes, of this many bytes an element."""

    number: int
    axes: frozenset[Size]
    itemsize: int


@dataclass(frozen=True, slots=True)
class Code:
    """What a kernel computes once, and on each tile; where values go that ufuncs compute.

    `placed` are index maps that depend on where the tile lies; `sums` are those along the last axis, with
    what they are computed from.
    """

    once: tuple[Node, ...]
    each: tuple[Node, ...]
    placed: frozenset[Node]
    scratch: dict[Node, Memory]
    direct: frozenset[Node]
    sums: Operands


def code_of(
    roots: Sequence[Node], tile: frozenset[Size], stored: frozenset[Node], order: Order
) -> Code:
    """The code of these values; `tile` are axes and starts of a tile, and `stored` goes to results.

    `order` sorts axes as they lie in memory.
    """
    every = topological(roots)
    sums = _sums(every, roots, order)
    merged = {node.operands[0] for node, parts in sums.items() if len(parts) > 1}
    nodes = [node for node in every if node not in merged]
    placed = frozenset(node for node in nodes if _is_placed(node, tile))
    local = _local(every, tile) | placed
    each = [node for node in nodes if node in local]
    direct = frozenset(node for node in each if node in stored and is_written(node))
    return Code(
        tuple(node for node in nodes if node not in local),
        tuple(each),
        placed,
        _scratch(each, frozenset(roots), direct, sums),
        direct,
        sums,
    )


def _sums(nodes: Sequence[Node], roots: Sequence[Node], order: Order) -> Operands:
    """The sums along the last axis, each with its operand, or the factors of one that nobody else uses."""
    counts = uses(nodes)
    found: dict[Node, tuple[Node, ...]] = {}
    for node in nodes:
        if not is_inner(node, order):
            continue
        parts = factors(node, order)
        is_shared = counts[node.operands[0]] > 1 or node.operands[0] in roots
        found[node] = node.operands if is_shared else parts
    return found


def _local(nodes: Sequence[Node], tile: frozenset[Size]) -> set[Node]:
    """The values that differ between tiles."""
    starts = {axis.text for axis in tile}
    found: set[Node] = set()
    for node in nodes:
        is_start = node.op is input_ and node["name"] in starts
        if is_start or tile & {*node.axes} or found & {*node.operands}:
            found.add(node)
    return found


def _is_placed(node: Node, tile: frozenset[Size]) -> bool:
    """Whether an index map has the start of a tile in it."""
    if node.op is not index:
        return False
    starts = {axis.atom for axis in tile}
    used: set[Atom] = set()
    for piece in node["map"].pieces:
        for expr in (*(e for _, e in piece.exprs), *(c.expr for c in piece.domain)):
            used |= expr.atoms()
    return bool(starts & used)


def _scratch(
    nodes: Sequence[Node], roots: frozenset[Node], direct: frozenset[Node], sums: Operands
) -> dict[Node, Memory]:
    """The memory of each value that a ufunc computes, free again after the last use."""
    owners = {node: node for node in nodes}
    last: dict[Node, Node | None] = {}
    for node in nodes:
        given = sums.get(node, node.operands)
        if node.op.is_view and not is_written(node):
            owners[node] = next((owners[o] for o in given if o in owners), node)
        last |= {owners[operand]: node for operand in given if operand in owners}
    last |= {owners[root]: None for root in roots if root in owners}
    found: dict[Node, Memory] = {}
    free: list[Memory] = []
    count = 0
    for node in nodes:
        given = sums.get(node, node.operands)
        dying = dict.fromkeys(owners[operand] for operand in given if operand in owners)
        left = [found[owner] for owner in dying if owner in found and last[owner] is node]
        kind = (frozenset(node.axes), numpy_dtype(node.dtype).itemsize)
        usable = free if node.op in TWICE else [*free, *left]
        fitting = [memory for memory in usable if (memory.axes, memory.itemsize) == kind]
        free += left
        if node in direct or not is_written(node):
            continue
        if fitting:
            found[node] = fitting[-1]
            free.remove(fitting[-1])
        else:
            found[node] = Memory(count, *kind)
            count += 1
    return found
