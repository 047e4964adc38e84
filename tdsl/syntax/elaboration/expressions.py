"""Expressions: what each means in a frame.

In: an expression. Out: its `Meaning`. Between: chains of binary operators are walked, not recursed
into, so their length is bounded by memory alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tdsl import faults
from tdsl.errors import Span
from tdsl.ir.dtype import BOOL, F64, I64
from tdsl.ir.size import Size
from tdsl.ops import (
    Pointwise,
    add,
    bitand,
    bitnot,
    bitor,
    bitxor,
    div,
    equal,
    floordiv,
    greater,
    greater_equal,
    less,
    less_equal,
    mul,
    neg,
    not_equal,
    pow_,
    remainder,
    shift_left,
    shift_right,
    size_,
    sub,
    where,
)
from tdsl.syntax import ast
from tdsl.syntax.elaboration.arithmetic import align, as_dtype, common_dtype, elementwise
from tdsl.syntax.elaboration.frame import Frame
from tdsl.syntax.elaboration.values import (
    AxisValue,
    BuiltinValue,
    FunctionValue,
    Meaning,
    Value,
    weak,
)

BINARY: dict[str, Pointwise] = {
    "+": add, "-": sub, "*": mul, "/": div, "//": floordiv, "%": remainder, "**": pow_,
    "&": bitand, "|": bitor, "^": bitxor, "<<": shift_left, ">>": shift_right,
}  # fmt: skip
COMPARE: dict[str, Pointwise] = {
    "==": equal, "!=": not_equal, "<": less, "<=": less_equal, ">": greater, ">=": greater_equal,
}  # fmt: skip
NAMED: dict[str, float] = {"inf": float("inf"), "nan": float("nan"), "pi": 3.141592653589793}


class Poisoned(Exception):
    """An expression depends on something faulty that was reported already."""


def evaluate(frame: Frame, expr: ast.Expr) -> Meaning:
    """What the expression means. Raises TdslError, or Poisoned if the fault is known already."""
    frame.session.work.spend(1)
    if isinstance(expr, ast.Binary):
        return _chain(frame, expr)
    meaning = HANDLERS[type(expr)](frame, expr)
    if isinstance(meaning, Value) and not meaning.weak:
        frame.note(meaning, "", expr.span)
    return meaning


def tensor(frame: Frame, expr: ast.Expr, what: str = "a value") -> Value:
    """The value of an expression that must have one."""
    return as_value(frame, evaluate(frame, expr), expr.span, what)


def as_value(frame: Frame, meaning: Meaning, span: Span, what: str = "a value") -> Value:
    """A meaning that must be a value."""
    if isinstance(meaning, Value):
        return meaning
    if isinstance(meaning, AxisValue) and len(meaning.axes) == 1:
        return size_value(meaning.axes[0])
    raise frame.fail(faults.NOT_A_VALUE, span, what=what, found=describe(meaning))


def static_value(frame: Frame, expr: ast.Expr) -> Meaning:
    """The compile-time value of an expression: a number, string, None, dtype, function or tuple."""
    meaning = evaluate(frame, expr)
    if isinstance(meaning, Value) and meaning.static is None:
        hint = "use `where(condition, a, b)` for values of arrays"
        if meaning.weak:
            hint = "sizes are known at the call: write `assert`, `where` or an `int` parameter"
        raise frame.fail(faults.NOT_STATIC, expr.span, hint=hint)
    return meaning


def truth(frame: Frame, expr: ast.Expr) -> bool:
    """The truth of a static condition."""
    return truth_of(frame, static_value(frame, expr), expr.span)


def truth_of(frame: Frame, meaning: Meaning, span: Span) -> bool:
    """The truth of a compile-time value: a number, a string or None."""
    if isinstance(meaning, Value):
        return bool(meaning.static)
    if meaning is None or isinstance(meaning, str):
        return bool(meaning)
    raise frame.fail(faults.NOT_A_VALUE, span, what="a condition", found=describe(meaning))


def size_value(size: Size) -> Value:
    """A size as a number."""
    constant = size.constant
    if constant is not None:
        return weak(constant)
    return Value(size_(value=size), (), I64, weak=True)


def describe(meaning: object) -> str:
    """A meaning in a message."""
    match meaning:
        case None:
            return "None"
        case str():
            return "a string"
        case tuple():
            return "a tuple"
        case FunctionValue() | BuiltinValue():
            return f"the function `{meaning.name}`"
        case AxisValue():
            return "axes"
        case Value():
            return "a value"
    return "a dtype"


def _chain(frame: Frame, expr: ast.Binary) -> Meaning:
    """A left-leaning chain of binary operators, from its innermost operand outwards."""
    links: list[ast.Binary] = []
    innermost: ast.Expr = expr
    while isinstance(innermost, ast.Binary):
        links.append(innermost)
        innermost = innermost.left
    frame.session.work.spend(len(links) - 1)
    meaning = evaluate(frame, innermost)
    for link in reversed(links):
        left = as_value(frame, meaning, link.left.span)
        value = binary(frame, link, left, tensor(frame, link.right))
        meaning = value if value.weak else frame.note(value, "", link.span)
    return meaning


def binary(frame: Frame, expr: ast.Binary, a: Value, b: Value) -> Value:
    """One binary operation."""
    if expr.op in OPERATORS:
        return OPERATORS[expr.op](frame, a, b, expr.op_span)
    if expr.op == "**" and a.weak and b.weak and isinstance(b.static, int) and b.static < 0:
        a = Value(as_dtype(frame, a, F64, expr.span), (), F64, weak=True)
    op = BINARY[expr.op]
    if expr.op == "*" and _is_bool(a) and _is_bool(b):
        op = bitand
    if expr.op == "+" and _is_bool(a) and _is_bool(b):
        op = bitor
    return elementwise(frame, op, (a, b), expr.op_span, f"`{expr.op}`")


def _is_bool(value: Value) -> bool:
    return value.dtype == BOOL


def _number(frame: Frame, expr: ast.Number) -> Meaning:
    if isinstance(expr.value, int) and expr.value >= 2**64:
        raise frame.fail(faults.DOES_NOT_FIT, expr.span, value=expr.value, dtype=I64)
    if expr.value == float("inf"):
        raise frame.fail(faults.DOES_NOT_FIT, expr.span, value="this number", dtype=F64)
    return weak(expr.value)


def _unary(frame: Frame, expr: ast.Unary) -> Meaning:
    if expr.op == "not":
        return weak(not truth(frame, expr.value))
    value = tensor(frame, expr.value)
    if expr.op == "+":
        return value
    op = bitnot if expr.op == "~" else neg
    return elementwise(frame, op, (value,), expr.span, f"`{expr.op}`")


def _compare(frame: Frame, expr: ast.Compare) -> Meaning:
    if len(expr.rest) == 1:
        op, right = expr.rest[0]
        return _one_comparison(frame, expr.first, op, right, expr.span)
    if any(isinstance(middle, ast.Binary) and middle.op in "&|" for _, middle in expr.rest[:-1]):
        hint = "`&` and `|` bind tighter: write `(a < b) & (b < c)`"
        raise frame.fail(faults.CHAINED_COMPARISON, expr.span, hint=hint)
    left, results = expr.first, []
    for op, right in expr.rest:
        result = _one_comparison(frame, left, op, right, expr.span)
        if result.static is None:
            raise frame.fail(faults.CHAINED_COMPARISON, expr.span, hint="write `(a < b) & (b < c)`")
        results.append(bool(result.static))
        left = right
    return weak(all(results))


def _one_comparison(frame: Frame, left: ast.Expr, op: str, right: ast.Expr, span: Span) -> Value:
    a, b = evaluate(frame, left), evaluate(frame, right)
    if op in ("is", "is not"):
        if a is not None and b is not None:
            raise frame.fail(faults.IS_WITHOUT_NONE, span, hint="compare values with `==`")
        return weak((a is b) == (op == "is"))
    if not isinstance(a, Value) or not isinstance(b, Value):
        if op not in ("==", "!="):
            raise frame.fail(faults.NOT_A_VALUE, span, what="a value", found=describe(a))
        return weak((a == b) == (op == "=="))
    return elementwise(frame, COMPARE[op], (a, b), span, f"`{op}`")


def _bool_op(frame: Frame, expr: ast.BoolOp) -> Meaning:
    stop = expr.op == "or"
    return weak(stop if any(truth(frame, v) == stop for v in expr.values) else not stop)


def _conditional(frame: Frame, expr: ast.Conditional) -> Meaning:
    test = evaluate(frame, expr.test)
    if not isinstance(test, Value) or test.static is not None:
        holds = truth_of(frame, test, expr.test.span)
        return evaluate(frame, expr.then if holds else expr.otherwise)
    values = [tensor(frame, e) for e in (expr.then, expr.otherwise)]
    return choose(frame, test, values[0], values[1], expr.span)


def choose(frame: Frame, test: Value, a: Value, b: Value, span: Span) -> Value:
    """`where(test, a, b)` after alignment and promotion of the branches."""
    if test.dtype != BOOL:
        raise frame.fail(faults.CONDITION_NOT_BOOL, span, dtype=test.dtype, hint="write `x != 0`")
    order = align(frame, (test, a, b), span)
    dtype = common_dtype(frame, (a, b), span)
    node = where(test.node, as_dtype(frame, a, dtype, span), as_dtype(frame, b, dtype, span))
    return Value(node, order, dtype, weak=test.weak and a.weak and b.weak)


def _tuple(frame: Frame, expr: ast.Tuple) -> Meaning:
    return tuple(evaluate(frame, item) for item in expr.items)


def _misplaced(frame: Frame, expr: ast.Expr) -> Meaning:
    raise frame.fail(faults.MISPLACED, expr.span)


Handler = Callable[[Frame, Any], Meaning]
Operator = Callable[[Frame, Value, Value, Span], Value]
HANDLERS: dict[type, Handler] = {
    ast.Number: _number,
    ast.Boolean: lambda frame, expr: weak(expr.value),
    ast.String: lambda frame, expr: expr.value,
    ast.NoneValue: lambda frame, expr: None,
    ast.Unary: _unary,
    ast.Compare: _compare,
    ast.BoolOp: _bool_op,
    ast.Conditional: _conditional,
    ast.Tuple: _tuple,
    ast.Ellipsis: _misplaced,
    ast.Slice: _misplaced,
    ast.Dict: _misplaced,
    ast.Star: _misplaced,
}
"""What evaluates each kind of expression; names, calls and subscripts are entered by their modules."""

OPERATORS: dict[str, Operator] = {}
"""Binary operators that are more than elementwise."""
