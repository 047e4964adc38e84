"""The rules that every pass relies on, checked.

In: a Function. Out: nothing, or the first rule that is broken. Between: the Function and those that it owns
are only looked at; each of them once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tdsl.errors import InternalError
from tdsl.ir.dtype import Dtype, DtypeTerm, DtypeVar
from tdsl.ir.function import Function, Param, Result, unit_free
from tdsl.ir.index_map import IndexMap
from tdsl.ir.node import Node, TypeRuleError, call_key
from tdsl.ir.size import Size
from tdsl.ir.text import variables

_Variables = Mapping[str, DtypeVar]


def verify(function: Function) -> None:
    """Raises InternalError, naming function, node and rule, if the Function breaks a rule."""
    for problem in problems(function):
        raise InternalError(f"the function {function.name} is not valid: {problem}")


def problems(function: Function, outer: _Variables | None = None) -> Iterator[str]:
    """Every broken rule. `outer` are the dtype variables of the functions that own this one."""
    yield from _problems(function, dict(outer or {}), set())


def _problems(function: Function, outer: _Variables, seen: set[Function]) -> Iterator[str]:
    declared = {name: DtypeVar(name, kind == "float") for name, kind in function.dtype_vars}
    scope = {**outer, **declared}
    yield from _boundary(function)
    for name, variable in variables(function).items():
        if scope.get(name) != variable:
            yield f"the dtype variable {name} is not declared as it is used"
    inputs = {param.node for param in function.params}
    calls: set[tuple[object, ...]] = set()
    for node in function.nodes():
        if node.op.family == "input" and node not in inputs:
            yield f"{node!r} ({node['name']}): the input belongs to no parameter"
        yield from (f"{node!r}: {problem}" for problem in _node(node))
        if node.op.family == "call" and call_key(node) not in calls:
            calls.add(call_key(node))
            for inner in node["functions"]:
                if inner not in seen:
                    seen.add(inner)
                    yield from (f"in {inner.name}: {p}" for p in _problems(inner, scope, seen))


def _boundary(function: Function) -> Iterator[str]:
    names = [param.name for param in function.params]
    if len(set(names)) < len(names):
        yield "two parameters share a name"
    if len({param.node for param in function.params}) < len(names):
        yield "two parameters share a node"
    for param in function.params:
        yield from (f"parameter {param.name}: {problem}" for problem in _param(param))
    for number, result in enumerate(function.results):
        yield from (f"result {number}: {problem}" for problem in _result(result))


def _param(param: Param) -> Iterator[str]:
    axes = unit_free(param.shape)
    if param.node.op.family != "input":
        yield f"{param.node!r} is no input"
    if len(set(axes)) < len(axes):
        yield "an axis stands twice in its shape"
    if set(axes) != set(param.node.axes):
        yield f"{param.node!r} has other axes than its shape"


def _result(result: Result) -> Iterator[str]:
    axes = unit_free(result.shape)
    if len(set(axes)) < len(axes):
        yield "an axis stands twice in its shape"
    if not set(result.node.axes) <= set(axes):
        yield f"{result.node!r} has an axis that its shape lacks"


def _node(node: Node) -> Iterator[str]:
    try:
        inferred = node.op.infer(node.operands, node.attrs)
    except TypeRuleError as error:
        yield f"the operation refuses its parts: {error}"
        return
    if inferred != (node.dtype, node.axes):
        yield "dtype or axes are not what the operation infers"
    if len(set(node.axes)) < len(node.axes):
        yield "an axis stands twice"
    if any(axis.constant == 1 for axis in node.axes):
        yield "a unit axis stands in the graph"
    for key, value in node.attrs:
        if not _is_plain(value):
            yield f"the attribute {key} is no plain data"
        if isinstance(value, IndexMap):
            yield from _index_map(value, node)


def _index_map(mapping: IndexMap, node: Node) -> Iterator[str]:
    if not set(mapping.axes) <= set(node.axes):
        yield "an axis of the index map is not the result's"
    for piece, operand in zip(mapping.pieces, node.operands, strict=True):
        listed = [axis for axis, _ in piece.exprs]
        if len(set(listed)) < len(listed):
            yield f"a piece reads an axis of {operand!r} twice"
        places = [*(e for _, e in piece.exprs), *(c.expr for c in piece.domain)]
        used = {a.args[0] for e in places for a in e.atoms() if a.kind == "index"}
        if not used <= set(mapping.axes):
            yield "an index expression depends on an axis that is not the map's"


_PLAIN = (bool, int, float, str, Size, Dtype, DtypeVar, DtypeTerm, Function, type(None))


def _is_plain(value: object) -> bool:
    """Whether the text form has the value, exactly: subclasses (of NumPy, say) are not in it."""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    if isinstance(value, IndexMap):
        return type(value.fill) in (bool, int, float)
    return type(value) in _PLAIN
