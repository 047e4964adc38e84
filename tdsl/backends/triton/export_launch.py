"""Launchers of an exported file: a Plan as Python that allocates, chooses blocks, and runs the steps.

In: a Plan, its printed kernels with their schedules, names for sizes. Out: the statements of a function
from tensors and sizes to the plan's results. Between: blocks and programs follow from sizes as
`tdsl.fusion.schedule.choose` has them, for the class of sizes that the kernels were printed for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tdsl.backends.triton.export_library import is_whole, library_lines
from tdsl.backends.triton.export_sizes import SizeNames, in_parentheses, number_text, torch_name
from tdsl.backends.triton.module import TritonModule
from tdsl.backends.triton.printer import Printed
from tdsl.errors import InternalError
from tdsl.fusion.kernel import Kernel
from tdsl.fusion.layout import PROGRAMS
from tdsl.fusion.plan import LibraryCall, Plan
from tdsl.fusion.schedule import MOST_PARTS, WHOLE_LIMIT, Schedule
from tdsl.ir.size import ONE, Size

LONG_GRID = 40
"""From so many characters on a grid has a line of its own."""


@dataclass
class Launcher:
    """Statements that run a plan."""

    plan: Plan
    module: TritonModule
    names: SizeNames
    variables: Mapping[str, str]
    device: str

    def lines(self) -> list[str]:
        """The body of the launcher, but for its `return`."""
        pairs = list(zip(self.plan.kernels, self.module.kernels, strict=True))
        plans = [
            _Launch(self, kernel, printed, schedule, number)
            for number, (kernel, (printed, schedule)) in enumerate(pairs)
        ]
        walked = [launch for launch in plans if launch.schedule.walked]
        lines = [line for launch in walked for line in launch.blocks()]
        if walked:
            lines += self._programs(walked)
        lines += self._allocations()
        launches = iter(plans)
        steps: list[str] = []
        for step in self.plan.steps:
            if isinstance(step, LibraryCall):
                steps += library_lines(step, self)
            else:
                launch = next(launches)
                steps += launch.lines()
        if plans:
            lines.append(f"with _on_device({self.device}):")
            steps = [f"    {line}" for line in steps]
        return [*lines, *steps]

    def variable(self, name: str) -> str:
        """The Python name of a buffer."""
        return self.variables[name]

    def is_assigned(self, name: str) -> bool:
        """Whether a library call makes the buffer, so that it need not be allocated."""
        return any(
            isinstance(step, LibraryCall) and [s.buffer for s in step.stores] == [name]
            and is_whole(step.stores[0], step.node.axes)
            for step in self.plan.steps
        )  # fmt: skip

    def _programs(self, walked: Sequence[_Launch]) -> Iterator[str]:
        counts = [f"_programs({launch.walk()}, {self.device})" for launch in walked]
        most = counts[0] if len(counts) == 1 else f"max({', '.join(counts)})"
        yield f"programs = min({most}, {MOST_PARTS})"

    def _allocations(self) -> Iterator[str]:
        for buffer in self.plan.buffers:
            if not self.is_assigned(buffer.name):
                shape = self.names.shape(buffer.shape)
                options = f"dtype={torch_name(buffer.dtype)}, device={self.device}"
                yield f"{self.variable(buffer.name)} = torch.empty({shape}, {options})"


@dataclass
class _Launch:
    """One kernel's launch; variables of kernels after the first have its number."""

    owner: Launcher
    kernel: Kernel
    printed: Printed
    schedule: Schedule
    number: int

    def __post_init__(self) -> None:
        suffix = f"_{self.number}" if self.number else ""
        self.block_rows, self.block_columns = f"block_rows{suffix}", f"block_columns{suffix}"
        self.constants = {"BLOCK_ROWS": self.block_rows, "BLOCK_COLUMNS": self.block_columns}

    def _count(self, axes: Sequence[Size]) -> str:
        total = ONE
        for axis in axes:
            total = total * axis
        return self.owner.names.text(total)

    def _power(self, count: str, least: int, most: int) -> str:
        return f"_power_of_2({count}, {least}, {most})"

    def blocks(self) -> Iterator[str]:
        """Statements for the sizes of blocks that the kernel takes."""
        yield from self._columns()
        yield from self._rows()

    def _columns(self) -> Iterator[str]:
        schedule, name = self.schedule, self.block_columns
        length = self._count(schedule.columns)
        if "BLOCK_COLUMNS" not in dict(self.printed.constants):
            return
        if schedule.kind == "whole" and PROGRAMS not in schedule.columns:
            yield f"{name} = {self._power(length, 1, held(schedule))}"
        else:
            yield f"{name} = {schedule.block_columns}"

    def _rows(self) -> Iterator[str]:
        if "BLOCK_ROWS" in dict(self.printed.constants):
            yield f"{self.block_rows} = {self.schedule.block_rows}"

    def row_blocks(self) -> str:
        """How many blocks of rows there are."""
        rows = self._count(self.schedule.rows)
        if "BLOCK_ROWS" not in dict(self.printed.constants):
            return rows
        return f"triton.cdiv({rows}, {self.block_rows})"

    def walk(self) -> str:
        """What decides how many programs walk the rows: see `Schedule.programs`."""
        kind, blocks = self.schedule.kind, self.row_blocks()
        most = f"{in_parentheses(blocks)} // 4"
        if kind != "none":
            most = f"{in_parentheses(self._count(self.schedule.rows))} // 16"
        tiles = self._column_blocks() if kind == "tiled" else "1"
        least = 1 if kind == "tiled" else 8
        return f"{blocks}, max({least}, {most}), {self.schedule.each}, {tiles}"

    def _column_blocks(self) -> str:
        return f"triton.cdiv({self._count(self.schedule.columns)}, {self.block_columns})"

    def _grid(self) -> str:
        count = "programs" if self.schedule.walked else self.row_blocks()
        if self.schedule.kind != "tiled":
            return count
        tiles = self._column_blocks()
        if self.schedule.walked:
            return f"{count} * max(1, {tiles})"
        return tiles if count == "1" else f"{count} * {tiles}"

    def lines(self) -> Iterator[str]:
        """The launch, after what it is and why."""
        names, printed = self.owner.names, self.printed
        if not self.schedule.walked:
            yield from self.blocks()
        arguments = [self.owner.variable(name) for name in printed.pointers]
        arguments += [names.text(size) for _, size in printed.sizes]
        values = dict(self.kernel.numbers)
        for name in printed.numbers:
            text = number_text(values[name], names)
            if text is None:
                raise InternalError(f"`{values[name].op}` of sizes has no spelling in Python")
            arguments.append(text)
        for name, value in printed.constants:
            arguments.append(f"{name}={self.constants.get(name, str(value))}")
        arguments.append(f"num_warps={self.schedule.warps}")
        grid = f"({self._grid()},)"
        if len(grid) > LONG_GRID:
            name = f"grid_{self.number}" if self.number else "grid"
            yield f"{name} = {grid}"
            grid = name
        yield f"{printed.name}[{grid}]({', '.join(arguments)})"


def held(schedule: Schedule) -> int:
    """The longest row of which a kernel that was exported so holds as many as then."""
    return max(schedule.block_columns, WHOLE_LIMIT // schedule.block_rows)


def reason(schedule: Schedule) -> str:
    """Why a kernel runs as it does."""
    why = {
        "none": "Nothing is kept for columns.",
        "whole": "A row is reduced, and read only once, because it is held in registers.",
        "looped": "A row is longer than registers hold, so it is streamed once for each reduction.",
        "tiled": "Nothing is reduced along a row, so blocks do not depend on each other.",
    }[schedule.kind]
    if schedule.walked:
        why += (
            " Each program sums its rows in order and leaves one part for the next kernel:"
            " the result does not vary from run to run."
        )
    return why
