"""Schedules: how a kernel's axes are walked, for given sizes.

In: a `Kernel` and sizes. Out: a `Schedule`. Between: a pure function of the kernel, the sizes' classes and
the number of multiprocessors, so that the same call always runs the same code; how many rows there are
decides nothing but the number of programs. Rows and columns are counted by one number each, the last
axis fastest.

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

from tdsl.fusion.kernel import Kernel
from tdsl.fusion.layout import PROGRAMS
from tdsl.fusion.offsets import is_flat, is_strided, ordered, streamed, traffic
from tdsl.fusion.pressure import kept_values, runs_along
from tdsl.ir.dtype import BOOL
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ops import log1p, take

Lanes = Literal["rows", "columns", "both"]
Columns = Literal["none", "whole", "tiled", "looped"]

WHOLE_LIMIT = 32768
"""The longest row that is held whole, if its values fit into the registers."""
BLOCK = 4096
"""Elements of a row that is streamed which are held at once: sixteen a lane."""
MANY = 6
"""Values for each element of a streamed row of which a lane holds eight, not sixteen."""
NEIGHBOURS = 8
"""Neighbours in memory that are worth an access: 32 bytes in f32."""
SHORT_ROW = 1024
"""Rows up to this length are held several at once."""
TILE = 1024
"""The smallest tile of a pointwise kernel: eight elements for each lane of four warps."""
TRAFFIC = 8192
"""The bytes that a program of a pointwise kernel moves."""
WARP = 512
"""Elements for each warp: sixteen a lane, two accesses of 16 bytes in bf16."""
MOST_WARPS = 32
"""Warps of a program, which leave 64 registers for each lane."""
MUCH = 40
"""Bytes that are moved for each element of a sum over rows of which a lane holds half as many."""
CONDITIONS = 3
"""Conditions of each element of a sum over rows of which a lane holds half as many: it has 7 predicates."""
KEPT = 4
"""Values for each element of short rows with conditions of which a lane holds half as many."""
SLOW = ("sin", "cos", "tan", "pow")
"""Functions of a hundred instructions and more: fewer elements a lane keep the code short."""
STAGED = 49152
"""Bytes of shared memory for rows that are on their way: three quarters of what every target has."""
REGISTERS = 65536
"""Registers of 32 bits that a program can have at most, on every target."""
MOST_PARTS = 512
"""How many programs may leave parts of a reduction for others to put together."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a kernel runs. `rows` and `columns` are in the order in which they are counted.

    `stages`: how many blocks of walked rows are on their way from memory at once.
    """

    rows: tuple[Size, ...]
    columns: tuple[Size, ...]
    lanes: Lanes
    kind: Columns
    walked: bool
    block_rows: int
    block_columns: int
    warps: int
    stages: int = 1

    @property
    def flat(self) -> bool:
        """Whether all elements are counted by the columns, of which every program has one tile."""
        return self.kind == "tiled" and not self.rows

    @property
    def each(self) -> int:
        """How many programs that walk rows a multiprocessor has."""
        return 1 if self.warps > 16 else 4 if self.kind in ("none", "tiled") else 2

    def programs(self, sizes: Callable[[Size], int], multiprocessors: int) -> int:
        """How many programs run; of those that walk rows, how many share each tile of columns."""
        rows = prod(map(sizes, self.rows))
        blocks = -(-rows // self.block_rows)
        tiles = 1
        if self.kind == "tiled":
            tiles = -(-prod(map(sizes, self.columns)) // self.block_columns)
        if not self.walked:
            return blocks * tiles
        # Parts are worth little traffic: 16 rows for each, or 4 blocks of a full reduction.
        most = blocks // 4 if self.kind == "none" else rows // 16
        least = 1 if self.kind == "tiled" else 8
        return max(
            1, min(blocks, -(-self.each * multiprocessors // max(tiles, 1)), max(least, most))
        )

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
    if not any(runs_along(node, kernel) or _is_total(node, kernel) for node in kernel.nodes()):
        return _pointwise(kernel, sizes)
    layout = kernel.layout
    rows, columns = ordered(kernel, layout.rows), ordered(kernel, layout.columns)
    # How many parts there are follows from the number of rows, and must not decide the code.
    length = MOST_PARTS if PROGRAMS in columns else prod(map(sizes, columns))
    crossed = bool(layout.crossed)
    if rows and not crossed and is_strided(kernel, rows, columns):
        return _strided(kernel, rows, columns, length)
    block = _power(length, 1, WHOLE_LIMIT)
    kept = kept_values(kernel)
    if length > block or block * kept > REGISTERS:
        warps = 16 if kept_values(kernel, is_whole=False) > MANY else 8
        return Schedule(rows, columns, "columns", "looped", crossed, 1, BLOCK, warps)
    is_short = bool(rows) and block <= SHORT_ROW
    block_rows = max(1, 2 * SHORT_ROW // block) if is_short else 1
    # Where each of many rows takes all registers, addresses need lanes.
    is_full = bool(rows) and block * kept >= REGISTERS
    warps = _warps(WHOLE_LIMIT if is_full else block)
    if is_short:
        warps = 8 if kept >= KEPT and _conditions(kernel) else 4
    lanes: Lanes = "both" if block_rows > 1 else "columns"
    is_ahead = crossed and block_rows * block * streamed(kernel) <= STAGED
    stages = 2 if is_ahead else 1
    return Schedule(rows, columns, lanes, "whole", crossed, block_rows, block, warps, stages)


def _is_total(node: Node, kernel: Kernel) -> bool:
    """Whether a reduction across rows takes in the columns, too: tiles of them would leave more parts."""
    is_crossed = node in kernel.layout.crossed and not node.axes
    return is_crossed and bool(set(kernel.layout.columns) & set(node.operands[0].axes))


def _conditions(kernel: Kernel) -> int:
    """How many conditions each element has."""
    columns = set(kernel.layout.columns or kernel.layout.rows)
    return sum(node.dtype == BOOL and columns <= set(node.axes) for node in kernel.nodes())


def _pointwise(kernel: Kernel, sizes: Callable[[Size], int]) -> Schedule:
    """Nothing runs along the row: tiles of all elements, of rows and columns, or of rows to be added."""
    layout, crossed = kernel.layout, bool(kernel.layout.crossed)
    everything = ordered(kernel, (*layout.rows, *layout.columns))
    warps = 8 if any(node.op.name in SLOW and node.axes for node in kernel.nodes()) else 4
    least = TILE * warps // 4
    tile = _power(TRAFFIC // traffic(kernel), least, 4 * TILE)
    if any(node.op is take for node in kernel.nodes()) and (crossed or traffic(kernel) > 16):
        warps = 8  # addresses and indices of 64 bits: four elements for each lane
    if crossed and not layout.columns:
        is_much = traffic(kernel) >= MUCH or any(node.op is log1p for node in kernel.nodes())
        warps = 8 if is_much or _conditions(kernel) >= CONDITIONS else warps
        return Schedule(everything, (), "rows", "none", True, tile, 1, warps, 3)
    if not crossed and is_flat(kernel, everything):
        return Schedule((), everything, "columns", "tiled", False, 1, tile, warps)
    rows, columns = everything[:-1], everything[-1:]
    if crossed:
        rows, columns = ordered(kernel, layout.rows), ordered(kernel, layout.columns)
        tile = least
    elif is_strided(kernel, rows, columns, any_access=True):
        return Schedule(rows, columns, "both", "tiled", False, 64, 64, 8)
    block = _power(prod(map(sizes, columns)), 1, tile)
    block_rows = tile // block
    lanes: Lanes = "both" if block_rows > 1 else "columns"
    stages = 3 if crossed else 1
    return Schedule(rows, columns, lanes, "tiled", crossed, block_rows, block, warps, stages)


def _strided(
    kernel: Kernel, rows: tuple[Size, ...], columns: tuple[Size, ...], length: int
) -> Schedule:
    """Neighbours in memory are rows: programs hold some whole, or stream what is reduced of more."""
    block = _power(length, 1, length)
    if NEIGHBOURS * block * kept_values(kernel) <= REGISTERS:
        block_rows = max(NEIGHBOURS, 2 * SHORT_ROW // block)
        warps = max(4, _warps(block_rows * block))
        return Schedule(rows, columns, "both", "whole", False, block_rows, block, warps)
    block = _power(length, 1, min(64, BLOCK))
    return Schedule(rows, columns, "both", "looped", False, 2048 // block, block, 4)


def _power(count: int, least: int, most: int) -> int:
    """The smallest power of two that is not below the count, within bounds."""
    power = least
    while power < min(count, most):
        power *= 2
    return power


def _warps(block: int) -> int:
    """One warp for each 512 elements of a row."""
    return min(max(block // WARP, 1), MOST_WARPS)
