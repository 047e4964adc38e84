"""The abstract syntax, as the parser leaves it: names are not resolved, nothing is judged.

    Module      = docstring, imports, constants, functions
    Import      = from MODULE import NAME [as ALIAS], ...
    FunctionDef = name, Param*, result type?, decorators, docstring, Stmt*
    Param       = name, type, default?
    TypeExpr    = dtype [axes]          an axis is Star(Name) | Ellipsis | Expr

    Stmt = Assign(target, value) | AugAssign(target, op, value) | TypedLocal(name, type, value)
         | If(test, then, otherwise) | For(variable, iterable, body) | Assert(test, message)
         | Return(value?) | ExprStmt(value) | FunctionDef
    Expr = Name | Number | Boolean | String | NoneValue | Ellipsis
         | Unary(op, value) | Binary(op, left, right) | Compare(first, rest) | BoolOp(op, values)
         | Conditional(test, then, otherwise) | Call(function, arguments, keywords)
         | Attribute(value, name) | Subscript(value, items) | Slice(start?, stop?, step?)
         | Tuple(items) | Dict(items) | Star(value)

Every node has the `span` of its text. Chains of left-associative operators lean left and may be very
long, so nothing recurses into `Binary.left`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from tdsl.errors import Span


@dataclass(frozen=True, slots=True)
class Name:
    id: str
    span: Span


@dataclass(frozen=True, slots=True)
class Number:
    value: int | float
    span: Span


@dataclass(frozen=True, slots=True)
class Boolean:
    value: bool
    span: Span


@dataclass(frozen=True, slots=True)
class String:
    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class NoneValue:
    span: Span


@dataclass(frozen=True, slots=True)
class Ellipsis:
    span: Span


@dataclass(frozen=True, slots=True)
class Unary:
    op: str
    value: Expr
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Binary:
    op: str
    left: Expr
    right: Expr
    span: Span
    op_span: Span


@dataclass(frozen=True, slots=True)
class Compare:
    first: Expr
    rest: tuple[tuple[str, Expr], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class BoolOp:
    op: str
    values: tuple[Expr, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Conditional:
    test: Expr
    then: Expr
    otherwise: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Keyword:
    name: str
    value: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    function: Expr
    arguments: tuple[Expr, ...]
    keywords: tuple[Keyword, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Attribute:
    value: Expr
    name: str
    span: Span
    name_span: Span


@dataclass(frozen=True, slots=True)
class Slice:
    start: Expr | None
    stop: Expr | None
    step: Expr | None
    span: Span


@dataclass(frozen=True, slots=True)
class Subscript:
    value: Expr
    items: tuple[Expr, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Tuple:
    items: tuple[Expr, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Dict:
    items: tuple[tuple[Expr, Expr], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Star:
    value: Expr
    span: Span


Expr = (
    Name | Number | Boolean | String | NoneValue | Ellipsis | Unary | Binary | Compare | BoolOp
    | Conditional | Call | Attribute | Subscript | Slice | Tuple | Dict | Star
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TypeExpr:
    """`dtype[axes]`; `axes` is None where there are no brackets."""

    dtype: str
    axes: tuple[Expr, ...] | None
    span: Span


@dataclass(frozen=True, slots=True)
class Param:
    name: str
    type: TypeExpr
    default: Expr | None
    span: Span
    name_span: Span


@dataclass(frozen=True, slots=True)
class Assign:
    target: Expr
    value: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class AugAssign:
    target: Expr
    op: str
    value: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class TypedLocal:
    name: str
    type: TypeExpr
    value: Expr
    span: Span
    name_span: Span


@dataclass(frozen=True, slots=True)
class If:
    test: Expr
    then: tuple[Stmt, ...]
    otherwise: tuple[Stmt, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class For:
    variable: Expr
    iterable: Expr
    body: tuple[Stmt, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Assert:
    test: Expr
    message: Expr | None
    span: Span


@dataclass(frozen=True, slots=True)
class Return:
    value: Expr | None
    span: Span


@dataclass(frozen=True, slots=True)
class ExprStmt:
    value: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class FunctionDef:
    """`span` is that of the name; `header` is the text of the signature as the source wrote it."""

    name: str
    params: tuple[Param, ...]
    results: TypeExpr | tuple[TypeExpr, ...] | None
    decorators: tuple[Expr, ...]
    docstring: str | None
    body: tuple[Stmt, ...]
    span: Span
    header: str


@dataclass(frozen=True, slots=True)
class Import:
    module: str
    names: tuple[tuple[str, str, Span], ...]
    span: Span


Stmt = Assign | AugAssign | TypedLocal | If | For | Assert | Return | ExprStmt | FunctionDef
Item = Import | Assign | FunctionDef | ExprStmt


@dataclass(frozen=True, slots=True)
class Module:
    """A file. `constants` are its assignments in order; `text` is the whole source.

    `broken` are the names whose definitions could not be read.
    """

    docstring: str | None
    imports: tuple[Import, ...]
    constants: tuple[Assign, ...]
    functions: tuple[FunctionDef, ...]
    file: str
    text: str
    broken: frozenset[str] = frozenset()
    tokens: int = 0


_Entry = tuple[int, object]


def walk(root: object) -> Iterator[object]:
    """Every node of a tree, in the order of the text; nested tuples are trees too."""
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, tuple):
            stack.extend(reversed(node))
        elif hasattr(node, "span"):
            yield node
            stack.extend(getattr(node, f.name) for f in reversed(fields(node)))  # type: ignore[arg-type]


def dump(node: object) -> str:
    """The tree as text, one node a line, without spans: what `tdsl show --stage ast` prints."""
    return "\n".join(_lines(node))


def _lines(root: object) -> Iterator[str]:
    stack: list[_Entry] = [(0, root)]
    while stack:
        depth, node = stack.pop()
        if isinstance(node, _Labelled):
            label, node = node.label, node.value
        else:
            label = ""
        if node is None or node == ():
            continue
        margin = "  " * min(depth, 60) + label
        if isinstance(node, tuple):
            yield margin.rstrip()
            stack.extend((depth + 1, item) for item in reversed(node))
        elif hasattr(node, "span") or isinstance(node, Module):
            inner = [f.name for f in fields(node) if f.name not in _HIDDEN]  # type: ignore[arg-type]
            plain = [n for n in inner if _is_plain(getattr(node, n))]
            shown = " ".join(f"{n}={getattr(node, n)!r}" for n in plain)
            yield f"{margin}{type(node).__name__}{' ' if shown else ''}{shown}"
            stack.extend(
                (depth + 1, _Labelled(f"{n}: ", getattr(node, n)))
                for n in reversed(inner)
                if n not in plain
            )
        else:
            yield f"{margin}{node!r}"


@dataclass(frozen=True, slots=True)
class _Labelled:
    label: str
    value: object


_HIDDEN = frozenset(("span", "op_span", "name_span", "file", "text", "header", "broken"))


def _is_plain(value: object) -> bool:
    return isinstance(value, str | bool | int | float)
