"""Where values lie whatever the inputs are: functions of a part of all numbers have cheaper forms.

In: a node. Out: the interval of its values, or the name of a function for it. Between: a value that is in
no interval is NaN; only operations tell, none of which rounds a smaller value above a larger one.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf

from tdsl.ir.dtype import F32
from tdsl.ir.node import Node
from tdsl.ops import abs_, constant, exp, log1p, maximum, minimum, mul, neg

Interval = tuple[float, float]
NARROW = {exp: ("exp_nonpositive", (-inf, 0.0)), log1p: ("log1p_unit", (0.0, 1.0))}
"""Functions of f32 of which there is a form for numbers of an interval."""


def narrow(node: Node) -> str | None:
    """The name of the function for where the operand lies, if there is one."""
    if node.op not in NARROW or node.dtype != F32:
        return None
    name, (low, high) = NARROW[node.op]
    least, most = interval(node.operands[0])
    return name if low <= least and most <= high else None


@lru_cache(1024)
def interval(node: Node) -> Interval:
    """The least and the greatest value that a node may have. Remembered: minima may share operands."""
    if node.op is constant:
        return float(node["value"]), float(node["value"])
    if node.op is abs_ or (node.op is mul and node.operands[0] is node.operands[1]):
        return 0.0, inf
    if node.op not in (neg, exp, minimum, maximum):
        return -inf, inf
    (low, high), *others = map(interval, node.operands)
    if node.op is neg:
        return -high, -low
    if node.op is exp:
        return (0.0, 1.0) if high <= 0 else (0.0, inf)
    pick = min if node.op is minimum else max
    return pick(low, others[0][0]), pick(high, others[0][1])
