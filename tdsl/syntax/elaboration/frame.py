"""Scopes, facts and faults: what every part of elaboration shares.

A `Frame` is one activation of a function: its variables, axis names, packs and dtype variables. All
frames of one elaboration share a `Session`: facts about sizes, constraints on dtype variables, checks
left for the call, and the errors found so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from tdsl import faults
from tdsl.errors import Fault, Span, TdslError
from tdsl.ir.dtype import AnyDtype, Dtype, variables
from tdsl.ir.function import Check, DtypeKind, Origin
from tdsl.ir.node import Node
from tdsl.ir.size import Atom, Axis, Size, is_nonnegative, rebuild
from tdsl.ir.size import name as name_size
from tdsl.syntax.elaboration.values import Meaning, Value
from tdsl.transforms.work import Work

if TYPE_CHECKING:
    from tdsl.syntax.elaboration.program import Program

MAX_CALLS = 100


@dataclass(slots=True)
class Session:
    """What one elaboration collects."""

    facts: dict[Atom, Size] = field(default_factory=dict)
    kinds: dict[str, tuple[DtypeKind, Span | None]] = field(default_factory=dict)
    checks: dict[Check, None] = field(default_factory=dict)
    origins: dict[Node, Origin] = field(default_factory=dict)
    errors: list[TdslError] = field(default_factory=list)
    work: Work = field(default_factory=Work)
    fresh: int = 0

    def canonical(self, size: Size) -> Size:
        """The size under the facts known so far."""
        return rebuild(size, self.facts.get) if self.facts else size


@dataclass(frozen=True, slots=True)
class Blame:
    """The call of a library function, where the dtypes that it does not take are told of."""

    frame: Frame
    span: Span
    name: str


@dataclass(slots=True)
class Frame:
    """One activation of a function of `program`."""

    session: Session
    program: Program
    function: str
    variables: dict[str, Meaning] = field(default_factory=dict)
    axes: dict[str, Size] = field(default_factory=dict)
    packs: dict[str, tuple[Size, ...]] = field(default_factory=dict)
    dtypes: dict[str, AnyDtype] = field(default_factory=dict)
    declared: tuple[Size, ...] = ()
    callers: tuple[str, ...] = ()
    blame: Blame | None = None

    def fail(
        self, fault: Fault, span: Span, *, hint: str = "", note: str = "", **particulars: object
    ) -> TdslError:
        """The error for a fault of this function, with the source line it stands on."""
        source = self.program.line(span)
        shown = {k: size_text(v) if isinstance(v, Size) else v for k, v in particulars.items()}
        return fault.at(span, hint=hint, note=note, source=source, **shown)

    def size(self, size: Size) -> Size:
        """The size in canonical form."""
        return self.session.canonical(size)

    def located(self, error: TdslError, span: Span) -> TdslError:
        """The error at a place of this function, where it has none of its own."""
        places = [(d, d.span or span) for d in error.errors]
        return type(error)(
            tuple(
                d if d.source else replace(d, span=place, source=self.program.line(place))
                for d, place in places
            )
        )

    def require(
        self,
        left: Size,
        relation: Literal["==", "<=", "<", "!="],
        right: Size,
        span: Span,
        why: str,
    ) -> None:
        """A condition on sizes: proved here, refuted here, or left for the call."""
        left, right = self.size(left), self.size(right)
        if relation == "==" and left == right:
            return
        if relation == "<=" and is_nonnegative(right - left):
            return
        if relation == "<" and is_nonnegative(right - left - 1):
            return
        a, b = left.constant, right.constant
        if a is not None and b is not None:
            holds = {"==": a == b, "<=": a <= b, "<": a < b, "!=": a != b}[relation]
            if holds:
                return
            raise self.fail(faults.SIZE_CONDITION, span, why=why)
        source = self.program.line(span)
        self.session.checks[Check(left, relation, right, why, span, source)] = None

    def note(self, value: Value, name: str, span: Span) -> Value:
        """Remember where a value stands first, and what the source calls it first, if it has a name."""
        known = self.session.origins.get(value.node)
        if known is None or (name and not known.name):
            self.session.origins[value.node] = Origin(name, span)
        return value

    def constrain(self, dtype: AnyDtype, kind: DtypeKind, span: Span, use: str) -> None:
        """Require a kind of dtype: of a concrete one now, of a variable at the call."""
        if self.blame is not None:
            site = self.blame
            site.frame.constrain(dtype, kind, site.span, f"`{site.name}`")
            return
        if isinstance(dtype, Dtype):
            if not allowed(dtype, kind):
                raise self.fail(
                    faults.WRONG_DTYPE, span, use=use, dtype=dtype, kind=KIND_TEXT[kind],
                    hint=f"write `cast(x, {'i64' if kind == 'int' else 'f32'})` first",
                )  # fmt: skip
            return
        for name in sorted(variables(dtype)):
            known = self.session.kinds.get(name)
            if known is None or (known[0] in ("any", "number") and kind != "any"):
                self.session.kinds[name] = (kind, span)


KIND_TEXT = {
    "any": "values", "number": "numbers", "real": "real numbers", "int": "integers",
    "float": "floating values",
}  # fmt: skip


def allowed(dtype: Dtype, kind: DtypeKind) -> bool:
    """Whether a concrete dtype is of a kind."""
    match kind:
        case "any":
            return True
        case "number" | "real":
            return dtype.kind != "bool"
        case "int":
            return dtype.kind in ("int", "uint")
    return dtype.kind == "float"


def axis_text(axes: Iterable[Axis]) -> str:
    """Axes as a message shows them."""
    return "[" + ", ".join(map(size_text, axes)) + "]"


def size_text(size: Size) -> str:
    """A size as a message shows it: a renamed axis by the name that it was given."""
    return str(rebuild(size, _given_name))


def _given_name(atom: Atom) -> Size | None:
    return name_size(atom.name.partition(".")[0]) if atom.kind == "copy" and atom.name else None
