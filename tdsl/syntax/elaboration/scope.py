"""Names where elaboration may not come: branches not taken, functions that wait for static values.

In: a program and one of its functions. Out: an error for each name that nothing defines. Between: the order
of statements is left to elaboration; here a name counts as known if it is bound anywhere in the function.
"""

from __future__ import annotations

from collections.abc import Iterator

from tdsl.errors import TdslError
from tdsl.syntax import ast
from tdsl.syntax.elaboration.frame import Frame, Session
from tdsl.syntax.elaboration.names import is_global, unknown_name
from tdsl.syntax.elaboration.program import Program

INTRODUCING = frozenset(("rename", "unflatten", "stack", "scatter_add", "window"))
"""The built-ins whose arguments may name axes that are new."""


def unknown_names(program: Program, function: ast.FunctionDef) -> list[TdslError]:
    """An error for each name in the body that is bound nowhere."""
    bound = set(_bound(function))
    frame = Frame(Session(), program, function.name, variables=dict.fromkeys(sorted(bound)))
    return [
        unknown_name(frame, node)
        for node in ast.walk(function.body)
        if isinstance(node, ast.Name) and node.id not in bound and not is_global(program, node.id)
    ]


def _bound(function: ast.FunctionDef) -> Iterator[str]:
    """Parameters, axes, dtype variables, and whatever a statement assigns or a call introduces."""
    for node in ast.walk((function.params, function.results, function.body)):
        match node:
            case ast.Param() | ast.TypedLocal() | ast.FunctionDef():
                yield node.name
            case ast.TypeExpr():
                yield from _names(node.axes)
                yield node.dtype
            case ast.Assign():
                yield from _names(node.target)
            case ast.For():
                yield "range"
                yield from _names(node.variable)
            case ast.Call(function=ast.Name(id=name) | ast.Attribute(name=name)):
                if name in INTRODUCING:
                    yield from _names((node.arguments, node.keywords))


def _names(node: object) -> Iterator[str]:
    return (found.id for found in ast.walk(node) if isinstance(found, ast.Name))
