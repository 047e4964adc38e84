"""What happens on a tile: operations in order, and which of them write to which memory.

In: restricted nodes, and the order in which axes lie in memory. Out: `Code`. Between: a ufunc writes to
scratch memory, which another value takes after its last use, or straight to a result; any other function
gives a fresh array. What is the same for every tile is computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tdsl.backends.numpy.functions import is_written, sized
from tdsl.backends.numpy.one_hot import place_and_value
from tdsl.backends.numpy.sums import Order, factors, is_inner
from tdsl.backends.numpy.tiles import Part
from tdsl.ir.node import Node, topological, uses
from tdsl.ir.size import Atom, Size
from tdsl.ops import erf, index, input_, numpy_dtype, where

Operands = Mapping[Node, tuple[Node, ...]]
WHOLE: frozenset[Size] = frozenset()
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

    `held` is what depends on where the tile begins along the divided axis number `slowest` alone: it is
    computed anew when that changes. `placed` are index maps that depend on where the tile lies. `merged`
    are sums along the last axis, rows that are 0 but at one place, and -|x|, with what they are computed
    from. `parted` is what is read by index maps alone, and by which.
    """

    once: tuple[Node, ...]
    held: tuple[Node, ...]
    each: tuple[Node, ...]
    slowest: int
    placed: frozenset[Node]
    scratch: dict[Node, Memory]
    direct: frozenset[Node]
    merged: Operands
    parted: Operands


def code_of(
    roots: Sequence[Node], parts: Sequence[Part], stored: frozenset[Node], order: Order
) -> Code:
    """The code of these values on a tile with these parts; `stored` goes to results.

    `order` sorts axes as they lie in memory.
    """
    every = topological(roots)
    merged = _merged(every, roots, order)
    inside = {node.operands[0] for node, given in merged.items() if given[0] not in node.operands}
    nodes = [node for node in every if node not in inside]
    marks = [frozenset((part.tile, part.start)) for part in parts]
    placed = frozenset(node for node in nodes if _is_placed(node, WHOLE.union(*marks)))
    along = [_local(every, mark) for mark in marks]
    local = placed.union(*along)
    slowest, held = _held(nodes, along, _following(nodes, placed))
    each = [node for node in nodes if node in local and node not in held]
    direct = frozenset(node for node in each if node in stored and is_written(node))
    return Code(
        tuple(node for node in nodes if node not in local),
        tuple(node for node in nodes if node in held),
        tuple(each),
        slowest,
        placed,
        _scratch(each, frozenset(roots), direct, merged),
        direct,
        merged,
        {} if held else _parted(each, nodes),
    )


def _parted(each: Sequence[Node], nodes: Sequence[Node]) -> Operands:
    """What each tile reads by several index maps and by nothing else."""
    users = {
        node: tuple(user for user in nodes if node in user.operands)
        for node in each
        if node.op is input_ and node.axes
    }
    return {
        node: found
        for node, found in users.items()
        if len(found) > 1 and all(user.op is index for user in found)
    }


def _held(
    nodes: Sequence[Node], along: Sequence[set[Node]], moving: set[Node]
) -> tuple[int, frozenset[Node]]:
    """The divided axis along which alone most values lie that are computed, by number, and these values.

    What is `moving` is computed on each tile.
    """
    alone = [
        frozenset(
            node
            for node in nodes
            if node in own and node not in moving
            if not any(node in other for other in along if other is not own)
        )
        for own in along
    ]
    counts = [sum(node.op is not input_ for node in found) for found in alone]
    if len(along) < 2 or not any(counts):
        return 0, frozenset()
    slowest = counts.index(max(counts))
    return slowest, frozenset(node for node in alone[slowest] if node.op is not input_)


def _merged(nodes: Sequence[Node], roots: Sequence[Node], order: Order) -> Operands:
    """Values that are computed from others than their operands, where nobody else uses these."""
    counts = uses(nodes)
    found: dict[Node, tuple[Node, ...]] = {}
    for node in nodes:
        is_own = bool(node.operands) and counts[node.operands[0]] == 1
        is_own = is_own and node.operands[0] not in roots
        if is_inner(node, order):
            found[node] = factors(node, order) if is_own else node.operands
        elif is_own and (given := place_and_value(node, order) or sized(node)):
            found[node] = given
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


def _following(nodes: Sequence[Node], start: frozenset[Node]) -> set[Node]:
    """These values and all that are computed from them."""
    found = {*start}
    for node in nodes:
        if found & {*node.operands}:
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
    nodes: Sequence[Node], roots: frozenset[Node], direct: frozenset[Node], merged: Operands
) -> dict[Node, Memory]:
    """The memory of each value that a ufunc computes, free again after the last use."""
    owners = {node: node for node in nodes}
    last: dict[Node, Node | None] = {}
    for node in nodes:
        given = merged.get(node, node.operands)
        if node.op.is_view and not is_written(node):
            owners[node] = next((owners[o] for o in given if o in owners), node)
        last |= {owners[operand]: node for operand in given if operand in owners}
    last |= {owners[root]: None for root in roots if root in owners}
    found: dict[Node, Memory] = {}
    free: list[Memory] = []
    count = 0
    for node in nodes:
        given = merged.get(node, node.operands)
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
