"""Reading the text form of Plans, Kernels and Schedules back.

In: text, as `tdsl.fusion.text` writes it and its docstring shows. Out: an equal object, made of the very
same nodes. Between: a name of memory is declared once, and steps name memory of the plan by its own type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from tdsl import faults
from tdsl.fusion.kernel import Kernel, Stage, Store
from tdsl.fusion.layout import Layout
from tdsl.fusion.plan import Buffer, LibraryCall, Plan, Step
from tdsl.fusion.schedule import Schedule
from tdsl.fusion.text import stand_in
from tdsl.ir.dtype import AnyDtype
from tdsl.ir.function import Origin, Param, Shape
from tdsl.ir.lines import (
    begins,
    declare,
    read_arguments,
    read_declared,
    read_line,
    read_list,
    read_one_of,
    read_signature,
    read_value,
)
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ir.terms import Scope, read_sizes
from tdsl.ir.text import type_text
from tdsl.ir.tokens import Cursor, Token

Memory = Mapping[str, tuple[AnyDtype, Shape]] | None
"""The types of the buffers that a step may name; None: any."""
Made = TypeVar("Made")


def parse_plan(text: str, file: str = "<plan>") -> Plan:
    """The Plan of the text, without a log. Raises TdslError with the place of the first mistake."""
    return _parsed(text, file, _plan)


def parse_kernel(text: str, file: str = "<kernel>") -> Kernel:
    """The Kernel of the text. Raises TdslError with the place of the first mistake."""
    return _parsed(text, file, lambda cursor: _kernel(cursor, None))


def parse_schedule(text: str, file: str = "<schedule>") -> Schedule:
    """The Schedule of the text. Raises TdslError with the place of the first mistake."""
    return _parsed(text, file, _schedule)


def _parsed(text: str, file: str, read: Callable[[Cursor], Made]) -> Made:
    """What is read of the whole text."""
    cursor = Cursor(text, file)
    try:
        made = read(cursor)
    except RecursionError:
        raise cursor.fail(faults.IR_TOO_DEEP, limit="Python can follow") from None
    if cursor.token.kind != "end":
        raise cursor.expected("the end")
    return made


def _plan(cursor: Cursor) -> Plan:
    cursor.expect("plan")
    name = cursor.word("the name of a plan").text
    scope = Scope({})
    params = declare(cursor, scope, read_signature(cursor, scope))
    cursor.expect("->")
    results = _results(cursor)
    while cursor.after().text == "=":
        if not cursor.sees(*params):
            raise cursor.expected("a parameter")
        read_line(cursor, scope, params)
    memory = {p.name: (p.dtype, p.shape) for p in params.values()}
    buffers = _buffers(cursor, scope, memory)
    positions = _positions(cursor)
    for token in results:
        _require_known(cursor, token, memory)
    steps: list[Step] = []
    while cursor.token.kind != "end":
        is_call = cursor.sees("library")
        steps.append(_library_call(cursor, memory) if is_call else _kernel(cursor, memory))
    return Plan(
        name, tuple(params.values()), buffers, tuple(steps),
        tuple(token.text for token in results), (), positions,
    )  # fmt: skip


def _results(cursor: Cursor) -> list[Token]:
    """The names of the results, from behind the arrow."""

    def result() -> Token:
        return cursor.word("a result")

    found = [] if cursor.accept("nothing") else read_list(cursor, result)
    cursor.newline()
    return found


def _buffers(
    cursor: Cursor, scope: Scope, memory: dict[str, tuple[AnyDtype, Shape]]
) -> tuple[Buffer, ...]:
    """The buffers; their types are entered into `memory`."""
    buffers: list[Buffer] = []
    while begins(cursor, "result", "workspace"):
        is_result = cursor.take().text == "result"
        token, dtype, shape = read_declared(cursor, scope)
        if token.text in memory:
            raise cursor.fail(faults.IR_TWICE, token, name=token.text)
        memory[token.text] = dtype, shape
        buffers.append(Buffer(token.text, dtype, shape, is_result))
        cursor.newline()
    return tuple(buffers)


def _positions(cursor: Cursor) -> tuple[tuple[str, Shape], ...]:
    positions: list[tuple[str, Shape]] = []
    while cursor.accept("position"):
        positions.append((cursor.word("an operation").text, read_sizes(cursor)))
        cursor.newline()
    return tuple(positions)


def _kernel(cursor: Cursor, memory: Memory) -> Kernel:
    cursor.expect("kernel")
    name = cursor.word("the name of a kernel").text
    stage: Stage = read_one_of(cursor, get_args(Stage))
    cursor.newline()
    rows, columns = _axes(cursor, "rows"), _axes(cursor, "columns")
    scope = Scope({})
    reads = _reads(cursor, scope, memory)
    strides = {}
    while begins(cursor, "strides"):
        cursor.take()
        buffer = cursor.word("a buffer").text
        strides[buffer] = read_sizes(cursor)
        cursor.newline()
    numbers: list[tuple[str, Node]] = []
    origins = _values(cursor, scope, reads, numbers)
    crossed: list[Node] = []
    if cursor.accept("crossed"):
        crossed = read_list(cursor, lambda: read_value(cursor, scope))
        cursor.newline()
    layout = Layout(rows, columns, tuple(crossed))
    stores = _stores(cursor, scope, memory)
    return Kernel(
        name, stage, tuple(reads.values()), tuple(numbers), stores, layout, strides, origins
    )


def _library_call(cursor: Cursor, memory: Memory) -> LibraryCall:
    cursor.expect("library")
    cursor.newline()
    scope = Scope({})
    reads = _reads(cursor, scope, memory)
    _values(cursor, scope, reads, None)
    cursor.expect("call")
    node = read_value(cursor, scope)
    cursor.newline()
    return LibraryCall(node, tuple(reads.values()), _stores(cursor, scope, memory))


def _axes(cursor: Cursor, word: str) -> Shape:
    cursor.expect(word)
    axes = read_sizes(cursor)
    cursor.newline()
    return axes


def _reads(cursor: Cursor, scope: Scope, memory: Memory) -> dict[str, Param]:
    signature = []
    while begins(cursor, "read"):
        cursor.take()
        token, dtype, shape = read_declared(cursor, scope)
        _require_known(cursor, token, memory, (dtype, shape))
        signature.append((token, dtype, shape))
        cursor.newline()
    return declare(cursor, scope, signature)


def _values(
    cursor: Cursor,
    scope: Scope,
    reads: dict[str, Param],
    numbers: list[tuple[str, Node]] | None,
) -> dict[Node, Origin]:
    """The lines of values and numbers, entered in `scope`; which names are the source's."""
    origins: dict[Node, Origin] = {}
    while not begins(cursor, "crossed", "store", "share", "call"):
        if numbers is not None and begins(cursor, "number"):
            numbers.append(_number(cursor, scope))
            continue
        name, node = read_line(cursor, scope, reads)
        if not name.startswith("%") and node.op.family != "input":
            origins[node] = Origin(name, None)
    return origins


def _number(cursor: Cursor, scope: Scope) -> tuple[str, Node]:
    """`number name = value`; from there on the name stands for what the launcher passes."""
    cursor.expect("number")
    token = cursor.word("a number")
    if token.text in scope.values:
        raise cursor.fail(faults.IR_TWICE, token, name=token.text)
    cursor.expect("=")
    node = read_value(cursor, scope)
    cursor.newline()
    scope.values[token.text] = stand_in(token.text, node)
    return token.text, node


def _stores(cursor: Cursor, scope: Scope, memory: Memory) -> tuple[Store, ...]:
    """One store or more."""
    stores: list[Store] = []
    while not stores or begins(cursor, "store", "share"):
        share = read_one_of(cursor, ("store", "share")) == "share"
        node = read_value(cursor, scope)
        cursor.expect("in")
        token = cursor.word("a buffer")
        shape = read_sizes(cursor)
        _require_known(cursor, token, memory, (node.dtype, shape))
        cursor.expect("at")
        stores.append(Store(token.text, shape, node, read_sizes(cursor), share))
        cursor.newline()
    return tuple(stores)


def _require_known(
    cursor: Cursor, token: Token, memory: Memory, stated: tuple[AnyDtype, Shape] | None = None
) -> None:
    """Raises TdslError for a name that the plan does not have, or has with another type."""
    if memory is None:
        return
    if token.text not in memory:
        raise cursor.fail(faults.IR_UNKNOWN, token, kind="buffer", name=token.text)
    known = memory[token.text]
    if stated not in (None, known):
        texts = {"stated": f"`{type_text(*stated)}`", "inferred": f"`{type_text(*known)}`"}
        raise cursor.fail(faults.IR_TYPE, token, **texts)


def _schedule(cursor: Cursor) -> Schedule:
    """`schedule(field=value, ...)`, with every field."""
    token = cursor.expect("schedule")
    _, given = read_arguments(cursor, Scope({}))
    cursor.newline()
    hints = get_type_hints(Schedule)
    strange = [key for key in given if key not in hints]
    strange += [key for key, hint in hints.items() if not _fits(given.get(key), hint)]
    if strange:
        reason = f"`{strange[0]}` is missing or no such thing"
        raise cursor.fail(faults.IR_NODE, token, op="schedule", reason=reason)
    return Schedule(**given)


def _fits(value: Any, hint: Any) -> bool:
    """Whether an attribute is of a field's type: a bool, an integer, sizes, or one of some words."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(isinstance(item, Size) for item in value)
    return type(value) is hint
