"""The Plan: steps in order, the buffers between them, and the traffic of each.

In: a flat Function with concrete dtypes. Out: a `Plan`. Between: every result is stored by exactly one
step; a step reads arguments and what earlier steps stored. A reduction across rows is stored in parts
by the kernel that walks them and completed by the next kernel that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tdsl import faults
from tdsl.fusion.graph import Graph
from tdsl.fusion.groups import Entry, Group, Groups, fuse, separate
from tdsl.fusion.kernel import PROGRAMS, Kernel, Stage, Store, numbers_of, unlike
from tdsl.fusion.layout import Layout, layout_of
from tdsl.fusion.nested import nested
from tdsl.fusion.normalise import Normal, base_of, normalise
from tdsl.ir.dtype import AnyDtype
from tdsl.ir.function import Function, Param
from tdsl.ir.node import Node, topological
from tdsl.ir.rewrite import substitute
from tdsl.ir.size import Size
from tdsl.ir.size import index as variable
from tdsl.ops import argmax, argmin, cast_to, input_


@dataclass(frozen=True, slots=True)
class Buffer:
    """An array that a plan allocates: a result, or a workspace between steps."""

    name: str
    dtype: AnyDtype
    shape: tuple[Size, ...]
    is_result: bool


@dataclass(frozen=True, slots=True)
class LibraryCall:
    """A step that the vendor's library does: one node on buffers."""

    node: Node
    reads: tuple[Param, ...]
    stores: tuple[Store, ...]


Step = Kernel | LibraryCall


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they run. `results` names a buffer for each result, in order.

    `log`, which is not part of equality, says what the fuser considered. `positions` has the axes in which
    a position is asked for, by the operation: nowhere, if one is empty.
    """

    name: str
    params: tuple[Param, ...]
    buffers: tuple[Buffer, ...]
    steps: tuple[Step, ...]
    results: tuple[str, ...]
    log: tuple[Entry, ...] = field(default=(), compare=False)
    positions: tuple[tuple[str, tuple[Size, ...]], ...] = ()

    def check(self, size: Callable[[Size], int]) -> None:
        """Raises TdslIndexError where there is no position to name for these sizes."""
        for op, axes in self.positions:
            if not all(map(size, axes)):
                raise faults.EMPTY_ARGMAX.at(op=op)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The steps that are kernels."""
        return tuple(step for step in self.steps if isinstance(step, Kernel))


def make_plan(
    function: Function, stage: Stage = "forward", names: Sequence[str] = (), *, fused: bool = True
) -> Plan:
    """The plan of a flat Function; `names` are those of its results.

    Unless it is `fused`, each operation has a kernel of its own.
    """
    normal = normalise(function)
    normal = replace(normal, function=nested(normal.function))
    graph = Graph(normal.function, repeats=fused)
    groups = fuse(graph) if fused else separate(graph)
    plan = _Planner(normal, graph, len(function.results), stage, names).run(groups)
    positions = {
        (node.op.name, node["axes"]): None
        for node in function.nodes()
        if node.op in (argmax, argmin)
    }
    return replace(plan, positions=tuple(positions))


def with_strides(plan: Plan, strides: Mapping[str, tuple[Size, ...]]) -> Plan:
    """The plan for parameters of which these are not contiguous."""
    if not strides:
        return plan
    steps = tuple(replace(s, strides=strides) if isinstance(s, Kernel) else s for s in plan.steps)
    return replace(plan, steps=steps)


class _Planner:
    """What is stored so far: `stored` has an input node for each computed node in memory."""

    def __init__(
        self, normal: Normal, graph: Graph, count: int, stage: Stage, names: Sequence[str]
    ) -> None:
        self.function = function = normal.function
        self.targets = normal.targets
        self.stage: Stage = stage
        self.graph = graph
        default = ["out"] if count == 1 else [f"out{i}" for i in range(count)]
        self.names: list[str] = []
        for name in names or default:
            self.names.append(unlike(name, {*self.names, *(p.name for p in function.params)}))
        self.stored: dict[Node, Node] = {}
        self.params: dict[Node, Param] = {param.node: param for param in function.params}
        self.buffers: dict[str, Buffer] = {}
        self.steps: list[Step] = []
        self.pending: list[Node] = []
        self.parts: dict[Node, Node] = {}

    def run(self, groups: Groups) -> Plan:
        """Every group in order, reductions across rows completed where they are first needed."""
        for group in groups.groups:
            if group.layout is None:
                self._finish_before(group.nodes)
                self._library_call(group.nodes[0])
            else:
                nodes = (*self._finish_with(group), *group.nodes)
                self._kernel(nodes, group)
        left = [n for n in self.pending if n in self.graph.results and n not in self.stored]
        self._finish(left)
        return Plan(
            self.function.name, self.function.params, tuple(self.buffers.values()),
            tuple(self.steps), tuple(self.names), groups.log,
        )  # fmt: skip

    def _needed(self, nodes: Sequence[Node]) -> list[Node]:
        """The pending reductions that these nodes use."""
        below = topological(
            (o for node in nodes for o in node.operands), stop=self._boundary(nodes)
        )
        return [node for node in self.pending if node in below and node not in self.stored]

    def _boundary(self, nodes: Sequence[Node]) -> frozenset[Node]:
        return frozenset(n for n in self.graph.computed if n not in nodes)

    def _finish_before(self, nodes: Sequence[Node]) -> None:
        self._finish(self._needed(nodes))

    def _finish_with(self, group: Group) -> tuple[Node, ...]:
        """The pending reductions that the group's kernel completes itself; others run before it."""
        needed = self._needed(group.nodes)
        if self._moved(group.nodes) & set(needed):
            self._finish(needed)
            return ()
        if needed and all(not n.axes for n in needed) and any(n.axes for n in group.nodes):
            return tuple(needed)
        together = [n for n in self.pending if set(n.axes) == set(group.nodes[-1].axes)]
        union = [*together, *group.nodes]
        if needed and set(needed) <= set(together) and self._is_alike(union):
            layout = self._finished_layout(union)
            if isinstance(layout, Layout) and not layout.crossed:
                self.pending = [n for n in self.pending if n not in together or not n.axes]
                return tuple(together)
        self._finish(needed)
        return ()

    def _moved(self, nodes: Sequence[Node]) -> set[Node]:
        """The nodes that these read at other places than their own, so that they must lie in memory."""
        graph = self.graph
        return {graph.computed[i] for node in nodes for i in graph.stored[graph.place[node]]}

    @staticmethod
    def _is_alike(nodes: Sequence[Node]) -> bool:
        return all(set(node.axes) == set(nodes[0].axes) for node in nodes)

    def _finished_layout(self, nodes: Sequence[Node]) -> Layout | str:
        """The layout when the crossed reductions among the nodes are sums over programs."""
        new = substitute(nodes, self._inputs(nodes))
        return layout_of(new, new, frozenset(topological(new)))

    def _finish(self, nodes: Sequence[Node]) -> None:
        """Complete reductions in kernels of their own, those with the same axes together."""
        waiting = list(nodes)
        while waiting:
            alike = [n for n in waiting if set(n.axes) == set(waiting[0].axes)]
            waiting = [n for n in waiting if n not in alike]
            self.pending = [n for n in self.pending if n not in alike]
            self._kernel(alike, None)

    def _inputs(self, nodes: Sequence[Node]) -> dict[Node, Node]:
        """What stands for the nodes that lie in memory: reads, and sums over programs."""
        inside = frozenset(nodes)
        values = {node: read for node, read in self.stored.items() if node not in inside}
        for node in nodes:
            if node in self.parts:
                part = self.parts[node]
                attrs = {k: v for k, v in node.attrs if k != "axes"}
                whole = node.op(part, axes=(PROGRAMS,), **attrs)
                values[node] = cast_to(whole, node.dtype)
        return values

    def _kernel(self, nodes: Sequence[Node], group: Group | None) -> None:
        """Append the kernel that computes the nodes."""
        new = dict(zip(nodes, substitute(nodes, self._inputs(nodes)), strict=True))
        made = list(new.values())
        outputs = list(group.outputs) if group else []
        alone = not any(n.axes for n in nodes)
        outputs += [
            n for n in nodes
            if n in self.parts and n not in self.stored
            and (alone or n not in self.pending)
            and (self._is_kept(n, nodes) or (group is None and self._is_used_later(n, nodes)))
        ]  # fmt: skip
        layout = layout_of(made, [new[n] for n in outputs], frozenset(topological(made)))
        assert isinstance(layout, Layout), layout
        crossed = {node for node in nodes if new[node] in layout.crossed}
        stores = [
            store
            for n in dict.fromkeys(outputs)
            for store in self._stores(
                n, new[n], is_crossed=n in crossed, is_used=self._is_used_later(n, nodes)
            )
        ]
        for node in dict.fromkeys(outputs):
            if node in crossed:
                self.pending.append(node)
        self._append(stores, layout, new)

    def _is_kept(self, node: Node, inside: Sequence[Node]) -> bool:
        return node in self.graph.results or (bool(node.axes) and self._is_used_later(node, inside))

    def _is_used_later(self, node: Node, inside: Sequence[Node]) -> bool:
        users = self.graph.users[self.graph.place[node]]
        return any(self.graph.computed[i] not in inside for i in users)

    def _stores(self, node: Node, new: Node, *, is_crossed: bool, is_used: bool) -> Iterator[Store]:
        """Where a node goes: its results, or a workspace; parts of it, if it runs across rows."""
        if is_crossed:
            shape = (PROGRAMS, *node.axes)
            name = self._fresh(node, "partial")
            self._remember(self.parts, node, name, shape, is_result=False)
            yield Store(name, shape, new, tuple(map(variable, node.axes)), share=True)
            return
        kept = False
        for target, result in zip(self.targets, self.function.results, strict=True):
            if result.node is not node:
                continue
            name = self.names[target.number]
            if target.is_plain:
                kept = True
                self._remember(self.stored, node, name, target.shape, is_result=True)
            else:
                self.buffers.setdefault(name, Buffer(name, node.dtype, target.shape, True))
            yield Store(name, target.shape, new, target.places)
        if not kept and (is_used or not self.graph.results & {node}):
            name = self._fresh(node)
            self._remember(self.stored, node, name, node.axes, is_result=False)
            yield Store(name, node.axes, new, tuple(map(variable, node.axes)))

    def _remember(
        self, table: dict[Node, Node], node: Node, name: str, shape: tuple[Size, ...], *,
        is_result: bool,
    ) -> None:  # fmt: skip
        self.buffers[name] = Buffer(name, node.dtype, shape, is_result)
        axes = tuple(size for size in shape if size.constant != 1)
        read = input_(name=name, dtype=node.dtype, axes=axes)
        table[node] = read
        self.params[read] = Param(name, shape, read)

    def _fresh(self, node: Node, suffix: str = "") -> str:
        """A name for a workspace that nothing else has."""
        origin = self.function.origins.get(node)
        base = origin.name if origin and origin.name.isidentifier() else node.op.name
        taken = {p.name for p in self.params.values()} | set(self.names)
        return unlike(f"{base}_{suffix}" if suffix else base, taken)

    def _append(self, stores: Sequence[Store], layout: Layout, new: Mapping[Node, Node]) -> None:
        taken = {param.name for param in self.params.values()}
        numbers = tuple(
            (unlike(name, taken), node)
            for name, node in numbers_of([store.node for store in stores])
        )
        values = {n: input_(name=name, dtype=n.dtype, axes=()) for name, n in numbers}
        roots = substitute([store.node for store in stores], values)
        moved = dict(zip((store.node for store in stores), roots, strict=True))
        crossed = substitute(layout.crossed, values)
        own = tuple(replace(store, node=moved[store.node]) for store in stores)
        inner = topological(roots)
        reads = tuple(self.params[n] for n in inner if n in self.params)
        number = len(self.steps)
        name = f"{self.function.name}_{self.stage}" + (f"_{number}" if number else "")
        origins = {}
        for node, rebuilt in new.items():
            if node in self.function.origins:
                (last,) = substitute([rebuilt], values)
                origins[last] = self.function.origins[node]
        kernel = Kernel(
            name, self.stage, reads, numbers, own, replace(layout, crossed=crossed), {}, origins
        )
        self.steps.append(kernel)

    def _library_call(self, node: Node) -> None:
        (new,) = substitute([node], self._inputs([node]))
        used = self._is_used_later(node, [node])
        stores = tuple(self._stores(node, new, is_crossed=False, is_used=used))
        bases = dict.fromkeys(map(base_of, new.operands))
        reads = tuple(self.params[base] for base in bases if base in self.params)
        self.steps.append(LibraryCall(new, reads, stores))


__all__ = ["Buffer", "LibraryCall", "Plan", "Step", "make_plan"]
