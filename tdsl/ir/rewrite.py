"""Rewriting graphs: the one traversal that every pass from IR to IR is made of.

In: roots or a Function, and a `visit(node, operands)` that gives the new node for an old one whose
operands are rewritten already. Out: the map from old nodes to new ones, or the new Function.
Between: operands are visited before their users and each node once; the sub-Functions of a call are
rebuilt by the same `visit` before the call itself, which `visit` then sees with the rebuilt ones and
the new operands in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from tdsl.ir.function import Function, Origin, Param, Result
from tdsl.ir.node import Attrs, Node, remake, topological

Visit = Callable[[Node, tuple[Node, ...]], Node]
_Rebuilt = dict[Function, Function]


def keep(node: Node, operands: tuple[Node, ...]) -> Node:
    """The node on new operands: what a visit does with every node that is not its business."""
    return node if operands == node.operands else remake(node.op, operands, node.attrs)


def rewrite(roots: Iterable[Node], visit: Visit) -> dict[Node, Node]:
    """The new node for each node that the roots need."""
    return _rewrite(roots, visit, {})


def rebuild_function(function: Function, visit: Visit) -> Function:
    """The Function with every node replaced by what `visit` makes of it.

    Origins follow their nodes; where two old nodes become one, the first in order names it. A
    parameter's node must stay an input node.
    """
    return _rebuild(function, visit, {})


def substitute(roots: Sequence[Node], values: Mapping[Node, Node]) -> tuple[Node, ...]:
    """The roots with nodes replaced, all at once; what a replaced node was made of is not looked at.

    Sub-Functions are scopes of their own and stay as they are.
    """
    new: dict[Node, Node] = dict(values)
    for node in topological(roots, stop=values):
        if node not in new:
            new[node] = keep(node, tuple(new[operand] for operand in node.operands))
    return tuple(new[root] for root in roots)


def moved_origins(origins: Mapping[Node, Origin], new: Mapping[Node, Node]) -> dict[Node, Origin]:
    """The origins of the new nodes: those of the old ones, where several meet the first with a name."""
    moved: dict[Node, Origin] = {}
    for old, node in new.items():
        if old in origins and (node not in moved or not moved[node].name):
            moved[node] = origins[old]
    return moved


def _rewrite(roots: Iterable[Node], visit: Visit, rebuilt: _Rebuilt) -> dict[Node, Node]:
    new: dict[Node, Node] = {}
    for node in topological(roots):
        operands = tuple([new[operand] for operand in node.operands])
        whole = _with_rebuilt(node, operands, visit, rebuilt) if node.op.family == "call" else node
        new[node] = visit(whole, operands)
    return new


def _with_rebuilt(node: Node, operands: tuple[Node, ...], visit: Visit, rebuilt: _Rebuilt) -> Node:
    """The call on new operands with its sub-Functions rebuilt."""
    functions = tuple(_rebuild(function, visit, rebuilt) for function in node["functions"])
    items = ((k, functions if k == "functions" else v) for k, v in node.attrs)
    return remake(node.op, operands, Attrs(items))


def _rebuild(function: Function, visit: Visit, rebuilt: _Rebuilt) -> Function:
    known = rebuilt.get(function)
    if known is not None:
        return known
    roots = [*(p.node for p in function.params), *(r.node for r in function.results)]
    new = _rewrite(roots, visit, rebuilt)
    rebuilt[function] = result = replace(
        function,
        params=tuple(Param(p.name, p.shape, new[p.node]) for p in function.params),
        results=tuple(Result(r.shape, new[r.node]) for r in function.results),
        origins=moved_origins(function.origins, new),
    )
    return result
