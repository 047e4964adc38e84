"""What an operation of the catalogue is, and the NumPy side that all of them share.

In: names, rules and test domains. Out: `Operation` objects and closures on arrays.
Between: an array stands for a node when it is laid out in the order of the node's axes; where a
node lacks an axis that it is asked for, its value is invariant along it, so its array is broadcast.
Arrays of rank 0 may be NumPy scalars of the same dtype. Closures never write what they are given,
may give back views of it, and rely on the caller to have silenced floating-point warnings (one
`numpy.errstate` around a run).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdsl import faults
from tdsl.ir.dtype import BF16, AnyDtype, Dtype
from tdsl.ir.node import Node, Op, TypeRuleError
from tdsl.ir.size import Axis, Size

Array = NDArray[Any]
Sizes = Callable[[Size], int]
Aligner = Callable[[Array], Array]


@dataclass(frozen=True, eq=False, repr=False)
class Operation(Op):
    """An operation with its test domain: `samples()` gives nodes that the laws are checked on.

    Inputs of the samples are filled with distinct values, integers from -2 up.
    """

    samples: Callable[[], Sequence[Node]] = tuple


def require(condition: object, op: str, what: str) -> None:
    """Refuse the parts of a node. Raises TypeRuleError."""
    if not condition:
        raise TypeRuleError(f"{op}: {what}")


def require_kind(op: str, dtype: AnyDtype, kinds: Container[str]) -> None:
    """Refuse a concrete dtype of another kind, and storage types: arithmetic is in f32 and up."""
    if isinstance(dtype, Dtype):
        require(dtype.kind in kinds, op, f"not defined for {dtype}")
        require(dtype.kind != "float" or dtype.bits > 16, op, f"{dtype} is only stored: cast it")


def numpy_dtype(dtype: AnyDtype) -> np.dtype[Any]:
    """The NumPy dtype of a concrete dtype. Raises TdslValueError for bf16 without ml_dtypes."""
    known = _NUMPY_DTYPES.get(dtype)
    if known is None:
        require(isinstance(dtype, Dtype), "evaluate", f"{dtype} is not concrete")
        known = _bfloat16() if dtype == BF16 else _numpy_name(dtype)
        _NUMPY_DTYPES[dtype] = known
    return known


_NUMPY_DTYPES: dict[AnyDtype, np.dtype[Any]] = {}


def integer_bounds(dtype: AnyDtype) -> tuple[int, int]:
    """The least and the greatest integer of a dtype."""
    info = np.iinfo(numpy_dtype(dtype))
    return int(info.min), int(info.max)


def _numpy_name(dtype: AnyDtype) -> np.dtype[Any]:
    name = str(dtype)
    kinds = {"i": "int", "u": "uint", "f": "float"}
    return np.dtype(name if name == "bool" else kinds[name[0]] + name[1:])


def _bfloat16() -> np.dtype[Any]:
    try:
        from ml_dtypes import bfloat16
    except ImportError as error:
        raise faults.MISSING_BF16.at(hint="pip install 'tdsl[bf16]'") from error
    found: np.dtype[Any] = np.dtype(bfloat16)
    return found


def aligner(found: Sequence[Axis], axes: Sequence[Axis]) -> Aligner | None:
    """The view of an array laid out as `found` that NumPy broadcasts along `axes`; None: itself.

    `axes` holds all axes in `found`.
    """
    kept = [axis for axis in axes if axis in found]
    permutation = tuple(found.index(axis) for axis in kept)
    new = tuple(slice(None) if axis in found else None for axis in axes)
    while new and new[0] is None:
        new = new[1:]
    if None in new:
        return lambda x: x.transpose(permutation)[new]
    if permutation == tuple(range(len(permutation))):
        return None
    return lambda x: x.transpose(permutation)


def spread(found: Sequence[Axis], axes: Sequence[Axis], sizes: Sizes) -> Aligner:
    """The view of an array laid out as `found` that has all of `axes`, in this order."""
    align = aligner(found, axes)
    shape = shape_of(axes, sizes)
    if set(axes) == set(found):
        return align or np.asarray
    return lambda x: np.broadcast_to(align(x) if align else x, shape)


def shape_of(axes: Sequence[Axis], sizes: Sizes) -> tuple[int, ...]:
    """The concrete shape."""
    return tuple(sizes(axis) for axis in axes)


def count(axes: Sequence[Axis], sizes: Sizes) -> int:
    """The number of elements along the axes."""
    return prod(shape_of(axes, sizes))


def unique_axes(*groups: Sequence[Axis]) -> tuple[Axis, ...]:
    """The axes of all groups, each once, in order of first appearance."""
    return tuple(dict.fromkeys(axis for group in groups for axis in group))
