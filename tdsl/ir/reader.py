"""Reads the text form of a Function back.

In: what `print_function` printed. Out: an equal Function, of the very same nodes. Raises TdslError with
line and column for text that is none. Between: a type stated on a line must be the one that follows.
"""

from __future__ import annotations

import ast as python
import re
from dataclasses import dataclass, field
from typing import Any

from tdsl import faults
from tdsl.errors import Span, TdslError
from tdsl.ir.dtype import DTYPES, AnyDtype, DtypeTerm, DtypeVar
from tdsl.ir.function import Check, Function, Param, Result, unit_free
from tdsl.ir.index_map import Condition, Divides, IndexMap, InRange, Piece
from tdsl.ir.node import OPS, Node, TypeRuleError, make
from tdsl.ir.size import (
    Size,
    as_size,
    copy,
    floordiv,
    index,
    maximum,
    minimum,
    mod,
    name,
    pack,
)

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
    r"|(?P<word>@?[A-Za-z_][A-Za-z0-9_.~]*|(?<![\w)\]])%\d+)|(?P<sign>->|<-|<=|//|[-+*%/()\[\]{},:=<|])|(?P<bad>\S))"
)
MAX_DEPTH = 50


def parse(text: str) -> Function:
    """The last function of the text. Raises TdslError if it is not the text form of one."""
    blocks = [block for block in re.split(r"\n\s*\n", text) if block.strip()]
    known: dict[str, Function] = {}
    variables = dict(re.findall(r"(\w+): (\w+)", " ".join(re.findall(r"\n  where (.*)", text))))
    function: Function | None = None
    line = 1
    for block in blocks:
        line = text.count("\n", 0, text.index(block)) + 1
        function = _Block(block.split("\n"), line, known, variables).read()
        known[function.name] = function
    if function is None:
        raise faults.BAD_IR.at(Span("<ir>", 1, 1, 2), what="there is no function")
    return function


@dataclass(slots=True)
class _Line:
    """The tokens of one line, read from the left."""

    tokens: list[tuple[str, str, int]]
    number: int
    place: int = 0
    depth: int = 0

    def fail(self, what: str) -> TdslError:
        """The error at the current token."""
        column = self.tokens[self.place][2] if self.place < len(self.tokens) else 1
        return faults.BAD_IR.at(Span("<ir>", self.number, column, column + 1), what=what)

    @property
    def next(self) -> str:
        """The text of the current token; empty at the end."""
        return self.tokens[self.place][1] if self.place < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        """The current token, which must be the expected one; moves on."""
        found = self.next
        if not found or (expected and found != expected):
            raise self.fail(f"`{expected or 'more'}` is missing")
        self.place += 1
        return found

    def has(self, text: str) -> bool:
        """Whether the current token is this one; moves on if it is."""
        if self.next == text:
            self.place += 1
            return True
        return False


def _line(text: str, number: int) -> _Line:
    tokens = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "bad"
        if kind == "bad":
            column = match.start(kind) + 1
            raise faults.BAD_IR.at(
                Span("<ir>", number, column, column + 1), what="a stray character"
            )
        tokens.append((kind, match.group(kind), match.start(kind) + 1))
    return _Line(tokens, number)


@dataclass(slots=True)
class _Block:
    """One function's lines."""

    lines: list[str]
    first: int
    known: dict[str, Function]
    outer: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    def read(self) -> Function:
        """The function."""
        for text in self.lines[1:]:
            if text.startswith("  where "):
                for part in text.removeprefix("  where ").split(", "):
                    variable, _, kind = part.partition(": ")
                    self.variables[variable] = kind
        line = _line(self.lines[0], self.first)
        line.take("function")
        label = line.take()
        params = self._params(line)
        line.take("->")
        shapes = [self._typed(line)]
        while line.has(","):
            shapes.append(self._typed(line))
        results: list[Node] = []
        for offset, text in enumerate(self.lines[1:], start=1):
            if not text.startswith("  where "):
                results += self._body(_line(text, self.first + offset))
        if len(results) != len(shapes):
            raise line.fail("the results do not fit the header")
        return Function(
            label,
            params,
            tuple(Result(shape, node) for (_, shape), node in zip(shapes, results, strict=True)),
            tuple(self.variables.items()),  # type: ignore[arg-type]
            tuple(self.checks),
        )

    def _params(self, line: _Line) -> tuple[Param, ...]:
        params: list[Param] = []
        line.take("(")
        while not line.has(")"):
            text = line.take()
            line.take(":")
            dtype, shape = self._typed(line)
            node = make(OPS["input"], (), name=text, dtype=dtype, axes=unit_free(shape))
            self.nodes[text] = node
            params.append(Param(text, shape, node))
            if line.next != ")":
                line.take(",")
        return tuple(params)

    def _body(self, line: _Line) -> list[Node]:
        """One line below the header: a node, a check, or the return, whose nodes it gives."""
        if line.has("check"):
            left, relation = self._size(line), line.take()
            if relation == "=" or (relation == "<" and line.next == "="):
                relation += line.take()
            right = self._size(line)
            line.take(":")
            self.checks.append(Check(left, relation, right, self._literal(line)))  # type: ignore[arg-type]
            return []
        if line.has("return"):
            found = [self._node(line)]
            while line.has(","):
                found.append(self._node(line))
            return found
        text = line.take()
        line.take("=")
        node = self._operation(line)
        line.take(":")
        dtype, axes = self._typed(line)
        if (dtype, set(axes)) != (node.dtype, set(node.axes)):
            raise line.fail(f"the type of `{text}` is another")
        self.nodes[text] = node
        return []

    def _node(self, line: _Line) -> Node:
        text = line.take()
        if text not in self.nodes:
            line.place -= 1
            raise line.fail(f"there is no value `{text}`")
        return self.nodes[text]

    def _operation(self, line: _Line) -> Node:
        op = line.take()
        if op not in OPS:
            raise line.fail(f"there is no operation `{op}`")
        line.take("(")
        operands: list[Node] = []
        attrs: dict[str, Any] = {}
        while not line.has(")"):
            following = line.tokens[line.place + 1][1] if line.place + 1 < len(line.tokens) else ""
            if following == "=":
                key = line.take()
                line.take("=")
                attrs[key] = self._attr(line, op, key)
            else:
                operands.append(self._node(line))
            if line.next != ")":
                line.take(",")
        try:
            return make(OPS[op], operands, **attrs)
        except (TypeRuleError, KeyError, AttributeError, TypeError, ValueError) as error:
            raise line.fail(str(error)) from None

    def _attr(self, line: _Line, op: str, key: str) -> Any:
        if key in ("axis", "axes", "sums") or (op, key) == ("size", "value"):
            return self._sizes(line) if line.next == "[" else self._size(line)
        if key == "dtype":
            return self._dtype(line)
        if key == "map":
            return self._map(line)
        if key == "functions":
            line.take("[")
            found = []
            while not line.has("]"):
                label = line.take().removeprefix("@")
                if label not in self.known:
                    raise line.fail(f"there is no function `{label}`")
                found.append(self.known[label])
                line.has(",")
            return tuple(found)
        return self._literal(line)

    def _literal(self, line: _Line) -> Any:
        sign = -1 if line.has("-") else 1
        text = line.take()
        words = {"inf": float("inf"), "nan": float("nan"), "True": True, "False": False}
        if text in words:
            return sign * words[text] if text in ("inf", "nan") else words[text]
        try:
            value = python.literal_eval(text)
        except (ValueError, SyntaxError):
            raise line.fail("a literal is missing") from None
        return value if isinstance(value, str) else sign * value

    def _typed(self, line: _Line) -> tuple[AnyDtype, tuple[Size, ...]]:
        dtype = self._dtype(line)
        return dtype, self._sizes(line) if line.next == "[" else ()

    def _dtype(self, line: _Line) -> AnyDtype:
        text = line.take()
        if text in DTYPES:
            return DTYPES[text]
        if text in ("compute", "promote", "accumulate") and line.has("("):
            args = [self._dtype(line)]
            while line.has(","):
                args.append(self._dtype(line))
            line.take(")")
            return DtypeTerm(text, tuple(args))  # type: ignore[arg-type]
        if text in self.outer:
            return DtypeVar(text, is_float=self.outer[text] == "float")
        raise line.fail(f"there is no dtype `{text}`")

    def _sizes(self, line: _Line) -> tuple[Size, ...]:
        line.take("[")
        sizes: list[Size] = []
        while not line.has("]"):
            sizes.append(self._size(line))
            if line.next != "]":
                line.take(",")
        return tuple(sizes)

    def _size(self, line: _Line) -> Size:
        """A sum of products, as sizes are printed."""
        line.depth += 1
        if line.depth > MAX_DEPTH:
            raise line.fail("nested too deep")
        total = -self._product(line) if line.has("-") else self._product(line)
        while line.next in ("+", "-"):
            sign = line.take()
            part = self._product(line)
            total = total + part if sign == "+" else total - part
        line.depth -= 1
        return total

    def _product(self, line: _Line) -> Size:
        product = self._factor(line)
        while line.next in ("*", "//", "%"):
            sign = line.take()
            other = self._factor(line)
            product = {"*": lambda a, b: a * b, "//": floordiv, "%": mod}[sign](product, other)
        return product

    def _factor(self, line: _Line) -> Size:
        text = line.take()
        if text == "(":
            inner = self._size(line)
            line.take(")")
            return inner
        if text == "*":
            return pack(line.take())
        if text.isdigit():
            return as_size(int(text))
        if text == "i" and line.has("["):
            axis = self._size(line)
            line.take("]")
            return index(axis)
        if text in ("min", "max", "copy") and line.has("("):
            return self._call(line, text)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.~]*", text):
            raise line.fail("a size is missing")
        return name(text)

    def _call(self, line: _Line, text: str) -> Size:
        first = self._size(line)
        if text == "copy":
            label = line.take() if line.has(",") else ""
            line.take(")")
            return copy(first, label)
        line.take(",")
        second = self._size(line)
        line.take(")")
        return (minimum if text == "min" else maximum)(first, second)

    def _map(self, line: _Line) -> IndexMap:
        line.take("{")
        axes = self._sizes(line)
        pieces = [self._piece(line)]
        while line.has("|"):
            pieces.append(self._piece(line))
        fill = self._literal(line) if line.has("else") else 0
        line.take("}")
        return IndexMap(axes, tuple(pieces), fill)

    def _piece(self, line: _Line) -> Piece:
        exprs: list[tuple[Size, Size]] = []
        while line.next not in ("where", "else", "|", "}"):
            axis = self._size(line)
            line.take("<-")
            exprs.append((axis, self._size(line)))
            line.has(",")
        domain: list[Condition] = []
        if line.has("where"):
            domain.append(self._condition(line))
            while line.has("and"):
                domain.append(self._condition(line))
        return Piece(tuple(exprs), tuple(domain))

    def _condition(self, line: _Line) -> Condition:
        if line.has("divides"):
            divisor = self._size(line)
            line.take(",")
            return Divides(self._size(line), divisor)
        line.take("0")
        line.take("<=")
        expr = self._size(line)
        line.take("<")
        return InRange(expr, self._size(line))
