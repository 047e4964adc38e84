"""Running reductions along one axis, from the first element or (`reverse`) from the last.

Between: the result has the operand's axes and the scanned one; an operand that lacks it is
invariant along it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tdsl.ir.dtype import F64, I64, AnyDtype, accumulate, compute
from tdsl.ir.node import AdjointRule, Attrs, Kernel, Node, union_axes
from tdsl.ir.size import Axis, name
from tdsl.ops.arithmetic import mul, neg, sub
from tdsl.ops.axis_maps import shift
from tdsl.ops.base import (
    Array,
    Operation,
    Sizes,
    numpy_dtype,
    require,
    require_kind,
    spread,
    unique_axes,
)
from tdsl.ops.comparison import equal
from tdsl.ops.elementary import exp
from tdsl.ops.expr import unalign
from tdsl.ops.gather import scatter
from tdsl.ops.leaves import arange, constant, input_, size_
from tdsl.ops.pointwise import FLOAT, NUMBER
from tdsl.ops.selection import cast_to, where

Types = Callable[[AnyDtype], AnyDtype]


def _along_first(steps: Callable[..., Array]) -> Callable[[Node, Sizes], Kernel]:
    """The evaluation of `steps(*arrays, dtype)`, which runs along the first axis of its arrays."""

    def evaluate(node: Node, sizes: Sizes) -> Kernel:
        axis, dtype = node["axis"], numpy_dtype(node.dtype)
        place = node.axes.index(axis)
        order = (axis, *(a for a in node.axes if a != axis))
        views = [spread(operand.axes, order, sizes) for operand in node.operands]
        step = -1 if node["reverse"] else 1

        def run(*arrays: Array) -> Array:
            turned = [view(array)[::step] for view, array in zip(views, arrays, strict=True)]
            return np.moveaxis(steps(*turned, dtype)[::step], 0, place)

        return run

    return evaluate


def _scan(  # noqa: PLR0913  (a row of the catalogue)
    op: str,
    doc: str,
    steps: Callable[..., Array],
    adjoint: AdjointRule,
    *,
    arity: int = 1,
    is_linear: bool = False,
    dtype: Types = lambda dtype: dtype,
    kinds: Sequence[str] = NUMBER,
    samples: Callable[[], Sequence[Node]],
) -> Operation:
    def infer(operands: Sequence[Node], attrs: Attrs) -> tuple[AnyDtype, tuple[Axis, ...]]:
        require(len(operands) == arity, op, f"takes {arity} operands")
        require(isinstance(attrs["reverse"], bool), op, "`reverse` is no bool")
        found = operands[0].dtype
        require_kind(op, found, kinds)
        require(all(o.dtype == found for o in operands), op, "operands differ in dtype")
        return dtype(found), unique_axes(union_axes(operands), (attrs["axis"],))

    return Operation(
        op, "scan", doc, infer, _along_first(steps), adjoint, is_linear, samples=samples
    )  # fmt: skip


def _samples(op: Operation) -> list[Node]:
    n, d, h = name("N"), name("D"), name("H")
    x = input_(name="x", dtype=F64, axes=(n, d, h))
    v = input_(name="v", dtype=F64, axes=(n,))
    nodes = [op(x, axis=axis, reverse=reverse) for axis in (n, d, h) for reverse in (False, True)]
    return [*nodes, op(v, axis=n, reverse=False), op(v, axis=d, reverse=False)]


def _integer_samples(op: Operation) -> list[Node]:
    i = input_(name="i", dtype=I64, axes=(name("N"), name("D")))
    return [op(i, axis=name("D"), reverse=False)]


def previous(x: Node, axis: Axis, fill: float, *, reverse: bool) -> Node:
    """The value one step earlier in the direction of the scan, `fill` at its first element."""
    return shift(x, axis, -1 if reverse else 1, fill)


def exclusive_products(x: Node, axis: Axis) -> Node:
    """For each element the product of the others along `axis`."""
    before, after = (
        previous(cast_to(cumprod(x, axis=axis, reverse=r), x.dtype), axis, 1.0, reverse=r)
        for r in (False, True)
    )
    return mul(before, after)


def _cumsum_adjoint(node: Node, g: Node) -> Sequence[Node]:
    (x,) = node.operands
    share = cumsum(g, axis=node["axis"], reverse=not node["reverse"])
    return [unalign(cast_to(share, compute(x.dtype)), node.axes, x)]


def _cumprod_adjoint(node: Node, g: Node) -> Sequence[Node]:
    """The product of what comes before times s with s_i = g_i + x_(i+1) s_(i+1); no division."""
    (x,) = node.operands
    axis, reverse = node["axis"], node["reverse"]
    before = previous(cast_to(node, x.dtype), axis, 1.0, reverse=reverse)
    factor = previous(x, axis, 1.0, reverse=not reverse) if axis in x.axes else x
    after = recurrence(factor, cast_to(g, x.dtype), axis=axis, reverse=not reverse)
    return [unalign(mul(before, after), node.axes, x)]


def _cummax_adjoint(node: Node, g: Node) -> Sequence[Node]:
    """Each cotangent goes to the element that is the maximum there: the last of equal ones."""
    (x,) = node.operands
    axis, reverse = node["axis"], node["reverse"]
    if axis not in x.axes:
        return [unalign(g, node.axes, x)]
    place, never = arange(axis=axis), constant(value=-1, dtype=I64)
    if reverse:
        place, never = neg(place), neg(size_(value=axis))
    last = cummax(where(equal(x, node), place, never), axis=axis, reverse=reverse)
    source = neg(last) if reverse else last
    return [scatter(g, source, axis=axis, sums=(axis,))]


def _logcumsumexp_adjoint(node: Node, g: Node) -> Sequence[Node]:
    """exp(x_i - y_i) * t_i with t_i = g_i + exp(y_i - y_(i+1)) t_(i+1): no exponent is positive."""
    (x,) = node.operands
    axis, reverse = node["axis"], node["reverse"]
    lowest = constant(value=float("-inf"), dtype=x.dtype)
    nothing = equal(node, lowest)
    following = previous(node, axis, 0.0, reverse=not reverse)
    decay = exp(where(nothing, lowest, sub(node, following)))
    sums = recurrence(decay, g, axis=axis, reverse=not reverse)
    share = mul(exp(where(nothing, lowest, sub(x, node))), sums)
    return [unalign(share, node.axes, x)]


def _recurrence_adjoint(node: Node, g: Node) -> Sequence[Node]:
    """The shares of b obey the recurrence run backwards; that of a is theirs times s before."""
    a, b = node.operands
    axis, reverse = node["axis"], node["reverse"]
    factor = previous(a, axis, 0.0, reverse=not reverse) if axis in a.axes else a
    share = recurrence(factor, g, axis=axis, reverse=not reverse)
    before = previous(node, axis, 0.0, reverse=reverse)
    return [unalign(mul(share, before), node.axes, a), unalign(share, node.axes, b)]


def _recur(a: Array, b: Array, dtype: np.dtype[Any]) -> Array:
    result = b.copy()
    for i in range(1, len(result)):
        np.multiply(a[i], result[i - 1], out=result[i : i + 1])
        result[i] += b[i]
    return result


def _logaddexp(x: Array, dtype: np.dtype[Any]) -> Array:
    return np.logaddexp.accumulate(x, axis=0, dtype=dtype)


def _recurrence_samples() -> list[Node]:
    n, d = name("N"), name("D")
    a, b = (input_(name=k, dtype=F64, axes=axes) for k, axes in (("a", (n, d)), ("b", (d, n))))
    v = input_(name="v", dtype=F64, axes=(n,))
    pairs = [(a, b), (v, a), (a, v), (v, v)]
    return [recurrence(x, y, axis=d, reverse=r) for x, y in pairs for r in (False, True)]


cumsum: Operation = _scan(
    "cumsum", "The running sum along `axis`; in i64 or u64 for integers and bools.",
    lambda x, dtype: np.add.accumulate(x, axis=0, dtype=dtype),
    _cumsum_adjoint, is_linear=True, dtype=accumulate, kinds=("bool", *NUMBER),
    samples=lambda: [*_samples(cumsum), *_integer_samples(cumsum)],
)  # fmt: skip
cumprod: Operation = _scan(
    "cumprod", "The running product along `axis`; in i64 or u64 for integers and bools.",
    lambda x, dtype: np.multiply.accumulate(x, axis=0, dtype=dtype),
    _cumprod_adjoint, dtype=accumulate, kinds=("bool", *NUMBER),
    samples=lambda: [*_samples(cumprod), *_integer_samples(cumprod)],
)  # fmt: skip
cummax: Operation = _scan(
    "cummax", "The running maximum along `axis`, NaN from the first NaN on. Of equal values the"
    " last (in the direction of the scan) gets the gradient.",
    lambda x, dtype: np.maximum.accumulate(x, axis=0, dtype=dtype), _cummax_adjoint,
    samples=lambda: [*_samples(cummax), *_integer_samples(cummax)],
)  # fmt: skip
logcumsumexp: Operation = _scan(
    "logcumsumexp", "log(cumsum(exp(x))) along `axis`, without overflow.", _logaddexp,
    _logcumsumexp_adjoint, kinds=FLOAT, samples=lambda: _samples(logcumsumexp),
)  # fmt: skip
recurrence: Operation = _scan(
    "recurrence", "The linear recurrence s_i = a_i * s_(i-1) + b_i along `axis`, from s_(-1) = 0.",
    _recur, _recurrence_adjoint, arity=2, kinds=FLOAT, samples=_recurrence_samples,
)  # fmt: skip
