"""Sums over axes of polynomials: what can be said without computing them.

In: a polynomial and the axes to sum over. Out: the polynomial of the sum, in which each reduction left
over is one node.
Between: invariants stand outside; a factor never leaves a guard that varies along the summed axes,
since outside it a NaN of the branch not taken would show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tdsl.ir.node import Node
from tdsl.ir.size import Axis
from tdsl.ops import add, sub, take
from tdsl.transforms.factor import Factory, size_term
from tdsl.transforms.terms import Poly, Term, atom, collect, scale, times, without

ATTEMPTS = 64
"""How many products one sum multiplies out: derivatives of the library's functions need at most eleven."""


class Summation:
    """Sums of terms. `expansions` holds the terms of additions that were kept whole."""

    def __init__(self, factory: Factory, linear: set[Node]) -> None:
        self.factory = factory
        self.linear = linear
        self.expansions: dict[Node, Poly] = {}
        self._tried: dict[tuple[object, ...], Poly | None] = {}
        self._left = ATTEMPTS

    def of_source(self, node: Node, operand: Poly) -> Term | None:
        """The term of a sum in the source: invariants outside, so that it meets derived sums."""
        if len(operand) != 1 or operand[0].guards:
            return None
        outer, inner = _split(operand[0], node["axes"])
        if not outer.powers and outer.coefficient == 1.0:
            self.factory.sums[node] = (tuple(node["axes"]), inner)
            return None
        if not inner.powers:
            return None
        return times(outer, self._reduced(inner, node["axes"]))

    def of_derived(self, operand: Poly, axes: Sequence[Axis]) -> Poly:
        """The sum of a derived polynomial.

        Products of several additions have parts in common, whichever is multiplied out first: each is tried
        once. Even so there may be exponentially many.
        """
        self._tried, self._left = {}, ATTEMPTS
        return collect(part for term in operand for part in self._sum(term, tuple(axes)))

    def _sum(self, term: Term, axes: tuple[Axis, ...]) -> Poly:
        one_hot = next((g for g in term.guards if g.axis in axes), None)
        if one_hot is not None and one_hot.axis is not None:
            rest = tuple(axis for axis in axes if axis != one_hot.axis)
            gathered = self._gather(term, one_hot.axis, one_hot.node)
            return self._sum(gathered, rest) if rest else (gathered,)
        outer, inner = _split(term, axes)
        if not inner.powers and not inner.guards:
            return (times(outer, _count(axes)),)
        tried = (inner.key, axes)
        if tried not in self._tried:
            self._tried[tried] = self._expanded(inner, axes)
        simpler = self._tried[tried]
        if simpler is not None:
            return scale(simpler, outer)
        missing = tuple(axis for axis in axes if axis not in inner.axes)
        rest = tuple(axis for axis in axes if axis in inner.axes)
        return (times(times(outer, _count(missing)), self._reduced(inner, rest)),)

    def _gather(self, term: Term, axis: Axis, index: Node) -> Term:
        """The sum over `axis` against a one-hot: what varies along it (or is linear) read at `index`."""
        guards = tuple(g for g in term.guards if not (g.axis == axis and g.node is index))
        outside = tuple(
            (n, e) for n, e in term.powers if axis not in n.axes and n not in self.linear
        )
        if any(axis in guard.axes for guard in guards):
            outside = ()
        inside = without(Term(1.0, term.powers, guards if not outside else ()), outside)
        kept = guards if outside else ()
        value = self.factory.build((inside,), self.factory.dtype_of(inside))
        node = take(value, index, axis=axis)
        self._mark(node, inside)
        return Term(term.coefficient, (*outside, (node, 1)), kept)

    def _expanded(self, inner: Term, axes: tuple[Axis, ...]) -> Poly | None:
        """The sum with an addition inside multiplied out, if that leaves less to do than before."""
        for node, exponent in inner.powers:
            if exponent != 1 or not self._left:
                continue
            rest = without(inner, ((node, 1),))
            if node in self.expansions:
                result = self._attempt(rest, self.expansions[node], axes)
                if len(result) <= 1:
                    return result
            elif node.op in (add, sub) and node not in self.linear:
                sign = 1.0 if node.op is add else -1.0
                parts = (*self._parts(node.operands[0], 1.0), *self._parts(node.operands[1], sign))
                if not self._attempt(rest, parts, axes):
                    return ()
        return None

    def _attempt(self, rest: Term, parts: Poly, axes: tuple[Axis, ...]) -> Poly:
        self._left -= 1
        products = collect(times(rest, part) for part in parts)
        return collect(part for term in products for part in self._sum(term, axes))

    def _parts(self, node: Node, sign: float) -> Poly:
        term = self.factory.products.get(node) or self.factory.static_term(node) or atom(node)
        return (times(term, Term(sign)),)

    def _reduced(self, inner: Term, axes: tuple[Axis, ...]) -> Term:
        """One reduction as a factor. A sum of a sum is one sum."""
        if len(inner.powers) == 1 and not inner.guards:
            ((node, exponent),) = inner.powers
            nested = self.factory.sums.get(node)
            if exponent == 1 and nested is not None:
                return self._reduced(nested[1], (*nested[0], *axes))
        value = self.factory.build((inner,), self.factory.dtype_of(inner))
        node = self.factory.sum_node(value, axes)
        self.factory.sums[node] = (axes, inner)
        self._mark(node, inner)
        return atom(node)

    def _mark(self, node: Node, inner: Term) -> None:
        self.factory.note(node)
        if any(factor in self.linear for factor, _ in inner.powers):
            self.linear.add(node)


def _split(term: Term, axes: Iterable[Axis]) -> tuple[Term, Term]:
    """`(outer, inner)`: the factors that do not vary along the axes, and the others."""
    summed = frozenset(axes)
    if any(guard.axes & summed for guard in term.guards):
        return Term(term.coefficient), Term(1.0, term.powers, term.guards)
    outside = tuple((n, e) for n, e in term.powers if not summed & frozenset(n.axes))
    inside = tuple((n, e) for n, e in term.powers if summed & frozenset(n.axes))
    return Term(term.coefficient, outside, term.guards), Term(1.0, inside)


def _count(axes: Sequence[Axis]) -> Term:
    """The number of elements along the axes."""
    count = Term(1.0)
    for axis in axes:
        count = times(count, size_term(axis))
    return count
