"""Reading the parts of a line of the IR's text form: sizes, dtypes, shapes and attributes.

In: a cursor, and the dtype variables and Functions that the text may name. Out: the objects. Between: what
the printer writes is read back as the same object, and nothing else is read that would have another
text, but for blanks and the order of sums and products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from tdsl import faults
from tdsl.ir import dtype as dtypes
from tdsl.ir.dtype import DTYPES, AnyDtype, DtypeVar
from tdsl.ir.function import Function, Shape
from tdsl.ir.index_map import Condition, Divides, IndexMap, InRange, Piece
from tdsl.ir.node import Node
from tdsl.ir.size import (
    ZERO,
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
from tdsl.ir.text import LITERALS
from tdsl.ir.tokens import Cursor


@dataclass(slots=True)
class Scope:
    """What names stand for in the text of one function."""

    functions: dict[str, Function]
    variables: dict[str, DtypeVar] = field(default_factory=dict)
    values: dict[str, Node] = field(default_factory=dict)


def read_size(cursor: Cursor) -> Size:
    """A sum of products."""
    with cursor.nested():
        negative = cursor.accept("-")
        total = -_product(cursor) if negative else _product(cursor)
        while cursor.sees("+", "-"):
            sign = cursor.take().text
            total = total + _product(cursor) if sign == "+" else total - _product(cursor)
    return total


def _product(cursor: Cursor) -> Size:
    product = _factor(cursor)
    while cursor.accept("*"):
        product = product * _factor(cursor)
    return product


def _factor(cursor: Cursor) -> Size:
    """A factor; a sum is none, so that a short text cannot be a polynomial of many terms."""
    if cursor.accept("*"):
        return pack(cursor.word("the name of a pack").text)
    if cursor.sees("("):
        opening = cursor.token
        size, is_atom = _parenthesised(cursor)
        if not (is_atom or cursor.sees("//", "%")):
            raise cursor.fail(faults.IR_SYNTAX, opening, expected="a quotient", found="a sum")
        return size
    if cursor.token.kind == "number":
        return as_size(cursor.integer())
    word = cursor.word("a size").text
    if word == "i" and cursor.accept("["):
        axis = read_size(cursor)
        cursor.expect("]")
        return index(axis)
    if word in ("copy", "min", "max") and cursor.accept("("):
        return _applied(cursor, word)
    return name(word)


def _applied(cursor: Cursor, function: str) -> Size:
    """`copy(size[, label])`, `min(a, b)` or `max(a, b)`, from behind the bracket."""
    first = read_size(cursor)
    if function == "copy":
        label = cursor.word("a name").text if cursor.accept(",") else ""
        result = copy(first, label)
    else:
        cursor.expect(",")
        second = read_size(cursor)
        result = minimum(first, second) if function == "min" else maximum(first, second)
    cursor.expect(")")
    return result


def _parenthesised(cursor: Cursor) -> tuple[Size, bool]:
    """`(a//b)`, `(a%b)` or `(sum)`, and whether it is one of the first two."""
    with cursor.nested():
        cursor.expect("(")
        size = read_size(cursor)
        is_atom = cursor.sees("//", "%")
        if is_atom:
            divide = floordiv if cursor.take().text == "//" else mod
            size = divide(size, _operand(cursor))
        cursor.expect(")")
    return size, is_atom


def _operand(cursor: Cursor) -> Size:
    """An operand of `//` or `%`: an atom, a number, or anything in parentheses."""
    if cursor.sees("("):
        return _parenthesised(cursor)[0]
    return -_factor(cursor) if cursor.accept("-") else _factor(cursor)


def read_dtype(cursor: Cursor, scope: Scope) -> AnyDtype:
    """A dtype's name, a variable, or a term over them."""
    token = cursor.word("a dtype")
    if token.text in ("compute", "accumulate", "promote") and cursor.accept("("):
        with cursor.nested():
            found = _dtype_term(cursor, scope, token.text)
            cursor.expect(")")
        if found is None:
            raise cursor.fail(faults.IR_NODE, token, op="promote", reason="no common dtype")
        return found
    if token.text in DTYPES:
        return DTYPES[token.text]
    if token.text not in scope.variables:
        raise cursor.fail(faults.IR_UNKNOWN, token, kind="dtype", name=token.text)
    return scope.variables[token.text]


def _dtype_term(cursor: Cursor, scope: Scope, function: str) -> AnyDtype | None:
    first = read_dtype(cursor, scope)
    if function == "promote":
        cursor.expect(",")
        return dtypes.promote(first, read_dtype(cursor, scope))
    return dtypes.compute(first) if function == "compute" else dtypes.accumulate(first)


def read_type(cursor: Cursor, scope: Scope) -> tuple[AnyDtype, Shape]:
    """A dtype, and sizes in brackets unless the rank is 0."""
    dtype = read_dtype(cursor, scope)
    return dtype, read_sizes(cursor) if cursor.sees("[") else ()


def read_sizes(cursor: Cursor) -> Shape:
    """Sizes in brackets."""
    cursor.expect("[")
    sizes: list[Size] = []
    while not cursor.accept("]"):
        if sizes:
            cursor.expect(",")
        sizes.append(read_size(cursor))
    return tuple(sizes)


def read_attribute(cursor: Cursor, scope: Scope, key: str) -> Any:
    """The value of an attribute; the one called `dtype` is a dtype."""
    return read_dtype(cursor, scope) if key == "dtype" else _value(cursor, scope)


def _value(cursor: Cursor, scope: Scope) -> Any:
    if cursor.token.kind == "string":
        return cursor.string()
    if cursor.accept("@"):
        return _function(cursor, scope)
    if cursor.accept("["):
        return _tuple(cursor, scope)
    if cursor.accept("{"):
        return _map(cursor, scope)
    if cursor.sees(*LITERALS):
        return LITERALS[cursor.take().text]
    place = cursor.at
    if cursor.accept("-"):
        if cursor.accept("inf"):
            return -math.inf
        if _is_float(cursor):
            return -float(cursor.take().text)
    elif _is_float(cursor):
        return float(cursor.take().text)
    cursor.at = place
    return _number_or_size(cursor)


def _is_float(cursor: Cursor) -> bool:
    return cursor.token.kind == "number" and not cursor.token.text.isdigit()


def _number_or_size(cursor: Cursor) -> int | Size:
    """A bare integer is a number; a size that is one stands in parentheses."""
    place = cursor.at
    if cursor.sees("("):
        size, is_atom = _parenthesised(cursor)
        if not is_atom:
            return size
        cursor.at = place
    size = read_size(cursor)
    is_bare = cursor.at - place <= 2 and size.constant is not None
    return size.constant if is_bare and size.constant is not None else size


def _function(cursor: Cursor, scope: Scope) -> Function:
    token = cursor.word("the name of a function")
    if token.text not in scope.functions:
        raise cursor.fail(faults.IR_UNKNOWN, token, kind="function", name=token.text)
    return scope.functions[token.text]


def _tuple(cursor: Cursor, scope: Scope) -> tuple[Any, ...]:
    items: list[Any] = []
    with cursor.nested():
        while not cursor.accept("]"):
            if items:
                cursor.expect(",")
            items.append(_value(cursor, scope))
    return tuple(items)


def _map(cursor: Cursor, scope: Scope) -> IndexMap:
    """`{[axes] piece | piece else fill}`, from behind the brace."""
    axes = read_sizes(cursor)
    pieces = [_piece(cursor)]
    while cursor.accept("|"):
        pieces.append(_piece(cursor))
    fill = 0
    if cursor.accept("else"):
        token = cursor.token
        fill = _value(cursor, scope)
        if not isinstance(fill, bool | int | float):
            raise cursor.fail(faults.IR_SYNTAX, token, expected="a number", found=token)
    cursor.expect("}")
    return IndexMap(axes, tuple(pieces), fill)


def _piece(cursor: Cursor) -> Piece:
    """`axis <- size, ...` or `all`, and a domain behind `where`."""
    exprs: list[tuple[Size, Size]] = []
    if cursor.sees("all") and cursor.after().text != "<-":
        cursor.take()
    else:
        exprs.append(_read_at(cursor))
        while cursor.accept(","):
            exprs.append(_read_at(cursor))
    domain: list[Condition] = []
    if cursor.accept("where"):
        domain.append(_condition(cursor))
        while cursor.accept("and"):
            domain.append(_condition(cursor))
    return Piece(tuple(exprs), tuple(domain))


def _read_at(cursor: Cursor) -> tuple[Size, Size]:
    axis = read_size(cursor)
    cursor.expect("<-")
    return axis, read_size(cursor)


def _condition(cursor: Cursor) -> Condition:
    """`0 <= size < size` or `size divides size`."""
    first = read_size(cursor)
    if first == ZERO and cursor.accept("<="):
        expr = read_size(cursor)
        cursor.expect("<")
        return InRange(expr, read_size(cursor))
    cursor.expect("divides")
    return Divides(read_size(cursor), first)
