"""Arithmetic on what is flattened or moved is done before that: a result is laid out last.

In: a flat Function with its facts. Out: an equal one, in which a result that is arithmetic on an index map
of what was reduced is an index map of arithmetic. Between: the map has every value at one place; what else
the arithmetic takes is read at the places where the map puts it, so that a kernel that reduces may store
the result itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from tdsl.ir.function import Function, Result
from tdsl.ir.index_map import IndexMap, Piece
from tdsl.ir.node import Node, topological
from tdsl.ir.rewrite import keep
from tdsl.ops import index
from tdsl.ops.base import unique_axes
from tdsl.ops.index_inverse import Inverse, invert
from tdsl.ops.index_map import read
from tdsl.ops.index_values import index_axes


def sunk(function: Function) -> Function:
    """The Function with index maps moved to the end of its results."""
    reduced: set[Node] = set()
    for node in function.nodes():
        if node.op.family == "reduction" or not reduced.isdisjoint(node.operands):
            reduced.add(node)
    return replace(function, results=tuple(_sunk(r, reduced) for r in function.results))


def _sunk(result: Result, reduced: Collection[Node]) -> Result:
    if result.node.op.family != "pointwise":
        return result
    region = topological([result.node], stop=_Fixed())
    for node in region:
        inverse = _inverse(node) if node.op is index and node in reduced else None
        if inverse is not None:
            return replace(result, node=_moved(region, node, inverse))
    return result


class _Fixed:
    """Where arithmetic begins."""

    def __contains__(self, node: object) -> bool:
        return isinstance(node, Node) and node.op.family != "pointwise"


def _inverse(node: Node) -> Inverse | None:
    """Where an index map has each value of its operand, if at one place."""
    if len(node.operands) > 1 or node["map"].pieces[0].domain:
        return None
    (piece,), (x,) = node["map"].pieces, node.operands
    inverse = invert(piece, node["map"].axes, x.axes)
    is_one = inverse is not None and not inverse.summed and not inverse.domain
    return inverse if is_one else None


def _moved(region: Sequence[Node], moved: Node, inverse: Inverse) -> Node:
    """The last node of a region, computed where a moved node's operand is, and moved in its stead."""
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
    return index(new[region[-1]], map=moved["map"])
