"""What NumPy has not, or does slowly, in fewer passes and in memory that is given.

In: a node, or arrays. Out: the function of the node on arrays that broadcast. Between: each function takes
`out`, as a ufunc does, and is as exact as what it stands for, but for the error function of f32, which is
good to 4 units in the last place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tdsl.backends.numpy.select import SMALL, select
from tdsl.ir.dtype import BOOL, F32, F64, Dtype
from tdsl.ir.node import Kernel as Function
from tdsl.ir.node import Node, remake
from tdsl.ops import (
    abs_,
    cast,
    clamp,
    erf,
    input_,
    maximum,
    minimum,
    neg,
    numpy_dtype,
    rsqrt,
    sign,
    where,
)

ERF = (
    1.1283792474676235, 0.10276986150710817, -0.00019528187838613472, -0.0006148442391412439,
    8.459925714610577e-05, -4.795190536873383e-06, 2.7636330464539983e-08, 5.419301225606365e-09,
)  # fmt: skip
"""The polynomial p, lowest power first, whose tanh(x p(x^2)) is the closest to erf(x), relative to it, on
[-4, 4]."""


def function_of(node: Node) -> Function | None:
    """The function of a pointwise operation on arrays that broadcast: what it is on numbers."""
    if node.op.family != "pointwise":
        return None
    own = _OWN.get(node.op.name)
    found = own(node) if own else None
    if found is not None:
        return found
    numbers = [
        input_(name=f"x{place}", dtype=operand.dtype, axes=())
        for place, operand in enumerate(node.operands)
    ]
    number = remake(node.op, tuple(numbers), node.attrs)
    return node.op.evaluate(number, lambda size: 1)


def sized(node: Node) -> tuple[Node, ...] | None:
    """Of -|x| of floats, x."""
    if node.op is not neg or not node.axes or node.dtype not in (F32, F64):
        return None
    return node.operands[0].operands if node.operands[0].op is abs_ else None


def is_written(node: Node) -> bool:
    """Whether the function that computes a value can be told where to write."""
    function = function_of(node)
    return bool(node.axes) and (isinstance(function, np.ufunc | Conversion) or function in _WRITE)


def _is_float(node: Node) -> bool:
    return isinstance(node.dtype, Dtype) and node.dtype.kind == "float"


def sign_of(x: Any, out: Any = None) -> Any:
    """`numpy.sign` of floats, without a branch: what is not 0 is made larger than 1, then cut at 1."""
    if out is None:
        if x.size < SMALL:
            return np.sign(x)
        out = np.empty(x.shape, x.dtype)
    large = np.finfo(out.dtype).max
    np.multiply(x, large, out=out)
    np.multiply(out, large, out=out)
    np.clip(out, -1, 1, out=out)
    return np.add(out, 0, out=out)  # which makes -0 a 0


def at_least(x: Any, y: Any, out: Any = None) -> Any:
    """`numpy.maximum` of floats; NumPy is slow where one of them is a number."""
    if (x.ndim and y.ndim) or max(x.size, y.size) < SMALL:
        return np.maximum(x, y, out=out)
    many, one = (x, y) if x.ndim else (y, x)
    return many.clip(one, np.inf, out=out)


def at_most(x: Any, y: Any, out: Any = None) -> Any:
    """`numpy.minimum` of floats; NumPy is slow where one of them is a number."""
    if (x.ndim and y.ndim) or max(x.size, y.size) < SMALL:
        return np.minimum(x, y, out=out)
    many, one = (x, y) if x.ndim else (y, x)
    return many.clip(-np.inf, one, out=out)


def between(x: Any, low: Any, high: Any, out: Any = None) -> Any:
    """`numpy.clip` of floats: no less than the one, and then no more than the other."""
    return x.clip(low, high, out=out)


def negative_size(x: Any, out: Any = None) -> Any:
    """-|x| of floats, by the bit of the sign."""
    bits = np.dtype(f"i{x.dtype.itemsize}")
    if out is None:
        out = np.empty(x.shape, x.dtype)
    np.bitwise_or(x.view(bits), np.iinfo(bits).min, out=out.view(bits))
    return out


def copied(x: Any, out: Any) -> Any:
    """A copy."""
    np.copyto(out, x)
    return out


def erf_of(x: Any, out: Any = None) -> Any:
    """The error function of f32: tanh of x times a polynomial in x^2."""
    square = np.multiply(x, x)
    value = np.multiply(square, np.float32(ERF[-1]), out=out)
    for number in ERF[-2:0:-1]:
        value = np.add(value, np.float32(number), out=out)
        value = np.multiply(value, square, out=out)
    value = np.add(value, np.float32(ERF[0]), out=out)
    return np.tanh(np.multiply(value, x, out=out), out=out)


def rsqrt_of(x: Any, out: Any = None) -> Any:
    """1 / sqrt(x)."""
    return np.reciprocal(np.sqrt(x, out=out), out=out)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A cast to a dtype."""

    dtype: np.dtype[Any]

    def __call__(self, x: Any, out: Any = None) -> Any:
        """The same values in the dtype."""
        if out is None:
            return x.astype(self.dtype)
        np.copyto(out, x, casting="unsafe")
        return out


def _conversion(node: Node) -> Function | None:
    """The function of a cast that needs no care: not one from floats to integers, nor to bool."""
    (x,) = node.operands
    if node.dtype == BOOL or (_is_float(x) and not _is_float(node)):
        return None
    return Conversion(numpy_dtype(node.dtype))


_OWN: dict[str, Callable[[Node], Function | None]] = {
    where.name: lambda node: select,
    sign.name: lambda node: sign_of if _is_float(node) else None,
    maximum.name: lambda node: at_least if _is_float(node) else None,
    minimum.name: lambda node: at_most if _is_float(node) else None,
    clamp.name: lambda node: between if _is_float(node) else None,
    erf.name: lambda node: erf_of if node.dtype == F32 else None,
    rsqrt.name: lambda node: rsqrt_of,
    cast.name: _conversion,
}
_WRITE = frozenset((select, sign_of, at_least, at_most, between, erf_of, rsqrt_of))
