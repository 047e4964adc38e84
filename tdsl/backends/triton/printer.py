"""Kernels as Triton source.

In: a `Kernel` and a `Schedule`. Out: the text of one `@triton.jit` function, and its parameters in order.
Between: one statement for each value, named as in the tdsl source; rows are counted in 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tdsl.backends.triton.helpers import called
from tdsl.backends.triton.literals import combined, identity, reduced, triton_dtype
from tdsl.backends.triton.values import Values
from tdsl.errors import InternalError
from tdsl.fusion.kernel import Kernel, Store, offset_of
from tdsl.fusion.layout import is_replicated
from tdsl.fusion.passes import pass_numbers
from tdsl.fusion.schedule import Schedule, located
from tdsl.ir.node import Node, topological
from tdsl.ir.size import Size

MOST_PARTS = 512
"""How many programs may leave parts of a reduction for others to put together."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A kernel's text, and what a launch gives it, in order.

    `pointers` are names of buffers, `sizes` names with the size that each is, `numbers` names of values
    that follow from sizes, `constants` compile-time values.
    """

    name: str
    text: str
    pointers: tuple[str, ...]
    sizes: tuple[tuple[str, Size], ...]
    numbers: tuple[str, ...]
    constants: tuple[tuple[str, int], ...]
    helpers: frozenset[str]


def print_kernel(kernel: Kernel, schedule: Schedule) -> Printed:
    """The kernel's text under the schedule."""
    return _Printer(kernel, schedule).run()


class _Printer(Values):
    """The skeleton around the values: programs, loops, sums across rows, stores."""

    def run(self) -> Printed:
        """The whole function."""
        self.crossed = list(self.kernel.layout.crossed)
        self.carries: dict[Node, str] = {}
        if self.schedule.walked:
            self._walked()
        else:
            self._program_index()
            self._row_index("tl.program_id(0)" if not self._is_tiled_rows() else "block")
            self._body()
        return self._printed()

    def _is_tiled_rows(self) -> bool:
        return self.schedule.kind == "tiled" and bool(self.schedule.rows)

    def _program_index(self) -> None:
        if self._is_tiled_rows():
            self._tiles()
            self.line("tile = tl.program_id(0) % tiles")
            self.line("block = tl.program_id(0) // tiles")

    def _tiles(self) -> None:
        self.line(f"tiles = tl.cdiv({self.names.count(self.schedule.columns)}, BLOCK_COLUMNS)")

    def _walked(self) -> None:
        """Rows walked by a fixed number of programs, with sums across them."""
        self.line("program = tl.program_id(0)")
        self.line("programs = tl.num_programs(0)")
        if self.schedule.kind == "tiled":
            self._tiles()
            self.line("tile = program % tiles")
            self.line("program = program // tiles")
            self.line("programs = programs // tiles")
        streamed = self.schedule.kind == "looped"
        if not streamed:
            self._column_index()
        self.emit(node for node in self.nodes if self._is_still(node))
        for node in self.crossed:
            if not (streamed and node.axes):
                self._begin(node)
        rows = self.names.count(self.schedule.rows)
        blocks = f"tl.cdiv({rows}, BLOCK_ROWS)" if self.by_rows else rows
        self.line(f"for block in range(program, {blocks}, programs):")
        self.indent += 1
        known, fills = dict(self.text), dict(self.fills)
        self._row_index("block")
        self._body()
        self.indent -= 1
        self.text, self.fills = known, fills
        for node in self.crossed:
            if node in self.carries:
                self._complete(node)
        if streamed and any(node.axes for node in self.crossed):
            self._unused_parts(blocks)
        self._stores(
            store for store in self.kernel.stores if store.share and store.node in self.text
        )

    def _unused_parts(self, blocks: str) -> None:
        """A program without rows leaves parts that change nothing."""
        self.line(f"if program >= {blocks}:")
        self.indent += 1
        self._column_loop()
        for store in self.kernel.stores:
            if store.share and store.node.axes:
                self.line(
                    f"tl.store({self._target(store)}, {identity(store.node)}, mask=column_mask)"
                )
        self.indent -= 2

    def _is_still(self, node: Node) -> bool:
        """Whether a value is the same for every row, so that it is made before they are walked."""
        varying = set(self.schedule.rows)
        if self.schedule.kind == "looped":
            varying |= set(self.schedule.columns)
        return node not in self.crossed and not any(
            varying & set(n.axes) for n in topological([node])
        )

    def _body(self) -> None:
        if self.schedule.kind == "looped":
            self._looped()
        else:
            if not self.schedule.walked:
                self._column_index()
            self.emit(node for node in self.nodes if node not in self.crossed)
            self._stores(store for store in self.kernel.stores if not store.share)
        for node in self.crossed:
            if node in self.carries and node.operands[0] in self.text:
                self._accumulate(node)

    def _row_index(self, block: str) -> None:
        if not self.schedule.rows:
            return
        start = f"tl.cast({block}, tl.int64)"
        if not self.by_rows:
            self.line(f"row = {start}")
            return
        lanes = "tl.arange(0, BLOCK_ROWS)" + ("[:, None]" if self.by_columns else "")
        self.line(f"row = {start} * BLOCK_ROWS + {lanes}")
        self.line(f"row_mask = row < {self.names.count(self.schedule.rows)}")

    def _column_index(self, start: str = "") -> None:
        if not self.by_columns:
            return
        if self.schedule.kind == "tiled":
            whole = "tl.cast(tl.program_id(0), tl.int64)"
            start = f"{'tile' if self.schedule.rows else whole} * BLOCK_COLUMNS"
        lanes = "tl.arange(0, BLOCK_COLUMNS)" + ("[None, :]" if self.by_rows else "")
        self.line(f"column = {start} + {lanes}" if start else f"column = {lanes}")
        self.line(f"column_mask = column < {self.names.count(self.schedule.columns)}")

    # Rows streamed in blocks, one pass for each reduction that waits for another.

    def _looped(self) -> None:
        depths = pass_numbers(self.nodes, set(self.schedule.columns))
        own = [n for n in self.nodes if n not in self.crossed]
        row_level = [n for n in own if "column" not in self.lanes_of(n)]
        stores = [s for s in self.kernel.stores if not s.share]
        for number in range(max(depths.values(), default=0) + 1):
            reductions = [n for n in own if self._runs_along(n) and depths[n.operands[0]] == number]
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

    def _column_loop(self) -> None:
        columns = self.names.count(self.schedule.columns)
        self.line(f"for start in range(0, {columns}, BLOCK_COLUMNS):")
        self.indent += 1
        self._column_index("start")

    def _pass(
        self, reductions: Sequence[Node], across: Sequence[Node], stores: Sequence[Store]
    ) -> None:
        """One stream over the row: what it needs is read anew, what it reduces is kept."""
        for node in reductions:
            if node.op.name.startswith("arg"):
                raise InternalError(f"`{node.op}` over a streamed row")
            self._begin(node)
        known, fills = dict(self.text), dict(self.fills)
        self._column_loop()
        values = [*(n.operands[0] for n in (*reductions, *across)), *(s.node for s in stores)]
        inside = set(topological(values, stop=known))
        self.emit(n for n in self.nodes if n in inside)
        for node in (*reductions, *(n for n in across if not n.axes)):
            value = reduced(node, self.masked(node, node.operands[0], {"column"}), "0")
            name = self.carries[node]
            self.line(f"{name} = {combined(node).format(name, value)}")
        for store in self.kernel.stores:
            if store.share and store.node in across and store.node.axes:
                self._add_part(store)
        self._stores(stores)
        self.indent -= 1
        self.text, self.fills = known, fills
        for node in reductions:
            self.text[node] = self.carries[node]

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
        self.line(f"{name} = tl.full({self._shape(node)}, {value}, {dtype})")
        self.carries[node] = name

    def _shape(self, node: Node) -> str:
        """The lanes of what is kept: those that the reduction does not put together at once."""
        if node not in self.crossed:
            return "[]"
        columns = "column" in self.lanes_of(node.operands[0])
        if not self.by_rows:
            return "[BLOCK_COLUMNS]" if columns else "[]"
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

    def _printed(self) -> Printed:
        schedule, kernel = self.schedule, self.kernel
        constants = [("BLOCK_ROWS", schedule.block_rows)] if self.by_rows else []
        if self.by_columns:
            constants.append(("BLOCK_COLUMNS", schedule.block_columns))
        body = "\n".join(self.lines)
        if "PARTS" in body:
            constants.append(("PARTS", MOST_PARTS))
        parameters = [*(f"{name}_ptr" for name in self.pointers), *self.names.sizes, *self.numbers]
        parameters += [f"{name}: tl.constexpr" for name, _ in constants]
        head = f"def {kernel.name}({', '.join(parameters)}):"
        if len(head) > 100:
            head = f"def {kernel.name}(\n    " + ",\n    ".join(parameters) + ",\n):"
        described = schedule.describe()
        doc = f'"""{described[0].upper()}{described[1:]}."""'
        text = f"@triton.jit\n{head}\n    {doc}\n{body}\n"
        return Printed(
            kernel.name, text, tuple(self.pointers), tuple(self.names.sizes.items()),
            tuple(self.numbers), tuple(constants), called(body),
        )  # fmt: skip
