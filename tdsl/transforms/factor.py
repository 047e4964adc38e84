"""Write a polynomial as nodes again, with few operations.

In: terms. Out: one node that computes their sum.
Between: the factor that most terms share is taken out first; a product that the source computes anyway
is used again, also inside a reduction, where an invariant may be drawn in again to that end; small
factors meet before large ones; scalars known from sizes alone are one scalar.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import combinations

from tdsl.ir.dtype import F64, AnyDtype
from tdsl.ir.node import Node
from tdsl.ir.size import Axis, Size
from tdsl.ops import (
    add,
    cast,
    cast_to,
    constant,
    div,
    mul,
    neg,
    scatter,
    size_,
    sub,
    sum_,
    where,
)
from tdsl.transforms.terms import (
    Guard,
    Poly,
    Powers,
    Term,
    atom,
    collect,
    covers,
    inverse,
    times,
    without,
)

Signed = tuple[float, Node]
Wrap = Callable[[Signed], Signed]


class Factory:
    """Builds nodes from terms, knowing the products and sums that stand in the graph already."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.rank: dict[Node, int] = {}
        self.multiplied: set[tuple[Node, ...]] = set()
        self.statics: dict[Node, Term | None] = {}
        self.products: dict[Node, Term] = {}
        self.reusable: dict[Node, Term] = {}
        self.sums: dict[Node, tuple[tuple[Axis, ...], Term]] = {}
        for node in nodes:
            self.note(node)

    def note(self, node: Node) -> None:
        """Remember that a node stands in the graph."""
        self.rank.setdefault(node, len(self.rank))
        if node.op is mul:
            self.multiplied.add(node.operands)
        self.static_term(node)

    def learn(self, term: Term, node: Node) -> None:
        """Remember that the source computes a product."""
        self.products[node] = term
        if len(term.powers) > 1 and term.coefficient == 1.0:
            self.reusable[node] = term

    def sum_node(self, value: Node, axes: Iterable[Axis]) -> Node:
        """The reduction, with its axes in the order of the value's."""
        wanted = set(axes)
        ordered = tuple(axis for axis in value.axes if axis in wanted)
        return sum_(value, axes=ordered)

    def dtype_of(self, term: Term) -> AnyDtype:
        """The dtype of a product: that of any factor that is no size."""
        for node, _ in term.powers:
            if self.static_term(node) is None:
                return node.dtype
        return F64

    def static_term(self, node: Node) -> Term | None:
        """The term of a scalar that follows from sizes and constants alone, else None.

        Operands are known before their users, so this never goes deep.
        """
        if node not in self.statics:
            self.statics[node] = self._static_term(node)
        return self.statics[node]

    def _static_term(self, node: Node) -> Term | None:
        if node.axes or node.op.family == "input":
            return None
        if node.op is constant:
            value = float(node["value"])
            return Term(value) if math.isfinite(value) and value != 0.0 else None
        if node.op is size_:
            return size_term(node["value"])
        if node.op is cast:
            return self.static_term(node.operands[0])
        if node.op in (mul, div, neg) and node.operands:
            parts = [self.static_term(operand) for operand in node.operands]
            if all(part is not None for part in parts):
                a, *rest = (part for part in parts if part is not None)
                if node.op is neg:
                    return times(a, Term(-1.0))
                return times(a, rest[0] if node.op is mul else inverse(rest[0]))
        return None

    def build(self, poly: Poly, dtype: AnyDtype) -> Node:
        """The node that computes the sum of the terms."""
        if not poly:
            return constant(value=0.0, dtype=dtype)
        sign, node = self._sum([self._prepared(term) for term in poly], dtype)
        return node if sign > 0 else self._made(neg(node))

    def _made(self, node: Node) -> Node:
        self.note(node)
        return node

    def _prepared(self, term: Term) -> Term:
        """The term with products that the source computes as single factors."""
        present = self._factors(term)
        for node, product in self.reusable.items():
            if product.powers[0][0] in present:
                drawn = self._drawn_in(term, product)
                if covers(drawn, product.powers):
                    drawn = times(without(drawn, product.powers), atom(node))
                if drawn is not term:
                    term, present = drawn, self._factors(drawn)
        return term

    def _factors(self, term: Term) -> set[Node]:
        """The factors of a term, and those inside the reductions among them."""
        own = [node for node, _ in term.powers]
        inner = [n for node in own if node in self.sums for n, _ in self.sums[node][1].powers]
        return {*own, *inner}

    def _drawn_in(self, term: Term, product: Term) -> Term:
        """Draw invariant factors into a reduction where they complete a product of the source."""
        for node, exponent in term.powers:
            if exponent != 1 or node not in self.sums:
                continue
            axes, inner = self.sums[node]
            rest = without(term, ((node, 1),))
            inside = tuple((n, e) for n, e in product.powers if inner.exponent(n))
            outside = tuple((n, e) for n, e in product.powers if not inner.exponent(n))
            movable = all(not set(axes) & set(n.axes) for n, _ in outside)
            if inside and outside and movable and covers(inner, inside) and covers(rest, outside):
                whole = times(inner, Term(1.0, outside))
                reduced = self._made(self.sum_node(self.build((whole,), node.dtype), axes))
                self.sums[reduced] = (axes, whole)
                return times(without(rest, outside), atom(reduced))
        return term

    def _sum(self, terms: list[Term], dtype: AnyDtype) -> Signed:
        if len(terms) == 1:
            return self._term(terms[0], dtype)
        guard = self._common_guard(terms)
        if guard is not None:
            return self._split(
                [_unguarded(t, guard) if guard in t.guards else t for t in terms],
                [guard in t.guards for t in terms],
                lambda inner: self._under(guard, inner),
                dtype,
            )
        factor = self._common_factor(terms)
        if factor is not None:
            chosen = [covers(t, factor.powers) and _scaled_alike(t, factor, self) for t in terms]
            rests = [
                times(t, inverse(factor)) if c else t for t, c in zip(terms, chosen, strict=True)
            ]
            return self._split(
                rests, chosen, lambda inner: self._times(inner, factor, dtype), dtype
            )
        total = self._term(terms[0], dtype)
        for term in terms[1:]:
            total = self._plus(total, self._term(term, dtype))
        return total

    def _split(self, terms: list[Term], chosen: list[bool], wrap: Wrap, dtype: AnyDtype) -> Signed:
        """`wrap` around the sum of the chosen terms, plus the sum of the others."""
        inner = [term for term, c in zip(terms, chosen, strict=True) if c]
        others = [term for term, c in zip(terms, chosen, strict=True) if not c]
        first = wrap(self._sum(list(collect(inner)), dtype))
        return self._plus(first, self._sum(others, dtype)) if others else first

    def _common_guard(self, terms: list[Term]) -> Guard | None:
        """A guard that several terms have, if any."""
        guards = [guard for term in terms for guard in term.guards]
        return next((g for g in guards if g.axis is None and guards.count(g) > 1), None)

    def _common_factor(self, terms: list[Term]) -> Term | None:
        """What the most terms share: a node, else a scalar; on a tie what has the most axes."""
        counts: dict[Powers, int] = {}
        for term in terms:
            if not term.guards:
                for node, e in term.powers:
                    if self.static_term(node) is None:
                        key = ((node, 1 if e > 0 else -1),)
                        counts[key] = counts.get(key, 0) + 1
        if counts:
            best = max(counts, key=lambda k: (counts[k], len(k[0][0].axes), -self.rank[k[0][0]]))
            if counts[best] > 1:
                return Term(1.0, best)
        scalars = [self.scalar_part(term) for term in terms if not term.guards]
        keys = [(scalar.coefficient, frozenset(scalar.powers)) for scalar in scalars]
        for scalar, same in zip(scalars, keys, strict=True):
            is_one = scalar.coefficient == 1.0 and not scalar.powers
            if not is_one and keys.count(same) > 1:
                return scalar
        return None

    def scalar_part(self, term: Term) -> Term:
        """The size of the coefficient, and the factors known from sizes alone."""
        powers = tuple((n, e) for n, e in term.powers if self.static_term(n) is not None)
        return Term(abs(term.coefficient), powers)

    def _plus(self, a: Signed, b: Signed) -> Signed:
        if a[0] > 0:
            return 1.0, self._made(add(a[1], b[1]) if b[0] > 0 else sub(a[1], b[1]))
        if b[0] > 0:
            return 1.0, self._made(sub(b[1], a[1]))
        return -1.0, self._made(add(a[1], b[1]))

    def _under(self, guard: Guard, inner: Signed) -> Signed:
        sign, node = inner
        if guard.axis is None:
            zero = constant(value=0.0, dtype=node.dtype)
            branches = (node, zero) if guard.keep else (zero, node)
            return sign, self._made(where(guard.node, *branches))
        return sign, self._made(scatter(node, guard.node, axis=guard.axis, sums=()))

    def _times(self, inner: Signed, factor: Term, dtype: AnyDtype) -> Signed:
        sign, node = inner
        other_sign, product = self._term(times(factor, atom(node)), dtype)
        return sign * other_sign, product

    def _term(self, term: Term, dtype: AnyDtype) -> Signed:
        """One product, its guards outermost; the sign is left to the sum it stands in."""
        sign = math.copysign(1.0, term.coefficient)
        scalar = self.scalar_part(term)
        factors = without(Term(1.0, term.powers), scalar.powers).powers
        up = [node for node, e in factors for _ in range(e)]
        down = [node for node, e in factors for _ in range(-e)]
        scale = self._scalar(scalar, dtype)
        node = self._quotient(up, down, scale, dtype)
        signed: Signed = sign, node
        for guard in sorted(term.guards, key=lambda g: g.axis is not None):
            signed = self._under(guard, signed)
        return signed

    def _scalar(self, scalar: Term, dtype: AnyDtype) -> Node | None:
        """The scalar factor in the dtype it meets, computed in f64; None if it is 1."""
        if not scalar.powers:
            value = scalar.coefficient
            return None if value == 1.0 else constant(value=value, dtype=dtype)
        total = constant(value=scalar.coefficient, dtype=F64)
        for node, e in scalar.powers:
            for _ in range(abs(e)):
                total = (mul if e > 0 else div)(total, cast_to(node, F64))
        return cast_to(total, dtype)

    def _quotient(
        self, up: list[Node], down: list[Node], scale: Node | None, dtype: AnyDtype
    ) -> Node:
        """`scale * product(up) / product(down)`, dividing as early as the axes are few."""
        if not up:
            top = scale or constant(value=1.0, dtype=dtype)
            return self._made(div(top, self._product(down))) if down else top
        if down:
            bottom = self._product(down)
            small = [n for n in up if set(n.axes) <= set(bottom.axes)] or [self._largest(up)]
            rest = list(up)
            for node in small:
                rest.remove(node)
            over = self._made(div(self._scaled(self._product(small), scale), bottom))
            return self._product([*rest, over])
        if scale is not None:
            least = min(up, key=lambda n: (len(n.axes), self.rank[n]))
            rest = list(up)
            rest.remove(least)
            return self._product([*rest, self._scaled(least, scale)])
        return self._product(up)

    def _largest(self, nodes: list[Node]) -> Node:
        return max(nodes, key=lambda n: (len(n.axes), -self.rank[n]))

    def _scaled(self, node: Node, scale: Node | None) -> Node:
        return node if scale is None else self._made(mul(node, scale))

    def _product(self, factors: list[Node]) -> Node:
        """The product, by pairs: first what stands in the graph, then what stays smallest."""
        left = list(factors)
        while len(left) > 1:
            a, b = min(combinations(left, 2), key=self._pairing)
            left.remove(a)
            left.remove(b)
            left.append(self._made(mul(b, a) if (b, a) in self.multiplied else mul(a, b)))
        return left[0]

    def _pairing(self, pair: tuple[Node, Node]) -> tuple[int, int, int, int, int]:
        a, b = pair
        union = len(set(a.axes) | set(b.axes))
        grows = union > max(len(a.axes), len(b.axes))
        known = (a, b) in self.multiplied or (b, a) in self.multiplied
        ranks = sorted((self.rank[a], self.rank[b]))
        return union, int(grows), int(not known), ranks[0], ranks[1]


def size_term(size: Size) -> Term:
    """A size as a product of indivisible ones, so that `N*D` cancels against `N` and `D`."""
    if len(size.terms) != 1:
        return atom(size_(value=size))
    ((monomial, coefficient),) = size.terms
    product = Term(float(coefficient))
    for factor in monomial:
        product = times(product, atom(size_(value=Size((((factor,), 1),)))))
    return product


def _unguarded(term: Term, guard: Guard) -> Term:
    return Term(term.coefficient, term.powers, tuple(g for g in term.guards if g != guard))


def _scaled_alike(term: Term, factor: Term, factory: Factory) -> bool:
    """Whether a term has the scalar that is taken out (any has it, if that is 1)."""
    if term.guards:
        return False
    if factor.coefficient == 1.0 and all(factory.static_term(n) is None for n, _ in factor.powers):
        return True
    own = factory.scalar_part(term)
    return own.coefficient == factor.coefficient and set(own.powers) == set(factor.powers)
