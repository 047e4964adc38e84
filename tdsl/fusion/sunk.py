"""Arithmetic on what is flattened or moved is done before that: a result is laid out last.

In: a flat Function with its facts. Out: an equal one, in which a result that is arithmetic on an index map
of what was reduced is an index map of arithmetic. Between: the map has every value at one place; what else
the arithmetic takes is read at the places where the map puts it, so that a kernel that reduces may store
the result itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from tdsl.ir.function import Function
from tdsl.ir.index_map import IndexMap, Piece
from tdsl.ir.node import Node, topological
from tdsl.ir.rewrite import keep, moved_origins
from tdsl.ops import index
from tdsl.ops.base import unique_axes
from tdsl.ops.index_inverse import Inverse, invert
from tdsl.ops.index_map import read
from tdsl.ops.index_values import index_axes


class _Fixed:
    """All nodes but arithmetic."""

    def __contains__(self, node: object) -> bool:
        return isinstance(node, Node) and node.op.family != "pointwise"


NOT_ARITHMETIC = _Fixed()
"""What a walk down from a value stops at."""


def sunk(function: Function) -> Function:
    """The Function with index maps moved to the end of its results."""
    reduced: set[Node] = set()
    for node in function.nodes():
        if node.op.family == "reduction" or not reduced.isdisjoint(node.operands):
            reduced.add(node)
    results, origins = [], dict(function.origins)
    for result in function.results:
        new, mapping = _sunk(result.node, reduced)
        origins |= moved_origins(function.origins, new)
        node = new.get(result.node, result.node)
        results.append(replace(result, node=index(node, map=mapping) if mapping else node))
    return replace(function, results=tuple(results), origins=origins)


def _sunk(root: Node, reduced: Collection[Node]) -> tuple[Mapping[Node, Node], IndexMap | None]:
    """What is computed where a moved value is, and how that is moved; nothing, if it does not move."""
    region = topological([root], stop=NOT_ARITHMETIC) if root.op.family == "pointwise" else []
    for node in region:
        inverse = _inverse(node) if node.op is index and node in reduced else None
        if inverse is not None:
            return _moved(region, node, inverse), node["map"]
    return {}, None


def _inverse(node: Node) -> Inverse | None:
    """Where an index map has each value of its operand, if at one place."""
    if len(node.operands) > 1 or node["map"].pieces[0].domain:
        return None
    (piece,), (x,) = node["map"].pieces, node.operands
    inverse = invert(piece, node["map"].axes, x.axes)
    is_one = inverse is not None and not inverse.summed and not inverse.domain
    return inverse if is_one else None


def _moved(region: Sequence[Node], moved: Node, inverse: Inverse) -> Mapping[Node, Node]:
    """The nodes of a region, computed where a moved node's operand is."""
    new: dict[Node, Node] = {}
    for node in region:
        if node.op.family == "pointwise":
            new[node] = keep(node, tuple(new[operand] for operand in node.operands))
        elif node.op is index and node["map"] == moved["map"]:
            (new[node],) = node.operands
        else:
            exprs = tuple((axis, expr) for axis, expr in inverse.exprs if axis in node.axes)
            axes = unique_axes(*(sorted(index_axes(expr), key=str) for _, expr in exprs))
            new[node] = read(node, IndexMap(axes, (Piece(exprs),)))
    return new
