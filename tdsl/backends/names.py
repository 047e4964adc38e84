"""Names of a generated function: of values, of sizes, and sizes as expressions.

In: nodes with their origins, and sizes. Out: names, and text in the language of a `Dialect`. Between: no
name is given twice; a product that may exceed 32 bits is widened where the language does not do so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tdsl.errors import InternalError
from tdsl.fusion.layout import PROGRAMS
from tdsl.fusion.offsets import COLUMN, ROW, START
from tdsl.ir.function import Origin
from tdsl.ir.node import Node
from tdsl.ir.size import ONE, Atom, Size, is_nonnegative
from tdsl.ops import input_

_COUNTERS = {ROW.atom: "row", START.atom: "start", COLUMN.atom: "column"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a language writes sizes: forms by the kind of an atom, a quotient, a product that is wide.

    `floored` has the forms for operands that may be negative, where the language rounds towards 0.
    """

    forms: Mapping[str, str]
    floored: Mapping[str, str]
    quotient: str
    wide_product: str


TRITON = Dialect(
    {"floordiv": "({} // {})", "mod": "({} % {})",
     "min": "tl.minimum({}, {})", "max": "tl.maximum({}, {})"},
    {"floordiv": "(({0} - ({0} % {1} + {1}) % {1}) // {1})", "mod": "(({0} % {1} + {1}) % {1})"},
    "{} // {}", "(tl.cast({}, tl.int64) * {})",
)  # fmt: skip
C = Dialect(
    {"floordiv": "({} / {})", "mod": "({} % {})", "min": "smaller_i64({}, {})",
     "max": "larger_i64({}, {})"},
    {"floordiv": "floordiv_i64({}, {})", "mod": "remainder_i64({}, {})"},
    "{} / {}", "({} * {})",
)  # fmt: skip


@dataclass
class Names:
    """What is named so far. `sizes` become parameters of the function."""

    taken: set[str]
    dialect: Dialect
    sizes: dict[str, Size] = field(default_factory=dict)

    def value(self, node: Node, origin: Origin | None, number: int, hint: str = "") -> str:
        """A new name for a value: the source's, that of its buffer, or a number."""
        base = hint or (str(node["name"]) if node.op is input_ else "")
        if not base and origin is not None and re.fullmatch(r"[A-Za-z_]\w*", origin.name):
            base = origin.name
        return self.fresh(base or f"v{number}")

    def fresh(self, base: str) -> str:
        """The name, with a number where it is taken."""
        name, number = base, 0
        while name in self.taken:
            number += 1
            name = f"{base}_{number}"
        self.taken.add(name)
        return name

    def size(self, size: Size) -> str:
        """A size as an expression: what counts rows first, then columns, then the rest."""
        quotients, rest = _quotients(size)
        quotient = self.dialect.quotient.format
        parts = [
            (_rank(inner.atoms()), quotient(self.factor(inner), self.factor(divisor)), factor)
            for inner, divisor, factor in quotients
        ]
        parts += [(_rank(monomial), "", Size(((monomial, c),))) for monomial, c in rest.terms]
        text = ""
        for _, divided, factor in sorted(parts, key=lambda part: part[0]):
            ((monomial, c),) = factor.terms
            factors = [f"({divided})"] if divided else []
            factors += [self._atom(atom) for atom in sorted(monomial, key=lambda a: _rank((a,)))]
            if abs(c) != 1 or not factors:
                factors.append(str(abs(c)))
            product = " * ".join(factors)
            if text:
                text = f"{text} {'-' if c < 0 else '+'} {product}"
            else:
                text = f"-{product}" if c < 0 else product
        return text or "0"

    def factor(self, size: Size) -> str:
        """A size as an operand of any operator."""
        return in_parentheses(self.size(size))

    def count(self, axes: Iterable[Size], *, is_short: bool = False) -> str:
        """The number of elements along the axes, which 32 bits hold if it `is_short`."""
        total = ONE
        for axis in axes:
            total = total * axis
        text = self.size(total)
        first, times, rest = text.partition(" * ")
        # A product may exceed 32 bits where its factors do not.
        if times and not is_short:
            return self.dialect.wide_product.format(first, rest)
        return in_parentheses(text)

    def _atom(self, atom: Atom) -> str:
        if atom.name.startswith("@"):
            return atom.name[1:]
        if atom in _COUNTERS:
            return _COUNTERS[atom]
        if atom.kind == "index":
            raise InternalError(f"nothing counts the axis {atom.args[0]}")
        if atom.kind in ("name", "pack"):
            return self._parameter(atom)
        if atom.kind == "copy":
            return self.factor(atom.args[0])
        form = self.dialect.forms[atom.kind]
        if atom.kind in ("floordiv", "mod") and not is_nonnegative(atom.args[0]):
            form = self.dialect.floored[atom.kind]
        return form.format(*(self.factor(arg) for arg in atom.args))

    def _parameter(self, atom: Atom) -> str:
        size = Size((((atom,), 1),))
        known = next((name for name, other in self.sizes.items() if other == size), None)
        if known is None:
            text = "programs" if size == PROGRAMS else atom.name
            known = self.fresh(re.sub(r"\W", "_" if "@" in text else "", text) or "size")
            self.sizes[known] = size
        return known


def _quotients(size: Size) -> tuple[list[tuple[Size, Size, Size]], Size]:
    """What stands as x - x % d in canonical form, taken out as (x, d, factor): factor (x // d).

    Triton sees that neighbours stay neighbours in x // d and x % d, not in the difference.
    """
    found: list[tuple[Size, Size, Size]] = []
    for monomial, c in size.terms:
        remainders = [atom for atom in monomial if atom.kind == "mod"] if c < 0 else []
        for atom in remainders:
            inner, divisor = atom.args
            others = list(monomial)
            others.remove(atom)
            part = Size(((tuple(others), 1),))
            times = dict(size.terms).get((part * inner).terms[0][0], 0) // inner.terms[0][1]
            rest = size - part * (inner - Size((((atom,), 1),))) * times
            is_out = len(rest.terms) <= len(size.terms) - len(inner.terms)
            factor = part * divisor * times
            if len(divisor.terms) == len(factor.terms) == 1 and times > 0 and is_out:
                found.append((inner, divisor, factor))
                size = rest
                break
    return found, size


def written(text: str) -> Size:
    """A size that is written as this expression."""
    return Size((((Atom("name", f"@{text}"),), 1),))


def in_parentheses(text: str) -> str:
    """The expression as an operand of any operator."""
    return text if re.fullmatch(r"\w+", text) else f"({text})"


def _rank(monomial: Iterable[Atom]) -> tuple[int, str]:
    atoms = {a for atom in monomial for a in (atom, *(x for arg in atom.args for x in arg.atoms()))}
    place = 2 if COLUMN.atom not in atoms else 1
    if atoms & {ROW.atom, START.atom} and COLUMN.atom not in atoms:
        place = 0
    return place, " ".join(atom.text for atom in monomial)
