"""Built-in functions: how one is declared and how its arguments are bound.

A built-in is a Python function of a `Given`, entered with `@builtin("name(x, axis=)")`: parameters that
may be left out end in `=`, one that takes all further positions begins with `*`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tdsl import faults
from tdsl.errors import Fault, InternalError, Span, TdslError
from tdsl.ir.dtype import AnyDtype, Dtype, DtypeTerm, DtypeVar
from tdsl.ir.node import Op
from tdsl.ir.size import Size
from tdsl.ops import Pointwise
from tdsl.syntax import ast
from tdsl.syntax.elaboration.arithmetic import elementwise
from tdsl.syntax.elaboration.axes import axes_of, size_of
from tdsl.syntax.elaboration.expressions import as_value, describe, evaluate, static_value, tensor
from tdsl.syntax.elaboration.frame import Frame
from tdsl.syntax.elaboration.suggest import FOREIGN_KEYWORDS, meant
from tdsl.syntax.elaboration.values import Meaning, Value


@dataclass(frozen=True, slots=True)
class Given:
    """The arguments of one call of a built-in, not yet evaluated."""

    frame: Frame
    name: str
    span: Span
    arguments: Mapping[str, ast.Expr]
    rest: tuple[ast.Expr, ...] = ()
    keywords: Mapping[str, ast.Expr] = None  # type: ignore[assignment]

    def has(self, name: str) -> bool:
        """Whether the argument is given, and not None."""
        expr = self.arguments.get(name)
        return expr is not None and not isinstance(expr, ast.NoneValue)

    def tensor(self, name: str) -> Value:
        """An argument's value."""
        expr = self.arguments[name]
        return tensor(self.frame, expr, f"`{name}`")

    def axes(self, name: str, x: Value) -> tuple[Size, ...]:
        """The axes of `x` that an argument names; all of them if it is left out."""
        if not self.has(name):
            return x.order
        return axes_of(self.frame, self.arguments[name], x.order)

    def axis(self, name: str, x: Value) -> Size:
        """The one axis of `x` that an argument names."""
        axes = self.axes(name, x)
        if len(axes) != 1:
            raise self.fail(faults.ONE_AXIS, name, count=len(axes))
        return axes[0]

    def size(self, name: str) -> Size:
        """A size."""
        return size_of(self.frame, self.arguments[name])

    def static(self, name: str, default: Meaning = None) -> Meaning:
        """A compile-time value."""
        return static_value(self.frame, self.arguments[name]) if name in self.arguments else default

    def number(self, name: str, default: float | None = None) -> float:
        """A compile-time number."""
        if name not in self.arguments and default is not None:
            return default
        value = static_value(self.frame, self.arguments[name])
        if isinstance(value, Value) and value.static is not None:
            return value.static
        raise self.fail(faults.NOT_A_VALUE, name, what="a number", found=describe(value))

    def integer(self, name: str, default: int | None = None) -> int:
        """A compile-time integer."""
        number = self.number(name, default)
        if isinstance(number, bool) or not isinstance(number, int):
            raise self.fail(faults.NOT_A_VALUE, name, what="an integer", found=str(number))
        return number

    def dtype(self, name: str, default: AnyDtype) -> AnyDtype:
        """A dtype."""
        if not self.has(name):
            return default
        value = evaluate(self.frame, self.arguments[name])
        if isinstance(value, Dtype | DtypeVar | DtypeTerm):
            return value
        raise self.fail(faults.NOT_A_VALUE, name, what="a dtype", found=describe(value))

    def elementwise(self, op: Op, *values: Value) -> Value:
        """An elementwise operation on behalf of the call."""
        if not isinstance(op, Pointwise):
            raise InternalError(f"{op.name} is not elementwise")
        return elementwise(self.frame, op, values, self.span, f"`{self.name}`")

    def fail(
        self, fault: Fault, argument_: str = "", /, hint: str = "", note: str = "", **rest: object
    ) -> Exception:
        """The error for a fault of an argument, or of the call."""
        expr = self.arguments.get(argument_)
        span = expr.span if expr else self.span
        return self.frame.fail(fault, span, hint=hint, note=note, **rest)


Apply = Callable[[Given], Meaning]


@dataclass(frozen=True, slots=True)
class Builtin:
    """A built-in: its parameters, and what it does."""

    name: str
    parameters: tuple[str, ...]
    required: int
    variadic: bool
    free_keywords: bool
    apply: Apply
    text: str


BUILTINS: dict[str, Builtin] = {}


def builtin(*signatures: str) -> Callable[[Apply], Apply]:
    """Enter a built-in under each of its names."""

    def enter(apply: Apply) -> Apply:
        for text in signatures:
            name, _, inside = text.rstrip(")").partition("(")
            words = [word.strip() for word in inside.split(",") if word.strip()]
            plain = [word for word in words if not word.startswith("*")]
            BUILTINS[name] = Builtin(
                name,
                tuple(word.rstrip("=") for word in plain),
                sum(not word.endswith("=") for word in plain),
                any(w.startswith("*") and not w.startswith("**") for w in words),
                "**" in inside,
                apply,
                text,
            )
        return apply

    return enter


def call_builtin(frame: Frame, name: str, expr: ast.Call, first: ast.Expr | None) -> Meaning:
    """Bind the arguments of a call and apply the built-in; `first` is a method's receiver."""
    known = BUILTINS[name]
    positional = (*((first,) if first is not None else ()), *expr.arguments)
    bound: dict[str, ast.Expr] = {}
    keywords: dict[str, ast.Expr] = {}
    taken = len(known.parameters) if not known.variadic else known.required
    bound |= dict(zip(known.parameters[:taken], positional, strict=False))
    rest = positional[taken:]
    if rest and not known.variadic:
        raise frame.fail(
            faults.TOO_MANY_ARGUMENTS, rest[0].span, name=name, hint=f"it is `{known.text}`"
        )
    for keyword in expr.keywords:
        if keyword.name in bound:
            raise frame.fail(faults.ARGUMENT_TWICE, keyword.span, argument=keyword.name, name=name)
        if keyword.name in known.parameters:
            bound[keyword.name] = keyword.value
        elif known.free_keywords:
            keywords[keyword.name] = keyword.value
        else:
            raise unknown_keyword(frame, keyword, name, list(known.parameters), known.text)
    missing = [p for p in known.parameters[: known.required] if p not in bound]
    if missing:
        raise frame.fail(
            faults.MISSING_ARGUMENT, expr.span, argument=missing[0], name=name,
            hint=f"it is `{known.text}`",
        )  # fmt: skip
    try:
        return known.apply(Given(frame, name, expr.span, bound, rest, keywords))
    except TdslError as error:
        if error.code == faults.POSITION_OUT_OF_RANGE.code and not error.note:
            diagnostic = replace(error.errors[0], note=f"it is `{known.text}`")
            raise type(error)((diagnostic,)) from None
        raise


def unknown_keyword(
    frame: Frame, keyword: ast.Keyword, name: str, known: list[str], text: str
) -> Exception:
    """The error for a keyword that the function does not have."""
    hint = FOREIGN_KEYWORDS.get(keyword.name) or meant(keyword.name, known) or f"it is `{text}`"
    return frame.fail(
        faults.UNKNOWN_KEYWORD, keyword.span, argument=keyword.name, name=name, hint=hint
    )


__all__ = ["BUILTINS", "Builtin", "Given", "as_value", "builtin", "call_builtin", "unknown_keyword"]
