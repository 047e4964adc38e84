"""Where a kernel's reads and stores lie, by the numbers that count its rows and columns.

In: a `Kernel` and axes in order. Out: offsets, in elements, and what they say of neighbours in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from tdsl.fusion.kernel import Kernel, access, offset_of, tidy, unravelled
from tdsl.ir.dtype import item_bytes
from tdsl.ir.node import Node
from tdsl.ir.size import Atom, Size, name
from tdsl.ir.size import index as variable
from tdsl.ops import index, take

ROW, COLUMN, START = name("row index"), name("column index"), name("start index")
"""The numbers that count rows and columns, and the first column of a tile that all elements share."""


def places(
    rows: tuple[Size, ...], columns: tuple[Size, ...], *, flat: bool = False
) -> dict[Size, Size]:
    """The index along each axis, by the numbers that count rows and columns."""
    column = START + COLUMN if flat else COLUMN
    return {**dict(unravelled(ROW, rows)), **dict(unravelled(column, columns))}


def located(offset: Size, where: dict[Size, Size]) -> Size:
    """The offset with every index replaced by what counts it."""
    values = {atom: place for axis, place in where.items() if (atom := variable(axis).atom)}
    return tidy(offset.substitute(values))


@dataclass(frozen=True, slots=True)
class Site:
    """A read or a stored value: its place along each axis of the buffer, and the buffer's strides."""

    node: Node
    shape: tuple[Size, ...]
    places: tuple[Size, ...]
    strides: tuple[Size, ...] | None = None


def sites(kernel: Kernel) -> list[Site]:
    """Every read and every stored value, reads first."""
    shapes = {read.node: read.shape for read in kernel.reads}
    found = []
    for node in kernel.nodes():
        if is_read(node, kernel):
            base = base_of(node)
            own = access(node, shapes[base]).places
            found.append(Site(node, shapes[base], own, kernel.strides.get(str(base["name"]))))
    for store in kernel.stores:
        shape = store.shape[1:] if store.share else store.shape
        found.append(Site(store.node, shape, store.places))
    return found


def is_read(node: Node, kernel: Kernel) -> bool:
    """Whether a node reads memory."""
    return base_of(node) in {read.node for read in kernel.reads}


def base_of(node: Node) -> Node:
    """What an index map or a gather is of."""
    while node.op in (index, take):
        node = node.operands[0]
    return node


def accesses(
    kernel: Kernel, rows: tuple[Size, ...], columns: tuple[Size, ...]
) -> list[tuple[Node, Size]]:
    """Every site with its offset, by the numbers that count rows and columns."""
    where = places(rows, columns)
    return [
        (site.node, located(offset_of(site.shape, site.places, site.strides), where))
        for site in sites(kernel)
    ]


def ordered(kernel: Kernel, axes: tuple[Size, ...]) -> tuple[Size, ...]:
    """The axes as they lie in the buffer with most of them, so that neighbours are counted in order."""
    found = [
        [axis for place in site.places for axis in _outer_first(place, axes)]
        for site in sites(kernel)
    ]
    order = dict.fromkeys(axis for one in sorted(found, key=len, reverse=True) for axis in one)
    return (*order, *(axis for axis in axes if axis not in order))


def _outer_first(place: Size, axes: tuple[Size, ...]) -> list[Size]:
    """The axes in a place, those with the larger steps first."""
    steps = {
        axis: max(
            (len(monomial) for monomial, _ in place.terms if variable(axis).atom in monomial),
            default=0,
        )
        for axis in axes
        if variable(axis).atom in place.atoms()
    }
    return sorted(steps, key=lambda axis: -steps[axis])


def is_flat(kernel: Kernel, everything: tuple[Size, ...]) -> bool:
    """Whether one number counts all elements without a division."""
    return all(
        atom.kind not in ("floordiv", "mod")
        for _, offset in accesses(kernel, (), everything)
        for atom in offset.atoms()
    )


def is_strided(
    kernel: Kernel, rows: tuple[Size, ...], columns: tuple[Size, ...], *, any_access: bool = False
) -> bool:
    """Whether neighbours in memory are rows in most accesses (or in any) that run along both."""
    along_rows = along_columns = 0
    for node, offset in accesses(kernel, rows, columns):
        if set(node.axes) & set(rows) and set(node.axes) & set(columns):
            along_rows += is_contiguous(offset, ROW)
            along_columns += is_contiguous(offset, COLUMN)
    return bool(along_rows) if any_access else along_rows > along_columns


def is_contiguous(offset: Size, counter: Size) -> bool:
    """Whether the next row, or column, is the next element, as far as one axis goes."""
    return any(
        coefficient == 1 and len(monomial) == 1 and counter.atom in _counted(monomial[0])
        for monomial, coefficient in offset.terms
    )


def _counted(atom: Atom) -> frozenset[Atom]:
    """What the atom counts with a step of 1: itself, and for a remainder what is divided."""
    inside = atom.args[0].atoms() if atom.kind == "mod" else ()
    return frozenset((atom, *inside))


def traffic(kernel: Kernel) -> int:
    """The bytes that are moved for each element of a pointwise kernel, each buffer read once."""
    reads = [node for node in kernel.nodes() if is_read(node, kernel)]
    moved = [*{base_of(node): node for node in reads}.values()]
    moved += [store.node for store in kernel.stores]
    rank = max((len(node.axes) for node in moved), default=0)
    return max(1, sum(item_bytes(node.dtype) for node in moved if len(node.axes) == rank))


def streamed(kernel: Kernel) -> int:
    """The bytes that are read for each element of a row, apart from what serves every row."""
    rows, columns = set(kernel.layout.rows), set(kernel.layout.columns)
    return sum(
        item_bytes(site.node.dtype)
        for site in sites(kernel)[: -len(kernel.stores)]
        if rows & set(site.node.axes) and columns & set(site.node.axes)
    )
