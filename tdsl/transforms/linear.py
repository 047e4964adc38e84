"""Simplify a derived Function: bring cotangents' arithmetic to what an expert writes by hand.

In: a Function made by differentiation, the nodes of its source, and its cotangent inputs. Out: an equal
Function (for finite values) with no more nodes. Source nodes are never touched.
Between: nodes that are linear in a cotangent are written as sums of products (`terms`); invariants are
drawn out of sums, sums of centred values vanish, products cancel, 0/1 factors are idempotent, a sum
against a one-hot is a gather; then `factor` writes nodes again. An addition that is used more than once
stays whole (expanding it makes layer norm unstable), unless it stands under a sum that thereby becomes
simpler. Repeats while the graph shrinks, since fewer uses allow more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tdsl.ir.dtype import may_be_float
from tdsl.ir.function import Function, Result
from tdsl.ir.node import Node, remake, uses
from tdsl.ops import (
    add,
    div,
    mul,
    neg,
    scatter,
    sub,
    sum_,
    where,
)
from tdsl.transforms.factor import Factory
from tdsl.transforms.simplify import is_constant, simplify, tidy
from tdsl.transforms.sums import Summation
from tdsl.transforms.terms import (
    ZERO,
    Guard,
    Poly,
    Term,
    atom,
    collect,
    inverse,
    scale,
    times,
)

MAX_TERMS = 8
MAX_FACTORS = 16
MAX_ROUNDS = 4
REDUCING = ("reduction", "contraction")


def simplify_linear(
    function: Function, source: frozenset[Node], cotangents: Sequence[Node]
) -> Function:
    """The simplest Function found: fewest reductions, then fewest nodes.

    The first round counts whatever it costs: it also moves factors inside `where`, which keeps a NaN of
    the branch not taken out of the gradient.
    """
    best = simplify(_Normaliser(function, source, cotangents).run(), source)
    for _ in range(MAX_ROUNDS):
        found = simplify(_Normaliser(best, source, cotangents).run(), source)
        if cost(found) >= cost(best):
            break
        best = found
    return best


def cost(function: Function) -> tuple[int, int]:
    """The numbers of reductions and of nodes, leaving out inputs, constants and size arithmetic."""
    counted = counted_nodes(function)
    return sum(node.op.family in REDUCING for node in counted), len(counted)


def counted_nodes(function: Function) -> list[Node]:
    """The nodes that compute something from an input, or along an axis."""
    varying: set[Node] = set()
    for node in function.nodes():
        if node.axes or node.op.family == "input" or any(o in varying for o in node.operands):
            varying.add(node)
    return [n for n in function.nodes() if n in varying and n.op.family != "input"]


class _Normaliser:
    """One walk over the graph, from operands to results."""

    def __init__(
        self, function: Function, source: frozenset[Node], cotangents: Sequence[Node]
    ) -> None:
        self.function = function
        self.source = source
        self.nodes = function.nodes()
        self.forms: dict[Node, Poly] = {}
        self.linear: set[Node] = set(cotangents)
        self.factory = Factory(self.nodes)
        self.sums = Summation(self.factory, self.linear)
        counts = uses(self.nodes)
        for result in function.results:
            counts[result.node] = counts.get(result.node, 0) + 1
        self.shared = {node for node, count in counts.items() if count > 1}
        self.built: dict[Node, Node] = {}

    def run(self) -> Function:
        """The function with every derived node rewritten."""
        for node in self.nodes:
            self._visit(node)
        results = tuple(Result(r.shape, self._build(r.node)) for r in self.function.results)
        return replace(self.function, results=results)

    def _visit(self, node: Node) -> None:
        if not may_be_float(node.dtype):
            self.built[node] = node if node in self.source else self._rebuilt(node)
            return
        if node in self.source or not node.operands:
            self.forms[node] = self._source_form(node)
            self.built[node] = node
            return
        form = self._form(node)
        is_long = len(form) > MAX_TERMS or any(len(t.powers) > MAX_FACTORS for t in form)
        if is_long or (len(form) > 1 and node in self.shared):
            form = self._whole(node, form)
        self.forms[node] = form

    def _source_form(self, node: Node) -> Poly:
        """A product for a product of the source, else the node as it is; linear nodes stay atoms."""
        if node in self.linear:
            return (atom(node),)
        if is_constant(node, 0):
            return ZERO
        static = self.factory.static_term(node)
        if static is not None:
            return (static,)
        product = self._product_of(node)
        if product is None and node.op is sum_:
            product = self.sums.of_source(node, self.forms[node.operands[0]])
        if product is None or product.guards or len(product.powers) > MAX_FACTORS:
            return (atom(node),)
        self.factory.learn(product, node)
        return (product,)

    def _product_of(self, node: Node) -> Term | None:
        """The term of a multiplicative node whose operands are single terms."""
        if node.op not in (mul, div, neg):
            return None
        forms = [self.forms[operand] for operand in node.operands]
        if any(len(form) != 1 for form in forms):
            return None
        (a, *rest) = (form[0] for form in forms)
        if node.op is neg:
            return times(a, Term(-1.0))
        return (
            times(a, rest[0] if node.op is mul else inverse(rest[0]))
            if not (node.op is div and rest[0].guards)
            else None
        )

    def _form(self, node: Node) -> Poly:
        """The normal form of a derived node."""
        forms = [self.forms.get(operand, ZERO) for operand in node.operands]
        is_linear = [operand in self.linear for operand in node.operands]
        if node.op in (add, sub) and all(
            is_one or not form for is_one, form in zip(is_linear, forms, strict=True)
        ):
            self.linear.add(node)
            second = forms[1] if node.op is add else scale(forms[1], Term(-1.0))
            return collect((*forms[0], *second))
        if node.op is neg:
            return self._mark(node, is_linear[0], scale(forms[0], Term(-1.0)))
        if node.op is mul:
            return self._multiplied(node, forms, is_linear)
        if node.op is div:
            return self._divided(node, forms, is_linear)
        if node.op is where and (not forms[1] or not forms[2]):
            return self._guarded(node, forms, is_linear)
        if node.op is sum_:
            return self._mark(node, is_linear[0], self.sums.of_derived(forms[0], node["axes"]))
        if node.op is scatter and not node["sums"] and node["axis"] not in node.operands[0].axes:
            guard = Guard(self.built[node.operands[1]], node["axis"])
            return self._mark(node, is_linear[0], scale(forms[0], Term(1.0, (), (guard,))))
        return self._opaque(node, forms, is_linear)

    def _mark(self, node: Node, is_linear: bool, form: Poly) -> Poly:
        if is_linear:
            self.linear.add(node)
        return form

    def _multiplied(self, node: Node, forms: list[Poly], is_linear: list[bool]) -> Poly:
        if not forms[0] or not forms[1]:
            return self._mark(node, any(is_linear), ZERO)
        if all(is_linear) or len(forms[0]) * len(forms[1]) > MAX_TERMS:
            return self._opaque(node, forms, is_linear)
        product = collect(times(a, b) for a in forms[0] for b in forms[1])
        return self._mark(node, any(is_linear), product)

    def _divided(self, node: Node, forms: list[Poly], is_linear: list[bool]) -> Poly:
        if is_linear[1] or not forms[1]:
            return self._opaque(node, forms, is_linear)
        divisor = forms[1][0]
        if len(forms[1]) > 1 or divisor.guards:
            divisor = atom(self._build(node.operands[1]))
        return self._mark(node, is_linear[0], scale(forms[0], inverse(divisor)))

    def _guarded(self, node: Node, forms: list[Poly], is_linear: list[bool]) -> Poly:
        condition = self.built[node.operands[0]]
        kept = collect(
            times(term, Term(1.0, (), (Guard(condition, keep=keep),)))
            for form, keep in ((forms[1], True), (forms[2], False))
            for term in form
        )
        return self._mark(node, any(is_linear), kept)

    def _opaque(self, node: Node, forms: list[Poly], is_linear: list[bool]) -> Poly:
        """Any other operation, on rewritten operands; a linear one of 0 is 0."""
        passes = node.op.is_linear or node.op in (where, add, sub, mul)
        if passes and any(is_linear):
            self.linear.add(node)
            followed = [form for form, is_one in zip(forms, is_linear, strict=True) if is_one]
            if node.op.is_linear and not any(followed):
                return ZERO
        rebuilt = self._rebuilt(node)
        if node in self.linear:
            self.linear.add(rebuilt)
        static = self.factory.static_term(rebuilt)
        return (static or atom(rebuilt),)

    def _whole(self, node: Node, form: Poly) -> Poly:
        """An addition that stays one value, remembered with its terms for the sums over it."""
        value = self.factory.build(form, node.dtype)
        self.built[node] = value
        if node in self.linear:
            self.linear.add(value)
        self.sums.expansions[value] = form
        return (atom(value),)

    def _rebuilt(self, node: Node) -> Node:
        operands = tuple(self._build(operand) for operand in node.operands)
        rebuilt = tidy(remake(node.op, operands, node.attrs))
        self.factory.note(rebuilt)
        return rebuilt

    def _build(self, node: Node) -> Node:
        if node not in self.built:
            self.built[node] = self.factory.build(self.forms[node], node.dtype)
        return self.built[node]
