"""Sums that do not wait for what their terms refer to: one stream over a row serves both.

In: the nodes of a kernel and its columns. Out: `Passes`: when each value is known, and the sums that join
the pass of the reduction that their terms wait for. Between: no function is known by name, only the
algebra of the terms, with a value g of the row that follows from that reduction and values known before:

- *rescaled*: sum of r * exp(a - g), where m = max(a) is waited for. What was summed with g of the maximum
  so far, times exp(g - g'), is the sum with g' (Milakov and Gimelshein, "Online normalizer calculation for
  softmax", arXiv:1805.02867). Where m is -inf every a is, so that the sum is 0 about any finite g.
- *centred*: sum of (a - g) ** 2, where s = sum(a) is waited for. Squares about the means of two parts and
  the distance of the means give those about the mean of both (Chan, Golub and LeVeque, "Algorithms for
  computing the sample variance", 1983); with n terms the sum is that, and n * (s / n - g) ** 2.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from tdsl.fusion.passes import pass_numbers
from tdsl.ir.dtype import F32, F64
from tdsl.ir.node import Node, topological
from tdsl.ir.size import Size
from tdsl.ops import cast, constant, div, exp, exp2, max_, mul, neg, sub, sum_, where

FLOATS = (F32, F64)
"""What is computed with: values of 16 bits are rounded, so that they are no multiples of each other."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A sum in the pass of `head`, the maximum or the sum that its terms wait for.

    `difference` is a - g. `exponential`: the power of it, or of a multiple of it, of which the terms are
    multiples; None where they are squares.
    """

    head: Node
    difference: Node
    exponential: Node | None = None

    @property
    def reference(self) -> Node:
        """The value g of the row."""
        return self.difference.operands[1]


@dataclass(frozen=True, slots=True)
class Passes:
    """The pass in which each value is first known, and the sums that join an earlier pass."""

    known: Mapping[Node, int]
    joined: Mapping[Node, Joined]

    def of(self, reduction: Node) -> int:
        """The pass that has a reduction's operand, or its terms."""
        joins = reduction in self.joined
        return self.known[reduction] - 1 if joins else self.known[reduction.operands[0]]


def streamed_passes(nodes: Sequence[Node], columns: set[Size]) -> Passes:
    """The passes over a row that is streamed along these columns."""
    joined: dict[Node, Joined] = {}

    def joins(node: Node, known: Mapping[Node, int]) -> bool:
        found = _joined(node, columns, known) if node.op is sum_ else None
        if found is not None:
            joined[node] = found
        return found is not None

    return Passes(pass_numbers(nodes, columns, joins), joined)


def _joined(node: Node, columns: set[Size], known: Mapping[Node, int]) -> Joined | None:
    """How a sum joins the one reduction that its terms wait for, if it can."""
    (term,) = node.operands
    waits = {n for n in topological([term]) if known[n] == known[term]}
    heads = [n for n in waits if n.op.family == "reduction" and _is_new(n, known)]
    alike = all(set(n["axes"]) == columns and n.dtype in FLOATS for n in (node, *heads))
    if len(heads) != 1 or not alike:
        return None
    (head,) = heads
    found = None
    if head.op is max_:
        power = _exponential(term, waits)
        found = power and Joined(head, _unscaled(power.operands[0]), power)
    elif head.op is sum_ and term.op is mul and term.operands[0] is term.operands[1]:
        found = Joined(head, term.operands[0])
    return found if found and _refers(found, columns, waits) else None


def _is_new(reduction: Node, known: Mapping[Node, int]) -> bool:
    """Whether a pass ends with a reduction, so that what uses it waits."""
    return known[reduction] > max(known[operand] for operand in reduction.operands)


def _exponential(term: Node, waits: Container[Node]) -> Node | None:
    """The power of which a term is a multiple, by values that do not wait; 0 where it is masked."""
    late = [operand for operand in term.operands if operand in waits]
    if term.op in (exp, exp2):
        return term
    if term.op is where and term.operands[0] not in waits:
        powers = {_exponential(operand, waits) for operand in late}
        others = [operand for operand in term.operands[1:] if operand not in waits]
        is_masked = all(o.op is constant and o["value"] == 0 for o in others)
        return powers.pop() if is_masked and len(powers) == 1 else None
    is_scaled = term.op is mul or (term.op is div and term.operands[0] in waits)
    is_same = term.op is neg or (term.op is cast and term.dtype in FLOATS)
    return _exponential(late[0], waits) if len(late) == 1 and (is_scaled or is_same) else None


def _unscaled(x: Node) -> Node:
    """What an exponent is a multiple of."""
    is_scaled = x.op is mul and x.operands[1].op is constant
    return x.operands[0] if is_scaled else x


def _refers(found: Joined, columns: set[Size], waits: Container[Node]) -> bool:
    """Whether a difference is from the head's operand, and to what follows from the head alone."""
    if found.difference.op is not sub or found.difference.dtype not in FLOATS:
        return False
    a, g = found.difference.operands
    if a in waits or columns & set(g.axes) or _plain(a) is not _plain(found.head.operands[0]):
        return False
    between = (node for node in topological([g], stop={found.head}) if node in waits)
    return g in waits and all(n is found.head or n.op.family == "pointwise" for n in between)


def _plain(node: Node) -> Node:
    while node.op is cast:
        node = node.operands[0]
    return node
