"""Data movement becomes reads of memory: what is left is arithmetic, reductions and library calls.

In: a flat Function. Out: an equal one in which an index map or a gather stands only on what lies in
memory (an input, or the result of another kernel), pieces of a concatenation are choices by position,
a reduction runs over axes that its operand has, and every result is a node of its own with all axes
of its array. Between: values stay the same bit for bit, but for sums of copies, which are products.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tdsl.errors import InternalError
from tdsl.fusion.facts import facts_of, with_facts
from tdsl.fusion.lower import lowered
from tdsl.fusion.nested import nested
from tdsl.fusion.sunk import NOT_ARITHMETIC, sunk
from tdsl.ir.dtype import BOOL, I64
from tdsl.ir.function import Function, Result, Shape, unit_free
from tdsl.ir.index_map import Condition, IndexMap, Piece
from tdsl.ir.node import Node, topological
from tdsl.ir.rewrite import keep, moved_origins, rewrite, substitute
from tdsl.ir.size import ZERO, Atom, Axis, Size
from tdsl.ir.size import index as variable
from tdsl.ops import (
    arange,
    bitand,
    cast,
    cast_to,
    checkpoint,
    composed,
    constant,
    greater_equal,
    index,
    input_,
    less,
    save,
    size_,
    stop_gradient,
    take,
    where,
)
from tdsl.ops.base import unique_axes
from tdsl.ops.index_inverse import invert
from tdsl.ops.index_map import read, tidied
from tdsl.ops.index_values import index_axes

LEAVES = (input_, constant, arange, size_)
LIBRARY = ("dot", "scatter")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a node of a normalised Function goes: which result, and a place for each of its axes."""

    number: int
    shape: Shape
    places: tuple[Size, ...]

    @property
    def is_plain(self) -> bool:
        """Whether the array holds the node's values at their own places."""
        return all(p == variable(s) for p, s in zip(self.places, self.shape, strict=True))


@dataclass(frozen=True, slots=True)
class Normal:
    """A normalised Function. Each of its results is a result of the original, or a part of one."""

    function: Function
    targets: tuple[Target, ...]


def normalise(function: Function, *, sink: bool = False) -> Normal:
    """The Function in the form that kernels are cut from.

    With `sink` results are stored where they are flattened to, also if there is arithmetic on them there.
    """
    facts = facts_of(function) if sink else {}
    function = sunk(with_facts(function)) if sink else with_facts(function)
    roots = [node for result in function.results for node in (result.node, *result.node.operands)]
    new = rewrite(roots, _visit)
    results: list[Result] = []
    targets: list[Target] = []
    for number, result in enumerate(function.results):
        for node, places in _parts(result, new, facts):
            shape = tuple(node.axes) if len(places) != len(result.shape) else result.shape
            results.append(Result(shape, node))
            targets.append(Target(number, result.shape, places))
    origins = moved_origins(function.origins, new)
    normal = replace(function, results=tuple(results), origins=origins)
    return Normal(nested(normal), tuple(targets))


def _parts(
    result: Result, new: Mapping[Node, Node], facts: Mapping[Atom, Size]
) -> list[tuple[Node, tuple[Size, ...]]]:
    """The nodes that make up a result, with their places: those of the pieces of an index map.

    So a concatenation, or a flattening, is stored where it belongs and not put together afterwards, also
    if it is converted then.
    """
    casts, node = _casts(result.node)
    if node.op is index:
        mapping, found, count = node["map"], [], ZERO
        for x, piece in zip(node.operands, mapping.pieces, strict=True):
            inverse = invert(piece, mapping.axes, x.axes)
            value = new[x]
            for one in casts:
                value = keep(one, (value,))
            if (
                inverse is None or inverse.summed or inverse.domain
                or set(value.axes) != set(x.axes)
                or (is_library(value) and not all(_is_linear(e) for _, e in inverse.exprs))
            ):  # fmt: skip
                break
            exprs = dict(inverse.exprs)
            places = tuple(exprs.get(axis, variable(axis)) for axis in result.shape)
            found.append((_copied(value), places))
            count = count + elements(x.axes)
        else:
            is_all = count.substitute(facts) == elements(result.shape)
            if is_all and set(node.axes) == {*unit_free(result.shape)}:
                return found
    return [(_own(new[result.node], result), tuple(map(variable, result.shape)))]


def _casts(node: Node) -> tuple[list[Node], Node]:
    """The conversions that a value ends with, the first one first, and what they convert."""
    found: list[Node] = []
    while node.op is cast:
        found.insert(0, node)
        (node,) = node.operands
    return found, node


def elements(axes: Iterable[Axis]) -> Size:
    """How many elements a value with these axes has."""
    total = ZERO + 1
    for axis in axes:
        total = total * axis
    return total


def _copied(node: Node) -> Node:
    """The node, or a copy of what is only read."""
    return cast(node, dtype=node.dtype) if is_leaf(node) or node.op is index else node


def is_leaf(node: Node) -> bool:
    """Whether the node is read, or made from positions alone, wherever it is needed."""
    return base_of(node).op in LEAVES


def _visit(node: Node, operands: tuple[Node, ...]) -> Node:
    if node.op in (stop_gradient, checkpoint, save):
        return operands[0]
    if node.op is index:
        return _choice(operands, node["map"])
    if node.op is take:
        return _gathered(operands[0], operands[1], node["axis"])
    new = lowered(node, operands)
    calls = [n for n in topological([new], stop=operands) if is_library(n) and n not in operands]
    viewed = {call: keep(call, tuple(map(_viewable, call.operands))) for call in calls}
    return substitute([new], viewed)[0] if viewed else new


def is_library(node: Node) -> bool:
    """Whether a vendor's library computes the node."""
    return node.op.name in LIBRARY


def _viewable(x: Node) -> Node:
    """What a library can read without a copy: memory, at places that are linear; else a copy."""
    if x.op is index:
        (piece,) = x["map"].pieces
        if not piece.domain and all(_is_linear(expr) for _, expr in piece.exprs):
            return x if base_of(x).op.family != "constant" else cast(x, dtype=x.dtype)
    return cast(x, dtype=x.dtype) if x.op is index or x.op.family == "constant" else x


def _is_linear(place: Size) -> bool:
    """Whether a place is a linear function of the indices."""
    return all(not index_axes(arg) for atom in place.atoms() for arg in _arguments(atom))


def _arguments(atom: Atom) -> tuple[Size, ...]:
    return () if atom.kind == "index" else atom.args


def base_of(node: Node) -> Node:
    """What a read reads: the input or the computed node below its index maps."""
    while node.op is index and not is_spread(node):
        (node,) = node.operands
    return node


def is_spread(node: Node) -> bool:
    """Whether the node is a computed value along further axes, at the same place."""
    if node.op is not index or node["map"].pieces[0].exprs or node["map"].pieces[0].domain:
        return False
    below = node.operands[0]
    while below.op is index:
        (below,) = below.operands
    return below.op not in LEAVES


def _own(node: Node, result: Result) -> Node:
    """The node with all axes of the result's array; a copy, where it is nothing that is computed."""
    lacking = tuple(axis for axis in unit_free(result.shape) if axis not in node.axes)
    if lacking:
        node = index(node, map=IndexMap(lacking, (Piece(()),)))
    return cast(node, dtype=node.dtype) if lacking else _copied(node)


def _choice(operands: Sequence[Node], mapping: IndexMap) -> Node:
    """An index map as reads, chosen by position where there are several pieces or a fill."""
    mapping = tidied(mapping)
    if mapping.is_total:
        return _read(operands[0], mapping.axes, mapping.pieces[0])
    result = constant(value=mapping.fill, dtype=operands[0].dtype)
    for x, piece in zip(reversed(operands), reversed(mapping.pieces), strict=True):
        value = _read(x, mapping.axes, piece)
        result = where(_inside(piece.domain), value, result) if piece.domain else value
    return result


def _inside(domain: Sequence[Condition]) -> Node:
    """Whether a position lies in the domain: a bool over the axes that it names."""
    axes = unique_axes(*(sorted(index_axes(c.expr), key=str) for c in domain))
    mapping = IndexMap(axes, (Piece((), tuple(domain)),), fill=False)
    return index(constant(value=True, dtype=BOOL), map=mapping)


def _read(x: Node, axes: tuple[Axis, ...], piece: Piece) -> Node:
    """`x` at the piece's places: arithmetic is done on what is read, not read when it is done."""
    moved = {axis for axis, _ in piece.exprs}
    new: dict[Node, Node] = {}
    for node in topological([x], stop=NOT_ARITHMETIC):
        if not moved.intersection(node.axes):
            new[node] = node
        elif node.op.family == "pointwise":
            new[node] = _folded(keep(node, tuple(new[operand] for operand in node.operands)))
        elif node.op is take:
            new[node] = _moved_take(node, axes, piece)
        else:
            new[node] = _placed_read(node, axes, piece)
    return new[x]


def _moved_take(node: Node, axes: tuple[Axis, ...], piece: Piece) -> Node:
    x, at = node.operands
    rest = replace(piece, exprs=tuple((a, e) for a, e in piece.exprs if a != node["axis"]))
    return take(_read(x, axes, rest), _read(at, axes, piece), axis=node["axis"])


def _placed_read(x: Node, axes: tuple[Axis, ...], piece: Piece) -> Node:
    """The index node of what lies in memory, with the part of the domain that it depends on."""
    exprs = tuple((axis, expr) for axis, expr in piece.exprs if axis in x.axes)
    used = {a for _, expr in exprs for a in index_axes(expr)}
    domain = tuple(c for c in piece.domain if index_axes(c.expr) <= used)
    own = tuple(axis for axis in axes if axis in used)
    outer = index(x, map=IndexMap(own, (Piece(exprs, domain),)))
    if x.op is not index:
        return outer
    mapping = composed(outer, x)
    if mapping is None:
        raise InternalError("a read of a read with another fill")
    mapping = tidied(mapping)
    return (
        x.operands[0]
        if x.operands[0].op is constant and mapping.is_total
        else read(x.operands[0], mapping)
    )


def _folded(node: Node) -> Node:
    """The value chosen, where the condition always holds."""
    if node.op is where and node.operands[0].op is constant and node.operands[0]["value"]:
        return node.operands[1]
    return node


def _gathered(x: Node, at: Node, axis: Axis) -> Node:
    """A gather of what lies in memory; of arithmetic, arithmetic on gathers, 0 out of range."""
    if axis in x.axes and x.op.family != "pointwise" and x.op is not arange:
        return _taken(x, at, axis)
    new: dict[Node, Node] = {}
    for node in topological([x], stop=NOT_ARITHMETIC):
        if axis not in node.axes:
            new[node] = node
        elif node.op.family == "pointwise":
            new[node] = keep(node, tuple(new[operand] for operand in node.operands))
        else:
            new[node] = cast_to(at, I64) if node.op is arange else _taken(node, at, axis)
    place = cast_to(at, I64)
    inside = greater_equal(place, constant(value=0, dtype=I64))
    inside = bitand(inside, less(place, size_(value=axis)))
    return where(inside, new[x], constant(value=0, dtype=x.dtype))


def _taken(x: Node, at: Node, axis: Axis) -> Node:
    """A gather from memory: from a copy of what lies there only at other places along the axis."""
    moved = x.op is index and (axis in x["map"].axes or base_of(x).op.family == "constant")
    return take(cast(x, dtype=x.dtype) if moved else x, at, axis=axis)
