"""The values of a kernel as statements: arithmetic, reductions and scans.

In: nodes of a kernel, operands first. Out: lines, and the expression of each node. Between: `fills` knows
what a value is at lanes beyond the last row, or the last column, where that follows from what was
loaded there, so that a reduction is masked only where it must be.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tdsl.backends.names import in_parentheses
from tdsl.backends.triton.beyond import powered
from tdsl.backends.triton.literals import (
    bare,
    converted,
    identity,
    kind_of,
    literal,
    reduced,
    spelled,
    triton_dtype,
)
from tdsl.backends.triton.reads import LANES, Reads
from tdsl.fusion.layout import PROGRAMS, is_replicated
from tdsl.fusion.offsets import located
from tdsl.fusion.schedule import MOST_WARPS
from tdsl.ir.dtype import BF16, BOOL, F16, F32, I64, U64
from tdsl.ir.node import Node, topological
from tdsl.ir.size import ZERO
from tdsl.ir.size import index as variable
from tdsl.ops import (
    arange,
    cast,
    constant,
    cumsum,
    equal,
    greater,
    greater_equal,
    index,
    input_,
    less,
    less_equal,
    not_equal,
    numpy_dtype,
    recurrence,
    size_,
    sum_,
    take,
)

COMPARISONS = (equal, greater, greater_equal, less, less_equal, not_equal)
SCANS = {"cumprod": "product", "cummax": "larger", "logcumsumexp": "log_add_exp"}
FIRST = {"argmax": "first_largest", "argmin": "first_smallest"}


@dataclass
class Values(Reads):
    """Nodes as statements. `running`: what a streamed running reduction is so far, by name."""

    running: dict[Node, str] = field(default_factory=dict)

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
        self.varying[node] = set()
        if node.op is constant:
            self.text[node] = literal(node["value"], node.dtype)
            self.fills |= {(node, lane): node["value"] for lane in LANES}
        elif node.op is size_:
            self.text[node] = f"tl.cast({self.names.size(node['value'])}, tl.int64)"
        elif node.op is arange:
            if node["axis"] in self.where:  # else only an index map of it is used
                place = variable(node["axis"])
                self.text[node] = self._place(place)
                self.varying[node] = self.lanes(located(place, self.where)) & self.own_lanes
        elif node.op is input_ and node not in self.shapes:
            name, is_wide = node["name"], node.dtype in (I64, U64)
            self.text[node] = f"tl.cast({name}, {triton_dtype(node.dtype)})" if is_wide else name
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

    # Arithmetic.

    def _pointwise(self, node: Node) -> None:
        operands = [self._operand(operand, node) for operand in node.operands]
        self.varying[node] = set().union(*(self.varying[operand] for operand in node.operands))
        if node.op is cast:
            text = converted(operands[0], node.operands[0].dtype, node.dtype)
        elif node.op is equal and self._is_full and any(map(self._is_column, node.operands)):
            text = f"is_at({', '.join(operands)})"
        else:
            text = spelled(node).format(*operands, **dict(node.attrs))
        self._note_fill(node)
        self.text[node] = text if text in operands else self.assign(node, text)

    def _operand(self, x: Node, node: Node) -> str:
        """The operand's expression; what is compared with the columns of a row that is held, in 32 bits."""
        is_compared = node.op in COMPARISONS and any(
            self._is_column(other) for other in node.operands
        )
        is_wide = x.dtype == I64 and x.op is not constant and "column" not in self.varying[x]
        return f"in_32_bits({self.text[x]})" if is_compared and is_wide else self.text[x]

    @property
    def _is_full(self) -> bool:
        """Whether a row takes so many lanes that each has few registers: its places are to take none."""
        return self.schedule.warps == MOST_WARPS

    def _is_column(self, x: Node) -> bool:
        """Whether a value is the place along a row that is held."""
        is_short = self.is_held and not self.is_wide
        return is_short and x.op is arange and x["axis"] in self.schedule.columns

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
        self.varying[node] = (self.lanes_of(x) & self.own_lanes) - {"column"}
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
        text = self.block(x, self.lanes_of(x))
        if node.op.name in ("sum", "prod", "cumsum", "cumprod") and x.dtype != node.dtype:
            text = converted(text, x.dtype, node.dtype)
        unfilled = {
            lane for lane in self.lanes_of(x) & along
            if (x, lane) not in self.fills
            or bare(self.fills[x, lane], x.dtype) != identity(node)
        }  # fmt: skip
        base = powered(x) if node.op is sum_ else None
        if base is not None and self.fills.get((base, "column")) == -math.inf:
            unfilled.discard("column")
        masks = self.masks(unfilled)
        return f"tl.where({' & '.join(masks)}, {text}, {identity(node)})" if masks else text

    def block(self, x: Node, lanes: set[str]) -> str:
        """The value with all of these lanes: it may be the same along some, and have none there."""
        own, text = lanes & self.own_lanes, self.text[x]
        if own <= self.varying[x]:
            return text
        own = own | self.varying[x]
        sizes = [f"BLOCK_{lane.upper()}S" if lane in own else "1" for lane in LANES]
        shape = ", ".join(sizes if len(self.own_lanes) == 2 else [s for s in sizes if s != "1"])
        if self.varying[x]:
            return f"tl.broadcast_to({text}, [{shape}])"
        return f"tl.full([{shape}], {text}, {triton_dtype(x.dtype)})"

    def _first(self, node: Node, value: str, axis: str) -> str:
        """The first place of the extremum."""
        return self.assign(node, f"{self.extremum(node, value, axis)}[1]")

    def extremum(self, node: Node, value: str, axis: str) -> str:
        """The extremum and its first place, counted over the reduced axes in their order."""
        order = ZERO
        for size in node["axes"]:
            order = order * size + variable(size)
        if node.operands[0].dtype == BOOL:
            value = f"tl.cast({value}, tl.int32)"
        candidates = self.assign(node, value, "candidates")
        place = f"tl.cast({in_parentheses(self._place(order))}, tl.int64)"
        if self.by_rows:
            place = f"tl.broadcast_to({place}, {candidates}.shape)"
        keep = ", keep_dims=True" if self.by_rows else ""
        return f"tl.reduce(({candidates}, {place}), {axis}, {FIRST[node.op.name]}{keep})"

    def _scan(self, node: Node) -> None:
        self.varying[node] = self.lanes_of(node) & self.own_lanes
        axis = "1" if self.by_rows else "0"
        reverse = ", reverse=True" if node["reverse"] else ""
        if node.op is recurrence:
            factor, term = node.operands
            pair = f"{self.block(factor, self.lanes_of(node))}, {self._term(node, term, '0')}"
            name = self.names.fresh("steps")
            self.line(f"{name} = tl.associative_scan(({pair}), {axis}, then{reverse})")
            self.text[node] = self.assign(node, self._continued(node, f"{name}[1]", f"{name}[0]"))
        else:
            (x,) = node.operands
            value = self.masked(node, x, {"column"} if node["reverse"] else set())
            if "column" not in self.lanes_of(x):
                value = self._term(node, x, identity(node))
            helper = scan_helper(node)
            text = f"tl.associative_scan({value}, {axis}, {helper}{reverse})"
            if node.op is cumsum:
                text = f"tl.cumsum({value}, {axis}{reverse})"
            self.text[node] = self.assign(node, self._continued(node, text))
        self._carry_on(node)

    def _term(self, node: Node, x: Node, nothing: str) -> str:
        """A block of what runs; from the end, lanes beyond it come first and must change nothing."""
        value = converted(self.block(x, self.lanes_of(node)), x.dtype, node.dtype)
        if not node["reverse"]:
            return value
        return f"tl.where(column_mask, {value}, {nothing})"

    def _continued(self, node: Node, text: str, factor: str = "") -> str:
        """A block's running reduction, after what came before the block."""
        carry = self.running.get(node)
        if carry is None:
            return text
        if node.op is recurrence:
            return f"{factor} * {carry} + {text}"
        return f"{carry} + {text}" if node.op is cumsum else f"{scan_helper(node)}({carry}, {text})"

    def _carry_on(self, node: Node) -> None:
        """Keep the running reduction at the block's end for the next block."""
        carry = self.running.get(node)
        if carry is not None:
            edge = "first" if node["reverse"] else "start + BLOCK_COLUMNS - 1"
            last = f"tl.where(column == {edge}, {self.text[node]}, 0)"
            along = "1, keep_dims=True" if self.by_rows else "0"
            self.line(f"{carry} = tl.sum({last}, axis={along})")


def scan_helper(node: Node) -> str:
    """The helper that puts two neighbours of a running reduction together."""
    helper = SCANS.get(node.op.name, "")
    return "larger_integer" if helper == "larger" and kind_of(node.dtype) != "float" else helper


def _filled(node: Node, value: Any) -> np.ndarray[Any, Any]:
    dtype = numpy_dtype(F32 if node.dtype in (F16, BF16) else node.dtype)
    return np.full((1,) * len(node.axes), value).astype(dtype)
