"""The graph that kernels are cut from: the Function as it stands, or with results laid out last.

In: a flat Function. Out: a normalised one, its graph and its groups. Between: the one nearer to the program
is taken, unless the other moves fewer bytes.
"""

from __future__ import annotations

from tdsl.fusion.facts import facts_of
from tdsl.fusion.graph import Graph
from tdsl.fusion.groups import Groups, fuse, separate
from tdsl.fusion.normalise import Normal, normalise
from tdsl.fusion.sunk import sunk
from tdsl.ir.function import Function

Candidate = tuple[Normal, Graph, Groups]
WORTH = 0.99
"""The share of the bytes below which the other is taken; sizes that are rounded differ by less."""


def best(function: Function) -> Candidate:
    """What moves the fewest bytes."""
    found = _fused(normalise(function))
    if not facts_of(function) and sunk(function) == function:
        return found
    other = _fused(normalise(function, sink=True))
    return other if other[2].bytes < WORTH * found[2].bytes else found


def unfused(function: Function) -> Candidate:
    """A group for each operation."""
    normal = normalise(function)
    graph = Graph(normal.function, repeats=False)
    return normal, graph, separate(graph)


def _fused(normal: Normal) -> Candidate:
    graph = Graph(normal.function)
    return normal, graph, fuse(graph)
