"""Loaded source: a parsed file with what its names mean.

In: text. Out: a `Program`. Between: a name is looked up in the file, its imports, what Python gave it
(for jitted functions), then the standard library; each file of that is parsed once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

from tdsl import faults
from tdsl.data import data_path
from tdsl.errors import Fault, Span, TdslError, combine
from tdsl.syntax import ast
from tdsl.syntax.elaboration.values import FunctionValue
from tdsl.syntax.parser import parse_module

MAX_IMPORTS = 50
DEFINITION = re.compile(r"^def (\w+)\(", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Program:
    """A file: its syntax, and its imports resolved. Programs are compared by identity."""

    module: ast.Module
    imported: Mapping[str, FunctionValue | ast.Assign] = field(default_factory=dict)
    externals: Mapping[str, object] = field(default_factory=dict)
    owners: Mapping[str, Program] = field(default_factory=dict)

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """The file's functions by name; the last definition of a name counts."""
        return {function.name: function for function in self.module.functions}

    @cached_property
    def constants(self) -> dict[str, ast.Assign]:
        """The file's constants by name."""
        return {
            target.id: assign
            for assign in self.module.constants
            for target in (assign.target,)
            if isinstance(target, ast.Name)
        }

    @cached_property
    def derivatives(self) -> dict[str, ast.FunctionDef]:
        """The hand-written derivative of each function that has one; the first counts."""
        return {
            owner: function
            for function in reversed(self.module.functions)
            for owner in map(differentiated, function.decorators)
            if owner is not None
        }

    @cached_property
    def is_library(self) -> bool:
        """Whether the file is of the standard library."""
        return Path(self.module.file).parent == data_path("kernels")

    def line(self, span: Span) -> str:
        """The source line of a span of this file; empty for another file's."""
        if span.file != self.module.file:
            return ""
        lines = self._lines
        return lines[span.line - 1] if 0 < span.line <= len(lines) else ""

    @cached_property
    def _lines(self) -> list[str]:
        return self.module.text.split("\n")


def differentiated(decorator: ast.Expr) -> str | None:
    """The function that `@vjp_of(function)` names; None for another decorator."""
    match decorator:
        case ast.Call(function=ast.Name(id="vjp_of"), arguments=(ast.Name(id=name),), keywords=()):
            return name
    return None


def load_program(
    text: str,
    file: str,
    externals: Mapping[str, object] | None = None,
    loading: tuple[str, ...] = (),
) -> Program:
    """Parse a file and resolve its imports.

    Raises TdslError for syntax errors, and for imports that cannot be found or go round in a circle.
    """
    module = parse_module(text, file)
    return link(module, externals or {}, (*loading, file))


def link(
    module: ast.Module, externals: Mapping[str, object], loading: tuple[str, ...] = ()
) -> Program:
    """The program of a parsed file. Raises TdslError for imports as `load_program` does."""
    program, errors = link_what_can_be(module, externals, loading)
    if errors:
        raise combine(errors)
    return program


def link_what_can_be(
    module: ast.Module, externals: Mapping[str, object], loading: tuple[str, ...]
) -> tuple[Program, list[TdslError]]:
    """The program of a parsed file, and the errors of its imports, whose names are then broken."""
    imported: dict[str, FunctionValue | ast.Assign] = {}
    owners: dict[str, Program] = {}
    broken = set(module.broken)
    errors = []
    for statement in module.imports:
        try:
            source = _import(statement, module, loading)
            for name, alias, span in statement.names:
                imported[alias] = _member(source, name, span, module)
                owners[alias] = source
        except TdslError as error:
            errors.append(error)
            broken.update(alias for _, alias, _ in statement.names)
    whole = replace(module, broken=frozenset(broken - imported.keys()))
    return Program(whole, imported, externals, owners), errors


def _import(statement: ast.Import, module: ast.Module, loading: tuple[str, ...]) -> Program:
    folder = Path(module.file).parent
    for place in (folder, data_path("kernels")):
        path = place / f"{statement.module}.tdsl"
        if str(path) in loading or len(loading) > MAX_IMPORTS:
            raise _fault(faults.CIRCULAR_IMPORT, statement.span, module, name=statement.module)
        if path.is_file():
            return load_program(read_source(path), str(path), None, loading)
    raise _fault(
        faults.NO_SUCH_MODULE,
        statement.span,
        module,
        name=statement.module,
        hint=f"there is no {statement.module}.tdsl beside this file nor in the standard library",
    )


def _member(
    source: Program, name: str, span: Span, module: ast.Module
) -> FunctionValue | ast.Assign:
    if name in source.functions:
        return FunctionValue(source, source.functions[name])
    if name in source.constants:
        return source.constants[name]
    known = ", ".join(f"`{n}`" for n in (*source.functions, *source.constants))
    raise _fault(
        faults.NO_SUCH_MEMBER,
        span,
        module,
        name=name,
        module=Path(source.module.file).stem,
        hint=f"it has {known}",
    )


def _fault(
    fault: Fault, span: Span, where: ast.Module, hint: str = "", **rest: object
) -> TdslError:
    return fault.at(span, note="", hint=hint, source=where.text.split("\n")[span.line - 1], **rest)


def read_source(path: Path) -> str:
    """The text of a file. Raises TdslError if it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        start = Span(str(path), 1, 1, 1)
        raise faults.UNREADABLE.at(
            start, file=path, reason=reason or "it cannot be opened"
        ) from None


@cache
def library_names() -> Mapping[str, str]:
    """The file of each function of the standard library, found without parsing any."""
    return {
        name: path.stem
        for path in sorted(data_path("kernels").glob("*.tdsl"))
        for name in DEFINITION.findall(read_source(path))
    }


def library_function(name: str) -> FunctionValue | None:
    """A function of the standard library; only its file is parsed."""
    if name not in library_names():
        return None
    program = library_program(library_names()[name])
    return FunctionValue(program, program.functions[name])


@cache
def library_program(name: str) -> Program:
    """A file of the standard library."""
    path = data_path("kernels") / f"{name}.tdsl"
    return load_program(read_source(path), str(path))
