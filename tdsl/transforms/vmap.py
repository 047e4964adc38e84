"""Vectorising: a fresh leading axis on parameters, and on every result.

In: a Function, the names of the parameters that get the axis, and the axis. Out: a Function that is the
old one for each position along it. Between: axes are names, so every operation takes one more axis as
it is; a call's sub-Functions get the axis on all their parameters, whose operands may lack it.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from tdsl.ir.function import Function, Param, Result, unit_free
from tdsl.ir.node import Attrs, Node, remake, topological
from tdsl.ir.rewrite import keep, moved_origins
from tdsl.ir.size import Axis, name
from tdsl.ops import input_


def vmap(function: Function, batched: Container[str], axis: Axis) -> Function:
    """The Function with `axis` in front of the parameters in `batched` and of all results.

    `axis` must be fresh: none of the function's.
    """
    return _vectorised(function, batched, axis, {})


def fresh_axis(function: Function, wanted: str = "B") -> Axis:
    """An axis that the function does not know: `wanted`, else with a number."""
    shapes = [p.shape for p in function.params] + [r.shape for r in function.results]
    taken = {n for shape in shapes for size in shape for n in size.names()}
    free, number = wanted, 0
    while free in taken:
        number += 1
        free = f"{wanted}{number}"
    return name(free)


def _vectorised(
    function: Function, batched: Container[str] | None, axis: Axis, done: dict[Function, Function]
) -> Function:
    """The same for all parameters if `batched` is None; `done` has the sub-Functions."""
    params = tuple(
        _param(param, axis) if batched is None or param.name in batched else param
        for param in function.params
    )
    new = {old.node: param.node for old, param in zip(function.params, params, strict=True)}
    for node in topological(result.node for result in function.results):
        if node not in new:
            operands = tuple([new[operand] for operand in node.operands])
            is_call = node.op.family == "call" and operands != node.operands
            new[node] = _call(node, operands, axis, done) if is_call else keep(node, operands)
    return replace(
        function,
        params=params,
        results=tuple(Result((axis, *r.shape), new[r.node]) for r in function.results),
        origins=moved_origins(function.origins, new),
    )


def _param(param: Param, axis: Axis) -> Param:
    node = input_(name=param.name, dtype=param.dtype, axes=(axis, *unit_free(param.shape)))
    return Param(param.name, (axis, *param.shape), node)


def _call(
    node: Node, operands: tuple[Node, ...], axis: Axis, done: dict[Function, Function]
) -> Node:
    """The call of the vectorised function and its vectorised derivative."""
    for function in node["functions"]:
        if function not in done:
            done[function] = _vectorised(function, None, axis, done)
    functions = tuple(done[function] for function in node["functions"])
    items = ((k, functions if k == "functions" else v) for k, v in node.attrs)
    return remake(node.op, operands, Attrs(items))
