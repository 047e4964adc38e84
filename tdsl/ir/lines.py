"""Reading the lines of the IR's text form: parameters, values, nodes.

In: a cursor at a line, and what names stand for. Out: the very same nodes as those that were printed,
entered under their names. Between: a line's stated type is what its operation infers. The operations
must have been defined: importing `tdsl.ops` does that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tdsl import faults
from tdsl.ir.dtype import AnyDtype
from tdsl.ir.function import Param, Shape, unit_free
from tdsl.ir.node import OPS, Attrs, Node, TypeRuleError, remake
from tdsl.ir.terms import Scope, read_attribute, read_type
from tdsl.ir.text import type_text
from tdsl.ir.tokens import Cursor, Token

Signature = list[tuple[Token, AnyDtype, Shape]]
Item = TypeVar("Item")


def begins(cursor: Cursor, *words: str) -> bool:
    """Whether a line begins with one of the words, and it is not the name of a value."""
    return cursor.sees(*words) and cursor.after().text != "="


def read_list(cursor: Cursor, read: Callable[[], Item]) -> list[Item]:
    """One item or more, parted by commas."""
    items = [read()]
    while cursor.accept(","):
        items.append(read())
    return items


def read_one_of(cursor: Cursor, words: tuple[Any, ...]) -> Any:
    """The next token, which must be one of these words or signs."""
    if not cursor.sees(*words):
        raise cursor.expected(" or ".join(f"`{word}`" for word in words))
    return cursor.take().text


def read_signature(cursor: Cursor, scope: Scope) -> Signature:
    """`(name: type, ...)`."""
    cursor.expect("(")
    signature: Signature = []
    while not cursor.accept(")"):
        if signature:
            cursor.expect(",")
        signature.append(read_declared(cursor, scope))
    return signature


def read_declared(cursor: Cursor, scope: Scope) -> tuple[Token, AnyDtype, Shape]:
    """`name: type`."""
    token = cursor.word("a parameter")
    cursor.expect(":")
    return (token, *read_type(cursor, scope))


def declare(cursor: Cursor, scope: Scope, signature: Signature) -> dict[str, Param]:
    """The parameters, with the input nodes that the signature says."""
    params: dict[str, Param] = {}
    for token, dtype, shape in signature:
        if token.text in params:
            raise cursor.fail(faults.IR_TWICE, token, name=token.text)
        attrs = {"name": token.text, "dtype": dtype, "axes": unit_free(shape)}
        node = _made(cursor, token, "input", (), attrs)
        params[token.text] = Param(token.text, shape, node)
        scope.values[token.text] = node
    return params


def read_line(cursor: Cursor, scope: Scope, params: dict[str, Param]) -> tuple[str, Node]:
    """`name = op(operands, attributes) : type`, entered under its name."""
    token, name = cursor.token, _value_name(cursor)
    cursor.expect("=")
    node = _node(cursor, scope)
    cursor.expect(":")
    _require_type(cursor, scope, node)
    cursor.newline()
    is_param = name in params and node.op.family == "input"
    if name in scope.values and not is_param:
        raise cursor.fail(faults.IR_TWICE, token, name=name)
    if is_param:
        _require_declared(cursor, token, params[name], node)
        params[name] = Param(name, params[name].shape, node)
    scope.values[name] = node
    return name, node


def _require_declared(cursor: Cursor, token: Token, param: Param, node: Node) -> None:
    """Raises TdslError for an input of another dtype or other axes than the parameter's."""
    declared = (param.dtype, param.node.axes)
    if (node.dtype, set(node.axes)) != (declared[0], set(declared[1])):
        stated, inferred = f"`{type_text(*declared)}`", f"`{type_text(node.dtype, node.axes)}`"
        raise cursor.fail(faults.IR_TYPE, token, stated=stated, inferred=inferred)


def _value_name(cursor: Cursor) -> str:
    """A name, or `%` and a number."""
    if cursor.accept("%"):
        return f"%{cursor.integer()}"
    return cursor.word("a value").text


def read_value(cursor: Cursor, scope: Scope) -> Node:
    """The value of a name. Raises TdslError for a name that stands for none."""
    token, name = cursor.token, _value_name(cursor)
    if name not in scope.values:
        raise cursor.fail(faults.IR_UNKNOWN, token, kind="value", name=name)
    return scope.values[name]


def _made(
    cursor: Cursor, token: Token, name: str, operands: tuple[Node, ...], attrs: dict[str, Any]
) -> Node:
    """The node, made by the operation's own rule. Raises TdslError if that refuses the parts."""
    op = OPS.get(name)
    if op is None:
        raise cursor.fail(faults.IR_UNKNOWN, token, kind="operation", name=name)
    try:
        return remake(op, operands, Attrs(sorted(attrs.items())))
    except TypeRuleError as error:
        raise cursor.fail(faults.IR_NODE, token, op=op, reason=error) from None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # A rule relies on attributes that are there and of the right type.
        reason = f"an attribute is missing or no such thing ({error})"
        raise cursor.fail(faults.IR_NODE, token, op=op, reason=reason) from None


def _node(cursor: Cursor, scope: Scope) -> Node:
    """The node that an operation makes of operands and attributes."""
    token = cursor.word("an operation")
    operands, attrs = read_arguments(cursor, scope)
    return _made(cursor, token, token.text, tuple(operands), attrs)


def read_arguments(cursor: Cursor, scope: Scope) -> tuple[list[Node], dict[str, Any]]:
    """`(value, ..., key=attribute, ...)`."""
    operands: list[Node] = []
    attrs: dict[str, Any] = {}
    cursor.expect("(")
    while not cursor.accept(")"):
        if operands or attrs:
            cursor.expect(",")
        if cursor.after().text == "=":
            token = cursor.word("an attribute")
            if token.text in attrs:
                raise cursor.fail(faults.IR_TWICE, token, name=token.text)
            cursor.expect("=")
            attrs[token.text] = read_attribute(cursor, scope, token.text)
        else:
            operands.append(read_value(cursor, scope))
    return operands, attrs


def _require_type(cursor: Cursor, scope: Scope, node: Node) -> None:
    token = cursor.token
    stated = read_type(cursor, scope)
    if stated != (node.dtype, node.axes):
        raise cursor.fail(
            faults.IR_TYPE,
            token,
            stated=f"`{type_text(*stated)}`",
            inferred=f"`{type_text(node.dtype, node.axes)}`",
        )
