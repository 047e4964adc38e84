"""What happens on a tile: operations in order, and which of them write to which memory.

In: restricted nodes, and the order in which axes lie in memory. Out: `Code`. Between: a ufunc writes to
scratch memory, which another value takes after its last use, or straight to a result; any other function
gives a fresh array. What is the same for every tile is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tdsl.backends.numpy.select import select
from tdsl.ir.node import Kernel as Function
from tdsl.ir.node import Node, remake, topological
from tdsl.ir.size import Atom, Size
from tdsl.ops import index, input_, numpy_dtype, where

Sizes = Callable[[Size], int]


@dataclass(frozen=True, slots=True)
class Memory:
    """Scratch memory for values along these axes, of this many bytes an element."""

    number: int
    axes: frozenset[Size]
    itemsize: int


@dataclass(frozen=True, slots=True)
class Code:
    """What a kernel computes once, and on each tile; where values go that ufuncs compute.

    `placed` are index maps that depend on where the tile lies.
    """

    once: tuple[Node, ...]
    each: tuple[Node, ...]
    placed: frozenset[Node]
    scratch: dict[Node, Memory]
    direct: frozenset[Node]


def code_of(roots: Sequence[Node], tile: frozenset[Size], stored: frozenset[Node]) -> Code:
    """The code of these values; `tile` are axes and starts of a tile, and `stored` goes to results."""
    nodes = topological(roots)
    placed = frozenset(node for node in nodes if _is_placed(node, tile))
    local = _local(nodes, tile) | placed
    each = [node for node in nodes if node in local]
    direct = frozenset(node for node in each if node in stored and _is_written(node))
    return Code(
        tuple(node for node in nodes if node not in local),
        tuple(each),
        placed,
        _scratch(each, frozenset(roots), direct),
        direct,
    )


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


def function_of(node: Node) -> Function | None:
    """The function of a pointwise operation on arrays that broadcast: what it is on numbers."""
    if node.op.family != "pointwise":
        return None
    numbers = [
        input_(name=f"x{place}", dtype=operand.dtype, axes=())
        for place, operand in enumerate(node.operands)
    ]
    number = remake(node.op, tuple(numbers), node.attrs)
    function = node.op.evaluate(number, lambda size: 1)
    return select if function is np.where else function


def _is_written(node: Node) -> bool:
    """Whether the function that computes a value can be told where to write."""
    function = function_of(node)
    return bool(node.axes) and (function is select or isinstance(function, np.ufunc))


def _scratch(
    nodes: Sequence[Node], roots: frozenset[Node], direct: frozenset[Node]
) -> dict[Node, Memory]:
    """The memory of each value that a ufunc computes, free again after the last use."""
    owners = {node: node for node in nodes}
    last: dict[Node, Node | None] = {}
    for node in nodes:
        if node.op.is_view:
            owners[node] = next((owners[o] for o in node.operands if o in owners), node)
        last |= {owners[operand]: node for operand in node.operands if operand in owners}
    last |= {owners[root]: None for root in roots if root in owners}
    found: dict[Node, Memory] = {}
    free: list[Memory] = []
    count = 0
    for node in nodes:
        dying = dict.fromkeys(owners[operand] for operand in node.operands if operand in owners)
        left = [found[owner] for owner in dying if owner in found and last[owner] is node]
        kind = (frozenset(node.axes), numpy_dtype(node.dtype).itemsize)
        usable = free if node.op is where else [*free, *left]
        fitting = [memory for memory in usable if (memory.axes, memory.itemsize) == kind]
        free += left
        if node in direct or not _is_written(node):
            continue
        if fitting:
            found[node] = fitting[-1]
            free.remove(fitting[-1])
        else:
            found[node] = Memory(count, *kind)
            count += 1
    return found
