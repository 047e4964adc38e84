"""What a kernel reads and writes: buffers, their views, and the places of values on a tile.

In: buffers of a plan. Out: records. Between: a place is a number (see `program.py`); a value is cut where
its axes are divided.
"""

from __future__ import annotations

from typing import NamedTuple

from tdsl.backends.numpy.program import Run
from tdsl.fusion.kernel import Store
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ops.base import Aligner

Axes = tuple[Size, ...]
Cut = tuple[int | None, ...]
"""For each axis of a value its number among the divided ones."""


class Read(NamedTuple):
    """A buffer, its view as a value, the value's place, and how it is cut; None: not at all."""

    place: int
    name: str
    view: Aligner | None
    cut: Cut | None


class Target(NamedTuple):
    """A store, the value on a tile, its axes in the order of memory, how it is cut, and where it goes."""

    store: Store
    node: Node
    axes: Axes
    cut: Cut
    view: Aligner | None
    is_linear: bool


class Write(NamedTuple):
    """A store of each tile's own, and the place of its value.

    `is_direct`: the value is computed where it is stored; `is_once`: it is the same for all tiles.
    """

    target: Target
    place: int
    is_direct: bool
    is_once: bool


class Share(NamedTuple):
    """A store of each program's own, the place of its part, how that lies in it, and what adds up parts."""

    target: Target
    place: int
    turn: Aligner | None
    join: Run
