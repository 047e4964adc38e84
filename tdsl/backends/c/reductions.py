"""Reductions and running reductions as C: what they are put together in, and how.

In: reductions of a kernel. Out: lines, and the names of what is carried. Between: a sum in f32 that is put
together from blocks is carried in f64; a place is the first one of its extremum; truth is carried as a
number. With rows side by side whatever is carried is an array over them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tdsl.backends.c import counters
from tdsl.backends.c.literals import (
    c_type,
    carry_type,
    clause,
    combined,
    converted,
    identity,
    kind_of,
)
from tdsl.backends.c.values import Values
from tdsl.backends.names import written
from tdsl.fusion.kernel import Store
from tdsl.fusion.layout import PROGRAMS, is_replicated
from tdsl.ir.dtype import BOOL, AnyDtype
from tdsl.ir.node import Node, topological
from tdsl.ir.size import index as variable
from tdsl.ops import recurrence

EXTREMA = {"argmax": "max", "argmin": "min"}
STEPS = {
    "cumsum": "{0} + {1}", "cumprod": "{0} * {1}", "cummax": "larger_{t}({0}, {1})",
    "logcumsumexp": "log_add_exp_{t}({0}, {1})",
}  # fmt: skip


def compared(node: Node) -> AnyDtype:
    """The dtype of what a reduction adds or compares."""
    return node.operands[0].dtype if node.op.name in EXTREMA else node.dtype


def steps(node: Node) -> str:
    """The name of the operation that a reduction repeats."""
    return EXTREMA.get(node.op.name, node.op.name)


def joined(node: Node, a: str, b: str) -> str:
    """Two partial results as one."""
    return combined(steps(node), compared(node)).format(a, b)


def plain_type(node: Node) -> str:
    """The type of one partial result."""
    return "int32_t" if compared(node) == BOOL else c_type(compared(node))


def wide_type(node: Node) -> str:
    """The type in which the results of blocks are put together."""
    return carry_type(compared(node), steps(node))


def start(node: Node) -> str:
    """The result of nothing."""
    text = identity(node)
    return str(int(text == "true")) if compared(node) == BOOL else text


@dataclass
class Reductions(Values):
    """`totals` has what a reduction is carried in, and its type, `places` the place of an extremum."""

    totals: dict[Node, tuple[str, str]] = field(default_factory=dict)
    places: dict[Node, str] = field(default_factory=dict)
    running: dict[Node, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.side_by_side = self.schedule.kind == "lanes"
        self.crossed = self.kernel.layout.crossed

    def carried(self, name: str) -> str:
        """What is carried for one row."""
        return f"{name}[lane]" if self.side_by_side else name

    def declare(self, type_: str, name: str, value: str) -> None:
        """A variable of the row, or one for each of the rows side by side."""
        if self.side_by_side:
            count = self.schedule.block
            self.line(f"{type_} {name}[{count}];")
            self.line(f"for (int64_t lane = 0; lane < {count}; lane++) {name}[lane] = {value};")
        else:
            self.line(f"{type_} {name} = {value};")

    def begin(self, node: Node, type_: str) -> None:
        """What a reduction is carried in."""
        if node.op.name in EXTREMA:
            name, self.places[node] = self.names.fresh("best"), self.name(node, "place")
            self.declare("int64_t", self.places[node], "0")
        else:
            name = self.name(node)
        self.totals[node] = (name, type_)
        self.declare(type_, name, start(node))

    def value_of(self, node: Node) -> str:
        """The operand in the reduction's dtype."""
        (x,) = node.operands
        text = self.text[x]
        return text if node.op.name in EXTREMA else converted(text, x.dtype, node.dtype)

    def add(self, node: Node, target: str, *, ordered: bool = False) -> None:
        """Put a value to a partial result; an extremum of what is `ordered` needs no care for NaN."""
        x = self.value_of(node)
        sign = ">" if steps(node) == "max" else "<"
        text = f"{x} {sign} {target} ? {x} : {target}" if ordered else joined(node, target, x)
        self.line(f"{target} = {text};")

    def complete(self, node: Node) -> str:
        """The result as an expression."""
        if node.op.name in EXTREMA:
            return self.carried(self.places[node])
        return self._total(node, self.carried(self.totals[node][0]))

    def _total(self, node: Node, text: str) -> str:
        """What was put together in the dtype of the result."""
        if node.dtype == BOOL:
            return f"({text} != 0)"
        is_alike = self.totals[node][1] == c_type(node.dtype)
        return text if is_alike else f"({c_type(node.dtype)}){text}"

    def part(self, node: Node) -> str:
        """A new name for a partial result of a block, set to nothing."""
        name = self.names.fresh(f"block_{steps(node)}")
        self.line(f"{plain_type(node)} {name} = {start(node)};")
        return name

    @staticmethod
    def clause(node: Node, name: str) -> str:
        """OpenMP's clause for a partial result along vectors."""
        return f" reduction({clause(steps(node), compared(node))} : {name})"

    # Places of extrema.

    def _order(self, node: Node) -> str:
        return self.place(counters.position(node["axes"]))

    def add_place(self, node: Node) -> None:
        """The extremum and its place so far; NaN is the most extreme, and of equals the first is kept."""
        best, place = self.carried(self.totals[node][0]), self.carried(self.places[node])
        x, sign = self.value_of(node), ">" if node.op.name == "argmax" else "<"
        better = f"{x} {sign} {best}"
        if kind_of(compared(node)) == "float":
            better += f" || ({x} != {x} && {best} == {best})"
        name = self.names.fresh("is_better")
        self.line(f"const bool {name} = {better};")
        self.line(f"{best} = {name} ? {x} : {best};")
        self.line(f"{place} = {name} ? {self._order(node)} : {place};")

    def find_place(self, node: Node) -> None:
        """Whether this is the place of the extremum, which is known, and the first such."""
        best, place = self.totals[node][0], self.places[node]
        x, order = self.value_of(node), self._order(node)
        found = f"{x} == {best}"
        if kind_of(compared(node)) == "float":
            found = f"({best} != {best} ? {x} != {x} : {found})"
        self.line(f"{place} = {found} && {order} < {place} ? {order} : {place};")

    # Running reductions.

    def begin_running(self, node: Node) -> None:
        """What a running reduction is before the first element."""
        name = self.running[node] = self.names.fresh("so_far")
        value = "0" if node.op is recurrence else identity(node)
        self.declare(c_type(node.dtype), name, value)

    def _emit(self, node: Node) -> None:
        if node.op.family == "scan":
            self._run_on(node)
        else:
            super()._emit(node)

    def _run_on(self, node: Node) -> None:
        """One step of a running reduction."""
        so_far = self.carried(self.running[node])
        operands = [converted(self.text[o], o.dtype, node.dtype) for o in node.operands]
        if node.op is recurrence:
            # The first factor multiplies nothing, not 0: it may be infinite.
            axis = node["axis"]
            first = self.names.factor(axis - 1) if node["reverse"] else "0"
            is_first = f"{self.place(variable(axis))} == {first}"
            text = f"{is_first} ? {operands[1]} : {operands[0]} * {so_far} + {operands[1]}"
        else:
            text = STEPS[node.op.name].format(so_far, *operands, t=node.dtype)
        self.line(f"{so_far} = {text};")
        self.assign(node, so_far)

    # Reductions across rows.

    def shares(self, nodes: Iterable[Node]) -> list[Store]:
        """The stores of programs' own parts of these reductions."""
        wanted = set(nodes)
        return [s for s in self.kernel.stores if s.share and s.node in wanted]

    def store_crossed(self) -> None:
        """A program's own part of reductions that have no columns."""
        scalars = [node for node in self.crossed if not node.axes]
        self.text |= {node: self.complete(node) for node in scalars}
        self.stores(self.shares(scalars))

    def totals_of_parts(self) -> None:
        """What the programs of an earlier kernel left, put together once."""
        for node in self.nodes:
            if not is_replicated(node, self.nodes):
                continue
            name = self.name(node)
            self.line(f"{wide_type(node)} {name} = {start(node)};")
            self.totals[node] = (name, wide_type(node))
            outside = self.where
            self.where = {**outside, PROGRAMS: written("part")}
            self.open(f"for (int64_t part = 0; part < {self.names.size(PROGRAMS)}; part++)")
            known = dict(self.text)
            self.emit(topological(node.operands))
            self.add(node, name)
            self.close()
            self.where, self.text = outside, known
            whole = self.names.fresh(f"whole_{name}")
            # It is one number even with rows side by side.
            self.line(f"const {c_type(node.dtype)} {whole} = {self._total(node, name)};")
            self.text[node] = whole
