"""Sums of products: the normal form in which derivative nodes are compared and cancelled.

A `Term` is `coefficient * product(node ** exponent)`, zero outside its guards. A `Poly` is a sum of
terms, no two of which differ in the coefficient alone; the empty one is 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tdsl.ir.node import Node
from tdsl.ir.size import Axis

Powers = tuple[tuple[Node, int], ...]


@dataclass(frozen=True, slots=True)
class Guard:
    """Where a term may differ from 0.

    Without `axis`: where the bool `node` equals `keep`. With it: where the index along `axis` equals
    the integer `node` (a one-hot).
    """

    node: Node
    axis: Axis | None = None
    keep: bool = True

    @property
    def axes(self) -> frozenset[Axis]:
        """The axes along which the guard varies."""
        own = frozenset(self.node.axes)
        return own if self.axis is None else own | {self.axis}


@dataclass(frozen=True, slots=True)
class Term:
    """One product. `powers` holds no exponent 0 and no node twice."""

    coefficient: float
    powers: Powers = ()
    guards: tuple[Guard, ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        """What two terms that can be added have in common."""
        return frozenset(self.powers), frozenset(self.guards)

    @property
    def axes(self) -> frozenset[Axis]:
        """The axes of the product, guards included."""
        own = frozenset(axis for node, _ in self.powers for axis in node.axes)
        return own.union(*(guard.axes for guard in self.guards))

    def exponent(self, node: Node) -> int:
        """The exponent of `node`, 0 if it is no factor."""
        return next((e for n, e in self.powers if n is node), 0)


Poly = tuple[Term, ...]
ZERO: Poly = ()


def atom(node: Node) -> Term:
    """The node as a term of its own."""
    return Term(1.0, ((node, 1),))


def times(a: Term, b: Term) -> Term:
    """The product. Guards are 0 or 1, so a common one counts once."""
    exponents = dict(a.powers)
    for node, e in b.powers:
        exponents[node] = exponents.get(node, 0) + e
    powers = tuple((n, e) for n, e in exponents.items() if e)
    guards = tuple(dict.fromkeys((*a.guards, *b.guards)))
    return Term(a.coefficient * b.coefficient, powers, guards)


def inverse(term: Term) -> Term:
    """The reciprocal of an unguarded term with a non-zero coefficient."""
    return Term(1.0 / term.coefficient, tuple((n, -e) for n, e in term.powers))


def scale(poly: Poly, factor: Term) -> Poly:
    """Every term times `factor`."""
    return collect(times(term, factor) for term in poly)


def collect(terms: Iterable[Term]) -> Poly:
    """The sum of the terms: equal products merged, vanished ones dropped, order of first appearance."""
    sums: dict[tuple[object, ...], Term] = {}
    for term in terms:
        known = sums.get(term.key)
        total = term.coefficient + (known.coefficient if known else 0.0)
        sums[term.key] = replace(known or term, coefficient=total)
    return tuple(term for term in sums.values() if term.coefficient != 0.0)


def without(term: Term, powers: Powers) -> Term:
    """The term divided by `powers`; its coefficient and guards stay."""
    return times(term, Term(1.0, tuple((n, -e) for n, e in powers)))


def covers(term: Term, powers: Iterable[tuple[Node, int]]) -> bool:
    """Whether `powers` divides the term: each exponent of the same sign and no larger."""
    return all(0 < e <= term.exponent(n) or 0 > e >= term.exponent(n) for n, e in powers)
