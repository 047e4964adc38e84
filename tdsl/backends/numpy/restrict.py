"""A kernel's values on one tile: the same operations along the axes of the tile.

In: nodes of a kernel and the divided axes. Out: nodes in which a divided axis is the tile's own, whose
length is the tile's. Between: what is read at the tile's own places is a part of the buffer; what is read
anywhere else is the whole buffer, at places counted from the tile's start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tdsl.backends.numpy.tiles import Part
from tdsl.ir.dtype import I64
from tdsl.ir.index_map import IndexMap, Piece
from tdsl.ir.node import Attrs, Node, remake
from tdsl.ir.size import Atom, Size
from tdsl.ir.size import index as variable
from tdsl.ops import add, arange, index, input_, take
from tdsl.ops.index_values import index_axes

WHOLE: frozenset[Size] = frozenset()


@dataclass(frozen=True, slots=True)
class Restriction:
    """The values of one kernel on a tile."""

    parts: Sequence[Part]
    _known: dict[tuple[Node, frozenset[Size]], Node] = field(default_factory=dict)

    def node(self, node: Node, whole: frozenset[Size] = WHOLE) -> Node:
        """The node on a tile, but for the axes in `whole`."""
        known = self._known.get((node, whole))
        if known is None:
            known = self._known[node, whole] = self._made(node, whole)
        return known

    def _made(self, node: Node, whole: frozenset[Size]) -> Node:
        parts = {part.axis: part for part in self.parts if part.axis not in whole}
        if node.op is index:
            return self._moved(node, parts, whole)
        if node.op is take:
            x, at = node.operands
            return take(
                self.node(x, whole | {node["axis"]}), self.node(at, whole), axis=node["axis"]
            )
        if node.op is arange:
            part = parts.get(node["axis"])
            return node if part is None else add(arange(axis=part.tile), start_of(part))
        operands = tuple(self.node(operand, whole) for operand in node.operands)
        attrs = [
            (key, tuple(_tile(axis, parts) for axis in value) if key == "axes" else value)
            for key, value in node.attrs
        ]
        return remake(node.op, operands, Attrs(attrs))

    def _moved(self, node: Node, parts: dict[Size, Part], whole: frozenset[Size]) -> Node:
        """An index map: divided axes of which it needs more than the tile's places are read whole."""
        (x,) = node.operands
        mapping: IndexMap = node["map"]
        (piece,) = mapping.pieces
        exprs = {axis: expr for axis, expr in piece.exprs if axis in x.axes}
        used = {axis for expr in exprs.values() for axis in index_axes(expr)}
        used |= {axis for condition in piece.domain for axis in index_axes(condition.expr)}
        special = frozenset(axis for axis in parts if axis in used or axis in exprs)
        moved = {atom: variable(p.tile) + p.start for p in parts.values() if (atom := _atom(p))}
        exprs |= {axis: variable(axis) for axis in x.axes if axis in special and axis not in exprs}
        rebuilt = Piece(tuple(exprs.items()), piece.domain)
        return index(
            self.node(x, whole | special),
            map=IndexMap(
                tuple(_tile(axis, parts) for axis in mapping.axes),
                (rebuilt.map_sizes(lambda size: size.substitute(moved)),),
                mapping.fill,
            ),
        )


def _atom(part: Part) -> Atom | None:
    return variable(part.axis).atom


def _tile(axis: Size, parts: dict[Size, Part]) -> Size:
    return parts[axis].tile if axis in parts else axis


def start_of(part: Part) -> Node:
    """The position at which the tile begins, as a value."""
    return input_(name=part.start.text, dtype=I64, axes=())
