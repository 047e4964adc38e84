"""What people call: load, compile, jit, and derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from tdsl import faults
from tdsl.errors import a
from tdsl.runtime.call import Target
from tdsl.runtime.definition import Definition
from tdsl.runtime.foreach import Foreach
from tdsl.runtime.function import Function
from tdsl.runtime.pipeline import Derivation
from tdsl.syntax.elaboration.calculus import are_names
from tdsl.syntax.elaboration.entry import (
    check_program,
    constants,
    function_names,
    function_value,
    read_program,
)
from tdsl.syntax.elaboration.program import Program, link, read_source
from tdsl.syntax.elaboration.values import ForeignValue
from tdsl.syntax.pysource import read_function


class Module:
    """A compiled file: its functions and constants are attributes."""

    def __init__(self, name: str, program: Program) -> None:
        self.__name__ = name
        self.__doc__ = program.module.docstring
        self.__file__ = program.module.file
        functions = {n: _member(program, n) for n in function_names(program)}
        self._members: dict[str, Any] = {**constants(program), **functions}

    def __getattr__(self, name: str) -> Any:
        members: dict[str, Any] = self.__dict__.get("_members", {})
        if name in members:
            return members[name]
        raise AttributeError(f"{self.__name__} has no function or constant {name!r}")

    def __dir__(self) -> list[str]:
        return [*self._members]

    def __iter__(self) -> Iterator[Function]:
        """The functions, in the order of the file."""
        return (member for member in self._members.values() if isinstance(member, Function))

    def __repr__(self) -> str:
        return f"<tdsl module {self.__name__}: {', '.join(f.__name__ for f in self)}>"


def _member(program: Program, name: str) -> Function:
    """A function of a program, or the derivative of one that a constant names."""
    found = function_value(program, name)
    definition = Definition(found.name, lambda: found.program)
    steps = tuple(Derivation(*step) for step in found.derivative)
    metadata = {"__name__": name, "__doc__": found.definition.docstring}
    return Function(Target(definition, steps), metadata)


def load(path: str | PathLike[str]) -> Module:
    """The module of a `.tdsl` file.

    Raises TdslError with every fault that does not depend on static values.
    """
    if not isinstance(path, str | PathLike):
        raise faults.CALL_ARGUMENT.at(message=f"`load` takes a path, not {a(type(path).__name__)}")
    place = Path(fspath(path))
    program = read_program(read_source(place), str(place))
    return Module(place.stem, program)


def compile(text: str, name: str = "<text>") -> Function | Module:
    """The function that the text defines; a Module, if it defines several.

    Raises TdslError with every fault that does not depend on static values.
    """
    if not isinstance(text, str):
        found = a(type(text).__name__)
        raise faults.CALL_ARGUMENT.at(message=f"`compile` takes source text, not {found}")
    program = read_program(text, name)
    module = Module(name, program)
    functions = list(module)
    return functions[0] if len(functions) == 1 else module


def jit(function: Callable[..., Any]) -> Function:
    """A Function from a Python function's source, which is read and never executed.

    Numbers and other tdsl functions that it names are taken from the Python file, as they are at first
    use. Raises TdslError on first use for what is not in the language.
    """
    name = getattr(function, "__name__", repr(function))
    kept = ("__name__", "__qualname__", "__module__", "__doc__")
    metadata = {key: getattr(function, key, None) for key in kept}
    definition = Definition(name, lambda: _read(function, definition))
    return Function(Target(definition), {**metadata, "__name__": name, "__wrapped__": function})


def _read(function: Callable[..., Any], definition: Definition) -> Program:
    """The program of a jitted function: itself, and what its free names mean."""
    module, free = read_function(function)
    externals = {
        name: _external(value)
        for name, value in free.items()
        if not (isinstance(value, Function) and value.target.definition is definition)
    }
    program = link(module, externals)
    check_program(program)
    return program


def _external(value: object) -> object:
    """What a Python value means in the language: a number, a string, or another function."""
    if isinstance(value, Function):
        target = value.target
        found = function_value(target.definition.source, target.definition.name)
        steps = tuple((d.kind, d.wrt, d.single) for d in target.derivations)
        return replace(found, derivative=(*found.derivative, *steps))
    is_plain = value is None or isinstance(value, bool | int | float | str)
    return value if is_plain else ForeignValue(type(value).__name__)


def grad(f: Function, wrt: str | Sequence[str] | None = None) -> Function:
    """The gradients of a function with one floating rank-0 result.

    `wrt="x"` gives one array, a tuple of names a tuple; by default a tuple for all floating arguments.
    """
    return _derived(f, "grad", wrt)


def value_and_grad(f: Function, wrt: str | Sequence[str] | None = None) -> Function:
    """Like `grad`, giving the value and the gradients."""
    return _derived(f, "value_and_grad", wrt)


def vjp(f: Function) -> Function:
    """The vector-Jacobian product: of the tensor arguments by position, then a cotangent for each result.

    Gives the gradient of every floating argument, always as a tuple. Static parameters go by keyword.
    """
    return _derived(f, "vjp", None)


def foreach(f: Function) -> Foreach:
    """The function over lists of tensors: the calls for the first of each, the second of each, and so on.

    Arguments that are no lists are shared. Where Triton runs them, calls without a gradient whose kernel is
    one pointwise map over contiguous tensors, whatever their sizes, are one launch; others follow one
    after another.
    """
    _require_function(f)
    return Foreach(f)


def _derived(f: Function, kind: str, wrt: str | Sequence[str] | None) -> Function:
    """A derivative of what must be a Function, with respect to what must be names."""
    _require_function(f)
    names = (wrt,) if isinstance(wrt, str) else wrt
    if names is not None and not are_names(names):
        raise faults.WRT_NOT_NAMES.at()
    return f.derive(kind, wrt)


def _require_function(f: Function) -> None:
    if not isinstance(f, Function):
        hint = (
            f"name one: {', '.join(f'`.{g.__name__}`' for g in f)}" if isinstance(f, Module) else ""
        )
        if callable(f):
            hint = "decorate it with `@tdsl.jit`"
        raise faults.NOT_A_FUNCTION_VALUE.at(found=a(type(f).__name__), hint=hint)


__all__ = ["Module", "compile", "foreach", "grad", "jit", "load", "value_and_grad", "vjp"]
