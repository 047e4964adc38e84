"""Kernels: what one launch computes, for any machine.

In: nodes of the normalised graph and a layout. Out: a `Kernel`. Between: the body is a graph whose inputs
are buffers; a read is an input, an index map of one, or a gather from one; every other node is a
pointwise operation, a reduction or a scan. Axes have no order and no place in the machine: that is
the schedule's. A value is rounded by explicit casts alone.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tdsl.fusion.layout import PROGRAMS, Layout
from tdsl.ir.dtype import F64, AnyDtype
from tdsl.ir.function import Origin, Param
from tdsl.ir.index_map import Condition
from tdsl.ir.node import Node, topological
from tdsl.ir.size import Size, floordiv, mod, rebuild
from tdsl.ir.size import index as variable
from tdsl.ops import arange, index, take
from tdsl.ops.index_values import index_axes

Stage = Literal["forward", "backward"]


@dataclass(frozen=True, slots=True)
class Store:
    """A value and where it goes: one place for each axis of the buffer, over the value's axes.

    `share`: the value is a reduction across rows, of which each program stores its own part, at its
    number along the buffer's first axis; a place is then given for the other axes.
    """

    buffer: str
    shape: tuple[Size, ...]
    node: Node
    places: tuple[Size, ...]
    share: bool = False

    @property
    def dtype(self) -> AnyDtype:
        """The dtype of the buffer."""
        return self.node.dtype


@dataclass(frozen=True, slots=True)
class Kernel:
    """One launch: the buffers that it reads, the numbers that it is given, and what it stores.

    `numbers` are values of rank 0 that follow from sizes alone; the launcher computes them. `strides`
    has the distances, in elements, of buffers that are not contiguous.
    """

    name: str
    stage: Stage
    reads: tuple[Param, ...]
    numbers: tuple[tuple[str, Node], ...]
    stores: tuple[Store, ...]
    layout: Layout
    strides: Mapping[str, tuple[Size, ...]] = field(default_factory=dict)
    origins: Mapping[Node, Origin] = field(default_factory=dict, compare=False, repr=False)

    def nodes(self) -> list[Node]:
        """Every value that the kernel makes, operands first; a read stands for what it reads."""
        memory = {read.node for read in self.reads}
        needed = {store.node for store in self.stores}
        order = topological(store.node for store in self.stores)
        for node in reversed(order):
            if node in needed:
                needed.update(used(node, memory))
        return [node for node in order if node in needed]

    def sizes(self) -> list[Size]:
        """Every size that stands in the kernel."""
        found = [*self.layout.rows, *self.layout.columns]
        for read in self.reads:
            found += read.shape
        for store in self.stores:
            found += [*store.shape, *store.places]
        for node in self.nodes():
            found += node.axes
            if node.op is index:
                for piece in node["map"].pieces:
                    found += [expr for _, expr in piece.exprs]
        return found


@dataclass(frozen=True, slots=True)
class Access:
    """A read: the buffer's places over the kernel's axes, where it is inside, and the gathered axis.

    Along `gathered` the place is the value of the node `at`.
    """

    base: Node
    places: tuple[Size, ...]
    domain: tuple[Condition, ...] = ()
    fill: float = 0
    gathered: Size | None = None
    at: Node | None = None


def used(node: Node, memory: Container[Node]) -> tuple[Node, ...]:
    """The operands that a node takes as values: not what it reads from memory, or has as a place."""
    if node.op is take:
        return node.operands[1:]
    if node.op is index and (node.operands[0] in memory or node.operands[0].op is arange):
        return ()
    return node.operands


def access(node: Node, shape: tuple[Size, ...]) -> Access:
    """What a read of a buffer of this shape reads: an input, an index map, or a gather."""
    if node.op is take:
        inner = access(node.operands[0], shape)
        return Access(
            inner.base, inner.places, inner.domain, inner.fill, node["axis"], node.operands[1]
        )
    if node.op is index:
        mapping = node["map"]
        (piece,) = mapping.pieces
        places = dict(piece.exprs)
        own = tuple(places.get(axis, variable(axis)) for axis in shape)
        return Access(node.operands[0], own, piece.domain, mapping.fill)
    return Access(node, tuple(variable(axis) for axis in shape))


def strides_of(shape: tuple[Size, ...]) -> tuple[Size, ...]:
    """The distance between neighbours along each axis of a contiguous array, in elements."""
    strides: list[Size] = []
    step = Size((((), 1),))
    for size in reversed(shape):
        strides.append(step)
        step = step * size
    return tuple(reversed(strides))


def offset_of(
    shape: tuple[Size, ...], places: tuple[Size, ...], strides: tuple[Size, ...] | None = None
) -> Size:
    """The place of an element of an array, contiguous unless told, in elements from its start."""
    total = Size(())
    for place, size, stride in zip(places, shape, strides or strides_of(shape), strict=True):
        if size.constant != 1:
            total = total + place * stride
    return total


def unravelled(linear: Size, axes: tuple[Size, ...]) -> Iterator[tuple[Size, Size]]:
    """Each axis with its index, when `linear` counts through all of them, the last fastest."""
    step = Size((((), 1),))
    for place, axis in reversed(list(enumerate(axes))):
        inside = linear if place == 0 else mod(linear, step * axis)
        yield axis, floordiv(inside, step)
        step = step * axis


def tidy(size: Size) -> Size:
    """The size with remainders of remainders taken once: x % (a*b) % b is x % b."""
    return rebuild(size, lambda atom: _outer(atom.args) if atom.kind == "mod" else None)


def _outer(args: tuple[Size, ...]) -> Size | None:
    inner, divisor = args
    atom = inner.atom
    if atom is None or atom.kind != "mod" or mod(atom.args[1], divisor).terms:
        return None
    return mod(atom.args[0], divisor)


def numbers_of(roots: Sequence[Node]) -> tuple[tuple[str, Node], ...]:
    """The largest parts of the graph that follow from sizes alone, with names.

    Launches pass floats as f32: a value in f64 stays in the kernel, and what it is made of is passed.
    """
    order = topological(roots)
    known: set[Node] = set()
    for node in order:
        if node.op.name == "size" or (
            node.op.family == "pointwise"
            and not node.axes
            and all(o in known or o.op.name == "constant" for o in node.operands)
            and any(o in known for o in node.operands)
        ):
            known.add(node)
    needed = {*roots}
    passed: list[Node] = []
    for node in reversed(order):
        if node not in needed:
            continue
        if node in known and node.dtype != F64:
            passed.append(node)
        else:
            needed.update(node.operands)
    return tuple((f"number{i}", node) for i, node in enumerate(reversed(passed)))


def unlike(name: str, taken: Container[str]) -> str:
    """The name, followed by a number where it is taken."""
    found, number = name, 0
    while found in taken:
        number += 1
        found = f"{name}{number}"
    return found


__all__ = [
    "PROGRAMS",
    "Access",
    "Kernel",
    "Stage",
    "Store",
    "access",
    "index_axes",
    "numbers_of",
    "offset_of",
    "strides_of",
    "tidy",
    "unlike",
    "unravelled",
]
