"""The normalised graph as the fuser sees it: what is computed, what is read, what depends on what.

In: a normalised Function. Out: a `Graph`. Between: a node is *free* if it is read or made from positions
and sizes alone, so that every kernel has it for itself; all others are *computed*, each in some kernel.
A computed node uses another one either as a value, so that one kernel may hold both, or through memory
(at other places than its own), so that the other must be stored by an earlier kernel.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from tdsl.fusion import costly
from tdsl.fusion.normalise import base_of, is_leaf, is_library, is_spread
from tdsl.ir.function import Function
from tdsl.ir.node import Node, topological
from tdsl.ir.size import Axis
from tdsl.ops import index, input_, take

MOST_READS = 2


def _is_arithmetic(node: Node, free: Container[Node]) -> bool:
    """Whether the node is arithmetic on what is free."""
    return node.op.family == "pointwise" and all(o in free for o in node.operands)


def _is_made(node: Node) -> bool:
    """Whether the node comes from positions and constants alone."""
    return base_of(node).op.family == "constant"


@dataclass(frozen=True, eq=False)
class Graph:
    """A normalised Function with its computed nodes numbered, operands first.

    Unless it `repeats`, no arithmetic is repeated in several kernels, however cheap.
    """

    function: Function
    repeats: bool = True

    @cached_property
    def results(self) -> frozenset[Node]:
        """The nodes that are handed out."""
        return frozenset(result.node for result in self.function.results)

    @cached_property
    def nodes(self) -> list[Node]:
        """Every node, operands first."""
        return self.function.nodes()

    @cached_property
    def alike(self) -> Mapping[Node, frozenset[Node]]:
        """What is computed once for several rows, and by which nodes it is used so."""
        return costly.alike(self.nodes)

    @cached_property
    def free(self) -> frozenset[Node]:
        """The nodes that every kernel makes for itself: reads, positions, constants, cheap arithmetic.

        Arithmetic on one or two arrays of its own size is cheaper to repeat than to store and read.
        """
        reads: dict[Node, frozenset[Node]] = {}
        kept = {o for node in self.nodes if is_library(node) for o in node.operands} | self.results
        kept |= {base_of(node) for node in self.nodes if node.op is index and not is_spread(node)}
        kept |= {base_of(node.operands[0]) for node in self.nodes if node.op is take}
        kept |= set(self.alike)
        for node in self.nodes:
            if (node.op is index and not is_spread(node)) or is_leaf(node):
                reads[node] = frozenset((node,)) - frozenset((node,) if _is_made(node) else ())
            elif node.op.family == "pointwise" and not node.axes and node not in kept:
                reads[node] = frozenset()  # one number
            elif self.repeats and _is_arithmetic(node, reads):
                own = frozenset[Node]().union(*(reads[o] for o in node.operands))
                stored = any(base_of(read).op is not input_ for read in own)
                if len(own) <= MOST_READS and not stored and node not in kept:
                    reads[node] = own
        return frozenset(reads)

    @cached_property
    def computed(self) -> list[Node]:
        """The nodes that kernels and library calls compute, operands first."""
        return [node for node in self.nodes if node not in self.free]

    @cached_property
    def place(self) -> Mapping[Node, int]:
        """The number of each computed node."""
        return {node: i for i, node in enumerate(self.computed)}

    @cached_property
    def values(self) -> list[frozenset[int]]:
        """For each computed node those that it uses as values."""
        return [
            frozenset(
                self.place[o]
                for o, stored in self._all_uses(node)
                if not stored and o in self.place
            )
            for node in self.computed
        ]

    @cached_property
    def stored(self) -> list[frozenset[int]]:
        """For each computed node those that it reads from memory."""
        return [
            frozenset(
                self.place[base_of(o)]
                for o, stored in self._all_uses(node)
                if stored and base_of(o) in self.place
            )
            for node in self.computed
        ]

    @cached_property
    def users(self) -> list[frozenset[int]]:
        """For each computed node those that use it, either way."""
        found: list[set[int]] = [set() for _ in self.computed]
        for i in range(len(self.computed)):
            for j in self.values[i] | self.stored[i]:
                found[j].add(i)
        return [frozenset(users) for users in found]

    def reads(self, node: Node) -> Iterator[tuple[Node, Node]]:
        """What a computed node reads from memory: pairs of the read and its base."""
        for operand, stored in self._all_uses(node):
            base = base_of(operand)
            if base.op is input_ or (stored and base in self.place):
                yield (node if node.op is take and operand is node.operands[0] else operand), base

    def _all_uses(self, node: Node) -> Iterator[tuple[Node, bool]]:
        """The uses of a node and of the free arithmetic that it takes in."""
        yield from _uses(node)
        inner = [o for o in node.operands if o in self.free and o.op.family == "pointwise"]
        for free in topological(inner, stop=frozenset(self.computed)):
            if free in self.free:
                yield from _uses(free)

    def axes(self, node: Node) -> tuple[Axis, ...]:
        """The axes along which a node is computed: its own, and those that it reduces."""
        if node.op.family == "reduction":
            return (*node.axes, *node["axes"])
        return node.axes


def _uses(node: Node) -> Iterator[tuple[Node, bool]]:
    """The operands of a node, each with whether it is read at other places than the node's own."""
    for place, operand in enumerate(node.operands):
        moved = operand.op is index and not is_spread(operand)
        moved = moved and base_of(operand).op.family != "constant"
        yield operand, moved or (node.op is take and place == 0)
