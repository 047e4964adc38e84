"""Whether memory is asked for before it is needed: the next row, and the lines that a loop stores to.

In: a kernel and its choices. Out: the choices with `ahead` before those without; what is fetched under a
schedule, and what a loop claims. Between: the first loop over a row waits for memory, the second finds the
row in the cache, so that memory has time to bring the next one, which follows in memory: into the nearest
cache, if that has room for both, else into the one behind it, if that has for all that a row touches. A
loop that stores keeps memory busy itself; it claims the lines that it will store to, unless it computes so
much that they come meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tdsl.backends.c.counters import count, groups
from tdsl.backends.c.passes import Pass, Row, plan_row
from tdsl.backends.c.schedule import Choice, Schedule
from tdsl.fusion.costly import CHEAP
from tdsl.fusion.kernel import Kernel, Store
from tdsl.fusion.offsets import COLUMN, ROW, accesses, base_of, sites
from tdsl.ir.dtype import item_bytes
from tdsl.ir.node import Node
from tdsl.ops import take

LIGHT = CHEAP | {"div", "sqrt", "rsqrt"}
"""Operations that take less time than lines take to come."""
NEAREST, BEHIND = 48 << 10, 512 << 10
"""Bytes of the nearest cache, and of the one behind it."""


def looking_ahead(kernel: Kernel, choices: Iterable[Choice]) -> Iterator[Choice]:
    """The choices; before one, the same with the next row fetched while the second loop computes."""
    for choice in choices:
        schedule = choice.schedule
        if schedule.kind == "rows" and schedule.staged:
            row = plan_row(kernel, schedule)
            if next_row := fetched(kernel, schedule, row):
                touched = [*next_row, *_touched(kernel, schedule, row)]
                near = choice.up_to(NEAREST // (2 * _bytes(next_row)))
                yield replace(near, schedule=replace(schedule, ahead="near"))
                far = choice.up_to(BEHIND // _bytes(touched))
                yield replace(far, schedule=replace(schedule, ahead="far"))
        yield choice


def _bytes(nodes: Iterable[Node]) -> int:
    """The bytes of one element of each."""
    return sum(item_bytes(node.dtype) for node in nodes)


def fetched(kernel: Kernel, schedule: Schedule, row: Row) -> list[Node]:
    """What the first loop reads in the order of the rows, if the second loop does nothing but compute."""
    columns = schedule.columns
    if len(row.passes) < 2 or row.passes[1].stores or len(groups(kernel, columns)) != 1:
        return []
    in_order = ROW * count(columns) + COLUMN
    places = dict(accesses(kernel, schedule.rows, columns)[: -len(kernel.stores)])
    return [n for n in row.passes[0].nodes if places.get(n) == in_order and n.op is not take]


def _touched(kernel: Kernel, schedule: Schedule, row: Row) -> list[Node]:
    """What a row reads, stores and keeps along its columns."""
    values = [site.node for site in sites(kernel)]
    values += [node for one in row.passes for node in one.kept]
    return [base_of(n) for n in dict.fromkeys(values) if {*schedule.columns} & {*n.axes}]


def claimed(one: Pass) -> tuple[Store, ...]:
    """What a loop stores, if it does little else."""
    is_light = all(node.op.family != "pointwise" or node.op.name in LIGHT for node in one.nodes)
    return one.stores if is_light and not one.adds else ()
