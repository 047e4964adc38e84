"""Reads and sums by position as plain torch: index maps, gathers and scatters.

In: a node, and the Reference that spells its operands. Out: an expression. Between: every read is one
subscript with an index for each dim; what lies outside is read at 0 and replaced by the fill.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tdsl.backends.triton.export_sizes import (
    SizeNames,
    in_parentheses,
    literal,
    torch_name,
    tuple_text,
)
from tdsl.ir.index_map import Condition, InRange, Piece
from tdsl.ir.node import Node
from tdsl.ir.size import Atom, Axis
from tdsl.ir.size import index as variable
from tdsl.ops import index
from tdsl.ops.index_values import index_axes


class Speller(Protocol):
    """What spells operands and appends statements."""

    names: SizeNames
    lines: list[str]
    text: dict[Node, str]

    def device(self) -> str:
        """Where new tensors are made."""

    def tensor(self, node: Node) -> str:
        """The value as a tensor."""

    def full(self, node: Node, axes: tuple[Axis, ...]) -> str:
        """The value with all of these axes, in order."""


def gathered(node: Node, speller: Speller) -> str:
    """An index map, or a gather."""
    places = _Places(node.axes, speller)
    if node.op is index:
        read = literal(node["map"].fill)
        for x, piece in zip(node.operands, node["map"].pieces, strict=True):
            read = places.piece(x, piece, read)
        return f"{read}.expand({speller.names.shape(node.axes)})"
    x, at = node.operands
    axis = node["axis"]
    if axis not in x.axes:
        x_text = speller.full(x, node.axes)
        return f"torch.where({places.inside_of(at, axis)}, {x_text}, 0)"
    index_text = speller.full(at, node.axes)
    inside = places.inside_of(at, axis)
    bound = speller.names.fresh("place")
    speller.lines.append(f"{bound} = torch.where({inside}, {index_text}, 0).long()")
    indices = [bound if a == axis else places.of(a) for a in x.axes]
    return f"torch.where({inside}, {speller.tensor(x)}[{', '.join(indices)}], 0)"


class _Places:
    """Positions along the axes of a result, each as a tensor that varies along its own dim."""

    def __init__(self, axes: tuple[Axis, ...], speller: Speller) -> None:
        self.axes, self.speller, self.known = axes, speller, dict[Axis, str]()

    def of(self, axis: Axis) -> str:
        """The positions along an axis."""
        if axis not in self.known:
            speller, dims = self.speller, len(self.axes) - self.axes.index(axis)
            name = speller.names.fresh("at")
            shape = ", ".join(["-1", *["1"] * (dims - 1)])
            size = speller.names.text(axis)
            made = f"torch.arange({size}, device={speller.device()})"
            speller.lines.append(f"{name} = {made}" + (f".view({shape})" if dims > 1 else ""))
            self.known[axis] = name
        return self.known[axis]

    def _atom(self, atom: Atom) -> str:
        return self.of(atom.args[0])

    def piece(self, x: Node, piece: Piece, otherwise: str) -> str:
        """The operand at a piece's places, and something else outside of its domain."""
        names, lines = self.speller.names, self.speller.lines
        exprs = dict(piece.exprs)
        inside = " & ".join(self.conditions(piece.domain))
        indices = []
        for axis in x.axes:
            place = exprs.get(axis, variable(axis))
            text = names.text(place, self._atom)
            if inside and place != variable(axis) and index_axes(place):
                text = f"{in_parentheses(text)}.clamp(0, {names.factor(axis)} - 1)"
            indices.append(text)
        text = self.speller.tensor(x) + (f"[{', '.join(indices)}]" if indices else "")
        if not inside:
            return text
        there, read = names.fresh("inside"), names.fresh("read")
        lines.append(f"{there} = {inside}")
        lines.append(f"{read} = torch.where({there}, {text}, {otherwise})")
        return read

    def conditions(self, domain: Iterable[Condition]) -> list[str]:
        """The conditions of a domain."""
        names, found = self.speller.names, []
        for c in domain:
            place = names.factor(c.expr, self._atom)
            if isinstance(c, InRange):
                found.append(f"({place} >= 0) & ({place} < {names.factor(c.size)})")
            else:
                found.append(f"({place} % {names.factor(c.divisor)} == 0)")
        return found

    def inside_of(self, at: Node, axis: Axis) -> str:
        """Whether an index lies in its axis."""
        text = self.speller.full(at, self.axes)
        return f"({text} >= 0) & ({text} < {self.speller.names.factor(axis)})"


def scattered(node: Node, speller: Speller) -> str:
    """Sums by index: sums at places, with one place more for what lies out of range."""
    values, at = node.operands
    axis, sums = node["axis"], node["sums"]
    names, lines = speller.names, speller.lines
    if axis in values.axes and axis not in sums:
        every = (*sums, *node.axes)
        places = _Places(every, speller)
        chosen = f"torch.where({speller.full(at, every)} == {places.of(axis)}, "
        chosen += f"{speller.full(values, every)}, 0)"
        dims = ", ".join(map(str, range(len(sums))))
        return f"{chosen}.sum(dim=({dims},))" if sums else chosen
    shared = tuple(a for a in at.axes if a not in sums)
    rest = tuple(a for a in values.axes if a not in sums and a not in shared)
    points, count = (*sums, *shared), names.text(axis)
    place, total = names.fresh("place"), names.fresh("total")
    lines.append(f"{place} = {speller.full(at, points)}.long()")
    lines.append(f"{place} = torch.where(({place} >= 0) & ({place} < {count}), {place}, {count})")
    shape = [*map(names.text, shared), f"{names.factor(axis)} + 1", *map(names.text, rest)]
    options = f"dtype={torch_name(node.dtype)}, device={speller.device()}"
    lines.append(f"{total} = torch.zeros({tuple_text(shape)}, {options})")
    grids = _Places(points, speller)
    where_to = tuple_text([*map(grids.of, shared), place])
    value = f"{speller.full(values, (*points, *rest))}.to({torch_name(node.dtype)})"
    lines.append(f"{total} = {total}.index_put({where_to}, {value}, accumulate=True)")
    found = [*shared, axis, *rest]
    order = ", ".join(str(found.index(a)) for a in node.axes)
    return f"{total}.narrow({len(shared)}, 0, {count}).permute({order})"
