"""Schedules: how a kernel's axes are walked, for given sizes.

In: a `Kernel` and sizes. Out: a `Schedule`. Between: a pure function of the kernel, the sizes' classes and
the number of multiprocessors, so that the same call always runs the same code. Rows and columns are
counted by one number each, the last axis fastest.

- *lanes*: what one program holds at once: elements of a row, several rows side by side, or rows alone.
- *whole*: a row is held whole; its column block is the next power of two.
- *tiled*: no reduction along the row: programs divide the columns too.
- *looped*: the row is streamed in blocks, once for each reduction that waits for another.
- *walked*: a fixed number of programs walks the rows, keeping sums across them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Literal

from tdsl.fusion.kernel import Kernel, access, offset_of, tidy, unravelled
from tdsl.fusion.layout import is_replicated
from tdsl.ir.node import Node
from tdsl.ir.size import Size, name
from tdsl.ir.size import index as variable
from tdsl.ops import index, input_, take

Lanes = Literal["rows", "columns", "both"]
Columns = Literal["none", "whole", "tiled", "looped"]
ROW, COLUMN = name("row index"), name("column index")
"""The numbers that count rows and columns in places and offsets."""

WHOLE_LIMIT = 16384
SHORT_ROW = 1024
TILE = 1024
REFERENCE_MULTIPROCESSORS = 132


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a kernel runs. `rows` and `columns` are in the order in which they are counted."""

    rows: tuple[Size, ...]
    columns: tuple[Size, ...]
    lanes: Lanes
    kind: Columns
    walked: bool
    block_rows: int
    block_columns: int
    warps: int

    def programs(self, sizes: Callable[[Size], int], multiprocessors: int) -> int:
        """How many programs run: one for each block, or as many as the machine holds."""
        blocks = -(-prod(map(sizes, self.rows)) // self.block_rows)
        if self.walked:
            return max(1, min(blocks, multiprocessors, max(8, blocks // 16)))
        if self.kind == "tiled":
            blocks *= -(-prod(map(sizes, self.columns)) // self.block_columns)
        return blocks

    def describe(self) -> str:
        """One line for readers."""
        rows = " x ".join(map(str, self.rows)) or "one row"
        columns = " x ".join(map(str, self.columns))
        walk = "a fixed number of programs walks" if self.walked else "programs divide"
        how = {
            "none": "", "whole": f", each held whole along {columns}",
            "tiled": f", and {columns} in tiles", "looped": f", each streamed along {columns}",
        }[self.kind]  # fmt: skip
        return f"{walk} {rows}{how}"


def choose(kernel: Kernel, sizes: Callable[[Size], int]) -> Schedule:
    """The schedule of a kernel for these sizes."""
    layout = kernel.layout
    along_rows = [n for n in kernel.nodes() if _runs_along(n, kernel)]
    crossed = bool(layout.crossed)
    if not along_rows:
        rows, columns = _pointwise_axes(kernel)
        if crossed and not columns:
            block = _power(prod(map(sizes, rows)), 32, TILE)
            return Schedule(rows, (), "rows", "none", True, block, 1, 4)
        length = prod(map(sizes, columns))
        block = _power(length, 32 if not rows else 1, TILE)
        block_rows = max(1, min(TILE // block, 64)) if rows else 1
        lanes: Lanes = "both" if block_rows > 1 else "columns"
        return Schedule(rows, columns, lanes, "tiled", crossed, block_rows, block, 4)
    rows, columns = _ordered(kernel, layout.rows), _ordered(kernel, layout.columns)
    length = prod(map(sizes, columns))
    if length > WHOLE_LIMIT:
        block = WHOLE_LIMIT // 4
        return Schedule(rows, columns, "columns", "looped", crossed, 1, block, 8)
    block = _power(length, 1, WHOLE_LIMIT)
    if not rows or block > SHORT_ROW:
        return Schedule(rows, columns, "columns", "whole", crossed, 1, block, _warps(block))
    block_rows = max(1, 2 * SHORT_ROW // block)
    block_rows = min(block_rows, 32, _power(prod(map(sizes, rows)), 1, 32))
    lanes = "both" if block_rows > 1 else "columns"
    return Schedule(rows, columns, lanes, "whole", crossed, block_rows, block, 4)


def _runs_along(node: Node, kernel: Kernel) -> bool:
    """Whether a node needs the row whole: a reduction over the columns, or a scan."""
    if node.op.family == "scan":
        return True
    if node.op.family != "reduction" or node in kernel.layout.crossed:
        return False
    return not is_replicated(node, kernel.nodes())


def _power(count: int, least: int, most: int) -> int:
    """The smallest power of two that is not below the count, within bounds."""
    power = least
    while power < min(count, most):
        power *= 2
    return power


def _warps(block: int) -> int:
    """One warp for each 512 elements of a row."""
    return min(max(block // 512, 1), 16)


def _ordered(kernel: Kernel, axes: tuple[Size, ...]) -> tuple[Size, ...]:
    """The axes as they lie in the largest buffer, so that neighbours are counted one after another."""
    order: list[Size] = []
    shapes = [read.shape for read in kernel.reads] + [store.shape for store in kernel.stores]
    for shape in sorted(shapes, key=len, reverse=True):
        order += [axis for axis in shape if axis not in order]
    known = [axis for axis in order if axis in axes]
    return (*known, *(axis for axis in axes if axis not in known))


def _pointwise_axes(kernel: Kernel) -> tuple[tuple[Size, ...], tuple[Size, ...]]:
    """Rows and columns where nothing runs along the row: flat, if that needs no division."""
    layout = kernel.layout
    everything = _ordered(kernel, (*layout.rows, *layout.columns))
    if layout.crossed:
        if not layout.columns:
            return everything, ()
        return _ordered(kernel, layout.rows), _ordered(kernel, layout.columns)
    if all(_is_linear(offset) for offset in offsets(kernel, (), everything)):
        return (), everything
    return everything[:-1], everything[-1:]


def _is_linear(offset: Size) -> bool:
    return all(atom.kind not in ("floordiv", "mod") for atom in offset.atoms())


def places(rows: tuple[Size, ...], columns: tuple[Size, ...]) -> dict[Size, Size]:
    """The index along each axis, by the numbers that count rows and columns."""
    return {**dict(unravelled(ROW, rows)), **dict(unravelled(COLUMN, columns))}


def offsets(kernel: Kernel, rows: tuple[Size, ...], columns: tuple[Size, ...]) -> list[Size]:
    """The offset of every read and store, by the numbers that count rows and columns."""
    where = places(rows, columns)
    shapes = {read.node: read.shape for read in kernel.reads}
    found = []
    for node in kernel.nodes():
        if node.op in (input_, index, take):
            base = node
            while base.op in (index, take):
                base = base.operands[0]
            if base in shapes:
                own = access(node, shapes[base]).places
                strides = kernel.strides.get(str(base["name"]))
                found.append(located(offset_of(shapes[base], own, strides), where))
    for store in kernel.stores:
        shape = store.shape[1:] if store.share else store.shape
        found.append(located(offset_of(shape, store.places), where))
    return found


def located(offset: Size, where: dict[Size, Size]) -> Size:
    """The offset with every index replaced by what counts it."""
    values = {atom: place for axis, place in where.items() if (atom := variable(axis).atom)}
    return tidy(offset.substitute(values))
