"""Schedules for processors: the ways to walk a kernel's axes, and the sizes that each is for.

In: a `Kernel`. Out: `Choice`s, the best first; the last of them is for all sizes. Between: sizes decide
nothing else, and the number of threads nothing at all, so that results do not depend on it.

- *flat*: all axes are counted by one number, in units of one block.
- *rows*: a unit is one row; vectors lie along its columns.
- *lanes*: a unit is a block of rows that are neighbours in memory; vectors lie across the rows.
- *tiles*: a unit is a square of rows and columns, where memory lies along either.
- *walked*: sums across rows: the units are parted among a fixed number of programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, prod
from typing import Literal

from tdsl.backends.c.counters import groups
from tdsl.backends.c.shared import shared_values
from tdsl.fusion import schedule
from tdsl.fusion.kernel import Kernel, Store
from tdsl.fusion.offsets import COLUMN, ROW, accesses, is_contiguous, is_strided, ordered
from tdsl.fusion.pressure import runs_along
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ops import take

Axes = tuple[Size, ...]
Kind = Literal["flat", "rows", "lanes", "tiles"]
Cache = Literal["near", "far"]
"""The core's nearest cache, or the one behind it."""

BLOCK = 2048
"""Elements of a flat unit."""
LANES = 64
"""Rows side by side: four lines of the cache in f32."""
TILE = 64
"""The rows and columns of a tile: several lines of the cache, and a square that stays in it."""
STAGED = 32768
"""The longest row of which values wait in the cache for a later pass."""
STAGED_LANES = 1024
"""The same for rows side by side."""
NARROW = 4
"""How many times as long they may be where half as many lie side by side."""
SHARING = 4
"""Rows from which it pays to keep what they share."""
MOST_PROGRAMS = 64
EACH_PROGRAM = 16
"""Units for each program that keeps sums, so that its parts are little traffic."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a kernel runs. `rows` and `columns` are in the order in which they are counted.

    `staged`: values that are costly to compute wait in a row of scratch memory for later passes.
    `lanes`: how many rows lie side by side. `sharing`: costly values that all rows share wait in one, too.
    `ahead`: a second loop over the row fetches the next one into this cache. `scattered`: an element
    takes a line of memory of its own.
    """

    kind: Kind
    rows: tuple[Size, ...]
    columns: tuple[Size, ...]
    walked: bool
    staged: bool
    lanes: int = 1
    sharing: bool = False
    ahead: Cache | None = None
    scattered: bool = False

    @property
    def block(self) -> int:
        """How many elements, or rows, a unit has."""
        return {"flat": BLOCK, "rows": 1, "lanes": self.lanes, "tiles": TILE}[self.kind]

    def units(self, size: Callable[[Size], int]) -> int:
        """How many units there are."""
        return -(-prod(map(size, self.columns if self.kind == "flat" else self.rows)) // self.block)

    def programs(self, size: Callable[[Size], int]) -> int:
        """How many programs part the units of a walked kernel."""
        each = 1 if self.scattered else EACH_PROGRAM
        return max(1, min(MOST_PROGRAMS, self.units(size) // each))

    def walk(self) -> schedule.Schedule:
        """The walk over memory, as traffic is counted by: rows in the cache are read once."""
        kind: schedule.Columns = "whole" if self.staged else "looped"
        rows, columns = self.rows, self.columns
        return schedule.Schedule(rows, columns, "columns", kind, self.walked, 1, 1, 1)

    def describe(self) -> str:
        """One line for readers."""
        rows = " x ".join(map(str, self.rows)) or "one row"
        columns = " x ".join(map(str, self.columns)) or "1"
        walk = "a fixed number of programs walks" if self.walked else "threads divide"
        if self.kind == "flat":
            return f"{walk} {columns} in blocks of {BLOCK}"
        if self.kind == "tiles":
            return f"{walk} {rows} and {columns} in squares of {TILE}"
        if self.kind == "lanes":
            return f"{walk} {rows}, {self.lanes} rows side by side along {columns}"
        return f"{walk} {rows}, each along {columns}{'; they share values' * self.sharing}"


@dataclass(frozen=True, slots=True)
class Choice:
    """A schedule for rows of at most so many elements, and for at least so many rows.

    `keeping`: it is for a kernel that keeps values in scratch memory.
    """

    schedule: Schedule
    longest: float = inf
    fewest: int = 0
    keeping: bool = False

    def suits(self, size: Callable[[Size], int]) -> bool:
        """Whether the schedule is for these sizes."""
        is_short = prod(map(size, self.schedule.columns)) <= self.longest
        return is_short and prod(map(size, self.schedule.rows)) >= self.fewest

    def up_to(self, longest: float) -> Choice:
        """The same for rows of at most so many elements."""
        return replace(self, longest=min(self.longest, longest))


def turned(kernel: Kernel, rows: Axes, columns: Axes) -> tuple[list[Node], list[Store]]:
    """The reads and the stores along rows and columns whose neighbours in memory are rows.

    Where a gather reads follows from values, so that it is none of them.
    """

    def is_turned(node: Node, offset: Size) -> bool:
        is_both = bool({*node.axes} & {*rows} and {*node.axes} & {*columns})
        return is_both and is_contiguous(offset, ROW) and not is_contiguous(offset, COLUMN)

    found = accesses(kernel, rows, columns)
    count = len(kernel.stores)
    reads = [n for n, offset in found[:-count] if n.op is not take and is_turned(n, offset)]
    stores = zip(kernel.stores, found[-count:], strict=True)
    return reads, [store for store, site in stores if is_turned(*site)]


def scattered(kernel: Kernel) -> bool:
    """Whether every element reads from anywhere in memory, as by a gather along the rows' last axis."""
    walked = {*kernel.layout.rows, *kernel.layout.columns}
    takes = [node for node in kernel.nodes() if node.op is take and walked <= {*node.axes}]
    memory = [(node.operands[0].axes, node["axis"]) for node in takes]
    return any(len(axes) > 1 and axes[-1] == axis for axes, axis in memory)


def choices(kernel: Kernel) -> Iterator[Choice]:
    """The schedules of a kernel, the best first."""
    layout, walked = kernel.layout, bool(kernel.layout.crossed)
    everything = ordered(kernel, (*layout.rows, *layout.columns))
    runs = any(runs_along(node, kernel) for node in kernel.nodes())
    # What lacks an axis is stored once for each row, even if that axis is empty.
    alike = all(set(store.node.axes) == set(everything) for store in kernel.stores)
    if not runs and (alike or (walked and not layout.columns)):
        *outer, inner = groups(kernel, everything) or ((),)
        rows = tuple(axis for group in outer for axis in group)
        if not outer:
            flat = Schedule(
                "flat", (), everything, walked, staged=True, scattered=scattered(kernel)
            )
            yield from (Choice(flat), Choice(replace(flat, staged=False)))
        elif tiles := None if walked else _tiles(kernel, outer, inner):
            yield Choice(tiles)
        else:
            yield from _by_rows(kernel, Schedule("rows", rows, inner, walked, staged=True), inf)
        return
    rows, columns = ordered(kernel, layout.rows), ordered(kernel, layout.columns)
    if rows and not walked and is_strided(kernel, rows, columns):
        yield from _side_by_side(Schedule("lanes", rows, columns, walked, staged=True, lanes=LANES))
    else:
        yield from _by_rows(kernel, Schedule("rows", rows, columns, walked, staged=True), STAGED)


def _by_rows(kernel: Kernel, schedule: Schedule, longest: float) -> Iterator[Choice]:
    """The schedule with costly values kept that all rows share, if they are several, or without."""
    if schedule.rows and shared_values(kernel, schedule.rows, schedule.columns).kept:
        yield Choice(replace(schedule, sharing=True), longest, SHARING)
    yield Choice(schedule, longest)
    yield Choice(replace(schedule, staged=False))


def _side_by_side(schedule: Schedule) -> Iterator[Choice]:
    """The schedule by lanes: for longer rows half as many, if values are kept for those."""
    half = replace(schedule, lanes=schedule.lanes // 2)
    yield Choice(schedule, STAGED_LANES)
    yield Choice(half, NARROW * STAGED_LANES, keeping=True)
    yield Choice(replace(schedule, staged=False))


def _tiles(kernel: Kernel, outer: Sequence[Axes], inner: Axes) -> Schedule | None:
    """The schedule by tiles, if memory lies along other axes, too; most of it along the columns."""
    across = [group for group in outer if any(turned(kernel, group, inner))]
    if not across:
        return None
    rows, columns = across[-1], inner
    if _weight(kernel, rows, columns) > _weight(kernel, columns, rows):
        rows, columns = columns, rows
    others = tuple(axis for group in outer if group is not across[-1] for axis in group)
    return Schedule("tiles", (*others, *rows), columns, walked=False, staged=True)


def _weight(kernel: Kernel, rows: Axes, columns: Axes) -> int:
    reads, stores = turned(kernel, rows, columns)
    return len(reads) + len(stores)
