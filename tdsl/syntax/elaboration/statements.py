"""Statements: running a function's body over values.

In: a frame with the parameters bound, and the body. Out: what it returns. Between: in the outermost
function a faulty statement is reported, what it assigns is poisoned, and the next one is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tdsl import faults
from tdsl.errors import Span, TdslError
from tdsl.ir.size import ONE, ZERO, Size
from tdsl.syntax import ast
from tdsl.syntax.elaboration.arithmetic import convert, rounded
from tdsl.syntax.elaboration.axes import size_of, try_size
from tdsl.syntax.elaboration.expressions import (
    Poisoned,
    as_value,
    binary,
    evaluate,
    static_value,
    tensor,
    truth,
)
from tdsl.syntax.elaboration.frame import Frame, axis_text
from tdsl.syntax.elaboration.types import dtype_of, refuse_twice, shape_of
from tdsl.syntax.elaboration.values import Meaning, Poison, Value

MAX_UNROLLED = 10_000
MAX_NESTING = 100
IN_PLACE = (
    "values never change: subscripts on the left of `=` are the axes of a new value;"
    " write `where(condition, new, x)`"
)
_NESTED = {ast.FunctionDef: faults.NESTED_FUNCTION, ast.Import: faults.NESTED_IMPORT}


@dataclass(frozen=True, slots=True)
class Returned:
    """A `return` was reached."""

    meaning: Meaning
    span: Span


def run(frame: Frame, body: Sequence[ast.Stmt]) -> Returned | None:
    """Run the statements up to a return."""
    for statement in body:
        try:
            returned = _run_one(frame, statement)
        except (TdslError, Poisoned, RecursionError) as caught:
            error = _placed(frame, caught, statement.span)
            if frame.callers or frame.session.work.is_spent:
                raise error from None
            if isinstance(error, TdslError):
                frame.session.errors.append(error)
            for name in assigned(statement):
                frame.variables[name] = Poison()
            returned = Returned(Poison(), statement.span) if _returns(statement) else None
        if returned is not None:
            return returned
    return None


def _placed(frame: Frame, caught: Exception, span: Span) -> Exception:
    """What is told of a faulty statement: at its own place, else at the statement's."""
    if isinstance(caught, RecursionError):
        return frame.fail(faults.TOO_DEEP, span, limit=MAX_NESTING)
    return frame.located(caught, span) if isinstance(caught, TdslError) else caught


def _run_one(frame: Frame, statement: ast.Stmt) -> Returned | None:
    frame.session.work.spend(1)
    match statement:
        case ast.Assign():
            _assign(frame, statement)
        case ast.AugAssign(target=ast.Name() as target, op=op, value=value, span=span):
            expr = ast.Binary(op, target, value, span, span)
            _bind(frame, target, binary(frame, expr, tensor(frame, target), tensor(frame, value)))
        case ast.AugAssign():
            raise frame.fail(faults.BAD_TARGET, statement.target.span, hint=IN_PLACE)
        case ast.TypedLocal():
            _typed_local(frame, statement)
        case ast.If(test=test, then=then, otherwise=otherwise):
            return run(frame, then if truth(frame, test) else otherwise)
        case ast.For():
            return _loop(frame, statement)
        case ast.Assert():
            _assert(frame, statement.test, statement.message)
        case ast.Return(value=None):
            raise frame.fail(faults.EMPTY_RETURN, statement.span)
        case ast.Return(value=value) if value is not None:
            return Returned(evaluate(frame, value), value.span)
        case ast.ExprStmt(value=ast.String()):
            pass
        case ast.ExprStmt(value=value):
            evaluate(frame, value)
            raise frame.fail(faults.UNUSED_VALUE, statement.span)
        case ast.FunctionDef() | ast.Import():
            raise frame.fail(_NESTED[type(statement)], statement.span)
    return None


def _assign(frame: Frame, statement: ast.Assign) -> None:
    target = statement.target
    if isinstance(target, ast.Subscript):
        _declared(frame, target, statement)
        return
    _bind(frame, target, evaluate(frame, statement.value))


def _bind(frame: Frame, target: ast.Expr, meaning: Meaning) -> None:
    if isinstance(target, ast.Name):
        if target.id in frame.axes or target.id in frame.packs:
            raise frame.fail(faults.SHADOWS_AXIS, target.span, name=target.id)
        if isinstance(meaning, Value) and not meaning.weak:
            meaning = frame.note(meaning, target.id, target.span)
        frame.variables[target.id] = meaning
        return
    if not isinstance(target, ast.Tuple):
        raise frame.fail(faults.BAD_TARGET, target.span)
    if not isinstance(meaning, tuple) or len(meaning) != len(target.items):
        found = f"{len(meaning)} values" if isinstance(meaning, tuple) else "one value"
        raise frame.fail(faults.WRONG_COUNT, target.span, expected=len(target.items), found=found)
    for item, part in zip(target.items, meaning, strict=True):
        _bind(frame, item, part)


def _declared(frame: Frame, target: ast.Subscript, statement: ast.Assign) -> None:
    """`y[N, D] = e`: operations in `e` may join the axes on the left."""
    if not isinstance(target.value, ast.Name):
        raise frame.fail(faults.BAD_TARGET, target.span)
    is_value = isinstance(frame.variables.get(target.value.id), Value)
    order: list[Size] = []
    for item in target.items:
        if isinstance(item, ast.Star) and isinstance(item.value, ast.Name):
            order += frame.packs.get(item.value.id, ())
        elif isinstance(item, ast.Slice | ast.Ellipsis):
            raise frame.fail(faults.BAD_TARGET, item.span, hint=IN_PLACE)
        else:
            order.append(size_of(frame, item))
            if is_value and order[-1].constant is not None:
                raise frame.fail(faults.BAD_TARGET, item.span, hint=IN_PLACE)
    value = _with_declared(frame, tuple(order), statement.value)
    _bind(frame, target.value, _in_order(frame, value, tuple(order), statement.value))


def _with_declared(frame: Frame, order: tuple[Size, ...], expr: ast.Expr) -> Value:
    refuse_twice(frame, order, expr.span)
    before, frame.declared = frame.declared, order
    try:
        return tensor(frame, expr)
    finally:
        frame.declared = before


def _in_order(frame: Frame, value: Value, order: tuple[Size, ...], expr: ast.Expr) -> Value:
    if set(value.axes) != {axis for axis in order if axis != ONE}:
        raise frame.fail(
            faults.WRONG_AXES, expr.span, expected=axis_text(order), found=axis_text(value.order)
        )
    return Value(value.node, order, value.dtype, value.weak)


def _typed_local(frame: Frame, statement: ast.TypedLocal) -> None:
    order = shape_of(frame, statement.type)
    dtype = dtype_of(frame, statement.type)
    value = _with_declared(frame, order, statement.value)
    value = _in_order(frame, value, order, statement.value)
    converted = convert(frame, value, dtype, statement.value.span, f"`{statement.name}`")
    target = ast.Name(statement.name, statement.name_span)
    _bind(frame, target, rounded(converted))


def _loop(frame: Frame, statement: ast.For) -> Returned | None:
    """`for i in range(3)` with static bounds, unrolled."""
    match statement.iterable:
        case ast.Call(function=ast.Name(id="range"), arguments=bounds) if 1 <= len(bounds) <= 3:
            pass
        case _:
            raise frame.fail(faults.NOT_A_RANGE, statement.iterable.span)
    if not isinstance(statement.variable, ast.Name):
        raise frame.fail(faults.BAD_TARGET, statement.variable.span)
    if any(isinstance(bound, ast.Name) and bound.id in frame.axes for bound in bounds):
        raise frame.fail(faults.AXIS_LOOP, statement.iterable.span)
    numbers = [static_value(frame, bound) for bound in bounds]
    integers = [n.static for n in numbers if isinstance(n, Value) and isinstance(n.static, int)]
    if len(integers) != len(bounds) or (len(integers) == 3 and integers[2] == 0):
        raise frame.fail(faults.NOT_A_RANGE, statement.iterable.span)
    steps = range(*integers)
    if len(steps) > MAX_UNROLLED:
        raise frame.fail(faults.LOOP_TOO_LONG, statement.iterable.span, limit=MAX_UNROLLED)
    for number in steps:
        index = ast.Number(number, statement.variable.span)
        _bind(frame, statement.variable, evaluate(frame, index))
        returned = run(frame, statement.body)
        if returned is not None:
            return returned
    return None


_RELATIONS = {"==": "==", "!=": "!=", "<": "<", "<=": "<=", ">": "<", ">=": "<="}


def _assert(frame: Frame, test: ast.Expr, message: ast.Expr | None) -> None:
    """Sizes are compared by the solver or at the call; other static values now."""
    text = message.value if isinstance(message, ast.String) else ""
    if isinstance(test, ast.Tuple):
        hint = 'write `assert condition, "message"`, without parentheses'
        raise frame.fail(
            faults.NOT_A_VALUE, test.span, what="a condition", found="a tuple", hint=hint
        )
    if isinstance(test, ast.BoolOp) and test.op == "and":
        for part in test.values:
            _assert(frame, part, message)
        return
    if isinstance(test, ast.Compare) and len(test.rest) == 1 and test.rest[0][0] in _RELATIONS:
        op, right = test.rest[0]
        a, b = try_size(frame, test.first), try_size(frame, right)
        if (
            a is not None
            and b is not None
            and not (a.constant is not None and b.constant is not None)
        ):
            if op in (">", ">="):
                a, b = b, a
            why = text or f"the assertion `{a} {_RELATIONS[op]} {b}` does not hold"
            frame.require(a, _RELATIONS[op], b, test.span, why)  # type: ignore[arg-type]
            _learn(frame, op, a, b)
            return
    if not truth(frame, test):
        raise frame.fail(faults.ASSERTION, test.span, message=text or "it does not hold")


def _learn(frame: Frame, op: str, a: Size, b: Size) -> None:
    """`D % 2 == 0` is a fact that the solver uses from here on."""
    atom = frame.size(a).atom
    if op == "==" and b == ZERO and atom is not None and atom.kind == "mod":
        frame.session.facts[atom] = ZERO


def assigned(statement: ast.Stmt) -> Iterable[str]:
    """The names that a statement may assign."""
    match statement:
        case ast.Assign(target=target) | ast.AugAssign(target=target):
            yield from _target_names(target)
        case ast.TypedLocal(name=name):
            yield name
        case ast.If(then=then, otherwise=otherwise):
            for inner in (*then, *otherwise):
                yield from assigned(inner)
        case ast.For(body=body, variable=variable):
            yield from _target_names(variable)
            for inner in body:
                yield from assigned(inner)


def _target_names(target: ast.Expr) -> Iterable[str]:
    match target:
        case ast.Name(id=name):
            yield name
        case ast.Subscript(value=ast.Name(id=name)):
            yield name
        case ast.Tuple(items=items):
            for item in items:
                yield from _target_names(item)


def _returns(statement: ast.Stmt) -> bool:
    match statement:
        case ast.Return():
            return True
        case ast.If(then=then, otherwise=otherwise):
            return any(map(_returns, (*then, *otherwise)))
        case ast.For(body=body):
            return any(map(_returns, body))
    return False


__all__ = ["Returned", "as_value", "assigned", "run"]
