"""The operation `index`, with everything that its one map can be: see `tdsl.ir.index_map`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tdsl.errors import InternalError
from tdsl.ir.dtype import F64, AnyDtype
from tdsl.ir.index_map import Condition, Divides, IndexMap, InRange, Piece
from tdsl.ir.node import Attrs, Node
from tdsl.ir.size import ZERO, Axis, Size, is_nonnegative, mod, name
from tdsl.ir.size import index as variable
from tdsl.ops.base import Operation, require, unique_axes
from tdsl.ops.expr import total
from tdsl.ops.index_inverse import invert
from tdsl.ops.index_values import index_axes, index_value
from tdsl.ops.leaves import input_


def _infer(operands: Sequence[Node], attrs: Attrs) -> tuple[AnyDtype, tuple[Axis, ...]]:
    mapping: IndexMap = attrs["map"]
    require(operands, "index", "takes operands")
    require(len(operands) == len(mapping.pieces), "index", "one piece for each operand")
    dtype = operands[0].dtype
    require(all(x.dtype == dtype for x in operands), "index", "operands differ in dtype")
    allowed = set(mapping.axes)
    for piece in mapping.pieces:
        used = [*(e for _, e in piece.exprs), *(c.expr for c in piece.domain)]
        require(all(index_axes(e) <= allowed for e in used), "index", "an axis is not the map's")
    placed = [_placed(x, p, mapping.axes) for x, p in zip(operands, mapping.pieces, strict=True)]
    return dtype, unique_axes(*placed)


def _placed(x: Node, piece: Piece, new: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The operand's axes with the map's in the place of the first one listed."""
    listed = {axis for axis, _ in piece.exprs}
    first = next((i for i, axis in enumerate(x.axes) if axis in listed), len(x.axes))
    before, after = x.axes[:first], tuple(a for a in x.axes[first:] if a not in listed)
    return unique_axes(before, tuple(a for a in new if a not in after), after)


def _adjoint(node: Node, g: Node) -> Sequence[Node]:
    mapping: IndexMap = node["map"]
    return [
        _share(g, node, x, piece) for x, piece in zip(node.operands, mapping.pieces, strict=True)
    ]


def _share(g: Node, node: Node, x: Node, piece: Piece) -> Node:
    """The cotangent read at the places where each element went, summed over those."""
    new = node["map"].axes
    inverse = invert(piece, new, x.axes)
    if inverse is None:
        raise InternalError(f"no adjoint for the piece {piece}")
    used = {a for _, e in inverse.exprs for a in index_axes(e)}
    used |= {a for c in inverse.domain for a in index_axes(c.expr)}
    axes = unique_axes(tuple(axis for axis in x.axes if axis in used), inverse.summed)
    back = Piece(inverse.exprs, inverse.domain)
    share = read(g, IndexMap(axes, (back,), 0))
    lacking = [axis for axis in node.axes if axis not in x.axes and axis not in new]
    return total(share, [*inverse.summed, *lacking])


def read(x: Node, mapping: IndexMap) -> Node:
    """The index node of one operand, or the operand itself where the map is the identity."""
    (piece,) = mapping.pieces
    exprs = tuple((a, e) for a, e in piece.exprs if a in x.axes)
    if (
        not piece.domain
        and all(e == variable(a) for a, e in exprs)
        and set(mapping.axes) <= {*x.axes}
    ):
        return x
    return index(x, map=mapping)


def compose(outer: Node, inner: Node) -> Node | None:
    """The index node `outer` of the index node `inner` as one, if that is again in the class.

    None where the two fills differ and both may show, or where the result has no adjoint.
    """
    mapping = composed(outer, inner)
    if mapping is None or any(
        invert(p, mapping.axes, x.axes) is None
        for p, x in zip(mapping.pieces, inner.operands, strict=True)
    ):
        return None
    if len(mapping.pieces) == 1:
        return read(inner.operands[0], mapping)
    return index(*inner.operands, map=mapping)


def composed(outer: Node, inner: Node) -> IndexMap | None:
    """The map of `outer` after that of `inner`. None where the two fills differ and both may show."""
    first, second = inner["map"], outer["map"]
    (piece,) = second.pieces
    if piece.domain and not first.is_total and _differ(first.fill, second.fill):
        return None
    pieces = [
        _composed(piece, p, inner, x) for p, x in zip(first.pieces, inner.operands, strict=True)
    ]
    used = {a for p in pieces for _, e in p.exprs for a in index_axes(e)}
    used |= {a for p in pieces for c in p.domain for a in index_axes(c.expr)}
    axes = unique_axes(second.axes, tuple(axis for axis in inner.axes if axis in used))
    return IndexMap(axes, tuple(pieces), first.fill if not piece.domain else second.fill)


def tidied(mapping: IndexMap) -> IndexMap:
    """The map without conditions that always hold."""
    pieces = tuple(
        Piece(p.exprs, tuple(c for c in p.domain if not _always(c))) for p in mapping.pieces
    )
    return IndexMap(mapping.axes, pieces, mapping.fill)


def _differ(a: float, b: float) -> bool:
    return a != b and not (math.isnan(a) and math.isnan(b))


def _composed(outer: Piece, inner: Piece, node: Node, x: Node) -> Piece:
    """The inner piece read at the outer piece's places."""
    places = {variable(axis).atom: e for axis, e in outer.exprs if axis in node.axes}
    values = {atom: e for atom, e in places.items() if atom is not None}
    listed = {axis for axis, _ in inner.exprs}
    exprs = [(axis, e.substitute(values)) for axis, e in inner.exprs]
    exprs += [(axis, e) for axis, e in outer.exprs if axis in x.axes and axis not in listed]
    moved = inner.map_sizes(lambda size: size.substitute(values)).domain
    return Piece(tuple(exprs), (*outer.domain, *(c for c in moved if not _always(c))))


def _always(condition: Condition) -> bool:
    if isinstance(condition, Divides):
        return mod(condition.expr, condition.divisor) == ZERO
    return is_nonnegative(condition.expr) and is_nonnegative(condition.size - 1 - condition.expr)


def disjoint_pieces(p: Piece, q: Piece) -> bool:
    """Whether it is proved that no place lies in the domains of both pieces."""
    return any(_exclude(a, b) for a in p.domain for b in q.domain)


def _exclude(a: Condition, b: Condition) -> bool:
    if isinstance(a, InRange) and isinstance(b, InRange):
        return _apart(a, b)
    if isinstance(a, Divides) and isinstance(b, Divides) and a.divisor == b.divisor:
        remainder = mod(a.expr - b.expr, a.divisor).constant
        return remainder is not None and remainder != 0
    return False


def _apart(a: InRange, b: InRange) -> bool:
    """With `b.expr = ±a.expr + offset`, both are ranges of `a.expr`: [0, size) and one of b's."""
    offset = b.expr - a.expr
    if not index_axes(offset):
        return _before(a.size, -offset) or _before(b.size - offset, ZERO)
    offset = b.expr + a.expr
    if not index_axes(offset):
        return _before(a.size, offset - b.size + 1) or _before(offset + 1, ZERO)
    return False


def _before(end: Size, start: Size) -> bool:
    return is_nonnegative(start - end)


def _samples() -> list[Node]:
    """A piece that no builder makes: read at even places, mirrored, elsewhere 7."""
    n, d, k = name("N"), name("D"), name("K")
    x = input_(name="x", dtype=F64, axes=(n, d))
    even = Divides(variable(k), 2 * (ZERO + 1))
    place = InRange(n - 1 - variable(k), n)
    piece = Piece(((n, n - 1 - variable(k)),), (place, even))
    return [index(x, map=IndexMap((k,), (piece,), 7))]


index: Operation = Operation(
    "index", "index",
    "Each operand read at places computed from the result's: slice, pad, flip, roll, window,"
    " concat, flatten, unflatten, rename and their compositions are all this one operation.",
    _infer, index_value, _adjoint, is_linear=True, is_view=True, samples=_samples,
)  # fmt: skip
