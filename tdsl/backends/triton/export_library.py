"""Library calls of a Plan as statements of an exported file.

In: a `LibraryCall`, and the launcher that names buffers and sizes. Out: statements. Between: operands are
read as views, as `tdsl.backends.triton.library` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tdsl.backends.triton.export_gather import scattered
from tdsl.backends.triton.export_sizes import SizeNames
from tdsl.errors import InternalError
from tdsl.fusion.kernel import Store, access, strides_of
from tdsl.fusion.normalise import base_of
from tdsl.fusion.plan import LibraryCall
from tdsl.ir.dtype import BF16, F16
from tdsl.ir.node import Node
from tdsl.ir.size import ZERO, Axis, Size
from tdsl.ir.size import index as variable
from tdsl.ops import dot, input_, scatter
from tdsl.ops.base import unique_axes


class Owner(Protocol):
    """What names buffers and sizes."""

    names: SizeNames
    device: str

    def variable(self, name: str) -> str:
        """The Python name of a buffer."""


def is_whole(store: Store, axes: Sequence[Axis]) -> bool:
    """Whether a store fills its buffer, each value at its own place."""
    return store.shape == tuple(axes) and store.places == tuple(map(variable, store.shape))


def library_lines(step: LibraryCall, owner: Owner) -> Iterator[str]:
    """The statements of one call."""
    node = step.node
    shapes = {read.node: read.shape for read in step.reads}
    views = {operand: _view_of(operand, shapes, owner) for operand in node.operands}
    operands = Operands(owner.names, owner.device, views)
    if node.op is dot:
        value = _product(node, operands)
    elif node.op is scatter:
        value = scattered(node, operands)
    else:
        raise InternalError(f"no library call for `{node.op}`")
    yield from operands.lines
    for store in step.stores:
        target = owner.variable(store.buffer)
        if len(step.stores) == 1 and is_whole(store, node.axes):
            yield f"{target} = {value}.contiguous()"
        else:
            yield f"{_view(target, store.shape, store.places, node.axes, owner.names)}.copy_({value})"


@dataclass
class Operands:
    """Views of buffers with the axes of their nodes."""

    names: SizeNames
    place: str
    text: dict[Node, str]
    lines: list[str] = field(default_factory=list)

    def device(self) -> str:
        """Where new tensors are made."""
        return self.place

    def tensor(self, node: Node) -> str:
        """The view."""
        return self.text[node]

    def full(self, node: Node, axes: tuple[Axis, ...]) -> str:
        """The view with all of these axes, in order."""
        text, own = self.text[node], [axis for axis in axes if axis in node.axes]
        if own != list(node.axes):
            text += f".permute({', '.join(str(node.axes.index(axis)) for axis in own)})"
        if len(own) == len(axes):
            return text
        kept = ", ".join(":" if axis in node.axes else "None" for axis in axes)
        return f"{text}[{kept}].expand({self.names.shape(axes)})"


def _view_of(node: Node, shapes: dict[Node, tuple[Size, ...]], owner: Owner) -> str:
    base = base_of(node)
    if base.op is not input_:
        raise InternalError(f"a library call reads `{base.op}`")
    name, shape = owner.variable(base["name"]), shapes[base]
    if node is base:
        axes = tuple(size for size in shape if size.constant != 1)
        return name if axes == shape else f"{name}.view({owner.names.shape(axes)})"
    return _view(name, shape, access(node, shape).places, node.axes, owner.names)


def _view(
    name: str,
    shape: Sequence[Size],
    places: Sequence[Size],
    axes: Sequence[Axis],
    names: SizeNames,
) -> str:
    """The buffer along the axes: its place along each of its own is linear in them."""
    start, steps = ZERO, dict.fromkeys(axes, ZERO)
    for place, stride in zip(places, strides_of(tuple(shape)), strict=True):
        origin = _at(place, None)
        start = start + stride * origin
        for axis in axes:
            steps[axis] = steps[axis] + stride * (_at(place, axis) - origin)
    own = f"{names.shape(axes)}, {names.shape(list(steps.values()))}"
    return f"{name}.as_strided({own}" + (f", {names.text(start)})" if start.terms else ")")


def _at(place: Size, axis: Axis | None) -> Size:
    """The place where the index along the axis is 1, and 0 along all others."""
    values = {
        atom: ZERO + 1 if atom.args[0] == axis else ZERO
        for atom in place.atoms()
        if atom.kind == "index"
    }
    return place.substitute(values)


def _product(node: Node, operands: Operands) -> str:
    texts = [
        operands.tensor(o) + (".float()" if o.dtype in (F16, BF16) else "") for o in node.operands
    ]
    return f'torch.einsum("{einsum_letters(node)}", {", ".join(texts)})'


def einsum_letters(node: Node) -> str:
    """A product's axes as einsum writes them: their own initials where these differ."""
    letters: dict[Axis, str] = {}
    for axis in unique_axes(*(operand.axes for operand in node.operands)):
        own = [c for c in axis.text.lower() if c.isalpha() and c.isascii()][:1]
        free = [*own, *"abcdefghijklmnopqrstuvwxyz"]
        letters[axis] = next(c for c in free if c not in letters.values())
    inputs = ["".join(letters[a] for a in operand.axes) for operand in node.operands]
    return f"{','.join(inputs)}->{''.join(letters[a] for a in node.axes)}"
