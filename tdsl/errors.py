"""Every error that a user can see, and how it is shown.

In: a `Fault` (one row of the catalogue in `tdsl.faults`), the place, and the particulars.
Out: a `Diagnostic` (plain data) carried by a `TdslError`, and one renderer for all of them.
Between: positions count from 1, `end` is the column after the last character of the span
on its first line, and a diagnostic never holds anything but text and numbers. A warning names the line
of the user's program that led to it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["syntax", "type", "value", "index", "name"]


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a source file: 1-based line and column, `end` the column after the span."""

    file: str
    line: int
    column: int
    end: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of mistake: its code, message template, explanation, and an example with its fix.

    `example` is the smallest program that shows the fault and `fixed` the same program mended;
    both are compiled by the tests and printed in `docs/errors.md`. `call` holds the argument specs
    (`x=f32[3], y=f32[4]`) of a fault that only a call can show.
    """

    code: str
    kind: Kind
    message: str
    why: str
    example: str
    fixed: str
    call: str = ""
    fixed_call: str = ""

    def at(
        self,
        span: Span | None = None,
        *,
        note: str = "",
        hint: str = "",
        source: str = "",
        **particulars: object,
    ) -> TdslError:
        """The error to raise: `raise faults.UNKNOWN_NAME.at(span, name=name, hint=...)`."""
        message = self.message.format(**particulars)
        return ERROR_CLASSES[self.kind]((Diagnostic(self.code, message, span, note, hint, source),))


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One reported mistake. `source` is the text of the line that the span points into."""

    code: str
    message: str
    span: Span | None = None
    note: str = ""
    hint: str = ""
    source: str = ""


class TdslError(Exception):
    """Base of every error that a user's program, data or call can cause.

    `code`, `span`, `message`, `note` and `hint` describe the first fault; `errors` holds all
    diagnostics that were found together, in the order of the source.
    """

    def __init__(self, errors: tuple[Diagnostic, ...]) -> None:
        self.errors = errors
        first = errors[0]
        self.code = first.code
        self.message = first.message
        self.span = first.span
        self.note = first.note
        self.hint = first.hint
        super().__init__(errors)

    def __str__(self) -> str:
        return "\n".join(render(error) for error in self.errors)


class TdslSyntaxError(TdslError):
    """The text is not in the language."""


class TdslNameError(TdslError):
    """A name, field or file that does not exist."""


class TdslTypeError(TdslError, TypeError):
    """Axes, dtypes or kinds of values do not fit."""


class TdslValueError(TdslError, ValueError):
    """A value or a size does not fit."""


class TdslIndexError(TdslError, IndexError):
    """An index lies outside its axis."""


class InternalError(Exception):
    """A fault of the compiler's own, never of the user's program."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"internal error in tdsl (please report it with the program): {what}")


ERROR_CLASSES: dict[Kind, type[TdslError]] = {
    "syntax": TdslSyntaxError,
    "name": TdslNameError,
    "type": TdslTypeError,
    "value": TdslValueError,
    "index": TdslIndexError,
}


def a(noun: str) -> str:
    """The noun with its article."""
    return f"{'an' if noun[:1] in 'aeiouAEIO' else 'a'} {noun}"


def combine(errors: list[TdslError]) -> TdslError:
    """One error that reports all of them in source order; its class is that of the first."""
    ordered = sorted(
        (diagnostic for error in errors for diagnostic in error.errors),
        key=lambda d: (d.span.file, d.span.line, d.span.column) if d.span else ("", 0, 0),
    )
    unique = tuple(dict.fromkeys(ordered))
    owner = next(error for error in errors if unique[0] in error.errors)
    return type(owner)(unique)


def render(diagnostic: Diagnostic, *, colour: bool = False) -> str:
    """The text of a diagnostic: `FILE:LINE:COL: error[CODE]: message`, source, caret, note, hint."""
    strong, red, plain = ("\033[1m", "\033[31m", "\033[0m") if colour else ("", "", "")
    place = f"{diagnostic.span}: " if diagnostic.span else ""
    lines = [
        f"{strong}{place}{red}error[{diagnostic.code}]{plain}{strong}: {diagnostic.message}{plain}"
    ]
    if diagnostic.span and diagnostic.source:
        lines += _caret(diagnostic.source, diagnostic.span, red, plain)
    lines += [f"note: {line}" for line in diagnostic.note.splitlines()]
    lines += [f"hint: {line}" for line in diagnostic.hint.splitlines()]
    return "\n".join(lines)


def warn(message: str) -> None:
    """Give a RuntimeWarning that names the innermost line that is neither tdsl's nor torch's."""
    level, frame = 1, sys._getframe()
    while frame.f_back and _package(frame.f_globals) in ("tdsl", "torch"):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RuntimeWarning, stacklevel=level)


def _package(names: Mapping[str, object]) -> str:
    return str(names.get("__name__")).partition(".")[0]


_SHOWN_COLUMNS = 200


def _caret(source: str, span: Span, red: str, plain: str) -> list[str]:
    """The source line (a window of it, if long) and the caret span below it."""
    start = max(0, span.column - _SHOWN_COLUMNS // 2) if len(source) > _SHOWN_COLUMNS else 0
    shown = source[start : start + _SHOWN_COLUMNS].replace("\t", " ")
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
    left = span.column - 1 - start
    width = max(1, min(span.end - span.column, len(shown) - left))
    return [f"    {shown}", f"    {' ' * left}{red}{'^' * width}{plain}"]
