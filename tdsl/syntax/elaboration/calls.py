"""Calls: built-ins, functions inlined, derivatives, method sugar.

In: a call expression. Out: its meaning. Between: a callee's body is elaborated anew in a frame of its own
that maps its axis names to the caller's axes, so names never clash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tdsl import faults
from tdsl.errors import Span, a
from tdsl.ir.dtype import DTYPES, AnyDtype, Dtype, DtypeTerm, DtypeVar
from tdsl.ir.size import ONE, Size
from tdsl.syntax import ast
from tdsl.syntax.elaboration.arithmetic import as_dtype, convert, settle
from tdsl.syntax.elaboration.axes import axes_of, try_size
from tdsl.syntax.elaboration.builtin import BUILTINS, call_builtin, unknown_keyword
from tdsl.syntax.elaboration.calculus import call_derivative, call_with_derivative, derivative_of
from tdsl.syntax.elaboration.expressions import HANDLERS, describe, evaluate, static_value, tensor
from tdsl.syntax.elaboration.frame import MAX_CALLS, Blame, Frame, axis_text
from tdsl.syntax.elaboration.program import library_function
from tdsl.syntax.elaboration.statements import Returned, run
from tdsl.syntax.elaboration.suggest import (
    FOREIGN_DTYPES,
    HABITS,
    LIBRARIES,
    dtype_hint,
    foreign_hint,
    meant,
    method_hint,
)
from tdsl.syntax.elaboration.types import (
    bind_item,
    dtype_of,
    expr_text,
    is_pack,
    is_static,
    pack_name,
    refuse_twice,
    type_text,
    unify,
)
from tdsl.syntax.elaboration.values import (
    AxisValue,
    BuiltinValue,
    FunctionValue,
    Meaning,
    Poison,
    Value,
)
from tdsl.transforms.work import STEPS_OF_A_CALL


def call(frame: Frame, expr: ast.Call) -> Meaning:
    """A call of whatever stands before the parentheses."""
    if isinstance(expr.function, ast.Attribute):
        return _method(frame, expr, expr.function)
    function = evaluate(frame, expr.function)
    if isinstance(function, BuiltinValue):
        return call_builtin(frame, function.name, expr, None)
    if isinstance(function, FunctionValue):
        return call_function(frame, function, expr, ())
    hint = f"write `cast(x, {function})`" if isinstance(function, Dtype) else ""
    raise frame.fail(
        faults.NOT_A_FUNCTION_VALUE, expr.function.span, found=describe(function), hint=hint
    )


def _method(frame: Frame, expr: ast.Call, target: ast.Attribute) -> Meaning:
    """`x.sum(axis=D)` is `sum(x, axis=D)` for any function in scope."""
    _refuse_library(frame, target)
    name = target.name
    program = frame.program
    if name in program.functions or name in program.imported or name not in BUILTINS:
        function = _function_named(frame, target)
        return call_function(frame, function, expr, (target.value,))
    return call_builtin(frame, name, expr, target.value)


def _refuse_library(frame: Frame, target: ast.Attribute) -> None:
    """Refuse `torch.exp` and `torch.nn.functional.relu`, unless the name is the program's own."""
    root: ast.Expr = target
    while isinstance(root, ast.Attribute):
        root = root.value
    if isinstance(root, ast.Name) and root.id in LIBRARIES:
        if root.id in frame.variables or root.id in frame.axes:
            return
        hint = foreign_hint(root.id)
        if target.name in DTYPES:
            hint = f"write `{target.name}`"
        elif target.name in FOREIGN_DTYPES:
            hint = dtype_hint(target.name)
        elif target.name in HABITS:
            hint = HABITS[target.name]
        raise frame.fail(faults.UNKNOWN_NAME, root.span, name=root.id, hint=hint)


def _function_named(frame: Frame, target: ast.Attribute) -> FunctionValue:
    name, program = target.name, frame.program
    if name in program.functions:
        return FunctionValue(program, program.functions[name])
    found = program.imported.get(name) or library_function(name)
    if isinstance(found, FunctionValue):
        return found
    hint = method_hint(name) or meant(name, [*BUILTINS, *program.functions])
    raise frame.fail(faults.UNKNOWN_METHOD, target.name_span, name=name, hint=hint)


def property_of(frame: Frame, expr: ast.Attribute) -> Meaning:
    """`x.T` and `x.mT`."""
    _refuse_library(frame, expr)
    value = tensor(frame, expr.value)
    if expr.name == "T":
        return Value(value.node, tuple(reversed(value.order)), value.dtype, value.weak)
    if expr.name == "mT" and len(value.order) >= 2:
        *batch, rows, columns = value.order
        return Value(value.node, (*batch, columns, rows), value.dtype)
    hint = method_hint(expr.name) or "the properties are `.T` and `.mT`"
    raise frame.fail(faults.UNKNOWN_METHOD, expr.name_span, name=expr.name, hint=hint)


def call_function(
    frame: Frame, function: FunctionValue, expr: ast.Call, first: Sequence[ast.Expr]
) -> Meaning:
    """Bind the arguments of a call and inline the function, or its derivative."""
    if function.derivative:
        return call_derivative(frame, function, expr, first, bind_arguments, invoke)
    bound = bind_arguments(frame, function, expr, first)
    return invoke(frame, function, bound, expr.span)


def bind_arguments(
    frame: Frame, function: FunctionValue, expr: ast.Call, first: Sequence[ast.Expr]
) -> dict[str, Meaning]:
    """The meaning of each parameter: arguments by position, then keyword, then defaults."""
    params = function.definition.params
    given: dict[str, ast.Expr] = {}
    positional = (*first, *expr.arguments)
    if len(positional) > len(params):
        raise frame.fail(
            faults.TOO_MANY_ARGUMENTS, positional[len(params)].span, name=function.name,
            hint=f"it is `{function.definition.header}`",
        )  # fmt: skip
    for param, argument in zip(params, positional, strict=False):
        given[param.name] = argument
    for keyword in expr.keywords:
        if keyword.name in given:
            raise frame.fail(
                faults.ARGUMENT_TWICE, keyword.span, argument=keyword.name, name=function.name
            )
        if keyword.name not in {p.name for p in params}:
            names = [p.name for p in params]
            raise unknown_keyword(frame, keyword, function.name, names, function.definition.header)
        given[keyword.name] = keyword.value
    bound: dict[str, Meaning] = {}
    for param in params:
        if param.name in given and not is_static(param):
            bound[param.name] = _tensor_argument(frame, param, given[param.name])
    for param in params:
        if param.name in given and is_static(param):
            bound[param.name] = _static_argument(frame, function, param, given[param.name], bound)
        elif param.name not in given and param.default is None:
            raise frame.fail(
                faults.MISSING_ARGUMENT, expr.span, argument=param.name, name=function.name,
                hint=f"it is `{function.definition.header}`",
            )  # fmt: skip
    return bound


def _tensor_argument(frame: Frame, param: ast.Param, expr: ast.Expr) -> Meaning:
    meaning = evaluate(frame, expr)
    if meaning is None:
        if isinstance(param.default, ast.NoneValue):
            return None
        raise frame.fail(faults.NOT_OPTIONAL, expr.span, name=param.name)
    return tensor_meaning(frame, meaning, expr.span, param.name)


def tensor_meaning(frame: Frame, meaning: Meaning, span: Span, name: str) -> Value:
    """An argument for a tensor parameter."""
    if isinstance(meaning, Value):
        return meaning
    raise frame.fail(
        faults.NOT_A_VALUE, span, what=f"a value for `{name}`", found=describe(meaning)
    )


def _static_argument(
    frame: Frame,
    function: FunctionValue,
    param: ast.Param,
    expr: ast.Expr,
    bound: Mapping[str, Meaning],
) -> Meaning:
    if param.type.dtype == "Axis":
        order = first_order(function, bound)
        return AxisValue(axes_of(frame, expr, order))
    meaning = static_value(frame, expr)
    return check_static(frame, param, meaning, expr.span)


def first_order(function: FunctionValue, bound: Mapping[str, Meaning]) -> tuple[Size, ...]:
    """The order of the first array argument, which positions of an `Axis` refer to."""
    for param in function.definition.params:
        value = bound.get(param.name)
        if not is_static(param) and isinstance(value, Value):
            return value.order
    return ()


def check_static(frame: Frame, param: ast.Param, meaning: Meaning, span: Span) -> Meaning:
    """A static argument of the annotated type; an int serves as a float."""
    wanted = param.type.dtype
    number = meaning.static if isinstance(meaning, Value) else meaning
    fits = {
        "int": isinstance(number, int) and not isinstance(number, bool),
        "float": isinstance(number, int | float) and not isinstance(number, bool),
        "bool": isinstance(number, bool),
        "str": isinstance(number, str),
        "DType": isinstance(meaning, Dtype | DtypeVar | DtypeTerm),
    }[wanted]
    if not fits:
        found = repr(number) if isinstance(meaning, Value) else describe(meaning)
        raise frame.fail(faults.WRONG_STATIC, span, name=param.name, wanted=a(wanted), found=found)
    return meaning


def invoke(
    frame: Frame,
    function: FunctionValue,
    bound: Mapping[str, Meaning],
    span: Span,
    *,
    whole: bool = True,
) -> Meaning:
    """The results of a function on bound arguments, in a frame of its own.

    A function with a hand-written derivative stays `whole`, as a call node.
    """
    frame.session.work.spend(STEPS_OF_A_CALL)
    key = f"{function.program.module.file}:{function.name}"
    if key in frame.callers or len(frame.callers) > MAX_CALLS:
        raise frame.fail(faults.RECURSION, span, name=function.name)
    if whole and derivative_of(function) is not None:
        return call_with_derivative(frame, function, bound, span, invoke)
    blame = frame.blame
    if blame is None and function.program.is_library and not frame.program.is_library:
        blame = Blame(frame, span, function.name)
    inner = Frame(
        frame.session, function.program, function.name, callers=(*(frame.callers or ("",)), key),
        blame=blame,
    )  # fmt: skip
    bind_parameters(frame, inner, function, bound, span)
    returned = run(inner, function.definition.body)
    if returned is None:
        raise inner.fail(faults.NO_RETURN, function.definition.span, name=function.name)
    return typed_results(inner, function.definition, returned)


def bind_parameters(
    outer: Frame, inner: Frame, function: FunctionValue, bound: Mapping[str, Meaning], span: Span
) -> None:
    """Enter arguments into the callee's frame: dtypes, axes, then values."""
    undecided = []
    params = function.definition.params
    for param in params:
        value = bound.get(param.name)
        if not is_static(param) and isinstance(value, Value) and not value.weak:
            _unify_dtype(outer, inner, param, value.dtype, span)
    for param in params:
        if is_static(param):
            _bind_static(inner, function, param, bound)
    for param in params:
        value = bound.get(param.name)
        if not is_static(param) and isinstance(value, Value):
            undecided += unify(_as_caller(outer, inner), param, value, span)
    for _ in range(len(undecided)):
        undecided = [
            p for p in undecided if not bind_item(_as_caller(outer, inner), *p, span, final=False)
        ]
    for pair in undecided:
        bind_item(_as_caller(outer, inner), *pair, span, final=True)
    for param in params:
        if not is_static(param):
            inner.variables[param.name] = _received(inner, param, bound.get(param.name), span)
        elif param.name in bound:
            inner.variables[param.name] = bound[param.name]


def _as_caller(outer: Frame, inner: Frame) -> Frame:
    """The callee's frame, but faults are told of the caller's program, where the call stands."""
    return Frame(
        inner.session, outer.program, inner.function, inner.variables, inner.axes, inner.packs,
        inner.dtypes, callers=inner.callers,
    )  # fmt: skip


def _bind_static(
    inner: Frame, function: FunctionValue, param: ast.Param, bound: Mapping[str, Meaning]
) -> None:
    if param.name in bound:
        inner.variables[param.name] = bound[param.name]
    elif param.default is not None:
        outside = Frame(inner.session, function.program, "", callers=inner.callers)
        if param.type.dtype == "Axis":
            order = first_order(function, bound)
            inner.variables[param.name] = AxisValue(axes_of(outside, param.default, order))
        else:
            meaning = static_value(outside, param.default)
            inner.variables[param.name] = check_static(outside, param, meaning, param.default.span)


def _unify_dtype(outer: Frame, inner: Frame, param: ast.Param, dtype: AnyDtype, span: Span) -> None:
    name = param.type.dtype
    wanted = DTYPES.get(name) or inner.dtypes.get(name)
    if wanted is None:
        inner.dtypes[name] = dtype
    elif wanted != dtype:
        raise outer.fail(
            faults.DTYPE_MISMATCH, span, name=param.name, expected=wanted, found=dtype,
            hint=f"write `cast(..., {wanted})`",
        )  # fmt: skip


def _received(inner: Frame, param: ast.Param, value: Meaning, span: Span) -> Meaning:
    """A tensor argument as the callee sees it: weak numbers take the parameter's dtype."""
    if value is None or isinstance(value, Poison) or not isinstance(value, Value):
        return value
    if not value.weak:
        return value
    name = param.type.dtype
    dtype = DTYPES.get(name) or inner.dtypes.get(name)
    if dtype is None:
        settled = settle(inner, value)
        inner.dtypes[name] = settled.dtype
        return settled
    return Value(as_dtype(inner, value, dtype, span), value.order, dtype)


def typed_results(frame: Frame, definition: ast.FunctionDef, returned: Returned) -> Meaning:
    """What a function hands out: the annotated axes in the annotated order, and dtypes."""
    types, meaning = definition.results, returned.meaning
    if isinstance(meaning, Poison):
        return meaning
    if meaning == ():
        raise frame.fail(faults.EMPTY_RETURN, returned.span)
    if types is None:
        if isinstance(meaning, tuple):
            return tuple(_settled(frame, m, returned.span) for m in meaning)
        return _settled(frame, meaning, returned.span)
    if isinstance(types, ast.TypeExpr):
        return _typed_result(frame, types, meaning, returned.span)
    if not isinstance(meaning, tuple) or len(meaning) != len(types):
        found = f"{len(meaning)} values" if isinstance(meaning, tuple) else "one value"
        raise frame.fail(faults.WRONG_COUNT, returned.span, expected=len(types), found=found)
    return tuple(
        _typed_result(frame, type_, part, returned.span)
        for type_, part in zip(types, meaning, strict=True)
    )


def _settled(frame: Frame, meaning: Meaning, span: Span) -> Meaning:
    if not isinstance(meaning, Value):
        raise frame.fail(faults.NOT_A_VALUE, span, what="a result", found=describe(meaning))
    return settle(frame, meaning, span)


def _typed_result(frame: Frame, type_: ast.TypeExpr, meaning: Meaning, span: Span) -> Value:
    if not isinstance(meaning, Value):
        raise frame.fail(faults.NOT_A_VALUE, span, what="a result", found=describe(meaning))
    order = _result_order(frame, type_, meaning, span)
    if {axis for axis in order if axis != ONE} != set(meaning.axes):
        raise frame.fail(
            faults.WRONG_AXES, span, expected=type_text(type_), found=axis_text(meaning.order)
        )
    ordered = Value(meaning.node, order, meaning.dtype, meaning.weak)
    return convert(frame, ordered, dtype_of(frame, type_), span, "the result")


def _result_order(frame: Frame, type_: ast.TypeExpr, value: Value, span: Span) -> tuple[Size, ...]:
    """The annotated order.

    A name that nobody bound stands from here on for an axis that has no name in scope, in order.
    """
    fixed: list[tuple[ast.Expr, Size | None]] = []
    for item in type_.axes or ():
        if is_pack(item):
            if pack_name(item) not in frame.packs:
                raise frame.fail(faults.UNKNOWN_PACK, item.span, name=pack_name(item))
            fixed += [(item, axis) for axis in frame.packs[pack_name(item)]]
        else:
            size = try_size(frame, item)
            if size is None and not isinstance(item, ast.Name):
                raise frame.fail(faults.NOT_A_SIZE, item.span)
            fixed.append((item, None if size is None else frame.size(size)))
    named = {frame.size(axis) for axis in (*frame.axes.values(), *sum(frame.packs.values(), ()))}
    taken = {size for _, size in fixed}
    left = [axis for axis in value.axes if axis not in named | taken]
    order = tuple(size or _named_here(frame, item, left, value) for item, size in fixed)
    refuse_twice(frame, order, type_.span)
    return order


def _named_here(frame: Frame, item: ast.Expr, left: list[Size], value: Value) -> Size:
    """The axis that a name stands for which nobody bound before the return type."""
    name = expr_text(item)
    if name not in frame.axes:
        if not left:
            raise frame.fail(
                faults.UNKNOWN_AXIS, item.span, name=name,
                hint=f"the result has {axis_text(value.order)}",
            )  # fmt: skip
        frame.axes[name] = left.pop(0)
    return frame.axes[name]


HANDLERS[ast.Call] = call
HANDLERS[ast.Attribute] = property_of
