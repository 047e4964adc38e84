"""Values at lanes beyond the end of a row, chosen and known so that reductions need no mask.

In: nodes of a kernel. Out: what reads are to be there, and which powers are 0 there. Between: where a row
has elements, a reduction of them and of what lies beyond is that of the elements, NaN included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tdsl.fusion.lower import value_of_nothing
from tdsl.ir.dtype import Dtype
from tdsl.ir.node import Node, topological
from tdsl.ops import cast, constant, exp, exp2, max_, min_, mul, sub, where


def lowest_or_highest(nodes: Iterable[Node]) -> dict[Node, float]:
    """What a read of floats is to be beyond the end, where an extremum is taken of it."""
    found: dict[Node, float] = {}
    for node in nodes:
        if node.op in (max_, min_):
            (x,) = node.operands
            while x.op is cast and _is_float(x):
                (x,) = x.operands
            if _is_float(x):
                found[x] = value_of_nothing(node.op.name, x.dtype)
    return found


def powered(x: Node) -> Node | None:
    """The value a of exp(c * (a - g)), c > 0, that is 0 where a is -inf; None for other nodes.

    With m = max(a), g is m, or a number in its place where m is -inf. Where m is NaN, so is the power of
    every element.
    """
    if x.op not in (exp, exp2):
        return None
    (exponent,) = x.operands
    if exponent.op is mul and exponent.operands[1].op is constant:
        exponent = exponent.operands[0] if exponent.operands[1]["value"] > 0 else exponent
    if exponent.op is not sub or not _is_guarded(exponent.operands[1]):
        return None
    return exponent.operands[0]


def _is_guarded(g: Node) -> bool:
    """Whether a value is a maximum, and a number in its place where that is -inf."""
    if g.op is not where:
        return False
    condition, instead, m = g.operands
    is_finite = instead.op is constant and math.isfinite(instead["value"])
    return m.op is max_ and is_finite and _holds_at(condition, m, -math.inf)


def _holds_at(condition: Node, x: Node, value: float) -> bool:
    """Whether a condition on x alone holds at a value of it."""
    known: dict[Node, Any] = {x: np.asarray(value)}
    for node in topological([condition], stop={x}):
        if node.op is constant:
            known[node] = np.asarray(node["value"])
        elif node.op.family == "pointwise" and all(operand in known for operand in node.operands):
            operands = (known[operand] for operand in node.operands)
            known[node] = node.op.evaluate(node, lambda size: 1)(*operands)
        elif node is not x:
            return False
    return bool(known[condition])


def _is_float(x: Node) -> bool:
    return isinstance(x.dtype, Dtype) and x.dtype.kind == "float"
