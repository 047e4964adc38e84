"""A unit of a kernel: loops over the columns of a row, of a block, or of rows side by side.

In: the passes of a kernel. Out: lines. Between: the innermost loop lies along vectors, and its iterations
depend on each other by declared reductions alone, but where a running reduction makes it sequential.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tdsl.backends.c import counters
from tdsl.backends.c.ahead import claimed, fetched
from tdsl.backends.c.fetches import CLAIMED, PART
from tdsl.backends.c.literals import kind_of, loaded, memory_type
from tdsl.backends.c.online import SIMD, Online
from tdsl.backends.c.passes import Pass, plan_row
from tdsl.backends.c.reductions import (
    EXTREMA,
    compared,
    joined,
    plain_type,
    start,
    steps,
    wide_type,
)
from tdsl.backends.c.schedule import BLOCK
from tdsl.fusion.kernel import Store
from tdsl.ir.node import Node, topological


@dataclass
class Loops(Online):
    """`scratch` has the memory of values that wait for a later pass.

    `unordered` says of an extremum along vectors whether there was NaN, while that loop is open.
    """

    scratch: dict[Node, str] = field(default_factory=dict)
    unordered: dict[Node, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        schedule = self.schedule
        self.passes = plan_row(self.kernel, schedule)
        self.joined = dict(self.passes.joined)
        self.column_groups = counters.groups(self.kernel, schedule.columns)
        self.column_names = counters.named(self.names, "column", self.column_groups)
        self.row_groups = counters.groups(self.kernel, schedule.rows)
        self.row_names = counters.named(self.names, "row", self.row_groups)
        for found, names in (
            (self.row_groups, self.row_names),
            (self.column_groups, self.column_names),
        ):
            for group, name in zip(found, names, strict=True):
                self.where |= counters.counted(group, name)

    def row(self) -> None:
        """Everything that happens to a unit."""
        for one in self.passes.passes:
            self._of_rows(one.before)
            self._pass(one)
        late = [n for n in self.crossed if not self._is_long(n.operands[0])]
        self._of_rows(self.passes.after, self.passes.stores, late)

    def begin_shared(self) -> None:
        """Compute what all rows share, and keep it."""
        shared, depth = self.passes.shared, self.indent
        for node in shared.kept:
            self._begin_scratch(node)
        known = dict(self.text)
        self.emit(shared.short)
        self._open_columns(SIMD, shared.nodes)
        self.emit(shared.nodes)
        for node in shared.kept:
            self.line(f"{self._kept(node)} = {self.text[node]};")
        self.close_to(depth)
        self.text = known | {node: loaded(self._kept(node), node.dtype) for node in shared.kept}

    def _is_long(self, node: Node) -> bool:
        return bool(set(self.schedule.columns) & set(node.axes))

    def _of_rows(
        self, nodes: Sequence[Node], stores: Sequence[Store] = (), late: Sequence[Node] = ()
    ) -> None:
        """Values of whole rows, their stores, and sums across rows; side by side they are arrays."""
        outside = self.lines
        self.lines, self.arrays = [], [] if self.side_by_side else None
        if self.side_by_side:
            self._lane_loop()
        begin = len(self.lines)
        self.emit(nodes)
        self.stores(stores)
        for node in late:
            self.add(node, self.totals[node][0])
        inside, self.lines = self.lines, outside
        arrays, self.arrays = self.arrays, None
        if self.side_by_side:
            self.indent -= 1
            for array in arrays or ():
                self.line(array)
            inside = [*inside, "    " * self.indent + "}"] if len(inside) > begin else []
        self.lines += inside

    def _lane_loop(self) -> None:
        self.line(SIMD)
        self.open("for (int64_t lane = 0; lane < lanes; lane++)")
        self.line(f"const int64_t {self.row_names[-1]} = start + lane;")

    # One loop over the columns.

    def _pass(self, one: Pass) -> None:
        is_vector = not one.scans and not self.side_by_side
        heads = [n for n in one.reductions if n not in self.joined]
        joins = [n for n in one.reductions if n in self.joined]
        sought = [n for n in heads if n.op.name in EXTREMA]
        added = [n for n in heads if is_vector or n.op.name not in EXTREMA]
        direct = is_vector and self.schedule.kind == "rows" and self.schedule.staged
        direct = direct and len(self.column_groups) <= 1
        for node in heads:
            self.begin(node, plain_type(node) if direct else wide_type(node))
        self.begin_joined(joins)
        for node in one.kept:
            self._begin_scratch(node)
        for node in one.scans:
            self.begin_running(node)
        known, depth = dict(self.text), self.indent
        added += [n for n in one.crossed if not n.axes]
        parts = self._open_loops(one, added, direct=direct, is_vector=is_vector)
        self.emit(one.nodes)
        for node in one.kept:
            self.line(f"{self._kept(node)} = {self.text[node]};")
        for node in added:
            self.add(node, parts[node], ordered=node in self.unordered)
            if node in self.unordered:
                self.line(
                    f"{self.unordered[node]} |= {self.value_of(node)} != {self.value_of(node)};"
                )
        for node in sought if not is_vector else ():
            self.add_place(node)
        for store in self.shares(n for n in one.crossed if n.axes):
            self.add(store.node, self.target(store))
        self.stores(one.stores)
        self._close_loop(parts)
        self.text = dict(known)
        self.join(heads, parts, one.nodes)
        self.close_to(depth)
        self.text = known
        for node in sought if is_vector else ():
            self._seek(node)
        self.text |= {node: self.complete(node) for node in heads}
        for node in joins:
            self.end_joined(node)
        self.text |= {node: loaded(self._kept(node), node.dtype) for node in one.kept}

    def _open_loops(
        self, one: Pass, added: Sequence[Node], *, direct: bool, is_vector: bool
    ) -> dict[Node, str]:
        """Open loops over the columns; where the innermost one adds up each of the reductions."""
        later = self._next_rows(one) if is_vector else []
        stores = list(filter(self.follows, claimed(one))) if is_vector else []
        whole = 0 if self.schedule.staged or not is_vector else BLOCK
        block = PART if later else CLAIMED if stores else whole
        first, last = self._outer_loops(one.nodes, block=block, turned=self._is_turned(one))
        for line in (*later, *(self.claim(store, first, last) for store in stores)):
            self.line(line)
        parts = {node: self.carried(self.totals[node][0]) for node in added}
        if is_vector:
            parts = {
                node: total if direct and node not in self.crossed else self.part(node)
                for node, total in parts.items()
            }
            clauses = [self.clause(node, part) for node, part in parts.items()]
            for node in added:
                if steps(node) in ("max", "min") and kind_of(compared(node)) == "float":
                    name = self.unordered[node] = self.names.fresh("is_nan")
                    self.line(f"int32_t {name} = 0;")
                    clauses.append(f" reduction(| : {name})")
            self.line(SIMD + "".join(clauses))
        name = self.column_names[-1] if self.column_names else "column"
        if any(node["reverse"] for node in one.scans):
            self.open(f"for (int64_t {name} = {last} - 1; {name} >= {first}; {name}--)")
        else:
            self.open(f"for (int64_t {name} = {first}; {name} < {last}; {name}++)")
        if self.side_by_side:
            self._lane_loop()
        return parts

    def _outer_loops(
        self, nodes: Sequence[Node] = (), *, block: int = 0, turned: bool = False
    ) -> tuple[str, str]:
        """Open all loops but the innermost, with what does not vary along that one; its range.

        That one goes through so many elements at a time, or through all.
        """
        if self.schedule.kind == "flat":
            if block in (0, BLOCK):
                return "start", "end"
            self.open_parts("first", "last", block, ("start", "end"))
            return "first", "last"
        counts = [self.names.factor(counters.count(group)) for group in self.column_groups]
        for name, count in zip(self.column_names[:-1], counts, strict=False):
            if turned and name == self.column_names[0]:
                self._open_turned(name, count)
            else:
                self.open(f"for (int64_t {name} = 0; {name} < {count}; {name}++)")
        if counts[1:] and not self.side_by_side:
            self.emit(n for n in nodes if not {*n.axes} & {*self.column_groups[-1]})
        last = counts[-1] if counts else "1"
        if not block:
            return "0", last
        self.open_parts("start", "end", block, ("0", last))
        return "start", "end"

    def _is_turned(self, one: Pass) -> bool:
        """Whether a loop may begin anywhere: it stores, and adds nothing up."""
        return bool(one.stores) and not one.adds and not self.side_by_side

    def _open_turned(self, name: str, count: str) -> None:
        """Open a loop that begins elsewhere for each unit.

        Two threads that touch a fresh page at once would both fill it with zeros.
        """
        turn = self.names.fresh("turn")
        self.open(f"for (int64_t {turn} = 0; {turn} < {count}; {turn}++)")
        self.line(f"const int64_t {name} = ({turn} + {count} * unit / units) % {count};")

    def _next_rows(self, one: Pass) -> list[str]:
        """What fetches the next row in the second loop over this one."""
        is_second = self.schedule.ahead and one is self.passes.passes[1]
        reads = fetched(self.kernel, self.schedule, self.passes) if is_second else []
        return [self.next_row(node) for node in reads]

    def _open_columns(self, pragma: str = "", nodes: Sequence[Node] = ()) -> None:
        """Open loops over all columns of the row, the innermost one under a pragma."""
        first, last = self._outer_loops(nodes)
        if pragma:
            self.line(pragma)
        name = self.column_names[-1]
        self.open(f"for (int64_t {name} = {first}; {name} < {last}; {name}++)")

    def _close_loop(self, parts: dict[Node, str]) -> None:
        """Close the innermost loop, and add what it added up to what is carried."""
        self.close()
        if self.side_by_side:
            self.close()
        for node, part in parts.items():
            total = self.carried(self.totals[node][0])
            if node in self.unordered:
                self.line(f"{part} = {self.unordered.pop(node)} ? NAN : {part};")
            if part != total:
                self.line(f"{total} = {joined(node, total, part)};")

    def _seek(self, node: Node) -> None:
        """The first place of an extremum that is known, in a loop of its own."""
        known, depth = dict(self.text), self.indent
        place = self.places[node]
        self.line(f"{place} = INT64_MAX;")
        self._open_columns(f"{SIMD} reduction(min : {place})")
        self.emit(n for n in topological(node.operands, stop=set(self.text)) if self._is_long(n))
        self.find_place(node)
        self.close_to(depth)
        self.text = known

    # Values that wait for a later pass.

    def _begin_scratch(self, node: Node) -> None:
        count = self.names.factor(counters.count(self.schedule.columns))
        size = f"({count} + 1) * {self.schedule.block}" if self.side_by_side else f"{count} + 1"
        size = str(BLOCK) if self.schedule.kind == "flat" else size
        name = self.scratch[node] = self.names.fresh("kept")
        self.line(f"{memory_type(node.dtype)} {name}[{size}];")

    def _kept(self, node: Node) -> str:
        """The place of a value in scratch memory."""
        if self.schedule.kind == "flat":
            return f"{self.scratch[node]}[{self.column_names[-1]} - start]"
        place = ""
        for group, name in zip(self.column_groups, self.column_names, strict=True):
            count = self.names.factor(counters.count(group))
            place = f"({place}) * {count} + {name}" if place else name
        lane = f"({place}) * {self.schedule.block} + lane" if self.side_by_side else place
        return f"{self.scratch[node]}[{lane}]"

    # Sums across rows.

    def begin_crossed(self) -> None:
        """A program's own parts, before its first row."""
        for node in self.crossed:
            if not node.axes:
                self.begin(node, wide_type(node))
        for store in self.shares(n for n in self.crossed if n.axes):
            depth = self.indent
            self._open_columns()
            self.line(f"{self.target(store)} = {start(store.node)};")
            self.close_to(depth)
