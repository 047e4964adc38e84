"""`grad`, `value_and_grad`, `vjp`, and functions with a hand-written derivative.

In: a function value and bound arguments. Out: what its derivative gives on them. Between: the function is
elaborated as a closed IR Function over inputs of its own, differentiated, and inlined on the arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeGuard

from tdsl import faults
from tdsl.errors import Span, TdslError
from tdsl.ir.dtype import may_be_float
from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import OPS, Node
from tdsl.ops import call as call_node
from tdsl.ops import input_
from tdsl.syntax import ast
from tdsl.syntax.elaboration.arithmetic import convert, settle
from tdsl.syntax.elaboration.builtin import Given, builtin
from tdsl.syntax.elaboration.expressions import describe, evaluate, tensor
from tdsl.syntax.elaboration.frame import Frame, Session
from tdsl.syntax.elaboration.program import Program, differentiated
from tdsl.syntax.elaboration.types import is_static
from tdsl.syntax.elaboration.values import BuiltinValue, FunctionValue, Meaning, Value
from tdsl.transforms.differentiate import derive
from tdsl.transforms.inline import inline

Bind = Callable[[Frame, FunctionValue, ast.Call, Sequence[ast.Expr]], dict[str, Meaning]]
Invoke = Callable[..., Meaning]


@builtin("grad(f, wrt=)", "value_and_grad(f, wrt=)", "vjp(f)")
def _derivative(given: Given) -> Meaning:
    """A function on functions; `wrt` names parameters as strings."""
    function = evaluate(given.frame, given.arguments["f"])
    if isinstance(function, BuiltinValue):
        raise given.fail(faults.BUILTIN_DERIVATIVE, "f", name=function.name)
    if not isinstance(function, FunctionValue):
        raise given.fail(faults.NOT_A_FUNCTION_VALUE, "f", found=describe(function))
    wrt = given.static("wrt")
    names = (wrt,) if isinstance(wrt, str) else wrt
    if names is not None and not are_names(names):
        raise given.fail(faults.WRT_NOT_NAMES, "wrt")
    known = {p.name: p for p in function.definition.params}
    for name in names or ():
        if name not in known:
            raise given.fail(faults.WRT_UNKNOWN, "wrt", name=name, function=function.name)
        if is_static(known[name]):
            raise given.fail(faults.WRT_NOT_FLOAT, "wrt", name=name, dtype="a static value")
    step = (given.name, tuple(names) if names else None, isinstance(wrt, str))
    return FunctionValue(function.program, function.definition, (*function.derivative, step))


def are_names(wrt: object) -> TypeGuard[Sequence[str]]:
    """Whether `wrt` holds at least one name, and each once."""
    return (
        isinstance(wrt, tuple | list)
        and len(wrt) > 0
        and all(isinstance(name, str) for name in wrt)
        and len(set(wrt)) == len(wrt)
    )


def call_derivative(
    frame: Frame,
    function: FunctionValue,
    expr: ast.Call,
    first: Sequence[ast.Expr],
    bind: Bind,
    invoke: Invoke,
) -> Meaning:
    """A derivative on the arguments of a call; `vjp` takes cotangents after the tensor arguments."""
    positional = (*first, *expr.arguments)
    pullbacks = sum(step[0] == "vjp" for step in function.derivative)
    tensors = [p for p in function.definition.params if not is_static(p)]
    count = len(tensors) if pullbacks else len(positional)
    own = ast.Call(expr.function, tuple(positional[:count]), expr.keywords, expr.span)
    bound = bind(frame, function, own, ())
    cotangents = [tensor(frame, e) for e in positional[count:]]
    arguments = {k: settle(frame, v) if isinstance(v, Value) and not is_static_name(function, k) else v
                 for k, v in bound.items()}  # fmt: skip
    return _apply(frame, function, arguments, cotangents, expr.span, invoke)


def is_static_name(function: FunctionValue, name: str) -> bool:
    """Whether the function's parameter of this name is static."""
    return any(p.name == name and is_static(p) for p in function.definition.params)


def _apply(
    frame: Frame,
    function: FunctionValue,
    arguments: Mapping[str, Meaning],
    cotangents: Sequence[Value],
    span: Span,
    invoke: Invoke,
) -> Meaning:
    """The last derivative of the chain, on a closed Function of what is left of it."""
    *rest, (kind, wrt, single) = function.derivative
    inner = FunctionValue(function.program, function.definition, tuple(rest))
    closed, actual, values = close(frame, inner, arguments, cotangents, span, invoke, kind)
    try:
        derived = derive(closed, kind, wrt, frame.session.work)
    except TdslError as error:
        raise frame.located(error, span) from None
    nodes = inline(derived, actual)
    by_name = {n: v for n, v in arguments.items() if isinstance(v, Value)}
    names = [p.name for p in closed.params if p.name in by_name and may_be_float(p.dtype)]
    order = list(wrt) if wrt is not None else names
    gradients = tuple(
        Value(node, by_name[name].order, by_name[name].dtype)
        for node, name in zip(nodes[len(nodes) - len(order) :], order, strict=True)
    )
    result: Meaning = gradients[0] if single else gradients
    return (*values, result) if kind == "value_and_grad" else result


def close(
    frame: Frame,
    function: FunctionValue,
    arguments: Mapping[str, Meaning],
    cotangents: Sequence[Value],
    span: Span,
    invoke: Invoke,
    kind: str,
) -> tuple[Function, list[Node], tuple[Value, ...]]:
    """The function over fresh inputs, the nodes that take their place, and its results' values."""
    inputs: dict[str, Meaning] = {}
    params: list[Param] = []
    actual: list[Node] = []
    for name, value in arguments.items():
        if isinstance(value, Value) and not is_static_name(function, name):
            node = input_(name=name, dtype=value.node.dtype, axes=value.axes)
            inputs[name] = Value(node, value.order, value.dtype)
            params.append(Param(name, value.order, node))
            actual.append(value.node)
        else:
            inputs[name] = value
    if function.derivative:
        results = _apply(frame, function, inputs, (), span, invoke)
    else:
        results = invoke(frame, function, inputs, span)
    values = tuple(v for v in _flat(results) if isinstance(v, Value))
    if kind == "vjp":
        floating = [v for v in values if may_be_float(v.dtype)]
        if len(cotangents) != len(floating):
            raise frame.fail(
                faults.WRONG_COTANGENTS, span, expected=len(floating), found=len(cotangents)
            )
        actual += [
            convert(frame, cotangent, value.dtype, span, "the cotangent").node
            for cotangent, value in zip(cotangents, floating, strict=True)
        ]
    closed = Function(
        function.name,
        tuple(params),
        tuple(Result(v.order, v.node) for v in values),
        origins=frame.session.origins,
    )
    if kind == "value_and_grad":
        outer = inline(closed, actual)
        values = tuple(Value(node, v.order, v.dtype) for node, v in zip(outer, values, strict=True))
    return closed, actual, values


def _flat(meaning: Meaning) -> list[Meaning]:
    if isinstance(meaning, tuple):
        return [part for item in meaning for part in _flat(item)]
    return [meaning]


def derivative_of(function: FunctionValue) -> ast.FunctionDef | None:
    """The function of the same file that `@vjp_of` makes this one's derivative."""
    return function.program.derivatives.get(function.name)


def wrong_decorators(program: Program) -> list[TdslError]:
    """An error for each decorator but the first `@vjp_of` of another function in the file."""
    names = {function.name for function in program.module.functions} | program.module.broken
    frame = Frame(Session(), program, "")
    errors: list[TdslError] = []
    seen: set[str] = set()
    for function in program.module.functions:
        for decorator in function.decorators:
            owner = differentiated(decorator)
            if owner is None or owner == function.name or owner not in names:
                errors.append(frame.fail(faults.WRONG_DECORATOR, decorator.span))
            elif owner in seen:
                name = f"@vjp_of({owner})"
                errors.append(frame.fail(faults.DEFINED_TWICE, decorator.span, name=name))
            else:
                seen.add(owner)
    return errors


def call_with_derivative(
    frame: Frame, function: FunctionValue, bound: Mapping[str, Meaning], span: Span, invoke: Invoke
) -> Meaning:
    """A call node that owns the function and its hand-written derivative."""
    definition = derivative_of(function)
    if definition is None:
        raise frame.fail(faults.NOT_A_FUNCTION_VALUE, span, found="a value")
    tensors = {
        name: settle(frame, value) if isinstance(value, Value) else value
        for name, value in bound.items()
        if not is_static_name(function, name)
    }
    statics = {k: v for k, v in bound.items() if is_static_name(function, k)}

    def whole(f: Frame, g: FunctionValue, b: Mapping[str, Meaning], s: Span) -> Meaning:
        return invoke(f, g, b, s, whole=False)

    primal, actual, values = close(
        frame, function, {**tensors, **statics}, (), span, whole, "primal"
    )
    derivative = FunctionValue(function.program, definition)
    pullback = _pullback(frame, derivative, tensors, statics, values, span, invoke)
    if len(pullback.results) != sum(may_be_float(p.dtype) for p in primal.params):
        raise frame.fail(
            faults.WRONG_VJP, definition.span, name=definition.name, of=function.name,
            expected=sum(may_be_float(p.dtype) for p in primal.params), found=len(pullback.results),
        )  # fmt: skip
    results = tuple(
        Value(call_node(*actual, functions=(primal, pullback), result=i), value.order, value.dtype)
        for i, value in enumerate(values)
    )
    return results[0] if len(results) == 1 else results


def _pullback(
    frame: Frame,
    derivative: FunctionValue,
    tensors: Mapping[str, Meaning],
    statics: Mapping[str, Meaning],
    values: Sequence[Value],
    span: Span,
    invoke: Invoke,
) -> Function:
    """The hand-written derivative over inputs: tensor arguments, results, cotangents."""
    given = [v for v in tensors.values() if isinstance(v, Value)]
    given += [*values, *(v for v in values if may_be_float(v.dtype))]
    names = [p.name for p in derivative.definition.params if not is_static(p)]
    if len(names) != len(given):
        raise frame.fail(
            faults.WRONG_VJP, derivative.definition.span, name=derivative.name, of="its function",
            expected=f"{len(given)} tensor parameters", found=len(names),
        )  # fmt: skip
    arguments: dict[str, Meaning] = dict(zip(names, given, strict=True))
    own = {p.name for p in derivative.definition.params}
    arguments |= {k: v for k, v in statics.items() if k in own}
    return close(frame, derivative, arguments, (), span, invoke, "primal")[0]


@builtin("stop_gradient(x)", "checkpoint(x)", "save(x)")
def _mark(given: Given) -> Meaning:
    """The value itself. A constant to differentiation; recomputed, or kept, for the backward pass."""
    x = given.tensor("x")
    return Value(OPS[given.name](x.node), x.order, x.dtype, x.weak)
