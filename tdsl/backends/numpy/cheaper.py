"""The same values in fewer passes: selections that are something NumPy does faster.

In: nodes of a kernel. Out: nodes. Between: the axes stay, and every value but for the sign of a zero or of
a NaN. A rule is a function of a node whose operands have been rewritten: the better node, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isnan as isnan_

import numpy as np

from tdsl.backends.numpy.ranges import (
    ABOVE,
    BELOW,
    joined,
    quadratic,
    saturated,
    shrunk,
    sloped,
    value,
    weighted,
)
from tdsl.ir.dtype import F32, F64
from tdsl.ir.node import Node
from tdsl.ir.rewrite import keep, rewrite
from tdsl.ops import (
    abs_,
    add,
    bitand,
    bitnot,
    bitor,
    cast,
    clamp,
    constant,
    div,
    equal,
    exp,
    greater_equal,
    isnan,
    less,
    log,
    maximum,
    minimum,
    mul,
    neg,
    numpy_dtype,
    sub,
    where,
)

Rule = Callable[[Node], Node | None]


def cheaper(roots: Iterable[Node]) -> dict[Node, Node]:
    """The new node of each node that the roots need."""
    return rewrite(roots, _visit)


def _visit(old: Node, operands: tuple[Node, ...]) -> Node:
    node = keep(old, operands)
    while (better := _better(node)) is not None:
        node = better
    return node


def _better(node: Node) -> Node | None:
    for rule in RULES.get(node.op.name, ()):
        found = rule(node)
        if found is not None and {*found.axes} == {*node.axes}:
            return found
    return None


def _bound(node: Node) -> Node | None:
    """Where x > k, k, else x: the smaller of both; so too where x has been kept above a smaller number."""
    condition, k, y = node.operands
    limit = value(k)
    if limit is None or isnan_(limit) or condition.op not in (*ABOVE, *BELOW):
        return None
    x, against = condition.operands
    if against is not k or not (y is x or _is_bounded(y, x, limit)):
        return None
    return minimum(y, k) if condition.op in ABOVE else maximum(y, k)


def _clamped(node: Node) -> Node | None:
    """The larger of k and of the smaller of x and a number not below k: one operation."""
    inner, low = node.operands
    limit = value(low)
    if limit is None or inner.op is not minimum or not (inner.axes and node.dtype in (F32, F64)):
        return None
    high = value(inner.operands[1])
    return (
        clamp(inner.operands[0], low, inner.operands[1])
        if high is not None and high >= limit
        else None
    )


def _is_bounded(y: Node, x: Node, limit: float) -> bool:
    """Whether y is the smaller of x and a number that is not below the limit, or the reverse."""
    if y.op not in (minimum, maximum) or y.operands[0] is not x:
        return False
    other = value(y.operands[1])
    return other is not None and (other >= limit if y.op is minimum else other <= limit)


def _rectified(node: Node) -> Node | None:
    """Where x > k, x; where x is NaN, x; else k: the larger of both."""
    condition, x, rest = node.operands
    if condition.op not in ABOVE or rest.op is not where or condition.operands[0] is not x:
        return None
    is_none, same, k = rest.operands
    fits = is_none is isnan(x) and same is x and k is condition.operands[1]
    return maximum(x, k) if fits and value(k) is not None else None


def _absolute(node: Node) -> Node | None:
    """Where x < 0, x, else -x: -|x|, and the reverse."""
    condition, a, b = node.operands
    if condition.op not in BELOW or value(condition.operands[1]) != 0:
        return None
    x = condition.operands[0]
    if a is x and b is neg(x):
        return neg(abs_(x))
    return abs_(x) if b is x and a is neg(x) else None


def _one_selection(node: Node) -> Node | None:
    """A selection in a selection that both give the same number otherwise: one, of two conditions."""
    condition, a, b = node.operands
    if value(a) is not None and b.op is where:
        inner, x, y = b.operands
        if x is a:
            return where(bitor(condition, inner), a, y)
        return where(bitand(bitnot(condition), inner), x, a) if y is a else None
    if value(b) is not None and a.op is where:
        inner, x, y = a.operands
        if y is b:
            return where(bitand(condition, inner), x, b)
        return where(bitand(condition, bitnot(inner)), y, b) if x is b else None
    return None


def _zero(node: Node) -> tuple[Node, Node, bool] | None:
    """The condition and the other value of a selection of 0, and whether 0 stands second."""
    if node.op is not where:
        return None
    condition, a, b = node.operands
    if value(b) == 0:
        return condition, a, True
    return (condition, b, False) if value(a) == 0 else None


def _sum_of_selections(node: Node) -> Node | None:
    """Two selections, else 0, under opposite conditions are one; so are disjoint ones of the same value."""
    first, second = (_zero(operand) for operand in node.operands)
    if first is None or second is None:
        return None
    (c, x, x_first), (d, y, y_first) = first, second
    if c is d and x_first != y_first:
        return where(c, x, y) if x_first else where(c, y, x)
    if x is y and x_first and y_first and d.op is bitand and d.operands[1] is bitnot(c):
        return where(bitor(c, d.operands[0]), x, node.operands[0].operands[2])
    return None


def _sigmoid(node: Node) -> Node | None:
    """Where x < 0, e, else 1, over 1 + e, with e = exp(-|x|): the larger of e and of whether x >= 0."""
    top, below = node.operands
    if top.op is not where or below.op is not add:
        return None
    condition, e, one = top.operands
    if (
        e.op is not exp
        or condition.op is not less
        or value(one) != 1
        or {*below.operands} != {one, e}
    ):
        return None
    x, zero = condition.operands
    if value(zero) != 0 or e is not exp(neg(abs_(x))):
        return None
    return div(maximum(e, cast(greater_equal(x, zero), dtype=e.dtype)), below)


def _one_for_zero(node: Node) -> Node | None:
    """Where y = 0, 1, else y: the sum of y and of whether it is 0."""
    condition, a, y = node.operands
    if condition.op is not equal or value(a) != 1 or condition.operands[0] is not y:
        return None
    is_float = value(condition.operands[1]) == 0 and y.dtype in (F32, F64)
    return add(y, cast(condition, dtype=y.dtype)) if is_float else None


def _y_log_y(node: Node) -> Node | None:
    """Where y = 0, 0, else y log(where y = 0, 1, else y): with a finite logarithm the product is 0."""
    condition, a, product = node.operands
    if value(a) != 0 or product.op is not mul or condition.op is not equal:
        return None
    y, factor = product.operands
    fits = condition.operands[0] is y and factor.op is log and y.dtype in (F32, F64)
    if not fits or factor.operands[0] is not add(y, cast(condition, dtype=y.dtype)):
        return None
    least = float(np.finfo(numpy_dtype(y.dtype)).min)
    return mul(y, maximum(log(y), constant(value=least, dtype=y.dtype)))


def _size(node: Node) -> Node | None:
    """The size of a negated value is its own."""
    (x,) = node.operands
    return abs_(x.operands[0]) if x.op is neg else None


def _negated(node: Node) -> Node | None:
    """The negation of a number or a row is cheaper than that of a product with it, or a selection of it."""
    (x,) = node.operands
    if x.op is add:
        return _negated_sum(x)
    if x.op is mul:
        for factor, other in (x.operands, x.operands[::-1]):
            if len(factor.axes) < len(node.axes) == len(other.axes):
                return mul(other, neg(factor))
    found = _zero(x)
    if found is None or len(found[1].axes) == len(node.axes):
        return None
    condition, kept, is_second = found
    zero = x.operands[2 if is_second else 1]
    return where(condition, neg(kept), zero) if is_second else where(condition, zero, neg(kept))


def _negated_sum(node: Node) -> Node | None:
    """-(the larger of -x and a number, + y): the smaller of x and another number, less y."""
    first, second = node.operands
    if first.op is not maximum or first.operands[0].op is not neg:
        return None
    bound = value(first.operands[1])
    if bound is None:
        return None
    limit = constant(value=0.0 - bound, dtype=node.dtype)
    return sub(minimum(first.operands[0].operands[0], limit), second)


RULES: dict[str, tuple[Rule, ...]] = {
    where.name: (
        *(_bound, _rectified, _absolute, _one_for_zero, _y_log_y),
        *(sloped, joined, saturated, shrunk, quadratic, weighted, _one_selection),
    ),
    add.name: (_sum_of_selections,),
    div.name: (_sigmoid,),
    abs_.name: (_size,),
    neg.name: (_negated,),
    maximum.name: (_clamped,),
}
