"""Kernels as Triton source.

In: a `Kernel` and a `Schedule`. Out: the text of one `@triton.jit` function, and its parameters in order.
Between: one statement for each value, named as in the tdsl source; rows are counted in 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tdsl.backends.triton.forms import with_forms
from tdsl.backends.triton.helpers import called
from tdsl.backends.triton.literals import identity, kind_of
from tdsl.backends.triton.streams import Streams
from tdsl.fusion.kernel import Kernel, Store
from tdsl.fusion.layout import is_replicated
from tdsl.fusion.offsets import COLUMN, ROW, accesses, is_contiguous, is_read
from tdsl.fusion.schedule import MOST_PARTS, Schedule
from tdsl.ir.node import Node, topological
from tdsl.ir.size import Size


@dataclass(frozen=True, slots=True)
class Printed:
    """A kernel's text, and what a launch gives it, in order.

    `pointers` are names of buffers, `sizes` names with the size that each is, `numbers` names of values
    that follow from sizes, `constants` compile-time values. Of `unspecialised` sizes and numbers compiled
    code knows nothing but the width.
    """

    name: str
    text: str
    pointers: tuple[str, ...]
    sizes: tuple[tuple[str, Size], ...]
    numbers: tuple[str, ...]
    constants: tuple[tuple[str, int], ...]
    helpers: frozenset[str]
    unspecialised: tuple[str, ...] = ()


def print_kernel(kernel: Kernel, schedule: Schedule) -> Printed:
    """The kernel's text under the schedule."""
    return _Printer(with_forms(kernel, schedule.columns), schedule).run()


class _Printer(Streams):
    """The skeleton: programs, and the walk over rows."""

    def run(self) -> Printed:
        """The whole function."""
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
        tiles = f"tl.cdiv({self.names.count(self.schedule.columns)}, BLOCK_COLUMNS)"
        self.line(f"tiles = tl.maximum({tiles}, 1)" if self.schedule.walked else f"tiles = {tiles}")

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
        stages = self.schedule.stages
        ahead = f", num_stages={stages}" if stages > 1 else ""
        loop = "tl.range" if ahead else "range"
        self.line(f"for block in {loop}(program, {blocks}, programs{ahead}):")
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
            self._add_up(node for node in self.crossed if node.operands[0] in self.text)
            return
        if not self.schedule.walked:
            self._column_index()
        own = [node for node in self.nodes if node not in self.crossed]
        stores = [store for store in self.kernel.stores if not store.share]
        rows = [store for store in stores if not self._is_long(store.node)]
        elements = [store for store in stores if self._is_long(store.node)]
        if self.is_held:
            self.emit(self._early(own))
        if self.is_held and not self.by_rows and not any(self._spread()):
            self._held(own, rows, elements)
        else:
            # Values of elements first: they hold the most registers.
            self.emit(own)
            self._stores([*elements, *rows])
            self._add_up(self.crossed)

    def _held(self, own: Sequence[Node], rows: Sequence[Store], elements: Sequence[Store]) -> None:
        """What is wanted of a row that is held whole and lies contiguous, so that addresses are few.

        Nothing of the row waits while its elements take them, and a value of an element is stored as soon
        as it is made; but nothing is loaded after a store, for which it might have to wait.
        """
        long = [node for node in self.crossed if self._is_long(node.operands[0])]
        short = [node for node in self.crossed if node not in long]
        self._make([*(store.node for store in rows), *(node.operands[0] for node in short)], own)
        self._stores(rows)
        self._add_up(short)
        loads = [node for node in own if self._is_long(node) and is_read(node, self.kernel)]
        for store in elements:
            self._make([store.node], own)
            self._make(loads, own)
            self._stores([store])
        self._make([node.operands[0] for node in long], own)
        self._add_up(long)

    def _add_up(self, sums: Iterable[Node]) -> None:
        for node in sums:
            if node in self.carries:
                self._accumulate(node)

    def _make(self, wanted: Sequence[Node], own: Sequence[Node]) -> None:
        """Append what is not known yet of these values and what they are made of."""
        needed = set(topological(wanted))
        self.emit(node for node in own if node in needed)

    def _is_long(self, node: Node) -> bool:
        return "column" in self.lanes_of(node)

    def _early(self, nodes: Sequence[Node]) -> Iterator[Node]:
        """The first reduction of a row that is held, then the integers that are known without it.

        Before, registers are wanted for what is on its way from memory; afterwards there is time to read
        what elements are compared with. What has an address for each element and is reduced, and what
        programs left in parts, need many registers for a short time, and come as early.
        """
        columns = {node for node in nodes if self._is_long(node)}
        late: set[Node] = set()
        for node in nodes:
            if self._runs_along(node) or not late.isdisjoint(node.operands):
                late.add(node)
        roots = [node for node in nodes if self._runs_along(node)][:1]
        roots += [node for node in nodes if is_replicated(node, self.nodes)]
        reduced = set(topological(node for node in nodes if self._runs_along(node)))
        roots += [node for node in self._spread() if node not in late and node in reduced]
        integers = [
            node for node in nodes
            if node not in late and node not in columns and kind_of(node.dtype) != "float"
        ]  # fmt: skip
        for wanted in (roots, integers):
            needed = set(topological(wanted))
            yield from (node for node in nodes if node in needed)

    def _spread(self) -> Iterator[Node]:
        """Reads along the columns of which neighbours do not lie side by side."""
        for node, offset in accesses(self.kernel, self.schedule.rows, self.schedule.columns):
            is_along = self._is_long(node) and is_read(node, self.kernel)
            if is_along and not any(is_contiguous(offset, one) for one in (ROW, COLUMN)):
                yield node

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
