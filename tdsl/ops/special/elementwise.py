"""From a function of flat f64 arrays to one of arrays of any shape, strides and float dtype.

In: a kernel that maps a flat f64 array to one of the same length. Out: a function of whole arrays.
Between: the kernel sees its argument block by block, so that what it computes stays in the cache.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdsl.ops.special.series import F64

FloatArray = NDArray[np.floating[Any]]
Kernel = Callable[[F64], F64]

_BLOCK = 1 << 13


def apply(kernel: Kernel, x: ArrayLike) -> FloatArray:
    """The kernel at every element of x: a new array of x's shape, f32 for f32 and f64 otherwise."""
    x = np.asarray(x)
    result = np.empty(x.shape, np.float32 if x.dtype == np.float32 else np.float64)
    flat, flat_result = x.reshape(-1), result.reshape(-1)
    with np.errstate(all="ignore"):
        for start in range(0, x.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            flat_result[block] = kernel(flat[block].astype(np.float64))
    return result


def elementwise(kernel: Kernel) -> Callable[[ArrayLike], FloatArray]:
    """Decorate a kernel to make it `apply` itself."""

    @wraps(kernel)
    def function(x: ArrayLike) -> FloatArray:
        return apply(kernel, x)

    return function


def piecewise(
    x: F64, conditions: Sequence[NDArray[np.bool_]], pieces: Sequence[Kernel | float]
) -> F64:
    """Apply to each element of a flat x the piece of its condition; the last piece is for the rest.

    np.piecewise for disjoint conditions, at a third of its time: it gathers by index, not by mask.
    """
    result = np.empty_like(x)
    rest = ~np.logical_or.reduce(conditions)
    for condition, piece in zip([*conditions, rest], pieces, strict=True):
        at = np.flatnonzero(condition)
        if at.size:
            result[at] = piece(x[at]) if callable(piece) else piece
    return result
