"""Programs: what is computed on a tile, as steps on numbered places.

In: values, and functions. Out: a `Program`. Between: a place holds a value, a view of one, or the memory
into which one is written; whoever runs a program has a list of the places' contents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from tdsl.ir.node import Node
from tdsl.ops.base import Aligner

Run = Callable[..., Any]
Contents = list[Any]
Given = Callable[[Contents], Sequence[Any]]


class Step(NamedTuple):
    """What is computed, from which places and by what they are got, and where it goes.

    `run` is the node where the function depends on where the tile lies.
    """

    run: Run | Node
    places: tuple[int, ...]
    given: Given
    place: int


class Memory(NamedTuple):
    """A place that is scratch memory."""

    place: int
    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class Program:
    """The steps on a tile of one shape.

    `views` are of scratch memory, for all tiles; `held` is done where the slowest axis moves on. `seen`
    are the places of views that have their steps.
    """

    memory: dict[Node, Memory] = field(default_factory=dict)
    views: list[Step] = field(default_factory=list)
    held: list[Step] = field(default_factory=list)
    each: list[Step] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)


def getter(places: Sequence[int]) -> Given:
    """The contents of these places, in a row."""
    if len(places) < 2:
        start = places[0] if places else 0
        return itemgetter(slice(start, start + len(places)))
    return itemgetter(*places)


def turned(run: Run, turn: Aligner | None) -> Run:
    """The function with the axes of its value turned."""
    return (lambda *given: turn(run(*given))) if turn else run


def compute(steps: Sequence[Step], contents: Contents, resolved: Callable[[Node], Run]) -> None:
    """Do the steps in order."""
    for run, _, given, place in steps:
        function = resolved(run) if isinstance(run, Node) else run
        contents[place] = function(*given(contents))
