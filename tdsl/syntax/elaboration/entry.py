"""The entry points of elaboration: what the runtime asks for.

In: a `Program`, a function's name, static values, ranks of packs and, if they are known, dtypes. Out: an
`ir.Function`. Between: without ranks packs are opaque, without dtypes their variables stay open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tdsl import faults
from tdsl.errors import TdslError, combine
from tdsl.ir.dtype import DTYPES, Dtype, DtypeVar, compute
from tdsl.ir.function import DtypeKind, Function, Param, Result, unit_free
from tdsl.ops import cast_to, input_
from tdsl.syntax import ast
from tdsl.syntax.elaboration import (  # noqa: F401  (each enters its built-ins and handlers)
    builtins_axes,
    builtins_contraction,
    builtins_creation,
    builtins_math,
    builtins_reductions,
    names,
    slices,
)
from tdsl.syntax.elaboration.axes import axes_of
from tdsl.syntax.elaboration.calculus import derivative_of, wrong_decorators
from tdsl.syntax.elaboration.calls import check_static, invoke, typed_results
from tdsl.syntax.elaboration.expressions import Poisoned, evaluate, static_value
from tdsl.syntax.elaboration.frame import KIND_TEXT, Blame, Frame, Session, allowed
from tdsl.syntax.elaboration.program import Program, link_what_can_be
from tdsl.syntax.elaboration.scope import unknown_names
from tdsl.syntax.elaboration.statements import MAX_NESTING, run
from tdsl.syntax.elaboration.types import (
    declare,
    dtype_of,
    is_pack,
    is_static,
    pack_name,
    refuse_unbound,
    shape_of,
)
from tdsl.syntax.elaboration.values import AxisValue, FunctionValue, Meaning, Poison, Value, weak
from tdsl.syntax.parser import read_module
from tdsl.transforms.differentiate import derive
from tdsl.transforms.simplify import tidy
from tdsl.transforms.work import STEPS_OF_A_CALL, Work

Static = bool | int | float | str | Dtype | tuple[int | str, ...] | None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter as callers see it. `items` are the axis items of a tensor's type."""

    name: str
    kind: str
    dtype: str
    items: tuple[ast.Expr, ...]
    default: ast.Expr | None

    @property
    def is_tensor(self) -> bool:
        """Whether it takes an array."""
        return self.kind == "tensor"

    @property
    def is_optional(self) -> bool:
        """Whether a tensor parameter may be None."""
        return isinstance(self.default, ast.NoneValue)

    @property
    def pack(self) -> str | None:
        """The pack among its axes, if there is one."""
        return next((pack_name(item) for item in self.items if is_pack(item)), None)


@dataclass(frozen=True, slots=True)
class Signature:
    """Parameters in order, the text as the source wrote it, and the docstring."""

    name: str
    text: str
    doc: str | None
    parameters: tuple[Parameter, ...]


def function_names(program: Program) -> tuple[str, ...]:
    """The functions a program defines, and its constants that are functions."""
    derived = [
        name for name, assign in program.constants.items() if isinstance(assign.value, ast.Call)
    ]
    return (*program.functions, *(n for n in derived if _constant_function(program, n)))


def constants(program: Program) -> dict[str, bool | int | float | str]:
    """The numbers and strings among a program's constants."""
    found: dict[str, bool | int | float | str] = {}
    for name, assign in program.constants.items():
        meaning = _evaluated(program, assign)
        if isinstance(meaning, Value) and meaning.static is not None:
            found[name] = meaning.static
        elif isinstance(meaning, str):
            found[name] = meaning
    return found


def _evaluated(program: Program, assign: ast.Assign, work: Work | None = None) -> Meaning:
    frame = Frame(Session(work=work or Work()), program, "", callers=("constant",))
    try:
        return evaluate(frame, assign.value)
    except TdslError as error:
        raise frame.located(error, assign.value.span) from None


def _constant_function(
    program: Program, name: str, work: Work | None = None
) -> FunctionValue | None:
    if name in program.constants:
        meaning = _evaluated(program, program.constants[name], work)
        return meaning if isinstance(meaning, FunctionValue) else None
    return None


def function_value(program: Program, name: str) -> FunctionValue:
    """A program's function, or the derivative that a constant names."""
    if name in program.functions:
        return FunctionValue(program, program.functions[name])
    found = _constant_function(program, name)
    if found is None:
        raise faults.NO_SUCH_FUNCTION.at(
            name=name, file=program.module.file, hint=f"it has {', '.join(program.functions)}"
        )
    return found


def signature(program: Program, name: str) -> Signature:
    """The parameters of a function. Raises TdslError if there is none of that name."""
    definition = function_value(program, name).definition
    parameters = tuple(
        Parameter(
            p.name,
            p.type.dtype if is_static(p) else "tensor",
            p.type.dtype,
            p.type.axes or (),
            p.default,
        )
        for p in definition.params
    )
    return Signature(name, definition.header, definition.docstring, parameters)


def elaborate(
    program: Program,
    name: str,
    statics: Mapping[str, Static] | None = None,
    ranks: Mapping[str, int] | None = None,
    given: frozenset[str] | None = None,
    dtypes: Mapping[str, Dtype] | None = None,
    work: Work | None = None,
) -> Function:
    """The IR of a function.

    `statics` are values of static parameters (defaults otherwise), `ranks` the number of axes of each
    pack, `given` the optional tensors that are passed (None: all), `dtypes` of variables, `work` the
    budget. Raises TdslError with every independent fault found.
    """
    function = function_value(program, name)
    work = work or Work()
    if dtypes:
        _check_dtypes(function, _open_kinds(function, statics or {}, ranks, given, work), dtypes)
    graph = _elaborate(function, statics or {}, ranks, given, dtypes or {}, work)
    floating = {n: DtypeVar(n, is_float=True) for n, kind in graph.dtype_vars if kind == "float"}
    if floating:
        known: dict[str, Dtype | DtypeVar] = {**(dtypes or {}), **floating}
        graph = _elaborate(function, statics or {}, ranks, given, known, work)
    for kind, wrt, _ in function.derivative:
        try:
            graph = derive(graph, kind, wrt, work)
        except TdslError as error:
            place = program.constants[name].value.span
            raise Frame(Session(), program, "").located(error, place) from None
    return replace(graph, name=name)


def _open_kinds(
    function: FunctionValue,
    statics: Mapping[str, Static],
    ranks: Mapping[str, int] | None,
    given: frozenset[str] | None,
    work: Work,
) -> dict[str, DtypeKind]:
    """What each dtype variable may be, as `lower` prints it; nothing if that cannot be told."""
    try:
        return dict(_elaborate(function, statics, ranks, given, {}, work).dtype_vars)
    except (TdslError, Poisoned):  # elaboration with the dtypes tells of the fault
        return {}


def _check_dtypes(
    function: FunctionValue, kinds: Mapping[str, DtypeKind], dtypes: Mapping[str, Dtype]
) -> None:
    """Raise TdslError for a parameter whose dtype is not of the kind that its uses need."""
    definition = function.definition
    for param in definition.params:
        kind, dtype = kinds.get(param.type.dtype, "any"), dtypes.get(param.type.dtype)
        if dtype is not None and not is_static(param) and not allowed(dtype, kind):
            to = "int64" if kind == "int" else "float32"
            use = f"`{param.name}` of `{function.name}`"
            raise Frame(Session(), function.program, definition.name).fail(
                faults.WRONG_DTYPE, param.span, use=use, kind=KIND_TEXT[kind], dtype=dtype,
                hint=f"convert it: `{param.name}.astype(np.{to})`, in torch `.to(torch.{to})`",
            )  # fmt: skip


def _elaborate(
    function: FunctionValue,
    statics: Mapping[str, Static],
    ranks: Mapping[str, int] | None,
    given: frozenset[str] | None,
    dtypes: Mapping[str, Dtype | DtypeVar],
    work: Work,
) -> Function:
    """The graph of the function itself; uses of a dtype variable are known only at its end."""
    definition = function.definition
    session = Session(work=work)
    frame = Frame(session, function.program, definition.name)
    if function.program.is_library:
        outside = Frame(session, function.program, definition.name)
        frame.blame = Blame(outside, definition.span, definition.name)
    try:
        work.spend(STEPS_OF_A_CALL)
        params = _parameters(frame, definition, statics, ranks, given, dtypes)
        meaning = _results(frame, function)
    except Poisoned:
        if not session.errors:
            raise
        raise combine(session.errors) from None
    except TdslError as error:
        raise frame.located(error, definition.span) from None
    except RecursionError:
        raise frame.fail(faults.TOO_DEEP, definition.span, limit=MAX_NESTING) from None
    if isinstance(meaning, Poison):
        raise combine(session.errors) if session.errors else Poisoned
    return _function(session, definition, params, meaning)


def _results(frame: Frame, function: FunctionValue) -> Meaning:
    """What the body gives; a function with a hand-written derivative is a call of itself, kept whole."""
    definition = function.definition
    bound = {p.name: frame.variables[p.name] for p in definition.params}
    returned = run(frame, definition.body)
    if frame.session.errors:
        raise combine(frame.session.errors)
    if returned is None:
        raise frame.fail(faults.NO_RETURN, definition.span, name=definition.name)
    meaning = typed_results(frame, definition, returned)
    if derivative_of(function) is None:
        return meaning
    return invoke(frame, function, bound, definition.span)


def _function(
    session: Session, definition: ast.FunctionDef, params: tuple[Param, ...], meaning: Meaning
) -> Function:
    values = meaning if isinstance(meaning, tuple) else (meaning,)
    results = tuple(
        Result(tuple(map(session.canonical, value.order)), tidy(cast_to(value.node, value.dtype)))
        for value in values
        if isinstance(value, Value)
    )
    kinds = {name: kind for name, (kind, _) in session.kinds.items()}
    open_variables = {
        p.dtype.name: "float" if p.dtype.is_float else kinds.get(p.dtype.name, "any")
        for p in params
        if isinstance(p.dtype, DtypeVar)
    }
    return Function(
        definition.name,
        params,
        results,
        tuple(open_variables.items()),
        tuple(session.checks),
        session.origins,
    )


def _parameters(
    frame: Frame,
    definition: ast.FunctionDef,
    statics: Mapping[str, Static],
    ranks: Mapping[str, int] | None,
    given: frozenset[str] | None,
    dtypes: Mapping[str, Dtype | DtypeVar],
) -> tuple[Param, ...]:
    """Bind every parameter: static ones to their values, tensors to inputs."""
    _check_parameters(frame, definition)
    outside = Frame(frame.session, frame.program, "", callers=("default",))
    for param in definition.params:
        if is_static(param) and param.type.dtype != "Axis":
            frame.variables[param.name] = _static(outside, param, statics)
    declare(frame, definition.params, dict(ranks) if ranks is not None else None)
    refuse_unbound(frame, definition.params)
    frame.dtypes.update(dtypes)
    params = []
    for param in definition.params:
        if not is_static(param):
            if param.name in frame.axes:
                raise frame.fail(faults.SHADOWS_AXIS, param.name_span, name=param.name)
            is_absent = isinstance(param.default, ast.NoneValue) and (
                given is not None and param.name not in given
            )
            if is_absent:
                frame.variables[param.name] = None
            else:
                params.append(_tensor(frame, param))
    first = next((p.shape for p in params), ())
    for param in definition.params:
        if is_static(param) and param.type.dtype == "Axis":
            frame.variables[param.name] = _axis(frame, param, statics, first)
    return tuple(params)


def _check_parameters(frame: Frame, definition: ast.FunctionDef) -> None:
    """Refuse names and defaults that no parameter may have."""
    seen: set[str] = set()
    for param in definition.params:
        if param.name in seen:
            raise frame.fail(faults.PARAMETER_TWICE, param.name_span, name=param.name)
        if param.name in ("backend", "target", "grad"):
            raise frame.fail(faults.RESERVED_PARAMETER, param.name_span, name=param.name)
        seen.add(param.name)
        if not is_static(param) and not _is_tensor_default(param):
            raise frame.fail(faults.BAD_DEFAULT, param.span)


def _is_tensor_default(param: ast.Param) -> bool:
    match param.default:
        case None | ast.NoneValue():
            return True
        case ast.Number() | ast.Boolean() | ast.Unary(op="-", value=ast.Number()):
            return not param.type.axes
    return False


def _tensor(frame: Frame, param: ast.Param) -> Param:
    """A parameter's input, in its compute dtype inside."""
    shape, dtype = shape_of(frame, param.type), dtype_of(frame, param.type)
    node = input_(name=param.name, dtype=dtype, axes=unit_free(shape))
    value = Value(cast_to(node, compute(dtype)), shape, dtype)
    frame.variables[param.name] = frame.note(value, param.name, param.name_span)
    return Param(param.name, shape, node)


def _static(outside: Frame, param: ast.Param, statics: Mapping[str, Static]) -> Meaning:
    if param.name in statics:
        value = statics[param.name]
        number = value if not isinstance(value, bool | int | float) else None
        meaning: Meaning = weak(value) if number is None else number  # type: ignore[arg-type,assignment]
        if isinstance(value, str) and param.type.dtype == "DType" and value in DTYPES:
            meaning = DTYPES[value]
        return check_static(outside, param, meaning, param.name_span)
    if param.default is None:
        raise outside.fail(faults.MISSING_STATIC, param.name_span, name=param.name)
    return check_static(outside, param, static_value(outside, param.default), param.default.span)


def _axis(
    frame: Frame, param: ast.Param, statics: Mapping[str, Static], order: tuple[object, ...]
) -> Meaning:
    """An `Axis` parameter: from Python a position, a name or a tuple of these."""
    if param.name not in statics:
        if param.default is None:
            raise frame.fail(faults.MISSING_STATIC, param.name_span, name=param.name)
        return AxisValue(axes_of(frame, param.default, order))  # type: ignore[arg-type]
    given = statics[param.name]
    items = given if isinstance(given, tuple) else (given,)
    span = param.name_span
    exprs: list[ast.Expr] = []
    for item in items:
        if isinstance(item, str):
            name = ast.Name(item.removeprefix("*"), span)
            exprs.append(ast.Star(name, span) if item.startswith("*") else name)
        elif isinstance(item, int) and not isinstance(item, bool):
            exprs.append(ast.Number(item, span))
        else:
            raise frame.fail(
                faults.WRONG_STATIC, span, name=param.name, wanted="an Axis", found=repr(item)
            )
    return AxisValue(axes_of(frame, ast.Tuple(tuple(exprs), span), order))  # type: ignore[arg-type]


def read_program(text: str, file: str) -> Program:
    """The program of a file.

    Raises TdslError with every independent fault that needs no static value: of syntax, of imports, and
    in what can be read.
    """
    module, errors = read_module(text, file)
    program, import_errors = link_what_can_be(module, {}, (file,))
    errors += import_errors
    errors += faults_of(program)
    if errors:
        raise combine(errors)
    return program


def check_program(program: Program) -> None:
    """Raise every fault that does not depend on static values without a default."""
    errors = faults_of(program)
    if errors:
        raise combine(errors)


def faults_of(program: Program) -> list[TdslError]:
    """The faults of a program's constants and functions."""
    errors = wrong_decorators(program) + _defined_twice(program)
    work = Work(program.module.tokens)
    for name, assign in program.constants.items():
        if work.is_spent:
            break
        try:
            _evaluated(program, assign, work)
        except (TdslError, Poisoned) as error:
            errors += [error] if isinstance(error, TdslError) else []
            continue
        if _constant_function(program, name, work) is not None:
            _collect(program, name, errors, work)
    for name in program.functions:
        if not work.is_spent:
            _collect(program, name, errors, work)
    return errors


def _defined_twice(program: Program) -> list[TdslError]:
    """An error for each definition of a name that has one already."""
    frame = Frame(Session(), program, "")
    targets = (assign.target for assign in program.module.constants)
    places = [(target.id, target.span) for target in targets if isinstance(target, ast.Name)]
    places += [(function.name, function.span) for function in program.module.functions]
    seen: set[str] = set()
    errors = []
    for name, span in sorted(places, key=lambda place: (place[1].line, place[1].column)):
        if name in seen:
            errors.append(frame.fail(faults.DEFINED_TWICE, span, name=name))
        seen.add(name)
    return errors


def _collect(program: Program, name: str, errors: list[TdslError], work: Work) -> None:
    """The faults of one function; a name that is at fault already is not judged again."""
    definition = function_value(program, name).definition
    found: list[TdslError] = []
    if all(param.default is not None for param in definition.params if is_static(param)):
        try:
            elaborate(program, name, work=work)
        except TdslError as error:
            found.append(error)
        except Poisoned:  # it needs a definition that could not be read
            pass
    places = {(d.span.line, d.span.column) for error in found for d in error.errors if d.span}
    unknown = unknown_names(program, definition)
    errors += found
    errors += [e for e in unknown if e.span and (e.span.line, e.span.column) not in places]
