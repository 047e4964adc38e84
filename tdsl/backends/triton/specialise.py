"""What compiled code may know of sizes: which of them count.

In: kernels, their schedules, and sizes. Out: for each kernel the sizes that code may be compiled for; of
the others it knows nothing but the width. Between: Triton compiles anew where a size becomes 1, or a
multiple of 16, or stops being one; that is worth it only where an address, or the end of what neighbours
in memory are masked by, depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tdsl.fusion.kernel import PROGRAMS, Kernel, offset_of
from tdsl.fusion.offsets import COLUMN, accesses, is_contiguous, located, places, sites
from tdsl.fusion.schedule import Schedule
from tdsl.ir.index_map import InRange
from tdsl.ir.node import Node
from tdsl.ir.size import Atom, Size
from tdsl.ops import index

Names = frozenset[Atom]
ALIGNMENT = 16
"""Triton's only promise about numbers and addresses: that they divide by this."""


def known_sizes(
    kernels: Sequence[Kernel], schedules: Sequence[Schedule], size: Callable[[Size], int]
) -> tuple[Names, ...]:
    """For each kernel of a plan the names of which compiled code may know more.

    Where an axis is the rows of one kernel, what another sums along that axis alone is little beside.
    """
    pairs = list(zip(kernels, schedules, strict=True))
    addresses = [_names(_in_addresses(*pair)) for pair in pairs]
    rows: Names = frozenset().union(
        *(
            _names(schedule.rows) - known
            for schedule, known in zip(schedules, addresses, strict=True)
            if schedule.columns
        )
    )
    return tuple(
        known | _names(_ends(*pair, size)) - (frozenset() if pair[1].columns else rows)
        for pair, known in zip(pairs, addresses, strict=True)
    )


def _names(sizes: Iterable[Size]) -> Names:
    atoms = (atom for size in sizes for atom in size.atoms())
    return frozenset(atom for atom in atoms if atom.kind in ("name", "pack")) - PROGRAMS.atoms()


def _in_addresses(kernel: Kernel, schedule: Schedule) -> list[Size]:
    """Distances between rows, shapes of parts, and bounds of places."""
    where = places(schedule.rows, schedule.columns, flat=schedule.flat)
    found = [
        located(offset_of(site.shape, site.places, site.strides), where) for site in sites(kernel)
    ]
    found += [size for store in kernel.stores if store.share for size in store.shape[1:]]
    return found + [size for node in kernel.nodes() for size in _bounds(node)]


def _bounds(node: Node) -> list[Size]:
    """What the conditions of an index map are made of."""
    pieces = node["map"].pieces if node.op is index else ()
    conditions = [condition for piece in pieces for condition in piece.domain]
    ends = [c.size if isinstance(c, InRange) else c.divisor for c in conditions]
    return [*ends, *(condition.expr for condition in conditions)]


def _ends(kernel: Kernel, schedule: Schedule, size: Callable[[Size], int]) -> Sequence[Size]:
    """The axes that say where neighbours in memory end.

    Of several that are counted by one number the inner ones do, if one of them divides.
    """
    if schedule.columns and not schedule.flat:
        offsets = accesses(kernel, schedule.rows, schedule.columns)
        runs_along = any(is_contiguous(offset, COLUMN) for _, offset in offsets)
        return schedule.columns if runs_along else ()
    found: list[Size] = []
    for axis in reversed(schedule.columns or schedule.rows):
        found.append(axis)
        if size(axis) % ALIGNMENT == 0:
            break
    return found


def scalar_class(value: object, *, is_known: bool) -> object:
    """What code that Triton compiles knows of a number: its type, and more where it may."""
    if isinstance(value, bool):
        return "u1"
    if not isinstance(value, int):
        return "fp32"
    width = "i32" if -(2**31) <= value < 2**31 else "i64" if value < 2**63 else "u64"
    return (width, value % ALIGNMENT == 0, value == 1) if is_known else width
