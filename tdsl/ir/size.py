"""Sizes: integer polynomials in canonical form, the identity of axes and the language of indices.

In: names, integers and the operations `+ - * // % min max` on them.
Out: a `Size`, immutable and hashable, equal exactly if canonically the same.
Between: coefficients are non-zero; monomials and terms are sorted by text; a quotient `a // k` holds
nothing divisible by `k` and its own coefficient lies in `[0, k)`, because `k*(a//k)` is rewritten to
`a - a%k`. So `D - D//2` and `D//2` meet as soon as `D % 2 == 0` is known.

An axis is a `Size` too: the axis `2*H` is identified by that expression. The variable that runs along
an axis is the atom made by `index`, so index expressions compose by substitution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import gcd
from typing import Literal

from tdsl import faults

MAX_LENGTH = 2_000
AtomKind = Literal["name", "pack", "index", "copy", "floordiv", "mod", "min", "max"]


@dataclass(frozen=True, slots=True)
class Atom:
    """An indivisible factor: a name, a pack, an index along an axis, or an operation on sizes."""

    kind: AtomKind
    name: str = ""
    args: tuple[Size, ...] = ()
    text: str = field(init=False, compare=False, repr=False, default="")
    _hash: int = field(init=False, compare=False, repr=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _atom_text(self))
        object.__setattr__(self, "_hash", hash((self.kind, self.name, self.args)))

    def __hash__(self) -> int:
        return self._hash


Monomial = tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """A canonical integer polynomial: pairs of a sorted monomial and a non-zero coefficient."""

    terms: tuple[tuple[Monomial, int], ...]
    text: str = field(init=False, compare=False, repr=False, default="")
    _hash: int = field(init=False, compare=False, repr=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _size_text(self.terms))
        _require_short(len(self.text))
        object.__setattr__(self, "_hash", hash(self.terms))

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return self.text

    def __add__(self, other: Size | int) -> Size:
        right = as_size(other)
        if not self.terms or not right.terms:
            return right if right.terms else self
        return _collect((*self.terms, *right.terms))

    def __sub__(self, other: Size | int) -> Size:
        return self + -as_size(other)

    def __neg__(self) -> Size:
        return _collect((monomial, -c) for monomial, c in self.terms)

    def __mul__(self, other: Size | int) -> Size:
        if other in (1, ONE):
            return self
        right = as_size(other).terms
        _require_short(len(self.terms) * len(right))
        return _collect(
            (tuple(sorted(m + n, key=_text)), c * d) for m, c in self.terms for n, d in right
        )

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: int) -> Size:
        return as_size(other) - self

    @property
    def constant(self) -> int | None:
        """The value, if no name stands in it."""
        if not self.terms:
            return 0
        (monomial, c), *rest = self.terms
        return c if not monomial and not rest else None

    @property
    def atom(self) -> Atom | None:
        """The atom, if the size is exactly one atom."""
        match self.terms:
            case (((Atom() as atom,), 1),):
                return atom
        return None

    def atoms(self) -> frozenset[Atom]:
        """Every atom at any depth."""
        found: set[Atom] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                found.add(atom)
                for arg in atom.args:
                    found |= arg.atoms()
        return frozenset(found)

    def names(self) -> frozenset[str]:
        """The names of axes and packs (with their `*`) that the value depends on."""
        return frozenset(a.name for a in self.atoms() if a.kind in ("name", "pack"))

    def substitute(self, values: Mapping[Atom, Size]) -> Size:
        """The size with atoms replaced, canonical again."""
        return rebuild(self, values.get)

    def evaluate(self, values: Mapping[str, int]) -> int:
        """The integer for given values of the names. Division by 0 gives 0, as in the language."""
        return sum(c * _product(_atom_value(a, values) for a in m) for m, c in self.terms)


Axis = Size


def as_size(value: Size | int) -> Size:
    """The size itself, or the constant."""
    if isinstance(value, Size):
        return value
    return Size(((((), int(value))),)) if value else ZERO


def name(text: str) -> Size:
    """The size called `text`."""
    return Size((((Atom("name", text),), 1),))


def pack(text: str) -> Size:
    """The opaque axis that stands for the whole pack `*text` (its size is the product)."""
    return Size((((Atom("pack", f"*{text}"),), 1),))


def index(axis: Axis) -> Size:
    """The variable that runs over `0 <= i < axis`."""
    return Size((((Atom("index", args=(axis,)),), 1),))


def copy(axis: Axis, label: str = "") -> Axis:
    """Another axis of the same size, told from others by its label.

    It is what renaming makes, and what a derivative needs that relates an axis with itself.
    """
    return Size((((Atom("copy", label, (axis,)),), 1),))


def floordiv(a: Size, b: Size) -> Size:
    """`a // b`, with every multiple of `b` drawn out and common constant factors cancelled."""
    if b.constant == 0 or not a.terms:
        return ZERO
    if b.constant == 1:
        return a
    if b.constant is not None and b.constant < 0:
        a, b = -a, -b
    if a.constant is not None and b.constant is not None:
        return as_size(a.constant // b.constant)
    whole, rest = _divide(a, b)
    if not rest.terms or _is_below(rest, b):
        return whole
    return whole + _quotient(rest, b)


def mod(a: Size, b: Size) -> Size:
    """`a % b` (floored), reduced; anything modulo 0 is 0, as in the language."""
    if b.constant in (0, 1, -1) or not a.terms:
        return ZERO
    if a.constant is not None and b.constant is not None:
        return as_size(a.constant % b.constant)
    _, rest = _divide(a, b)
    if not rest.terms or _is_below(rest, b):
        return rest
    return _single(Atom("mod", args=(rest, b)))


def minimum(a: Size, b: Size) -> Size:
    """`min(a, b)`, decided where the difference has a provable sign."""
    if is_nonnegative(b - a):
        return a
    if is_nonnegative(a - b):
        return b
    return _single(Atom("min", args=_ordered(a, b)))


def maximum(a: Size, b: Size) -> Size:
    """`max(a, b)`, decided where the difference has a provable sign."""
    if is_nonnegative(a - b):
        return a
    if is_nonnegative(b - a):
        return b
    return _single(Atom("max", args=_ordered(a, b)))


def is_nonnegative(size: Size) -> bool:
    """Whether `size >= 0` is proved for all non-negative values of the names (sound, incomplete)."""
    negative = [(m, c) for m, c in size.terms if c < 0]
    if not negative:
        return all(_atom_nonnegative(a) for m, _ in size.terms for a in m)
    atoms = dict.fromkeys(atom for monomial, _ in negative for atom in monomial)
    for atom in sorted(atoms, key=lambda atom: atom.kind != "index"):
        bound = _upper_bound(atom)
        if bound is None:
            continue
        inside = [(m, c, _without(m, (atom,))) for m, c in size.terms]
        parts = [(Size(((m, c),)), Size(((rest, c),))) for m, c, rest in inside if rest is not None]
        whole = sum((part for part, _ in parts), ZERO), sum((rest for _, rest in parts), ZERO)
        for part, factor in (whole, *parts):
            if is_nonnegative(ZERO - factor):
                return is_nonnegative(size - part + factor * bound)
    return False


def rebuild(size: Size, replace: Callable[[Atom], Size | None]) -> Size:
    """The size with `replace` applied to each atom bottom-up (None keeps it), canonical again."""
    if size.constant is not None:
        return size
    total = ZERO
    for monomial, c in size.terms:
        product = as_size(c)
        for atom in monomial:
            product = product * _rebuild_atom(atom, replace)
        total = total + product
    return total


def _rebuild_atom(atom: Atom, replace: Callable[[Atom], Size | None]) -> Size:
    direct = replace(atom)
    if direct is not None:
        return direct
    if atom.kind in ("name", "pack", "index"):
        return _single(atom)
    if atom.kind == "copy":
        return copy(rebuild(atom.args[0], replace), atom.name)
    new = _REMAKE[atom.kind](*(rebuild(arg, replace) for arg in atom.args))
    again = new.atom
    return new if again is None else (replace(again) or new)


_REMAKE: dict[str, Callable[[Size, Size], Size]] = {
    "floordiv": floordiv,
    "mod": mod,
    "min": minimum,
    "max": maximum,
}


def _require_short(length: int) -> None:
    """Raise TdslError, without a place, for a size that would be too long."""
    if length > MAX_LENGTH:
        raise faults.LONG_SIZE.at(limit=f"{MAX_LENGTH:,}")


def _single(atom: Atom) -> Size:
    return Size((((atom,), 1),))


def _ordered(a: Size, b: Size) -> tuple[Size, Size]:
    return (a, b) if a.text <= b.text else (b, a)


def _text(atom: Atom) -> str:
    return atom.text


def _collect(terms: Iterable[tuple[Monomial, int]]) -> Size:
    """Sum equal monomials, and rewrite `k*(a//k)` to `a - a%k` until nothing is left to rewrite."""
    sums: dict[Monomial, int] = {}
    for monomial, c in terms:
        sums[monomial] = sums.get(monomial, 0) + c
    for monomial, c in sums.items():
        if c:
            for atom in monomial:
                if atom.kind == "floordiv":
                    step = _absorb_quotient(monomial, c, atom)
                    if step is not None:
                        rest = ((m, d) for m, d in sums.items() if m is not monomial)
                        return _collect((*rest, *step))
    kept = [(m, c) for m, c in sums.items() if c]
    return Size(tuple(sorted(kept, key=lambda t: (-len(t[0]), [a.text for a in t[0]]))))


def _absorb_quotient(
    monomial: Monomial, c: int, quotient: Atom
) -> tuple[tuple[Monomial, int], ...] | None:
    """`c * m * (a//k)` as `q*m*(a - a%k) + r*m*(a//k)`, or None if `k` does not stand in `c * m`."""
    a, k = quotient.args
    others = list(monomial)
    others.remove(quotient)
    if len(k.terms) != 1:
        return None
    (factors, k_c) = k.terms[0]
    for factor in factors:
        if factor not in others:
            return None
        others.remove(factor)
    whole, r = divmod(c, k_c)
    if not whole:
        return None
    outer = Size(((tuple(others), whole),))
    absorbed = outer * (a - mod(a, k))
    return (*absorbed.terms, (monomial, r))


def _divide(a: Size, b: Size) -> tuple[Size, Size]:
    """`(q, r)` with `a = q*b + r` where q takes every term that `b` (one term) divides."""
    if a == b:
        return ONE, ZERO
    if len(b.terms) != 1:
        return ZERO, a
    factors, k = b.terms[0]
    whole, rest = ZERO, ZERO
    for monomial, c in a.terms:
        others = _without(monomial, factors)
        q, r = divmod(c, k) if others is not None else (0, c)
        if others is not None and q:
            whole = whole + Size(((others, q),))
        if r:
            rest = rest + Size(((monomial, r),))
    return whole, rest


def _without(monomial: Monomial, factors: Monomial) -> Monomial | None:
    left = list(monomial)
    for factor in factors:
        if factor not in left:
            return None
        left.remove(factor)
    return tuple(left)


def _quotient(a: Size, b: Size) -> Size:
    """The atom `a // b`, with constants in common cancelled and nested quotients merged."""
    common = gcd(*(c for _, c in a.terms), *(c for _, c in b.terms))
    if common > 1:
        a = Size(tuple((m, c // common) for m, c in a.terms))
        b = Size(tuple((m, c // common) for m, c in b.terms))
        return floordiv(a, b)
    inner = a.atom
    if inner is not None and inner.kind == "floordiv" and is_nonnegative(b):
        return floordiv(inner.args[0], inner.args[1] * b)
    return _single(Atom("floordiv", args=(a, b)))


def _is_below(a: Size, b: Size) -> bool:
    """Whether `0 <= a < b` is proved, from the ranges of indices."""
    return is_nonnegative(a) and is_nonnegative(b - 1 - a)


def _upper_bound(atom: Atom) -> Size | None:
    """The largest value of an atom, where its kind gives one."""
    if atom.kind == "index":
        return atom.args[0] - 1
    if atom.kind == "mod" and is_nonnegative(atom.args[1]):
        return atom.args[1] - 1
    if atom.kind == "min":
        return atom.args[0]
    if atom.kind == "floordiv" and is_nonnegative(atom.args[0]) and is_nonnegative(atom.args[1]):
        return None if atom.args[1].constant is None else atom.args[0]
    return None


def _atom_nonnegative(atom: Atom) -> bool:
    match atom.kind:
        case "name" | "pack" | "index":
            return True
        case "copy":
            return is_nonnegative(atom.args[0])
        case "floordiv":
            return is_nonnegative(atom.args[0]) and is_nonnegative(atom.args[1])
        case "mod":
            return is_nonnegative(atom.args[1])
        case "min":
            return all(is_nonnegative(arg) for arg in atom.args)
        case "max":
            return any(is_nonnegative(arg) for arg in atom.args)


def _product(values: Iterable[int]) -> int:
    result = 1
    for value in values:
        result *= value
    return result


def _atom_value(atom: Atom, values: Mapping[str, int]) -> int:
    if atom.kind in ("name", "pack"):
        return values[atom.name]
    if atom.kind == "index":
        return values[atom.text]
    if atom.kind == "copy":
        return atom.args[0].evaluate(values)
    a, b = (arg.evaluate(values) for arg in atom.args)
    match atom.kind:
        case "floordiv":
            return a // b if b else 0
        case "mod":
            return a % b if b else 0
        case "min":
            return min(a, b)
    return max(a, b)


def _atom_text(atom: Atom) -> str:
    if atom.kind in ("name", "pack"):
        return atom.name
    if atom.kind == "index":
        return f"i[{atom.args[0]}]"
    if atom.kind == "copy":
        return f"copy({atom.args[0]}, {atom.name})" if atom.name else f"copy({atom.args[0]})"
    a, b = atom.args
    if atom.kind in ("min", "max"):
        return f"{atom.kind}({a}, {b})"
    sign = "//" if atom.kind == "floordiv" else "%"
    return f"({_operand_text(a)}{sign}{_operand_text(b)})"


def _operand_text(size: Size) -> str:
    return size.text if size.atom or size.constant is not None else f"({size})"


def _size_text(terms: tuple[tuple[Monomial, int], ...]) -> str:
    if not terms:
        return "0"
    parts = []
    for monomial, c in terms:
        factors = [a.text for a in monomial]
        if abs(c) != 1 or not factors:
            factors.insert(0, str(abs(c)))
        sign = "-" if c < 0 else "+"
        parts.append(f" {sign} {'*'.join(factors)}")
    text = "".join(parts)
    return text[3:] if text.startswith(" + ") else "-" + text[3:]


ZERO = Size(())
ONE = Size((((), 1),))
