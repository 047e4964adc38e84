"""A reduction of what is also reduced along fewer axes goes on from there.

In: a normalised Function. Out: an equal one up to rounding: where positions are summed, and samples with
positions too, the latter adds up the former; factors that the positions share multiply their sum. Between:
what both reduce is read once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import reduce

from tdsl.ir.function import Function
from tdsl.ir.node import Node
from tdsl.ir.rewrite import keep, rebuild_function
from tdsl.ops import all_, any_, max_, min_, mul, prod, sum_

WHOLE = (sum_, prod, max_, min_, any_, all_)
"""Reductions that are the same in one step and in several: results have the dtype of accumulation."""
MOST_FACTORS = 8
"""A longer product counts as one number."""
Factors = Counter[Node]


def nested(function: Function) -> Function:
    """The Function with every reduction along the fewest axes that others leave to it."""
    while values := _shorter(function):
        function = rebuild_function(function, lambda node, o: values.get(node) or keep(node, o))
    return function


def _shorter(function: Function) -> Mapping[Node, Node]:
    """What to put for reductions, made of others."""
    known = {node: _factors(node) for node in function.nodes() if node.op in WHOLE and node["axes"]}
    uses = Counter(factor for factors in known.values() for factor in factors)
    users: defaultdict[Node, list[Node]] = defaultdict(list)
    for node, factors in known.items():
        # Under its rarest factor alone, so that few are looked at where all have one.
        users[min(factors, key=lambda factor: uses[factor])].append(node)
    values = {}
    for node, factors in known.items():
        others = (other for factor in factors for other in users[factor])
        parts = [other for other in others if _is_part(other, node, known)]
        if parts:
            part = max(parts, key=lambda part: len(part["axes"]))
            rest = tuple(axis for axis in node["axes"] if axis not in part["axes"])
            terms = reduce(mul, (factors - known[part]).elements(), part)
            values[node] = node.op(terms, axes=rest) if rest else terms
    return values


def _factors(node: Node) -> Factors:
    """What is multiplied in a sum; of anything else what is reduced."""
    factors, waiting = Factors(), [node.operands[0]]
    while waiting:
        x = waiting.pop()
        if node.op is sum_ and x.op is mul and x.dtype == node.dtype:
            waiting += x.operands
        else:
            factors[x] += 1
        if len(waiting) + factors.total() > MOST_FACTORS:
            return Factors(node.operands)
    return factors


def _is_part(part: Node, node: Node, known: Mapping[Node, Factors]) -> bool:
    """Whether the one is the other along fewer axes, but for factors that do not vary along those."""
    if part.op is not node.op or not known[part] <= known[node]:
        return False
    own, whole, rest = {*part["axes"]}, {*node["axes"]}, known[node] - known[part]
    is_less = own < whole or (own == whole and bool(rest))
    return is_less and all(own.isdisjoint(factor.axes) for factor in rest)
