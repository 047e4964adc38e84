"""Inlining: a Function's body in place of a call of it.

In: a Function and the nodes that take its parameters' places. Out: its result nodes over those.
Between: parameters are replaced simultaneously, so arguments may be made of inputs of the same names.
A conversion that the arguments' dtypes make idle vanishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tdsl.errors import InternalError
from tdsl.ir.function import Check, Function, Origin
from tdsl.ir.node import Node, topological
from tdsl.ir.rewrite import keep, moved_origins, rebuild_function
from tdsl.ops import cast, cast_to


def inline(function: Function, arguments: Sequence[Node]) -> tuple[Node, ...]:
    """The results of `function` on `arguments`, one for each parameter, in order."""
    new = _inlined(function, arguments)
    return tuple(new[result.node] for result in function.results)


def inline_calls(function: Function) -> Function:
    """The Function with the primal body in place of every call, at any depth, and its checks."""
    origins: dict[Node, Origin] = {}
    checks: dict[Check, None] = dict.fromkeys(function.checks)

    def visit(node: Node, operands: tuple[Node, ...]) -> Node:
        if node.op.family != "call":
            return keep(node, operands)
        primal = node["functions"][0]
        new = _inlined(primal, operands)
        for body_node, origin in moved_origins(primal.origins, new).items():
            origins.setdefault(body_node, origin)
        checks.update(dict.fromkeys(primal.checks))
        result: Node = new[primal.results[node["result"]].node]
        return result

    flat = rebuild_function(function, visit)
    return replace(flat, origins={**origins, **flat.origins}, checks=tuple(checks))


def _inlined(function: Function, arguments: Sequence[Node]) -> dict[Node, Node]:
    """The new node for each node of the body."""
    if len(arguments) != len(function.params):
        raise InternalError(f"{len(arguments)} arguments for `{function.name}`")
    new = {p.node: argument for p, argument in zip(function.params, arguments, strict=True)}
    for node in topological(result.node for result in function.results):
        if node not in new:
            operands = tuple([new[operand] for operand in node.operands])
            idle = node.op is cast and operands[0].dtype != node.operands[0].dtype
            new[node] = cast_to(operands[0], node["dtype"]) if idle else keep(node, operands)
    return new
