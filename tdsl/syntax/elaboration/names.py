"""Names: variables, axes, dtypes, constants, functions and built-ins, in this order."""

from __future__ import annotations

from tdsl import faults
from tdsl.errors import TdslError
from tdsl.ir.dtype import DTYPES
from tdsl.syntax import ast
from tdsl.syntax.elaboration.builtin import BUILTINS
from tdsl.syntax.elaboration.expressions import (
    HANDLERS,
    NAMED,
    Poisoned,
    evaluate,
    size_value,
)
from tdsl.syntax.elaboration.frame import Frame
from tdsl.syntax.elaboration.program import Program, library_function, library_names
from tdsl.syntax.elaboration.suggest import foreign_hint, meant
from tdsl.syntax.elaboration.values import (
    BuiltinValue,
    ForeignValue,
    FunctionValue,
    Meaning,
    Poison,
    weak,
)


def lookup(frame: Frame, expr: ast.Name) -> Meaning:
    """What a name means. Raises TdslError for an unknown one, Poisoned for a faulty one."""
    text = expr.id
    if text in frame.variables:
        meaning = frame.variables[text]
        if isinstance(meaning, Poison):
            raise Poisoned
        return meaning
    if text in frame.axes:
        return size_value(frame.axes[text])
    if text in frame.dtypes:
        return frame.dtypes[text]
    if text in frame.packs:
        raise frame.fail(faults.PACK_AS_VALUE, expr.span, name=text, hint=f"write `*{text}`")
    return global_meaning(frame, expr)


def global_meaning(frame: Frame, expr: ast.Name) -> Meaning:
    """What a name means outside every function."""
    text, program = expr.id, frame.program
    if text in program.functions:
        return FunctionValue(program, program.functions[text])
    if text in program.constants:
        return constant_meaning(frame, program, program.constants[text])
    if text in program.imported:
        member = program.imported[text]
        if isinstance(member, FunctionValue):
            return member
        return constant_meaning(frame, program.owners[text], member)
    if text in program.externals:
        return _external(frame, expr, program.externals[text])
    if text in NAMED:
        return weak(NAMED[text])
    if text in BUILTINS:
        return BuiltinValue(text)
    if text in DTYPES:
        return DTYPES[text]
    found = library_function(text)
    if found is not None:
        return found
    if text in program.module.broken:
        raise Poisoned
    raise unknown_name(frame, expr)


def unknown_name(frame: Frame, expr: ast.Name) -> TdslError:
    """The error for a name that means nothing, with the one that may be meant."""
    hint = foreign_hint(expr.id) or meant(expr.id, known_names(frame))
    return frame.fail(faults.UNKNOWN_NAME, expr.span, name=expr.id, hint=hint)


def is_global(program: Program, name: str) -> bool:
    """Whether a name means something outside every function."""
    own = (program.functions, program.constants, program.imported, program.externals)
    scopes = (*own, program.module.broken, NAMED, BUILTINS, DTYPES, library_names())
    return any(name in scope for scope in scopes)


def constant_meaning(frame: Frame, program: Program, assign: ast.Assign) -> Meaning:
    """The value of a module constant, evaluated where it stands."""
    if len(frame.callers) > len(program.constants) + 50:
        raise frame.fail(faults.RECURSION, assign.span, name="the constant")
    inner = Frame(frame.session, program, "", callers=(*frame.callers, "constant"))
    return evaluate(inner, assign.value)


def known_names(frame: Frame) -> list[str]:
    """Every name in scope, nearest first."""
    program = frame.program
    return [
        *frame.variables, *frame.axes, *frame.dtypes, *program.functions, *program.constants,
        *program.imported, *program.externals, *BUILTINS, *library_names(), *DTYPES, *NAMED,
    ]  # fmt: skip


def _external(frame: Frame, expr: ast.Name, value: object) -> Meaning:
    if isinstance(value, ForeignValue):
        hint = "pass it as an argument"
        if value.type == "function":
            hint = "decorate it with `@tdsl.jit`"
        raise frame.fail(faults.FOREIGN_VALUE, expr.span, name=expr.id, found=value.type, hint=hint)
    if isinstance(value, bool | int | float):
        return weak(value)
    if isinstance(value, FunctionValue | str):
        return value
    return None


HANDLERS[ast.Name] = lookup
