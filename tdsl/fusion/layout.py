"""Whether one kernel can hold a set of nodes: which axes are rows, which are columns.

In: nodes with the axes they run along. Out: a `Layout`, or why there is none. Between: a kernel walks rows;
a row is held, or streamed in blocks, along its columns. Reductions over the columns give a value for
each row, and whatever follows may use it. Reductions over the rows (*crossed*) are complete only when
every row was seen, so nothing in the same kernel may use them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tdsl.ir.node import Node, topological
from tdsl.ir.size import Axis, name
from tdsl.ops.base import unique_axes

PROGRAMS = name("grid.programs")
"""How many programs walk the rows: the first axis of a buffer of their partial results.

No axis of a program can have the name: a dot stands before a pack's number only.
"""

CROSSING = ("sum", "max", "min", "prod", "any", "all")
"""The reductions that programs can do in parts."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The roles of axes in a kernel, and the reductions that run across its rows."""

    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    crossed: tuple[Node, ...] = ()


def layout_of(
    nodes: Sequence[Node], outputs: Sequence[Node], inside: frozenset[Node]
) -> Layout | str:
    """The layout of a kernel that computes `nodes` and stores `outputs`; the reason, if there is none.

    Of several one with neighbours in memory along its columns, then the one with the fewest crossed
    reductions, which need a second kernel to finish.
    """
    own = [node for node in nodes if not is_replicated(node, nodes)]
    if len({node["reverse"] for node in own if node.op.family == "scan"}) > 1:
        return "running reductions go in two directions"
    reductions = [node for node in own if node.op.family == "reduction"]
    scans = [node for node in own if node.op.family == "scan"]
    everything = unique_axes(*(along(node) for node in own))
    found: list[Layout] = []
    reason = "no axes to put in columns"
    for columns in _candidates(reductions, scans, everything, outputs):
        one = _with_columns(columns, everything, reductions, scans, outputs, inside)
        if isinstance(one, Layout):
            found.append(one)
        else:
            reason = one
    last = _innermost(nodes)
    final = _is_final(reductions, own)
    found = [one for one in found if not (final and _is_narrow(one, last))]
    if not found:
        return reason
    return min(found, key=lambda one: (*_narrowness(one, last), len(one.crossed)))


def _narrowness(layout: Layout, last: Axis | None) -> tuple[bool, bool]:
    """Whether one program has everything, and whether neighbours in memory lie in different rows."""
    return not layout.rows and bool(layout.columns), last in layout.rows and bool(layout.columns)


def _is_narrow(layout: Layout, last: Axis | None) -> bool:
    return PROGRAMS not in layout.columns and any(_narrowness(layout, last))


def _is_final(reductions: Sequence[Node], nodes: Sequence[Node]) -> bool:
    """Whether reductions can run across rows: nothing along what one reduces waits for it."""
    # The axes along which each value waits for what is reduced.
    awaited: dict[Node, frozenset[Axis]] = {node: frozenset(node["axes"]) for node in reductions}
    for node in topological(nodes, stop=set(reductions)):
        if node not in awaited:
            waits = (awaited.get(operand, frozenset()) for operand in node.operands)
            awaited[node] = frozenset().union(*waits)
    after = [node for node in awaited if node not in reductions]
    waits_along = any(awaited[node] & set(along(node)) for node in after)
    chained = any(awaited.get(operand) for node in reductions for operand in node.operands)
    are_partial = all(node.op.name in CROSSING for node in reductions)
    return bool(reductions) and are_partial and not waits_along and not chained


def _innermost(nodes: Sequence[Node]) -> Axis | None:
    """The axis along which neighbours in memory lie, in most of what is read along the most axes."""
    inside = frozenset(nodes)
    reads = [
        o for node in nodes for o in (*node.operands, node) if o not in inside or not o.operands
    ]
    rank = max((len(read.axes) for read in reads), default=0)
    found = [read.axes[-1] for read in reads if read.axes and len(read.axes) == rank]
    return max(found, key=found.count) if found else None


def is_replicated(node: Node, nodes: Sequence[Node]) -> bool:
    """Whether every program completes this reduction for itself, beside other work."""
    is_whole = node.op.family == "reduction" and along(node) == (PROGRAMS,)
    return is_whole and any(PROGRAMS not in along(other) and other.axes for other in nodes)


def along(node: Node) -> tuple[Axis, ...]:
    """The axes along which a node is computed: its own, and those that it reduces."""
    return (*node.axes, *node["axes"]) if node.op.family == "reduction" else node.axes


def _candidates(
    reductions: Sequence[Node],
    scans: Sequence[Node],
    everything: tuple[Axis, ...],
    outputs: Sequence[Node],
) -> list[frozenset[Axis]]:
    """Sets of axes to try as columns: what is reduced, what is left, and for plain maps the last."""
    if scans:
        return list(dict.fromkeys(frozenset((node["axis"],)) for node in scans))
    reduced = [frozenset(node["axes"]) for node in reductions]
    kept = [frozenset(node.axes) for node in reductions]
    inner = [frozenset(node["axes"][-1:]) for node in reductions if len(node["axes"]) > 1]
    last = [frozenset(node.axes[-1:]) for node in outputs if set(node.axes) == set(everything)]
    candidates = dict.fromkeys([*reduced, *kept, *inner, *last, frozenset[Axis]()])
    if PROGRAMS in everything:  # what completes a reduction is complete
        return [columns for columns in candidates if PROGRAMS in columns]
    return list(candidates)


def _with_columns(
    columns: frozenset[Axis],
    everything: tuple[Axis, ...],
    reductions: Sequence[Node],
    scans: Sequence[Node],
    outputs: Sequence[Node],
    inside: frozenset[Node],
) -> Layout | str:
    rows = frozenset(everything) - columns
    crossed: list[Node] = []
    for node in reductions:
        axes, reduced = frozenset(along(node)), frozenset(node["axes"])
        if reduced <= columns:
            if axes & columns != columns or reduced != columns:
                return f"`{node.op}` runs over a part of the columns"
        elif node.op.name not in CROSSING:
            return f"`{node.op}` cannot run across rows"
        elif not (rows <= reduced and reduced - rows in (frozenset(), columns)):
            return f"`{node.op}` keeps a part of the rows"
        elif axes & columns not in (frozenset(), columns):
            return f"`{node.op}` runs over a part of the columns"
        else:
            crossed.append(node)
    whole = any(node.op.name in ("argmax", "argmin") for node in reductions)
    if not rows and columns - {PROGRAMS} and not whole and not _fits_one_program(columns, outputs):
        return "one program would do all the work"
    late = set(crossed)
    if any(operand in late for node in inside for operand in node.operands):
        return "a value is needed before every row was seen"
    if any(columns != {node["axis"]} for node in scans):
        return "a running reduction needs its axis whole"
    for node in outputs:
        own = frozenset(node.axes)
        if node not in late and not (rows <= own and own & columns in (frozenset(), columns)):
            return "a result is the same for several rows"
    return Layout(_in_order(rows, everything), _in_order(columns, everything), tuple(crossed))


def _fits_one_program(columns: frozenset[Axis], outputs: Sequence[Node]) -> bool:
    """Whether a kernel of a single row is sensible: a vector in, a vector out."""
    return len(columns) == 1 and any(columns & set(node.axes) for node in outputs)


def _in_order(axes: Iterable[Axis], order: Sequence[Axis]) -> tuple[Axis, ...]:
    kept = frozenset(axes)
    return tuple(axis for axis in order if axis in kept)
