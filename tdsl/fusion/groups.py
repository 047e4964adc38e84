"""Grouping: which computed nodes share a kernel, chosen by the bytes that this saves.

In: a `Graph`. Out: `Groups`: a partition of its computed nodes in an order in which they can run, and
the log of what was merged and what was not. Between: every group has a layout (see `layout`), no group
depends on itself through another, and no merge moves more bytes than its parts did.

Greedy: the legal merge that saves most goes first; among equal ones the earliest in the program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from tdsl.fusion.graph import Graph
from tdsl.fusion.layout import Layout, along, layout_of
from tdsl.fusion.normalise import elements, is_library
from tdsl.ir.dtype import item_bytes
from tdsl.ir.node import Node, topological
from tdsl.ir.size import Axis
from tdsl.transforms.partition import REFERENCE

Members = frozenset[int]


@dataclass(frozen=True, slots=True)
class Entry:
    """A merge that was considered: names of the parts, bytes before and after, and why it was not made."""

    first: str
    second: str
    before: int
    after: int
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes of one kernel, operands first. A library call is a group of one node without a layout."""

    nodes: tuple[Node, ...]
    outputs: tuple[Node, ...]
    layout: Layout | None


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups in an order in which they can run, the fuser's log, and the bytes that they move."""

    groups: tuple[Group, ...]
    log: tuple[Entry, ...]
    bytes: int


def fuse(graph: Graph) -> Groups:
    """The groups of a graph."""
    return _Fuser(graph).run()


def separate(graph: Graph) -> Groups:
    """A group for each computed node: what fusion is compared with."""
    return _Fuser(graph).groups_now()


@dataclass(frozen=True, slots=True)
class _Merge:
    """A merge of groups: the bytes that the parts and the whole move, and why it is not made."""

    parts: tuple[int, ...]
    before: int
    after: int
    refusal: str

    @property
    def saved(self) -> int:
        """The bytes saved."""
        return self.before - self.after


class _Fuser:
    """The state of the greedy search. Groups are numbered by their first node."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sizes: Mapping[str, int] = {
            name: REFERENCE for node in graph.nodes for axis in along(node) for name in axis.names()
        }
        self.groups: dict[int, Members] = {i: frozenset((i,)) for i in range(len(graph.computed))}
        self.owner = list(range(len(graph.computed)))
        self.log: list[Entry] = []
        self._computed = frozenset(graph.computed)
        self._cost, self._size = cache(self._bytes), cache(self._bytes_of)
        self._bases, self._axes = cache(self._memory), cache(self._along)

    def run(self) -> Groups:
        """Merge while something is saved."""
        known: dict[tuple[int, int], _Merge] = {}
        while True:
            for pair in self._pairs():
                if pair not in known:
                    known[pair] = self._judged(*pair)
            legal = [pair for pair, merge in known.items() if not merge.refusal]
            if not legal:
                break
            pair = max(legal, key=lambda pair: (known[pair].saved, -pair[0], -pair[1]))
            best = self._judged(*pair)
            if best != known[pair]:  # another merge has put a group between them
                known[pair] = best
                continue
            self._merge(best)
            gone = set(best.parts)
            known = {
                pair: merge
                for pair, merge in known.items()
                if not merge.refusal and gone.isdisjoint(merge.parts)
            }
        self.log += [self._entry(pair, merge) for pair, merge in sorted(known.items())]
        return self.groups_now()

    def groups_now(self) -> Groups:
        """The groups as they are."""
        moved = sum(map(self._cost, self.groups.values()))
        return Groups(tuple(map(self._group, self._ordered())), tuple(self.log), moved)

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Groups that touch: one uses the other, or both read the same memory, or run alike."""
        names = sorted(self.groups)
        for position, a in enumerate(names):
            for b in names[position + 1 :]:
                if self._touch(self.groups[a], self.groups[b]):
                    yield a, b

    def _touch(self, a: Members, b: Members) -> bool:
        graph = self.graph
        if any((graph.values[i] | graph.stored[i]) & b for i in a):
            return True
        if any((graph.values[i] | graph.stored[i]) & a for i in b):
            return True
        return bool(self._bases(a) & self._bases(b)) or self._axes(a) == self._axes(b)

    def _memory(self, members: Members) -> frozenset[Node]:
        """What a kernel of these nodes reads."""
        graph = self.graph
        read = {base for i in members for _, base in graph.reads(graph.computed[i])}
        return frozenset(
            read | {graph.computed[j] for i in members for j in graph.values[i] - members}
        )

    def _along(self, members: Members) -> frozenset[Axis]:
        return frozenset(a for i in members for a in along(self.graph.computed[i]))

    def _judged(self, a: int, b: int) -> _Merge:
        """What merging two groups, and those between them, saves; why it is not done, if it is not."""
        parts = tuple(sorted({a, b} | self._between(a, b)))
        union = frozenset(i for part in parts for i in self.groups[part])
        before = sum(self._cost(self.groups[part]) for part in parts)
        after = self._cost(union)
        return _Merge(parts, before, after, self._refusal(a, b, union, before - after))

    def _refusal(self, a: int, b: int, union: Members, saved: int) -> str:
        if saved < 0:
            return "it would move more bytes"
        if saved == 0 and self._axes(self.groups[a]) != self._axes(self.groups[b]):
            return "nothing is saved"
        if any(is_library(self.graph.computed[i]) for i in union):
            return (
                "a library call stands between" if len(union) > 2 else "a library call stands alone"
            )
        if any(self.graph.stored[i] & union for i in union):
            return "a value is read at other places than it is computed at"
        nodes = frozenset(self.graph.computed[i] for i in union)
        if any(not nodes.isdisjoint(self.graph.alike.get(node, ())) for node in nodes):
            return "a value would be computed again for several rows"
        found = self._layout(union)
        return found if isinstance(found, str) else ""

    def _between(self, a: int, b: int) -> set[int]:
        """The groups on paths from one group to the other."""
        after = self._closure(a, b, self.graph.users)
        before = self._closure(
            a, b, [x | y for x, y in zip(self.graph.values, self.graph.stored, strict=True)]
        )
        return after & before

    def _closure(self, a: int, b: int, edges: Sequence[Members]) -> set[int]:
        """The other groups that can be reached from these two along the edges."""
        seen: set[int] = set()
        stack = [a, b]
        while stack:
            for i in self.groups[stack.pop()]:
                for group in {self.owner[j] for j in edges[i]} - seen - {a, b}:
                    seen.add(group)
                    stack.append(group)
        return seen

    def _merge(self, merge: _Merge) -> None:
        self.log.append(self._entry(merge.parts[:2], merge))
        first, *rest = merge.parts
        for part in rest:
            self.groups[first] |= self.groups.pop(part)
        for i in self.groups[first]:
            self.owner[i] = first

    def _entry(self, pair: Sequence[int], merge: _Merge) -> Entry:
        first, second = map(self._name, pair)
        return Entry(first, second, merge.before, merge.after, merge.refusal)

    def _name(self, group: int) -> str:
        graph = self.graph
        members = sorted(self.groups[group])
        named = (graph.function.origins.get(graph.computed[i]) for i in reversed(members))
        name = next((origin.name for origin in named if origin and origin.name), "")
        return name or "+".join(dict.fromkeys(graph.computed[i].op.name for i in members))

    def _outputs(self, members: Members) -> tuple[Node, ...]:
        graph = self.graph
        return tuple(
            graph.computed[i]
            for i in sorted(members)
            if graph.computed[i] in graph.results or graph.users[i] - members
        )

    def _layout(self, members: Members) -> Layout | str:
        nodes = [self.graph.computed[i] for i in sorted(members)]
        outside = self._computed.difference(nodes)
        inside = topological(nodes, stop=outside)
        return layout_of(nodes, self._outputs(members), frozenset(inside) - outside)

    def _bytes(self, members: Members) -> int:
        """The bytes that a kernel of these nodes moves, at the reference sizes."""
        graph = self.graph
        read: dict[Node, dict[Node, int]] = {}
        for i in members:
            for access, base in graph.reads(graph.computed[i]):
                read.setdefault(base, {})[access] = self._size(access)
            for j in graph.values[i] - members:
                node = graph.computed[j]
                read.setdefault(node, {})[node] = self._size(node)
        total = sum(min(sum(parts.values()), self._size(base)) for base, parts in read.items())
        return total + sum(map(self._size, self._outputs(members)))

    def _bytes_of(self, node: Node) -> int:
        return elements(node.axes).evaluate(self.sizes) * item_bytes(node.dtype)

    def _ordered(self) -> list[int]:
        """The groups, each after those it depends on; the earliest in the program first."""
        graph, waiting, done, order = self.graph, sorted(self.groups), set[int](), list[int]()
        while waiting:
            ready = next(
                g for g in waiting
                if all(
                    self.owner[j] in done or self.owner[j] == g
                    for i in self.groups[g]
                    for j in graph.values[i] | graph.stored[i]
                )
            )  # fmt: skip
            waiting.remove(ready)
            done.add(ready)
            order.append(ready)
        return order

    def _group(self, name: int) -> Group:
        members = self.groups[name]
        nodes = tuple(self.graph.computed[i] for i in sorted(members))
        if is_library(nodes[0]):
            return Group(nodes, nodes, None)
        layout = self._layout(members)
        assert isinstance(layout, Layout)
        return Group(nodes, self._outputs(members), layout)
