"""The notation in which derivatives of pointwise operations are written.

In: nodes wrapped as `Expr`. Out: nodes built by `+ - * /`, comparisons, and pointwise operations
called on wrapped nodes, with numbers taking the dtype of the node they meet.
Between: the definitions of operations refer to each other (the derivative of a product is products,
that of an alignment is a sum), so this module looks operations up by name when a rule runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tdsl.ir.dtype import AnyDtype
from tdsl.ir.node import OPS, Node, make
from tdsl.ir.size import Axis


@dataclass(frozen=True, slots=True)
class Expr:
    """A node with arithmetic."""

    node: Node

    def __add__(self, other: Expr | float) -> Expr:
        return apply("add", self, other)

    def __radd__(self, other: float) -> Expr:
        return apply("add", other, self)

    def __sub__(self, other: Expr | float) -> Expr:
        return apply("sub", self, other)

    def __rsub__(self, other: float) -> Expr:
        return apply("sub", other, self)

    def __mul__(self, other: Expr | float) -> Expr:
        return apply("mul", self, other)

    def __rmul__(self, other: float) -> Expr:
        return apply("mul", other, self)

    def __truediv__(self, other: Expr | float) -> Expr:
        return apply("div", self, other)

    def __rtruediv__(self, other: float) -> Expr:
        return apply("div", other, self)

    def __neg__(self) -> Expr:
        return apply("neg", self)

    def __lt__(self, other: Expr | float) -> Expr:
        return apply("less", self, other)

    def __le__(self, other: Expr | float) -> Expr:
        return apply("less_equal", self, other)

    def __gt__(self, other: Expr | float) -> Expr:
        return apply("greater", self, other)

    def __ge__(self, other: Expr | float) -> Expr:
        return apply("greater_equal", self, other)

    def __and__(self, other: Expr) -> Expr:
        return apply("bitand", self, other)

    def __or__(self, other: Expr) -> Expr:
        return apply("bitor", self, other)


def apply(op: str, *operands: Expr | float, **attrs: object) -> Expr:
    """The pointwise operation on wrapped nodes; a number takes the dtype of the last of them."""
    dtype = [operand.node.dtype for operand in operands if isinstance(operand, Expr)][-1]
    return Expr(make(OPS[op], [_node(operand, dtype) for operand in operands], **attrs))


def _node(operand: Expr | float, dtype: AnyDtype) -> Node:
    if isinstance(operand, Expr):
        return operand.node
    return make(OPS["constant"], (), value=operand, dtype=dtype)


def unalign(cotangent: Node, axes: Sequence[Axis], operand: Node) -> Node:
    """The cotangent of an operand from that of its alignment: summed over the axes it lacks."""
    return total(cotangent, [axis for axis in axes if axis not in operand.axes])


def total(x: Node, axes: Sequence[Axis]) -> Node:
    """The sum over the axes, in the dtype of `x`."""
    if not axes:
        return x
    summed = make(OPS["sum"], (x,), axes=tuple(axes))
    return summed if summed.dtype == x.dtype else make(OPS["cast"], (summed,), dtype=x.dtype)
