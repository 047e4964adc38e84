"""Reading the text form of the IR back.

In: text, as `print_function` writes it. Out: the last Function in it, made of the very same nodes as the
one that was printed. Between: a line's stated type is what its operation infers, and the Function obeys the
verifier's rules. The operations must have been defined: importing `tdsl.ops` does that.
"""

from __future__ import annotations

from typing import get_args

from tdsl import faults
from tdsl.ir.dtype import AnyDtype, DtypeVar
from tdsl.ir.function import (
    Check,
    DtypeKind,
    Function,
    Origin,
    Relation,
    Result,
    Shape,
)
from tdsl.ir.lines import (
    Signature,
    begins,
    declare,
    read_line,
    read_list,
    read_one_of,
    read_signature,
    read_value,
)
from tdsl.ir.terms import Scope, read_size, read_type
from tdsl.ir.tokens import Cursor
from tdsl.ir.verify import problems


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
    while begins(cursor, "where", "outer"):
        _skip_line(cursor)
    checks: list[Check] = []
    while begins(cursor, "check"):
        checks.append(_check(cursor))
    params = declare(cursor, scope, signature)
    origins = {}
    while not begins(cursor, "return"):
        name, node = read_line(cursor, scope, params)
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
    while begins(cursor, "where", "outer"):
        own = cursor.take().text == "where"
        while True:
            token = cursor.word("a dtype variable")
            if token.text in scope.variables:
                raise cursor.fail(faults.IR_TWICE, token, name=token.text)
            cursor.expect(":")
            kind = read_one_of(cursor, get_args(DtypeKind))
            scope.variables[token.text] = DtypeVar(token.text, kind == "float")
            if own:
                kinds[token.text] = kind
            if not cursor.accept(","):
                break
        cursor.newline()
    cursor.at = place
    return kinds


def _skip_line(cursor: Cursor) -> None:
    while cursor.token.kind not in ("newline", "end"):
        cursor.take()
    cursor.take()


def _header(cursor: Cursor, scope: Scope) -> tuple[Signature, list[tuple[AnyDtype, Shape]]]:
    """Parameters and the types of the results, from behind the function's name."""
    signature = read_signature(cursor, scope)
    cursor.expect("->")
    results = (
        [] if cursor.accept("nothing") else read_list(cursor, lambda: read_type(cursor, scope))
    )
    cursor.newline()
    return signature, results


def _check(cursor: Cursor) -> Check:
    cursor.expect("check")
    left = read_size(cursor)
    relation = read_one_of(cursor, get_args(Relation))
    right = read_size(cursor)
    cursor.expect(":")
    check = Check(left, relation, right, cursor.string())
    cursor.newline()
    return check


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
        node = read_value(cursor, scope)
        if node.dtype != dtype:
            raise cursor.fail(faults.IR_TYPE, token, stated=dtype, inferred=node.dtype)
        results.append(Result(shape, node))
    cursor.newline()
    return tuple(results)
