"""Builds the AST while the parser reduces: one method for each rule of the grammar.

In: the children of a rule, tokens kept. Out: an AST node. Between: nothing is judged but the shape of
types and targets; `Problem` carries a fault to the parser, since Lark would wrap any other exception.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lark import Token as LarkToken
from lark import Transformer

from tdsl import faults
from tdsl.errors import Span
from tdsl.syntax import ast
from tdsl.syntax.lexer import Source

Children = list[Any]
Annotation = Callable[[str, Span, Source], ast.TypeExpr]
Results = ast.TypeExpr | tuple[ast.TypeExpr, ...]


@dataclass(frozen=True, slots=True)
class Typed:
    """A rule's result that is no AST node: several parts with one span."""

    parts: tuple[Any, ...]
    span: Span


class Problem(Exception):
    """A fault found while building."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(error)


class Builder(Transformer[LarkToken, Any]):
    """Methods are named after the grammar's rules and aliases."""

    def __init__(self, source: Source, annotation: Annotation) -> None:
        super().__init__()
        self.source = source
        self.annotation = annotation
        self.lines = source.lines()

    def place(self, child: Any) -> Span:
        """Where a child stands."""
        if isinstance(child, LarkToken):
            line, column, end = child.line or 1, child.column or 1, child.end_column or 1
            return Span(self.source.file, line, column, end)
        span: Span = child.span
        return span

    def span(self, children: Sequence[Any]) -> Span:
        """From the first child to the last, as far as they share the first line."""
        present = [self.place(c) for c in children if c is not None]
        first, last = present[0], present[-1]
        if last.line == first.line:
            return Span(first.file, first.line, first.column, max(first.end, last.end))
        row = first.line - self.source.first_line
        end = len(self.lines[row].rstrip()) + 1 + self.source.indent
        return Span(first.file, first.line, first.column, max(first.end, end))

    # expressions

    def name(self, c: Children) -> ast.Expr:
        return ast.Name(str(c[0]), self.place(c[0]))

    def number(self, c: Children) -> ast.Expr:
        text = str(c[0]).replace("_", "")
        if c[0].type == "FLOAT":
            return ast.Number(float(text), self.place(c[0]))
        if len(text) > 4000:
            raise self._problem(faults.NUMBER_TOO_LONG, self.place(c[0]))
        base = {"x": 16, "b": 2, "o": 8}.get(text[1:2].lower(), 10)
        try:
            return ast.Number(int(text[2:] if base != 10 else text, base), self.place(c[0]))
        except ValueError:
            raise self._problem(faults.BAD_NUMBER, self.place(c[0]), text=text) from None

    def string(self, c: Children) -> ast.Expr:
        return ast.String("".join(unescape(str(token)) for token in c), self.span(c))

    def true(self, c: Children) -> ast.Expr:
        return ast.Boolean(True, self.place(c[0]))

    def false(self, c: Children) -> ast.Expr:
        return ast.Boolean(False, self.place(c[0]))

    def none(self, c: Children) -> ast.Expr:
        return ast.NoneValue(self.place(c[0]))

    def ellipsis(self, c: Children) -> ast.Expr:
        return ast.Ellipsis(self.place(c[0]))

    def parenthesised(self, c: Children) -> ast.Expr:
        expr: ast.Expr = c[1]
        return expr

    def tuple_(self, c: Children) -> ast.Expr:
        return ast.Tuple(tuple(_nodes(c)), self.span(c))

    tuple = open_tuple = tuple_

    def entry(self, c: Children) -> Typed:
        return Typed((c[0], c[2]), self.span(c))

    def dict(self, c: Children) -> ast.Expr:
        return ast.Dict(tuple(x.parts for x in c if isinstance(x, Typed)), self.span(c))

    def binary(self, c: Children) -> ast.Expr:
        return ast.Binary(str(c[1]), c[0], c[2], self.span(c), self.place(c[1]))

    def unary(self, c: Children) -> ast.Expr:
        return ast.Unary(str(c[0]), c[1], self.span(c))

    def inverted(self, c: Children) -> ast.Expr:
        return ast.Unary("not", c[1], self.span(c))

    def conjoined(self, c: Children) -> ast.Expr:
        return ast.BoolOp("and", tuple(_nodes(c)), self.span(c))

    def disjoined(self, c: Children) -> ast.Expr:
        return ast.BoolOp("or", tuple(_nodes(c)), self.span(c))

    def comparator(self, c: Children) -> str:
        return str(c[0])

    def is_not(self, c: Children) -> str:
        return "is not"

    def compared(self, c: Children) -> ast.Expr:
        rest = tuple(zip(c[1::2], c[2::2], strict=True))
        return ast.Compare(c[0], rest, self.span([c[0], c[-1]]))

    def conditional(self, c: Children) -> ast.Expr:
        return ast.Conditional(c[2], c[0], c[4], self.span(c))

    def star(self, c: Children) -> ast.Expr:
        return ast.Star(c[1], self.span(c))

    def keyword(self, c: Children) -> ast.Keyword:
        return ast.Keyword(str(c[0]), c[2], self.span(c))

    def arguments(self, c: Children) -> Typed:
        return Typed(tuple(_nodes(c)), self.span(c))

    def call(self, c: Children) -> ast.Expr:
        given = c[2].parts if isinstance(c[2], Typed) else ()
        positional = tuple(x for x in given if not isinstance(x, ast.Keyword))
        keywords = tuple(x for x in given if isinstance(x, ast.Keyword))
        for before, after in itertools.pairwise(given):
            if isinstance(before, ast.Keyword) and not isinstance(after, ast.Keyword):
                raise self._problem(faults.POSITIONAL_AFTER_KEYWORD, after.span)
        return ast.Call(c[0], positional, keywords, self.span(c))

    def subscripts(self, c: Children) -> Typed:
        return Typed(tuple(_nodes(c)), self.span(c))

    def subscript(self, c: Children) -> ast.Expr:
        return ast.Subscript(c[0], c[2].parts, self.span(c))

    def slice(self, c: Children) -> ast.Expr:
        return ast.Slice(c[0], c[2], c[4], self.span(c))

    def attribute(self, c: Children) -> ast.Expr:
        return ast.Attribute(c[0], str(c[2]), self.span(c), self.place(c[2]))

    # statements

    def assign(self, c: Children) -> ast.Stmt:
        return ast.Assign(c[0], c[2], self.span(c))

    def augmented(self, c: Children) -> ast.Stmt:
        return ast.AugAssign(c[0], str(c[1])[:-1], c[2], self.span(c))

    def typed_local(self, c: Children) -> ast.Stmt:
        return ast.TypedLocal(str(c[0]), self.type_of(c[2]), c[4], self.span(c), self.place(c[0]))

    def assert_(self, c: Children) -> ast.Stmt:
        return ast.Assert(c[1], c[3], self.span(c))

    def return_(self, c: Children) -> ast.Stmt:
        return ast.Return(c[1], self.span(c))

    def expr_statement(self, c: Children) -> ast.Stmt:
        return ast.ExprStmt(c[0], self.span(c))

    def import_name(self, c: Children) -> Typed:
        alias = c[2] if len(c) > 2 and c[2] is not None else c[0]
        return Typed((str(c[0]), str(alias), self.place(c[0])), self.span(c))

    def import_(self, c: Children) -> ast.Import:
        names = tuple(x.parts for x in c if isinstance(x, Typed))
        return ast.Import(str(c[1]), names, self.span(c))

    def statement(self, c: Children) -> Any:
        return c[0]

    def block(self, c: Children) -> Typed:
        body = tuple(_nodes(c))
        return Typed(body, self.place(body[0]))

    def elif_(self, c: Children) -> Typed:
        return Typed((c[1], c[3].parts, self.span(c[:2])), self.span(c[:2]))

    def else_(self, c: Children) -> Typed:
        return c[2]  # type: ignore[no-any-return]

    def if_(self, c: Children) -> ast.Stmt:
        *branches, last = c[4:] if len(c) > 4 else [None]
        otherwise = last.parts if last is not None else ()
        for branch in reversed(branches):
            test, then, span = branch.parts
            otherwise = (ast.If(test, then, otherwise, span),)
        return ast.If(c[1], c[3].parts, otherwise, self.span(c[:2]))

    def for_(self, c: Children) -> ast.Stmt:
        return ast.For(c[1], c[3], c[5].parts, self.span(c[:4]))

    def decorator(self, c: Children) -> Typed:
        return Typed((c[1],), self.span(c[:2]))

    def param(self, c: Children) -> ast.Param:
        default = c[4] if len(c) > 4 else None
        return ast.Param(str(c[0]), self.type_of(c[2]), default, self.span(c), self.place(c[0]))

    def untyped_param(self, c: Children) -> ast.Param:
        raise self._problem(faults.UNTYPED_PARAMETER, self.place(c[0]), name=str(c[0]))

    def params(self, c: Children) -> Typed:
        return Typed(tuple(x for x in c if isinstance(x, ast.Param)), self.span(c))

    def function(self, c: Children) -> ast.FunctionDef:
        start = next(i for i, x in enumerate(c) if _is(x, "def"))
        decorators = tuple(x.parts[0] for x in c[:start])
        name, params, result, block = c[start + 1], c[start + 3], c[start + 6], c[start + 8]
        docstring, body = split_docstring(block.parts)
        return ast.FunctionDef(
            str(name),
            params.parts if params is not None else (),
            self._result_type(result) if result is not None else None,
            decorators,
            docstring,
            body,
            self.place(name),
            self._header(c[start], c[start + 7]),
        )

    def _header(self, first: LarkToken, colon: LarkToken) -> str:
        """The signature as it is written, on one line, without comments."""
        start, stop = self.place(first), self.place(colon)
        row, last = start.line - self.source.first_line, stop.line - self.source.first_line
        column, end = start.column - 1 - self.source.indent, stop.column - 1 - self.source.indent
        if row == last:
            text = self.lines[row][column:end]
        else:
            middle = self.lines[row + 1 : last]
            rows = [self.lines[row][column:], *middle, self.lines[last][:end]]
            text = " ".join(re.sub(r"#.*", "", line) for line in rows)
        text = re.sub(r"\s+", " ", text).removeprefix("def ")
        return text.replace("( ", "(").replace(", )", ")").replace(" )", ")")

    # types

    def _result_type(self, expr: ast.Expr) -> Results:
        if isinstance(expr, ast.Tuple):
            return tuple(self.type_of(item) for item in expr.items)
        return self.type_of(expr)

    def type_of(self, expr: ast.Expr) -> ast.TypeExpr:
        """The type that an annotation spells; a string is read in its place."""
        match expr:
            case ast.Name(id=dtype):
                return ast.TypeExpr(dtype, None, expr.span)
            case ast.Subscript(value=ast.Name(id=dtype), items=items):
                if sum(isinstance(item, ast.Star | ast.Ellipsis) for item in items) > 1:
                    raise self._problem(faults.TWO_PACKS, expr.span)
                return ast.TypeExpr(dtype, items, expr.span)
            case ast.String(value=text):
                return self.annotation(text, expr.span, self.source)
        raise self._problem(faults.NOT_A_TYPE, expr.span)

    def _problem(self, fault: Any, span: Span, **particulars: object) -> Problem:
        return Problem(self.source.fail(fault, span, **particulars))


def split_docstring(
    body: tuple[ast.Stmt, ...],
) -> tuple[str | None, tuple[ast.Stmt, ...]]:
    """The docstring, cleaned as Python's `inspect.cleandoc` does, and the other statements."""
    match body:
        case (ast.ExprStmt(value=ast.String(value=text)), *rest):
            return clean(text), tuple(rest)
    return None, body


def clean(text: str) -> str:
    """A docstring without its margin and outer blank lines."""
    lines = text.expandtabs().split("\n")
    margins = [len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()]
    margin = min(margins, default=0)
    cleaned = [lines[0].lstrip(), *(line[margin:] for line in lines[1:])]
    return "\n".join(line.rstrip() for line in cleaned).strip("\n")


_ESCAPES = {
    "n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "a": "\a", "b": "\b",
    "f": "\f", "v": "\v", "0": "\0", "\n": "",
}  # fmt: skip


def unescape(literal: str) -> str:
    """The value of a string literal; an escape that is not known stays as it is written."""
    quote = 3 if literal[:3] in ('"""', "'''") else 1
    return re.sub(
        r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.|\n)", _escape, literal[quote:-quote], flags=re.DOTALL
    )


def _escape(match: re.Match[str]) -> str:
    body = match.group(1)
    if len(body) > 1:
        return chr(int(body[1:], 16))
    return _ESCAPES.get(body, "\\" + body)


def _nodes(children: Children) -> list[Any]:
    return [c for c in children if c is not None and not isinstance(c, LarkToken)]


def _is(child: object, text: str) -> bool:
    return isinstance(child, LarkToken) and child == text
