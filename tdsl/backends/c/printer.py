"""Kernels as C source.

In: a `Kernel` and a `Schedule`. Out: the text of one function, and its parameters in order. Between: units
of rows are parted among threads; loops along vectors have no dependence but declared reductions.
"""

from __future__ import annotations

from dataclasses import dataclass

from tdsl.backends.c import counters
from tdsl.backends.c.literals import c_type, memory_type
from tdsl.backends.c.schedule import BLOCK, Schedule
from tdsl.backends.c.tiles import Tiles
from tdsl.fusion.kernel import Kernel
from tdsl.fusion.layout import PROGRAMS
from tdsl.ir.dtype import AnyDtype
from tdsl.ir.size import Size

THREADS = "num_threads(threads) if (threads > 1)"


@dataclass(frozen=True, slots=True)
class Printed:
    """A kernel's text, and what a call gives it, in order: then the number of threads.

    `pointers` are names of buffers, `sizes` the sizes that are passed, `numbers` names of values that
    follow from sizes, with their dtypes; `scalars` declares what is passed after the pointers.
    """

    name: str
    text: str
    pointers: tuple[str, ...]
    scalars: tuple[str, ...]
    sizes: tuple[Size, ...]
    numbers: tuple[tuple[str, AnyDtype], ...]


def print_kernel(kernel: Kernel, schedule: Schedule) -> Printed:
    """The kernel's text under the schedule."""
    return _Printer(kernel, schedule).run()


class _Printer(Tiles):
    """The skeleton: threads, programs, units."""

    def run(self) -> Printed:
        """The whole function."""
        self.totals_of_parts()
        self._units()
        is_shared = self.schedule.sharing
        if is_shared and not self.schedule.walked:
            self.line(f"#pragma omp parallel {THREADS}")
            self.line("{")
            self.indent += 1
            self.begin_shared()
            self.line("#pragma omp for schedule(static)")
        else:
            self.line(f"#pragma omp parallel for {THREADS} schedule(static)")
        if self.schedule.walked:
            programs = self.names.size(PROGRAMS)
            self.open(f"for (int64_t program = 0; program < {programs}; program++)")
            self.begin_crossed()
            if is_shared:
                self.begin_shared()
            first, last = f"units * program / {programs}", f"units * (program + 1) / {programs}"
            self.open(f"for (int64_t unit = {first}; unit < {last}; unit++)")
        else:
            self.open("for (int64_t unit = 0; unit < units; unit++)")
        self._indices()
        self.row()
        self.close()
        if self.schedule.walked:
            self.store_crossed()
        if self.schedule.walked or is_shared:
            self.close()
        return self._printed()

    def _units(self) -> None:
        """How many units there are; of rows side by side, and of columns in tiles, blocks are counted."""
        total = self.names.factor(counters.count(self.schedule.columns))
        if self.schedule.kind == "flat":
            self.line(f"const int64_t units = ({total} + {BLOCK - 1}) / {BLOCK};")
            return
        outer, block = list(self.row_groups), self.schedule.block
        blocks = []
        if block > 1:
            side = self.names.factor(counters.count(outer.pop()))
            self.line(f"const int64_t blocks = ({side} + {block - 1}) / {block};")
            blocks.append("blocks")
        if self.schedule.kind == "tiles":
            self.line(f"const int64_t across = ({total} + {block - 1}) / {block};")
            blocks.append("across")
        counts = [self.names.factor(counters.count(group)) for group in outer]
        self.line(f"const int64_t units = {' * '.join([*counts, *blocks]) or '1'};")

    def _indices(self) -> None:
        """What counts the unit's rows."""
        kind, block = self.schedule.kind, self.schedule.block
        total = self.names.factor(counters.count(self.schedule.columns))
        if kind == "flat":
            self._range("start", "end", "unit", total)
            return
        outer = list(zip(self.row_groups, self.row_names, strict=True))
        unit = "unit"
        if kind == "tiles":
            self._range("first", "last", "unit % across", total)
            side = self.names.factor(counters.count(outer.pop()[0]))
            self._range("start", "end", "unit / across % blocks", side)
            unit = "unit / (across * blocks)"
        elif kind == "lanes":
            side = self.names.factor(counters.count(outer.pop()[0]))
            self.line(f"const int64_t start = unit % blocks * {block};")
            self.line(f"const int64_t lanes = {side} - start < {block} ? {side} - start : {block};")
            unit = "unit / blocks"
        if len(outer) == 1:
            self.line(f"const int64_t {outer[0][1]} = {unit};")
        elif outer:
            self.line(f"int64_t rest = {unit};")
            for group, name in reversed(outer):
                count = self.names.factor(counters.count(group))
                self.line(f"const int64_t {name} = rest % {count};")
                self.line(f"rest /= {count};")

    def _range(self, start: str, end: str, number: str, total: str) -> None:
        """Where the block of this number begins and ends."""
        block = self.schedule.block
        self.line(f"const int64_t {start} = {number} * {block};")
        self.ends(end, start, block, total)

    def _printed(self) -> Printed:
        kernel = self.kernel
        dtypes: dict[str, tuple[AnyDtype, bool]] = {r.name: (r.dtype, True) for r in kernel.reads}
        dtypes |= {store.buffer: (store.dtype, False) for store in kernel.stores}
        pointers = []
        for pointer in self.pointers:
            dtype, is_read = dtypes[pointer]
            const = "const " if is_read else ""
            pointers.append(f"{const}{memory_type(dtype)} *{self.buffers[pointer]}")
        numbers = [(name, node.dtype) for name, node in kernel.numbers]
        scalars = [f"int64_t {name}" for name in self.names.sizes]
        scalars += [f"{c_type(dtype)} {name}" for name, dtype in numbers]
        scalars.append("int threads")
        head = f"void {kernel.name}({', '.join([*pointers, *scalars])})"
        if len(head) > 100:
            head = head.replace("(", "(\n    ", 1).replace(", ", ",\n    ")[:-1] + "\n)"
        body = "\n".join(self.lines)
        described = self.schedule.describe()
        comment = f"// {described[0].upper()}{described[1:]}."
        sizes = tuple(self.names.sizes.values())
        text = f"{comment}\n{head} {{\n{body}\n}}\n"
        own = tuple(self.pointers)
        return Printed(kernel.name, text, own, tuple(scalars), sizes, tuple(numbers))
