"""Local simplification: one node at a time, operands first.

In: a Function, and for a derived one the nodes of its source. Out: an equal Function.
Between: what is applied everywhere is exact for NaN, infinities and signed zeros, but for the order of
a sum; what holds for finite values only is applied to nodes outside `source`, which differentiation made.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tdsl.ir.dtype import F64, I64, Dtype, may_be_float
from tdsl.ir.function import Function
from tdsl.ir.node import Node
from tdsl.ir.rewrite import keep, rebuild_function
from tdsl.ops import (
    add,
    cast,
    cast_to,
    compose,
    constant,
    div,
    dot,
    index,
    mul,
    neg,
    numpy_dtype,
    size_,
    sub,
    sum_,
    where,
)
from tdsl.ops.index_map import disjoint_pieces

Rule = Callable[[Node], Node | None]


def simplify(function: Function, source: frozenset[Node] | None = None) -> Function:
    """The Function with every rule applied that may be; without `source`, the exact ones alone."""

    def visit(node: Node, operands: tuple[Node, ...]) -> Node:
        new = tidy(keep(node, operands))
        return new if source is None or node in source else _finite(new)

    return rebuild_function(function, visit)


def tidy(node: Node) -> Node:
    """The node, or a simpler one that is equal for all values."""
    for rule in EXACT.get(node.op, ()):
        simpler = rule(node)
        if simpler is not None:
            return simpler
    return _folded(node)


def _finite(node: Node) -> Node:
    """The node, or a simpler one that is equal for finite values."""
    for rule in FINITE.get(node.op, ()):
        simpler = rule(node)
        if simpler is not None:
            return simpler
    return node


def is_constant(node: Node, value: float) -> bool:
    """Whether the node is this constant (in any dtype; -0.0 counts as 0.0)."""
    return node.op is constant and not isinstance(node["value"], bool) and node["value"] == value


def _folded(node: Node) -> Node:
    """Arithmetic on constants, done now in the node's own dtype."""
    if node.axes or not node.operands or not all(o.op is constant for o in node.operands):
        return node
    if node.op is cast:
        return _cast_constant(node)
    dtypes = (node.dtype, *(operand.dtype for operand in node.operands))
    if node.op.family != "pointwise" or not all(isinstance(d, Dtype) for d in dtypes):
        return node
    if any(d.name in ("f16", "bf16") for d in dtypes if isinstance(d, Dtype)):
        return node
    return constant(value=evaluate_constant(node), dtype=node.dtype)


def evaluate_constant(node: Node) -> bool | int | float:
    """The value of a rank-0 operation on constants, in NumPy."""

    def array(operand: Node) -> object:
        return np.asarray(operand["value"], numpy_dtype(operand.dtype))

    with np.errstate(all="ignore"):
        kernel = node.op.evaluate(node, lambda size: size.evaluate({}))
        result: bool | int | float = np.asarray(kernel(*map(array, node.operands))).item()
    return result


def _cast_constant(node: Node) -> Node:
    """A constant in another dtype of floats; rounding happens where it is used."""
    value = node.operands[0]["value"]
    if may_be_float(node.dtype) and (isinstance(value, float) or abs(value) <= 2**53):
        if isinstance(node.dtype, Dtype) and node.dtype.bits < 64 and _rounds_first(node):
            return node
        return constant(value=float(value), dtype=node.dtype)
    return node


def _rounds_first(node: Node) -> bool:
    """Whether the operand was rounded to a dtype that the result's is not part of."""
    inner = node.operands[0].dtype
    return inner not in (F64, I64, node.dtype) and not isinstance(node.operands[0]["value"], bool)


def _drop_idle_cast(node: Node) -> Node | None:
    (operand,) = node.operands
    if operand.dtype == node.dtype:
        return operand
    if operand.op is cast and operand.operands[0].dtype == node.dtype:
        return operand.operands[0] if _is_exact(node.dtype, operand.dtype) else None
    return None


def _is_exact(narrow: object, wide: object) -> bool:
    """Whether every value of `narrow` is one of `wide`: a compute type holds its storage type."""
    if isinstance(narrow, Dtype) and isinstance(wide, Dtype):
        return narrow.kind == wide.kind == "float" and narrow.bits < wide.bits
    return str(wide) == f"compute({narrow})"


def _times_one(node: Node) -> Node | None:
    a, b = node.operands
    if is_constant(b, 1):
        return a
    return b if is_constant(a, 1) and node.op is mul else None


def _minus_zero(node: Node) -> Node | None:
    a, b = node.operands
    if is_constant(b, 0) and str(b["value"]) in ("0", "0.0"):
        return a
    return None


def _double_negation(node: Node) -> Node | None:
    (operand,) = node.operands
    return operand.operands[0] if operand.op is neg else None


def _same_branches(node: Node) -> Node | None:
    condition, a, b = node.operands
    if condition.op is constant:
        return a if condition["value"] else b
    return a if a is b and set(a.axes) >= set(condition.axes) else None


def _flat_sum(node: Node) -> Node | None:
    (operand,) = node.operands
    if not node["axes"]:
        return cast_to(operand, node.dtype)
    if operand.op is sum_ and operand.dtype == node.dtype:
        return sum_(operand.operands[0], axes=(*operand["axes"], *node["axes"]))
    return None


def _sum_of_product(node: Node) -> Node | None:
    """A sum of a product neither factor of which has all the axes is a contraction."""
    (product,) = node.operands
    if product.op is not mul or not may_be_float(node.dtype):
        return None
    a, b = product.operands
    contracted = set(node["axes"])
    if not contracted <= set(a.axes) & set(b.axes):
        return None
    if set(a.axes) >= set(b.axes) or set(b.axes) >= set(a.axes):
        return None
    return dot(a, b, axes=node["axes"])


def _composed(node: Node) -> Node | None:
    mapping = node["map"]
    if mapping.is_total and all(axis == _variable_of(e) for axis, e in mapping.pieces[0].exprs):
        return node.operands[0]
    if len(node.operands) == 1 and node.operands[0].op is index:
        return compose(node, node.operands[0])
    return None


def _variable_of(expr: object) -> object:
    atom = getattr(expr, "atom", None)
    return atom.args[0] if atom is not None and atom.kind == "index" else None


def _known_size(node: Node) -> Node | None:
    value = node["value"].constant
    return None if value is None else constant(value=value, dtype=I64)


def _plus_zero(node: Node) -> Node | None:
    a, b = node.operands
    if is_constant(b, 0) and set(a.axes) >= set(b.axes):
        return a
    if is_constant(a, 0):
        return b if node.op is add else tidy(neg(b))
    return None


def _times_zero(node: Node) -> Node | None:
    if any(is_constant(operand, 0) for operand in node.operands[: 2 if node.op is mul else 1]):
        return constant(value=0.0, dtype=node.dtype)
    return None


def _zero_stays_zero(node: Node) -> Node | None:
    return constant(value=0.0, dtype=node.dtype) if is_constant(node.operands[0], 0) else None


def _join_pads(node: Node) -> Node | None:
    """A sum of pads with provably disjoint supports is a concatenation."""
    a, b = node.operands
    if a.op is not index or b.op is not index:
        return None
    first, second = a["map"], b["map"]
    if (
        first.axes != second.axes
        or first.fill != 0
        or second.fill != 0
        or set(a.axes) != set(b.axes)
    ):
        return None
    if not all(disjoint_pieces(p, q) for p in first.pieces for q in second.pieces):
        return None
    joined = type(first)(first.axes, (*first.pieces, *second.pieces), first.fill)
    return index(*a.operands, *b.operands, map=joined)


EXACT: dict[object, tuple[Rule, ...]] = {
    cast: (_drop_idle_cast,),
    mul: (_times_one,),
    div: (_times_one,),
    sub: (_minus_zero,),
    neg: (_double_negation,),
    where: (_same_branches,),
    sum_: (_flat_sum, _sum_of_product),
    index: (_composed,),
    size_: (_known_size,),
}

FINITE: dict[object, tuple[Rule, ...]] = {
    add: (_plus_zero, _join_pads),
    sub: (_plus_zero,),
    mul: (_times_zero,),
    div: (_times_zero,),
    neg: (_zero_stays_zero,),
    sum_: (_zero_stays_zero,),
    cast: (_zero_stays_zero,),
}
