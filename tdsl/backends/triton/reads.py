"""What a kernel reads: addresses, masks, and places as values.

In: reads of a kernel. Out: lines, and the expression of each read. Between: a load is masked only along
lanes that it varies with, and rows are counted in 64 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from keyword import kwlist
from typing import Any

from tdsl.backends.names import TRITON, Names, written
from tdsl.backends.triton.beyond import lowest_or_highest
from tdsl.backends.triton.literals import bare, literal
from tdsl.fusion.kernel import Access, Kernel, access, offset_of
from tdsl.fusion.offsets import COLUMN, ROW, START, accesses, base_of, located, places
from tdsl.fusion.schedule import Schedule
from tdsl.ir.dtype import BOOL, I64
from tdsl.ir.index_map import Condition, InRange
from tdsl.ir.node import Node
from tdsl.ir.size import Size, is_nonnegative
from tdsl.ir.size import index as variable
from tdsl.ops import arange

LANES = ("row", "column")
RESERVED = frozenset(
    (
        "row", "column", "row_mask", "column_mask", "program", "programs", "block", "start", "first",
        "tile", "tiles", "part", "tl", "triton", "libdevice", "range", "float", "BLOCK_ROWS",
        "BLOCK_COLUMNS", "PARTS", *kwlist,
    )
)  # fmt: skip


@dataclass
class Reads:
    """Lines under construction, and what is known of each node.

    `fills` has the value of a node at lanes beyond the end, `varying` the lanes that its text has; `beyond`
    has what a read is to be there, so that an extremum of it needs no mask.
    """

    kernel: Kernel
    schedule: Schedule
    lines: list[str] = field(default_factory=list)
    text: dict[Node, str] = field(default_factory=dict)
    fills: dict[tuple[Node, str], Any] = field(default_factory=dict)
    varying: dict[Node, set[str]] = field(default_factory=dict)
    indent: int = 1

    def __post_init__(self) -> None:
        kernel, schedule = self.kernel, self.schedule
        self.nodes = kernel.nodes()
        self.where = places(schedule.rows, schedule.columns, flat=schedule.flat)
        self.shapes = {read.node: read.shape for read in kernel.reads}
        self.pointers = list(
            dict.fromkeys([*(r.name for r in kernel.reads), *(s.buffer for s in kernel.stores)])
        )
        self.numbers = [name for name, _ in kernel.numbers]
        taken = {*RESERVED, *self.numbers, *(f"{name}_ptr" for name in self.pointers)}
        self.is_held = schedule.kind == "whole"
        self.names = Names(taken, TRITON)
        self.beyond = lowest_or_highest(self.nodes)
        self.by_rows = schedule.lanes != "columns"
        self.by_columns = schedule.lanes != "rows"
        # A column's offset grows beyond 32 bits where columns are not neighbours.
        self.is_wide = any(
            COLUMN.atom in monomial and len(monomial) > 1
            for _, offset in accesses(kernel, schedule.rows, schedule.columns)
            for monomial, _ in offset.terms
        )
        self.own_lanes = {
            *(("row",) if self.by_rows else ()),
            *(("column",) if self.by_columns else ()),
        }

    def line(self, text: str) -> None:
        """Append a line."""
        self.lines.append("    " * self.indent + text)

    def assign(self, node: Node, text: str, hint: str = "") -> str:
        """Append the assignment of a node's value to a new name."""
        name = self.names.value(node, self.kernel.origins.get(node), len(self.text), hint)
        self.line(f"{name} = {text}")
        return name

    def _place(self, place: Size) -> str:
        return self.names.factor(located(place, self.where))

    def _moved(self, node: Node) -> None:
        """An index map of positions or of one number: a place, whether it is inside, or the number."""
        (x,) = node.operands
        (piece,) = node["map"].pieces
        if x.op is arange:
            place = dict(piece.exprs).get(x["axis"], variable(x["axis"]))
            self.text[node] = self._place(place)
            self.varying[node] = self.lanes(located(place, self.where)) & self.own_lanes
        elif piece.domain:
            inside = self._inside(piece.domain, self.lanes_of(node))
            self.text[node] = self.assign(node, " & ".join(inside) or literal(1, BOOL))
            self.varying[node] = self.lanes_of(node) & self.own_lanes
        else:
            self.text[node] = self.text[x]
            self.varying[node] = self.varying[x]

    def _inside(self, domain: Sequence[Condition], lanes: set[str]) -> list[str]:
        """The conditions that are not always true, those on the row alone apart from the rest.

        `lanes`: what the condition must have lanes for; one that has none limits the columns.
        """
        alone: list[str] = []
        parts: list[str] = []
        for condition in domain:
            found = self._condition(condition)
            varies = self.lanes(located(condition.expr, self.where))
            is_alone = not self.by_rows and "column" in lanes and "column" not in varies
            (alone if is_alone else parts).extend(found)
        return [*([self.limited(" & ".join(alone))] if alone else []), *parts]

    def _condition(self, condition: Condition) -> list[str]:
        place = self._place(condition.expr)
        if not isinstance(condition, InRange):
            return [f"({place} % {self.names.factor(condition.divisor)} == 0)"]
        found = [] if is_nonnegative(condition.expr) else [f"({place} >= 0)"]
        if not is_nonnegative(condition.size - 1 - condition.expr):
            found.append(f"({place} < {self.names.factor(condition.size)})")
        return found

    def limited(self, condition: str) -> str:
        """The mask of columns where a condition on the whole row holds."""
        return f"(column < tl.where({condition}, {self.names.count(self.schedule.columns)}, 0))"

    def _load(self, node: Node) -> None:
        base = base_of(node)
        read, shape = access(node, self.shapes[base]), self.shapes[base]
        offset = located(
            offset_of(shape, self._located(read, shape), self.strides(base)), self.where
        )
        lanes = self.lanes(offset) | (self.lanes_of(read.at) if read.at else set())
        mask = self.masks(lanes)
        mask += self._inside(read.domain, lanes)
        if read.at is not None and read.gathered is not None:
            at, end = self.text[read.at], self.names.factor(read.gathered)
            there = f"({at} >= 0) & ({at} < {end})"
            varies = self.varying[read.at]
            scalar = not self.by_rows and "column" not in varies and "column" in lanes
            mask.append(self.limited(there) if scalar else there)
        self.varying[node] = lanes & self.own_lanes
        is_masked_by_lanes = all(part in ("row_mask", "column_mask") for part in mask)
        fill = self.beyond.get(node, read.fill) if is_masked_by_lanes else read.fill
        options = f", mask={' & '.join(mask)}, other={bare(fill, node.dtype)}" if mask else ""
        self.fills |= {(node, lane): fill for lane in LANES if f"{lane}_mask" in mask}
        pointer = self.address(str(base["name"]), offset)
        self.text[node] = self.assign(node, f"tl.load({pointer}{options})")

    def _located(self, read: Access, shape: Sequence[Size]) -> tuple[Size, ...]:
        """The read's places; of a gather by rows and columns, and along its axis the value that points."""
        if read.at is None:
            return read.places
        text = self.text[read.at]
        at = written(text if read.at.dtype == I64 else f"tl.cast({text}, tl.int64)")
        return tuple(
            at if axis == read.gathered else located(place, self.where)
            for axis, place in zip(shape, read.places, strict=True)
        )

    def strides(self, node: Node) -> tuple[Size, ...] | None:
        """The distances of a read's buffer, if it is not contiguous."""
        return self.kernel.strides.get(str(node["name"]))

    def address(self, name: str, offset: Size) -> str:
        """The pointer to a place of a buffer."""
        text = self.names.size(offset)
        return f"{name}_ptr" if text == "0" else f"{name}_ptr + {text}"

    def lanes(self, size: Size) -> set[str]:
        """What an offset varies with: rows, columns, or both."""
        atoms = size.atoms()
        counters = (("row", ROW), ("column", COLUMN), ("column", START))
        return {lane for lane, counter in counters if counter.atom in atoms}

    def lanes_of(self, node: Node) -> set[str]:
        """What a value varies with."""
        axes = set(node.axes)
        found = {"row"} if axes & set(self.schedule.rows) else set[str]()
        return found | ({"column"} if axes & set(self.schedule.columns) else set[str]())

    def masks(self, lanes: set[str]) -> list[str]:
        """The masks of lanes that may lie beyond the end."""
        found = ["row_mask"] if "row" in lanes and self.by_rows else []
        return [*found, "column_mask"] if "column" in lanes and self.by_columns else found
