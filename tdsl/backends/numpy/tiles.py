"""Tiles: the parts of a kernel that are computed at once, so that what lies between stays in the cache.

In: a `Kernel` and sizes. Out: a `Tiling`. Between: a pure function of the kernel and the sizes; the number
of threads decides nothing, so that results do not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

from tdsl.fusion.kernel import Kernel
from tdsl.fusion.offsets import ordered
from tdsl.fusion.pressure import runs_along
from tdsl.ir.size import Size, name

ELEMENTS = 1 << 18
"""The most elements of a tile: a megabyte in f32. Smaller tiles lose more to calls than the cache gains."""
FEWEST, LEAST = 8, 1 << 17
"""How many tiles there are at least, so that threads have some each, unless they had fewer elements."""
LINE = 32
"""Neighbours that a tile has at least where it divides an axis along which memory is contiguous."""
MOST_PROGRAMS = 64

Starts = tuple[int, ...]
Lengths = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """An axis that is divided, in parts of `length`; `tile` is the axis of one part from `start` on."""

    axis: Size
    count: int
    length: int
    tile: Size
    start: Size

    @property
    def starts(self) -> range:
        """Where the parts begin."""
        return range(0, max(self.count, 1), self.length)


@dataclass(frozen=True)
class Tiling:
    """How a kernel is divided: `axes` in the order in which they lie in memory, and the divided ones."""

    axes: tuple[Size, ...]
    parts: tuple[Part, ...]
    is_walked: bool

    @cached_property
    def tiles(self) -> list[Starts]:
        """Where each tile begins along the divided axes."""
        return list(product(*(part.starts for part in self.parts)))

    def lengths(self, starts: Starts) -> Lengths:
        """The shape of the tile that begins here."""
        pairs = zip(self.parts, starts, strict=True)
        return tuple(min(part.length, part.count - start) for part, start in pairs)

    def shares(self, programs: int) -> Iterator[list[Starts]]:
        """The tiles of each program that keeps sums."""
        count = len(self.tiles)
        for number in range(programs):
            yield self.tiles[number * count // programs : (number + 1) * count // programs]


def tiling(kernel: Kernel, size: Callable[[Size], int]) -> Tiling:
    """The tiles of a kernel for these sizes."""
    layout = kernel.layout
    axes = ordered(kernel, (*layout.rows, *layout.columns))
    free = _free(kernel, axes)
    whole = prod(size(axis) for axis in axes if axis not in free)
    most = min(ELEMENTS, max(LEAST, prod(map(size, axes)) // FEWEST))
    parts: list[Part] = []
    for axis in reversed(axes):
        count = size(axis)
        if axis not in free or count == 1:
            continue
        if not parts and whole * count <= most:
            whole *= count
            continue
        length = 1
        if not parts:
            least = LINE if axis == axes[-1] else 1
            length = _even(count, max(least, most // whole))
        parts.append(_part(len(parts), axis, count, length))
    if layout.crossed and not parts:
        axis = next(axis for axis in axes if axis in free)
        parts = [_part(0, axis, size(axis), max(1, size(axis)))]
    return Tiling(axes, tuple(reversed(parts)), bool(layout.crossed))


def _part(number: int, axis: Size, count: int, length: int) -> Part:
    return Part(axis, count, length, name(f"tile {number}"), name(f"start {number}"))


def _free(kernel: Kernel, axes: tuple[Size, ...]) -> frozenset[Size]:
    """The axes that may be divided: no reduction or scan runs along them, but those in parts."""
    crossed = kernel.layout.crossed and kernel.layout.columns
    if crossed or any(runs_along(node, kernel) for node in kernel.nodes()):
        return frozenset(kernel.layout.rows)
    return frozenset(axes)


def _even(count: int, most: int) -> int:
    """The length of parts that are as long as each other, as far as that goes, and at most this long."""
    return -(-count // -(-count // most))
