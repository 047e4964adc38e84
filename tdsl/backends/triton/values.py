"""The values of a kernel as statements: reads, arithmetic, reductions and scans.

In: nodes of a kernel, operands first. Out: lines, and the expression of each node. Between: `fills` knows
what a value is at lanes beyond the last row, or the last column, where that follows from what was
loaded there, so that a reduction is masked only where it must be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tdsl.backends.triton.literals import (
    bare,
    converted,
    identity,
    kind_of,
    literal,
    reduced,
    spelled,
)
from tdsl.backends.triton.names import RESERVED, Names, in_parentheses, written
from tdsl.errors import InternalError
from tdsl.fusion.kernel import Access, Kernel, access, offset_of
from tdsl.fusion.layout import PROGRAMS, is_replicated
from tdsl.fusion.offsets import COLUMN, ROW, START, accesses, located, places
from tdsl.fusion.schedule import Schedule
from tdsl.ir.dtype import BF16, BOOL, F16, F32
from tdsl.ir.index_map import Condition, InRange
from tdsl.ir.node import Node, topological
from tdsl.ir.size import ZERO, Size, is_nonnegative
from tdsl.ir.size import index as variable
from tdsl.ops import arange, argmax, cast, constant, index, input_, numpy_dtype, size_, take

LANES = ("row", "column")
SCANS = {"cumprod": "product", "cummax": "larger", "logcumsumexp": "log_add_exp"}


@dataclass
class Values:
    """Lines under construction, and what is known of each node."""

    kernel: Kernel
    schedule: Schedule
    lines: list[str] = field(default_factory=list)
    text: dict[Node, str] = field(default_factory=dict)
    fills: dict[tuple[Node, str], Any] = field(default_factory=dict)
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
        self.names = Names({*RESERVED, *self.numbers, *(f"{name}_ptr" for name in self.pointers)})
        self.by_rows = schedule.lanes != "columns"
        self.by_columns = schedule.lanes != "rows"
        # A column's offset grows beyond 32 bits where columns are not neighbours.
        self.is_wide = any(
            COLUMN.atom in monomial and len(monomial) > 1
            for _, offset in accesses(kernel, schedule.rows, schedule.columns)
            for monomial, _ in offset.terms
        )

    def line(self, text: str) -> None:
        """Append a line."""
        self.lines.append("    " * self.indent + text)

    def assign(self, node: Node, text: str, hint: str = "") -> str:
        """Append the assignment of a node's value to a new name."""
        name = self.names.value(node, self.kernel.origins.get(node), len(self.text), hint)
        self.line(f"{name} = {text}")
        return name

    def emit(self, nodes: Iterable[Node]) -> None:
        """Append what is not known yet of these nodes."""
        for node in nodes:
            if node not in self.text and not self._is_part(node):
                self._emit(node)

    def _is_part(self, node: Node) -> bool:
        """Whether a value along the programs of an earlier kernel belongs to its total."""
        layout = self.kernel.layout
        return PROGRAMS in node.axes and PROGRAMS not in (*layout.rows, *layout.columns)

    def _emit(self, node: Node) -> None:
        if node.op is constant:
            self.text[node] = literal(node["value"], node.dtype)
            self.fills |= {(node, lane): node["value"] for lane in LANES}
        elif node.op is size_:
            self.text[node] = f"tl.cast({self.names.size(node['value'])}, tl.int64)"
        elif node.op is arange:
            if node["axis"] in self.where:  # else only an index map of it is used
                self.text[node] = self._place(variable(node["axis"]))
        elif node.op is input_ and node not in self.shapes:
            self.text[node] = node["name"]
        elif node.op in (input_, take) or (node.op is index and node.operands[0] in self.shapes):
            self._load(node)
        elif node.op is index:
            self._moved(node)
        elif node.op.family == "reduction":
            self._reduction(node)
        elif node.op.family == "scan":
            self._scan(node)
        else:
            self._pointwise(node)

    def _place(self, place: Size) -> str:
        return self.names.factor(located(place, self.where))

    def _moved(self, node: Node) -> None:
        """An index map of positions or of one number: a place, whether it is inside, or the number."""
        (x,) = node.operands
        (piece,) = node["map"].pieces
        if x.op is arange:
            self.text[node] = self._place(dict(piece.exprs).get(x["axis"], variable(x["axis"])))
        elif piece.domain:
            inside = self._inside(piece.domain, self.lanes_of(node))
            self.text[node] = self.assign(node, " & ".join(inside) or literal(1, BOOL))
        else:
            self.text[node] = self.text[x]

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

    # Reads.

    def _load(self, node: Node) -> None:
        base = node
        while base.op in (index, take):
            base = base.operands[0]
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
            scalar = not self.by_rows and not self.lanes_of(read.at) and "column" in lanes
            mask.append(self.limited(there) if scalar else there)
        other = bare(read.fill, node.dtype)
        options = f", mask={' & '.join(mask)}, other={other}" if mask else ""
        self.fills |= {(node, lane): read.fill for lane in LANES if f"{lane}_mask" in mask}
        pointer = self.address(str(base["name"]), offset)
        self.text[node] = self.assign(node, f"tl.load({pointer}{options})")

    def _located(self, read: Access, shape: Sequence[Size]) -> tuple[Size, ...]:
        """The read's places by rows and columns; along a gathered axis the value that points."""
        if read.at is None:
            return tuple(located(place, self.where) for place in read.places)
        at = written(self.text[read.at])
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

    # Arithmetic.

    def _pointwise(self, node: Node) -> None:
        operands = [self.text[operand] for operand in node.operands]
        if node.op is cast:
            text = converted(operands[0], node.operands[0].dtype, node.dtype)
        else:
            text = spelled(node).format(*operands)
        self._note_fill(node)
        self.text[node] = text if text in operands else self.assign(node, text)

    def _note_fill(self, node: Node) -> None:
        """What the value is beyond the last row or column, if all operands are known there."""
        if not node.axes or node.dtype in (F16, BF16):
            return
        for lane in LANES:
            if all((operand, lane) in self.fills for operand in node.operands):
                arrays = [_filled(o, self.fills[o, lane]) for o in node.operands]
                with np.errstate(all="ignore"):
                    value = node.op.evaluate(node, lambda size: 1)(*arrays)
                self.fills[node, lane] = np.asarray(value).reshape(-1)[0].item()

    # Reductions and scans.

    def _reduction(self, node: Node) -> None:
        if is_replicated(node, self.nodes):
            self._total_of_parts(node)
            return
        (x,) = node.operands
        value, axis = self.masked(node, x, {"column"}), "1" if self.by_rows else "0"
        if node.op.name.startswith("arg"):
            self.text[node] = self._first(node, value, axis)
        else:
            self.text[node] = self.assign(node, reduced(node, value, axis, keep=self.by_rows))

    def _total_of_parts(self, node: Node) -> None:
        """What the programs of an earlier kernel left, put together in every program."""
        self.line("part = tl.arange(0, PARTS)")
        for inner in topological([node]):
            if inner.op is input_ and inner in self.shapes:
                parts = self.names.size(PROGRAMS)
                options = f"mask=part < {parts}, other={identity(node)}"
                load = f"tl.load({inner['name']}_ptr + part, {options})"
                self.text[inner] = self.assign(inner, load)
            elif inner is not node:
                self._emit(inner)
        value = reduced(node, self.text[node.operands[0]], "0")
        self.text[node] = self.assign(node, value)

    def masked(self, node: Node, x: Node, along: set[str]) -> str:
        """The operand in the reduction's dtype, with its identity at lanes that are not there."""
        text = self.text[x]
        if node.op.name in ("sum", "prod", "cumsum", "cumprod") and x.dtype != node.dtype:
            text = converted(text, x.dtype, node.dtype)
        unfilled = {
            lane for lane in self.lanes_of(x) & along
            if (x, lane) not in self.fills
            or bare(self.fills[x, lane], x.dtype) != identity(node)
        }  # fmt: skip
        masks = self.masks(unfilled)
        return f"tl.where({' & '.join(masks)}, {text}, {identity(node)})" if masks else text

    def _first(self, node: Node, value: str, axis: str) -> str:
        """The first place of the extremum, counted over the reduced axes in their order."""
        order = ZERO
        for size in node["axes"]:
            order = order * size + variable(size)
        if node.operands[0].dtype == BOOL:
            value = f"tl.cast({value}, tl.int32)"
        candidates = self.assign(node, value, "candidates")
        place = f"tl.cast({in_parentheses(self._place(order))}, tl.int64)"
        if self.by_rows:
            place = f"tl.broadcast_to({place}, {candidates}.shape)"
        helper = "first_largest" if node.op is argmax else "first_smallest"
        keep = ", keep_dims=True" if self.by_rows else ""
        pair = f"({candidates}, {place})"
        return self.assign(node, f"tl.reduce({pair}, {axis}, {helper}{keep})[1]")

    def _scan(self, node: Node) -> None:
        (x,) = node.operands
        if "column" not in self.lanes_of(x):
            raise InternalError("a running reduction of a value that does not vary along its axis")
        value = self.masked(node, x, {"column"} if node["reverse"] else set())
        axis = "1" if self.by_rows else "0"
        reverse = ", reverse=True" if node["reverse"] else ""
        if node.op.name == "cumsum":
            self.text[node] = self.assign(node, f"tl.cumsum({value}, {axis}{reverse})")
            return
        helper = SCANS[node.op.name]
        if helper == "larger" and kind_of(node.dtype) != "float":
            helper = "larger_integer"
        text = f"tl.associative_scan({value}, {axis}, {helper}{reverse})"
        self.text[node] = self.assign(node, text)


def _filled(node: Node, value: Any) -> np.ndarray[Any, Any]:
    dtype = numpy_dtype(F32 if node.dtype in (F16, BF16) else node.dtype)
    return np.full((1,) * len(node.axes), value).astype(dtype)
