"""Reductions that are put together piece by piece: along a streamed row, and across rows.

In: the nodes of a kernel. Out: lines. Between: a row is streamed once for each reduction that waits for
another; what a pass needs is read anew in it. Running reductions hand their last value to the next block;
those of one kernel run in one direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tdsl.backends.triton.literals import combined, identity, reduced, triton_dtype
from tdsl.backends.triton.online import Online
from tdsl.backends.triton.values import FIRST
from tdsl.fusion.kernel import Store, offset_of
from tdsl.fusion.layout import PROGRAMS, is_replicated
from tdsl.fusion.offsets import located
from tdsl.fusion.online import streamed_passes
from tdsl.ir.dtype import BOOL
from tdsl.ir.node import Node, topological
from tdsl.ir.size import Size
from tdsl.ops import recurrence


@dataclass
class Streams(Online):
    """`bests` has the names of the extremum beside a position."""

    bests: dict[Node, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.crossed = list(self.kernel.layout.crossed)

    def _column_index(self, start: str = "") -> None:
        if not self.by_columns:
            return
        if self.schedule.flat:
            self._tile_of_all()
            return
        if self.schedule.kind == "tiled":
            start = "tile * BLOCK_COLUMNS"
        lanes = "tl.arange(0, BLOCK_COLUMNS)" + ("[None, :]" if self.by_rows else "")
        if self.is_wide:
            lanes = f"tl.cast({lanes}, tl.int64)"
        self.line(f"column = {start} + {lanes}" if start else f"column = {lanes}")
        end = self.names.count(self.schedule.columns, is_short=self.is_held)
        if self.is_held and PROGRAMS not in self.schedule.columns:
            # The block is the smallest that holds the row: half of it needs no mask.
            self.line(f"tl.assume({end} >= BLOCK_COLUMNS // 2)")
        self.line(f"column_mask = column < {end}")

    def _tile_of_all(self) -> None:
        """The tile's first element is counted in 64 bits, its lanes in 32."""
        self.line("start = tl.cast(tl.program_id(0), tl.int64) * BLOCK_COLUMNS")
        left = f"{self.names.count(self.schedule.columns)} - start"
        self.line("column = tl.arange(0, BLOCK_COLUMNS)")
        self.line(f"column_mask = column < tl.cast(tl.minimum({left}, BLOCK_COLUMNS), tl.int32)")

    # Rows streamed in blocks, one pass for each reduction that waits for another.

    def _looped(self) -> None:
        self.passes = streamed_passes(self.nodes, set(self.schedule.columns))
        depths = self.passes.known
        own = [n for n in self.nodes if n not in self.crossed]
        row_level = [n for n in own if "column" not in self.lanes_of(n)]
        stores = [s for s in self.kernel.stores if not s.share]
        for number in range(max(depths.values(), default=0) + 1):
            reductions = [n for n in own if self._runs_along(n) and self.passes.of(n) == number]
            across = [
                n for n in self.crossed
                if "column" in self.lanes_of(n.operands[0]) and depths[n.operands[0]] == number
            ]  # fmt: skip
            streamed = [
                s for s in stores if depths[s.node] == number and "column" in self.lanes_of(s.node)
            ]
            self.emit(n for n in row_level if depths[n] <= number and not self._runs_along(n))
            if reductions or across or streamed:
                self._pass(reductions, across, streamed)
        self.emit(row_level)
        self._stores(s for s in stores if "column" not in self.lanes_of(s.node))

    def _runs_along(self, node: Node) -> bool:
        return node.op.family == "reduction" and not is_replicated(node, self.nodes)

    def _column_loop(self, *, reverse: bool = False) -> None:
        """Blocks of columns, the last one first if `reverse`."""
        columns = self.names.count(self.schedule.columns)
        self.line(f"for start in range(0, {columns}, BLOCK_COLUMNS):")
        self.indent += 1
        if reverse:
            self.line(f"first = (tl.cdiv({columns}, BLOCK_COLUMNS) - 1) * BLOCK_COLUMNS - start")
        self._column_index("first" if reverse else "start")

    def _add_block(self, node: Node, *, reverse: bool) -> None:
        """Put a block of the row to what the reduction is so far, and to what joins it."""
        value, name = self.masked(node, node.operands[0], {"column"}), self.carries[node]
        if node.op.name not in FIRST:
            value = self.reduced(node, value)
            if any(one.exponential is None for one in self.joining(node).values()):
                value = self.assign(node, value, "block_sum")
                self.add_squares(node, value, reverse=reverse)
            self.line(f"{name} = {combined(node).format(name, value)}")
            return
        found = self.assign(node, self.extremum(node, value, "1" if self.by_rows else "0"), "found")
        best = f"{self.bests[node]}, {name}"
        self.line(f"{best} = {FIRST[node.op.name]}({best}, {found}[0], {found}[1])")

    def _begin_running(self, node: Node) -> None:
        """What a running reduction is before the first block."""
        name = self.names.fresh("so_far")
        value = "0" if node.op is recurrence else identity(node)
        self.line(f"{name} = tl.full({self.of_row()}, {value}, {triton_dtype(node.dtype)})")
        self.running[node] = name

    def _pass(
        self, reductions: Sequence[Node], across: Sequence[Node], stores: Sequence[Store]
    ) -> None:
        """One stream over the row: what it needs is read anew, what it reduces is kept."""
        joined = [node for node in reductions if node in self.passes.joined]
        heads = [node for node in reductions if node not in self.passes.joined]
        for node in reductions:
            self._begin(node)
        self.begin_joined(joined)
        values = [*(n.operands[0] for n in (*heads, *across)), *(s.node for s in stores)]
        squares = [
            one for one in map(self.passes.joined.get, joined) if one and not one.exponential
        ]
        values += [one.difference.operands[0] for one in squares]
        inside = set(topological(values, stop=set(self.text)))
        scans = [n for n in self.nodes if n in inside and n.op.family == "scan"]
        for node in scans:
            self._begin_running(node)
        known, fills = dict(self.text), dict(self.fills)
        reverse = any(node["reverse"] for node in scans)
        self._column_loop(reverse=reverse)
        self.emit(n for n in self.nodes if n in inside)
        for node in (*heads, *(n for n in across if not n.axes)):
            self._add_block(node, reverse=reverse)
        for node in heads:
            self._know(node)
            self.add_powers(node)
        for store in self.kernel.stores:
            if store.share and store.node in across and store.node.axes:
                self._add_part(store)
        self._stores(stores)
        self.indent -= 1
        self.text, self.fills = known, fills
        for node in reductions:
            self._know(node)
        for node in joined:
            self.end_joined(node)

    def _know(self, node: Node) -> None:
        """What is kept of a reduction is its value."""
        self.text[node] = self.carries[node]
        self.varying[node] = {"row"} if self.by_rows else set()

    def _add_part(self, store: Store) -> None:
        """A program's own part lies in memory where a row is too long to be held."""
        node, target = store.node, self._target(store)
        value = self.masked(node, node.operands[0], set())
        kept = self.names.fresh("kept")
        mask = f"mask={self.limited('block != program')}"
        self.line(f"{kept} = tl.load({target}, {mask}, other={identity(node)})")
        self.line(f"tl.store({target}, {combined(node).format(kept, value)}, mask=column_mask)")

    # Sums across rows.

    def _begin(self, node: Node) -> None:
        """What is kept of a reduction, before its first part."""
        name = self.names.value(node, self.kernel.origins.get(node), len(self.text))
        value, dtype = identity(node), triton_dtype(node.dtype)
        self.carries[node] = name
        if node.op.name in FIRST:
            own = node.operands[0].dtype
            best = self.bests[node] = self.names.fresh("best")
            kind = "tl.int32" if own == BOOL else triton_dtype(own)
            self.line(f"{best} = tl.full({self._shape(node)}, {value}, {kind})")
            value = "0"
        self.line(f"{name} = tl.full({self._shape(node)}, {value}, {dtype})")

    def _shape(self, node: Node) -> str:
        """The lanes of what is kept: those that the reduction does not put together at once."""
        if node not in self.crossed:
            return self.of_row()
        columns = "column" in self.lanes_of(node.operands[0])
        if not self.by_rows:
            is_held = self.schedule.kind != "looped"  # else each block is put together at once
            return "[BLOCK_COLUMNS]" if columns and is_held else "[]"
        if not self.by_columns:
            return "[BLOCK_ROWS]"
        if node.axes:
            return "[1, BLOCK_COLUMNS]"
        return "[BLOCK_ROWS, BLOCK_COLUMNS]" if columns else "[BLOCK_ROWS, 1]"

    def _accumulate(self, node: Node) -> None:
        (x,) = node.operands
        along = {"row"} if node.axes else {"row", "column"}
        value = self.masked(node, x, along)
        if node.axes and self.by_rows and self.by_columns:
            value = reduced(node, value, "0", keep=True)
        name = self.carries[node]
        self.line(f"{name} = {combined(node).format(name, value)}")

    def _complete(self, node: Node) -> None:
        """Put the lanes of a program together, where the result has none."""
        name, shape = self.carries[node], self._shape(node)
        if not node.axes and shape != "[]":
            flat = name
            if "," in shape:
                size = "BLOCK_ROWS * BLOCK_COLUMNS" if "COLUMNS" in shape else "BLOCK_ROWS"
                flat = f"tl.reshape({name}, [{size}])"
            self.line(f"{name} = {reduced(node, flat, '0')}")
        self.text[node] = name

    # Stores.

    def _stores(self, stores: Iterable[Store]) -> None:
        for store in stores:
            masks = self.masks(self.lanes(self._offset(store)))
            mask = f", mask={' & '.join(masks)}" if masks else ""
            self.line(f"tl.store({self._target(store)}, {self.text[store.node]}{mask})")

    def _offset(self, store: Store) -> Size:
        shape = store.shape[1:] if store.share else store.shape
        return located(offset_of(shape, store.places), self.where)

    def _target(self, store: Store) -> str:
        address = self.address(store.buffer, self._offset(store))
        if not store.share:
            return address
        shape = store.shape[1:]
        part = f"program * {self.names.count(shape)}" if shape else "program"
        return address.replace("_ptr", f"_ptr + {part}", 1)
