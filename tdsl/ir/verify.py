"""The verifier: what holds for every Function that a pass may take or give.

In: a Function. Out: nothing, or InternalError naming the node and the rule. A breach is a fault of
whoever built the graph, never of the user's program.
"""

from __future__ import annotations

from tdsl.errors import InternalError
from tdsl.ir.dtype import variables
from tdsl.ir.function import Function, unit_free
from tdsl.ir.index_map import IndexMap
from tdsl.ir.node import Node, TypeRuleError
from tdsl.ir.size import Axis, Size


def verify(function: Function) -> None:
    """Check the boundary, every node, and the sub-Functions."""
    nodes = function.nodes()
    params = {param.node for param in function.params}
    _require(len({p.name for p in function.params}) == len(function.params), "a name stands twice")
    for param in function.params:
        _require(param.node.op.family == "input", f"the parameter {param.name} is no input")
        _require(
            set(param.node.axes) == set(unit_free(param.shape)),
            f"the shape of {param.name} differs",
        )
    for result in function.results:
        _require(
            set(result.node.axes) <= set(result.shape), f"{result.node!r} has an axis too many"
        )
        axes = unit_free(result.shape)
        _require(len(set(axes)) == len(axes), f"a result has an axis twice: {result.node!r}")
    for node in nodes:
        _verify_node(node, params)
    if function.dtype_vars:
        declared = {name for name, _ in function.dtype_vars}
        for node in nodes:
            _require(
                variables(node.dtype) <= declared, f"{node!r} has an undeclared dtype variable"
            )


def _verify_node(node: Node, params: set[Node]) -> None:
    if node.op.family == "input":
        _require(node in params, f"{node!r} ({node['name']}) belongs to no parameter")
    _require(len(set(node.axes)) == len(node.axes), f"{node!r} has an axis twice")
    try:
        dtype, axes = node.op.infer(node.operands, node.attrs)
    except TypeRuleError as error:
        raise InternalError(f"{node!r}: {error}") from None
    _require((dtype, set(axes)) == (node.dtype, set(node.axes)), f"{node!r} has another type")
    for _, value in node.attrs:
        if isinstance(value, IndexMap):
            _verify_map(node, value)
        elif isinstance(value, tuple):
            for item in value:
                if isinstance(item, Function):
                    verify(item)


def _verify_map(node: Node, mapping: IndexMap) -> None:
    """Expressions and conditions run over axes of the result alone."""
    _require(len(mapping.pieces) == len(node.operands), f"{node!r} has a piece too many or few")
    for piece in mapping.pieces:
        sizes = [expr for _, expr in piece.exprs] + [c.expr for c in piece.domain]
        for size in sizes:
            _require(
                _indices(size) <= set(node.axes), f"{node!r} reads at {size}, no axis of its own"
            )


def _indices(size: Size) -> set[Axis]:
    return {atom.args[0] for atom in size.atoms() if atom.kind == "index"}


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise InternalError(what)
