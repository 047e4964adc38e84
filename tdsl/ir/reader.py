"""Reading the text form of the IR back.

In: text, as `print_function` writes it. Out: the last Function in it, made of the very same nodes as the
one that was printed. Between: a line's stated type is what its operation infers, and the Function obeys the
verifier's rules. The operations must have been defined: importing `tdsl.ops` does that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from tdsl import faults
from tdsl.ir.dtype import AnyDtype, DtypeVar
from tdsl.ir.function import (
    Check,
    DtypeKind,
    Function,
    Origin,
    Param,
    Relation,
    Result,
    Shape,
    unit_free,
)
from tdsl.ir.node import OPS, Attrs, Node, TypeRuleError, remake
from tdsl.ir.terms import Scope, read_attribute, read_size, read_type
from tdsl.ir.tokens import Cursor, Token
from tdsl.ir.verify import problems

_Signature = list[tuple[Token, AnyDtype, Shape]]


def parse(text: str, file: str = "<ir>") -> Function:
    """The Function that the text ends with. `parse(print_function(f)) == f`.

    Raises TdslError with the place of the first mistake.
    """
    cursor = Cursor(text, file)
    functions: dict[str, Function] = {}
    try:
        last = _function(cursor, functions)
        while cursor.token.kind != "end":
            last = _function(cursor, functions)
    except RecursionError:
        raise cursor.fail(faults.IR_TOO_DEEP, limit="Python can follow") from None
    return last


def _function(cursor: Cursor, functions: dict[str, Function]) -> Function:
    """One block; it enters the function under its label."""
    cursor.expect("function")
    label = cursor.word("the name of a function")
    if label.text in functions:
        raise cursor.fail(faults.IR_TWICE, label, name=label.text)
    scope = Scope(functions)
    kinds = _variables(cursor, scope)
    signature, results = _header(cursor, scope)
    while _begins(cursor, "where", "outer"):
        _skip_line(cursor)
    checks: list[Check] = []
    while _begins(cursor, "check"):
        checks.append(_check(cursor))
    params = _params(cursor, scope, signature)
    origins = {}
    while not _begins(cursor, "return"):
        name, node = _line(cursor, scope, params)
        if not name.startswith("%"):
            origins[node] = Origin(name, None)
    function = Function(
        label.text.rpartition(".")[0] or label.text,
        tuple(params.values()),
        _results(cursor, scope, results),
        tuple(kinds.items()),
        tuple(checks),
        {n: o for n, o in origins.items() if n.op.family != "input"},
    )
    outer = {name: v for name, v in scope.variables.items() if name not in kinds}
    for problem in problems(function, outer):
        raise cursor.fail(faults.IR_INVALID, label, name=label.text, rule=problem)
    functions[label.text] = function
    return function


def _variables(cursor: Cursor, scope: Scope) -> dict[str, DtypeKind]:
    """The kinds of the dtype variables, from the lines behind the header, which names them."""
    place = cursor.at
    _skip_line(cursor)
    kinds: dict[str, DtypeKind] = {}
    while _begins(cursor, "where", "outer"):
        own = cursor.take().text == "where"
        while True:
            token = cursor.word("a dtype variable")
            if token.text in scope.variables:
                raise cursor.fail(faults.IR_TWICE, token, name=token.text)
            cursor.expect(":")
            kind = _one_of(cursor, get_args(DtypeKind))
            scope.variables[token.text] = DtypeVar(token.text, kind == "float")
            if own:
                kinds[token.text] = kind
            if not cursor.accept(","):
                break
        cursor.newline()
    cursor.at = place
    return kinds


def _begins(cursor: Cursor, *words: str) -> bool:
    """Whether a line begins with one of the words, and it is not the name of a value."""
    return cursor.sees(*words) and cursor.after().text != "="


def _skip_line(cursor: Cursor) -> None:
    while cursor.token.kind not in ("newline", "end"):
        cursor.take()
    cursor.take()


def _one_of(cursor: Cursor, words: tuple[Any, ...]) -> Any:
    if not cursor.sees(*words):
        raise cursor.expected(" or ".join(f"`{word}`" for word in words))
    return cursor.take().text


def _header(cursor: Cursor, scope: Scope) -> tuple[_Signature, list[tuple[AnyDtype, Shape]]]:
    """Parameters and the types of the results, from behind the function's name."""
    cursor.expect("(")
    signature: _Signature = []
    while not cursor.accept(")"):
        if signature:
            cursor.expect(",")
        token = cursor.word("a parameter")
        cursor.expect(":")
        signature.append((token, *read_type(cursor, scope)))
    cursor.expect("->")
    results = [] if cursor.accept("nothing") else _comma(cursor, lambda: read_type(cursor, scope))
    cursor.newline()
    return signature, results


def _comma(cursor: Cursor, read: Callable[[], Any]) -> list[Any]:
    items = [read()]
    while cursor.accept(","):
        items.append(read())
    return items


def _params(cursor: Cursor, scope: Scope, signature: _Signature) -> dict[str, Param]:
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


def _check(cursor: Cursor) -> Check:
    cursor.expect("check")
    left = read_size(cursor)
    relation = _one_of(cursor, get_args(Relation))
    right = read_size(cursor)
    cursor.expect(":")
    check = Check(left, relation, right, cursor.string())
    cursor.newline()
    return check


def _line(cursor: Cursor, scope: Scope, params: dict[str, Param]) -> tuple[str, Node]:
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
        params[name] = Param(name, params[name].shape, node)
    scope.values[name] = node
    return name, node


def _value_name(cursor: Cursor) -> str:
    """A name, or `%` and a number."""
    if cursor.accept("%"):
        return f"%{cursor.integer()}"
    return cursor.word("a value").text


def _value(cursor: Cursor, scope: Scope) -> Node:
    token, name = cursor.token, _value_name(cursor)
    if name not in scope.values:
        raise cursor.fail(faults.IR_UNKNOWN, token, kind="value", name=name)
    return scope.values[name]


def _node(cursor: Cursor, scope: Scope) -> Node:
    """The node that an operation makes of operands and attributes."""
    token = cursor.word("an operation")
    operands, attrs = _arguments(cursor, scope)
    return _made(cursor, token, token.text, tuple(operands), attrs)


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


def _arguments(cursor: Cursor, scope: Scope) -> tuple[list[Node], dict[str, Any]]:
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
            operands.append(_value(cursor, scope))
    return operands, attrs


def _require_type(cursor: Cursor, scope: Scope, node: Node) -> None:
    token = cursor.token
    stated = read_type(cursor, scope)
    if stated != (node.dtype, node.axes):
        raise cursor.fail(
            faults.IR_TYPE,
            token,
            stated=_type_text(*stated),
            inferred=_type_text(node.dtype, node.axes),
        )


def _type_text(dtype: AnyDtype, shape: Shape) -> str:
    return f"`{dtype}[{', '.join(map(str, shape))}]`"


def _results(
    cursor: Cursor, scope: Scope, types: list[tuple[AnyDtype, Shape]]
) -> tuple[Result, ...]:
    """The results from the last line, which are of the header's types."""
    cursor.expect("return")
    results: list[Result] = []
    for dtype, shape in types:
        if results:
            cursor.expect(",")
        token = cursor.token
        node = _value(cursor, scope)
        if node.dtype != dtype:
            raise cursor.fail(faults.IR_TYPE, token, stated=dtype, inferred=node.dtype)
        results.append(Result(shape, node))
    cursor.newline()
    return tuple(results)
