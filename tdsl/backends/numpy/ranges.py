"""Selections by where a value lies, without any: NumPy keeps a value between bounds in one pass.

In: a selection whose operands have been rewritten. Out: a node that has the same values, but for the sign
of a zero, or None. Between: whether numbers fit is asked of the operations themselves, in their own dtype.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np

from tdsl.backends.numpy.functions import function_of
from tdsl.ir.dtype import F32, F64
from tdsl.ir.node import Node
from tdsl.ops import (
    abs_,
    add,
    clamp,
    constant,
    div,
    exp,
    expm1,
    greater,
    greater_equal,
    less,
    less_equal,
    maximum,
    minimum,
    mul,
    not_equal,
    numpy_dtype,
    sign,
    sub,
    where,
)

ABOVE, BELOW = (greater, greater_equal), (less, less_equal)
Limit = tuple[Node, float, float]


def value(node: Node) -> float | None:
    """The value of a constant."""
    return float(node["value"]) if node.op is constant else None


def sloped(node: Node) -> Node | None:
    """Where x > 0, x, else k x, with k above 0 and at most 1: the larger of both."""
    condition, x, y = node.operands
    if not _is_float(node) or condition.op not in ABOVE or condition.operands[0] is not x:
        return None
    path = _path(y, x)
    fits = value(condition.operands[1]) == 0 and path is not None and len(path) == 1
    if not fits or y.op is not mul:
        return None
    (k,) = (found for operand in y.operands if (found := value(operand)) is not None)
    return maximum(x, y) if 0 < k <= 1 else None


def joined(node: Node) -> Node | None:
    """Where x > 0, x, else f(the smaller of x and 0), with f(0) = 0: the positive part and that."""
    condition, x, y = node.operands
    if not _is_float(node) or condition.op not in ABOVE or condition.operands[0] is not x:
        return None
    zero = condition.operands[1]
    path = _path(y, minimum(x, zero)) if value(zero) == 0 else None
    if path is None or not all(step.op in (expm1, mul, div) for step in path):
        return None
    return add(maximum(x, zero), y) if _follow(path, 0.0) == 0 else None


def saturated(node: Node) -> Node | None:
    """Where x <= a, f(a), where x >= b, f(b), else f(x), with f increasing: f(x) between these two."""
    first, second = _limit(node), _limit(node.operands[2])
    if not _is_float(node) or first is None or second is None:
        return None
    low, high = (first, second) if first[0].op in BELOW else (second, first)
    x, f = low[0].operands[0], node.operands[2].operands[2]
    if low[0].op not in BELOW or high[0].op not in ABOVE or high[0].operands[0] is not x:
        return None
    path = _path(f, x)
    if path is None or not low[1] < high[1] or not all(map(_is_increasing, path)):
        return None
    fits = all(_follow(path, at) == found for _, at, found in (low, high))
    return (
        clamp(f, *(constant(value=found, dtype=f.dtype) for *_, found in (low, high)))
        if fits
        else None
    )


def shrunk(node: Node) -> Node | None:
    """Where |x| <= k, 0, else x - k sign(x): x less what it is between -k and k."""
    condition, zero, rest = node.operands
    if condition.op not in BELOW or value(zero) != 0 or rest.op is not sub:
        return None
    size, k = condition.operands
    x, limit = rest.operands[0], value(k)
    if limit is None or limit < 0 or not isfinite(limit) or size is not abs_(x):
        return None
    fits = rest.operands[1] in (mul(k, sign(x)), mul(sign(x), k))
    return sub(x, clamp(x, constant(value=-limit, dtype=x.dtype), k)) if fits else None


def quadratic(node: Node) -> Node | None:
    """Where |d| <= k, d^2 / 2, else k (|d| - k / 2): m (|d| - m / 2), with m the smaller of |d| and k."""
    condition, square, line = node.operands
    if not _is_float(node) or condition.op not in BELOW or condition.operands[0].op is not abs_:
        return None
    size, k = condition.operands
    (d,), limit = size.operands, value(k)
    if limit is None or limit <= 0 or not isfinite(limit):
        return None
    half = constant(value=0.5, dtype=d.dtype)
    apart = sub(size, constant(value=0.5 * limit, dtype=d.dtype))
    if square is not mul(mul(half, d), d) or line is not (apart if limit == 1 else mul(k, apart)):
        return None
    smaller = minimum(size, k)
    return mul(smaller, sub(size, mul(half, smaller)))


def weighted(node: Node) -> Node | None:
    """Where p > 0, p a, else p, for an exponential p: 0 where it is 0."""
    condition, product, p = node.operands
    if p.op is not exp or condition.op is not greater or product.op is not mul:
        return None
    fits = condition.operands[0] is p and value(condition.operands[1]) == 0
    if not fits or product.operands[0] is not p:
        return None
    return where(not_equal(*condition.operands), product, condition.operands[1])


def _is_float(node: Node) -> bool:
    return node.dtype in (F32, F64)


def _limit(node: Node) -> Limit | None:
    """Of a selection of a number where x is below or above another: the condition, and both numbers."""
    if node.op is not where or node.operands[0].op not in (*ABOVE, *BELOW):
        return None
    condition, found, _ = node.operands
    pair = value(condition.operands[1]), value(found)
    return None if pair[0] is None or pair[1] is None else (condition, pair[0], pair[1])


def _path(node: Node, base: Node) -> list[Node] | None:
    """The operations on one value and numbers that lead from the base to the node; None: others do."""
    path: list[Node] = []
    while node is not base:
        varying = [operand for operand in node.operands if operand.op is not constant]
        if len(varying) != 1:
            return None
        path.insert(0, node)
        (node,) = varying
    return path


def _follow(path: list[Node], start: float) -> float:
    """Where the operations lead from a number."""
    found: Any = start
    with np.errstate(all="ignore"):
        for node in path:
            given = [found if (own := value(operand)) is None else own for operand in node.operands]
            kinds = [numpy_dtype(operand.dtype).type for operand in node.operands]
            function: Any = function_of(node)
            found = function(*(kind(number) for kind, number in zip(kinds, given, strict=True)))
    return float(found)


def _is_increasing(node: Node) -> bool:
    """Whether a larger value gives no smaller one: sums with numbers, products with positive ones."""
    x, y = (
        (value(operand) for operand in node.operands) if len(node.operands) == 2 else (None, None)
    )
    number = y if x is None else x
    if number is None or not isfinite(number):
        return False
    if node.op in (sub, div) and y is None:
        return False
    return node.op in (add, sub) or (node.op in (mul, div) and number > 0)
