"""Triton's interpreter, made fit for comparing kernels with the oracle, and counting their traffic.

`repaired()` mends what the interpreter gets wrong: float32 becomes bfloat16 by rounding to the nearest, ties
to even, as on a GPU; arithmetic on bfloat16, which the interpreter does on the raw bits, raises; a
comparison of numbers remains a bool where it meets a block; and functions of `libdevice` exist. `counted(...)` says which elements a kernel loads and stores.

The suite sets `TRITON_INTERPRET=1` before anything imports Triton (see tests/conftest.py). The
interpreter is one object of the process, so none of this is for threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
import triton.language as tl
from triton.language.extra import libdevice
from triton.runtime import interpreter

Array = np.ndarray[Any, np.dtype[Any]]
BUILDER = interpreter.InterpreterBuilder

# Evaluated in float64 and rounded once.
LIBDEVICE: Mapping[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in [
        "ceil", "cos", "cosh", "exp", "exp2", "expm1", "floor", "fmod", "hypot", "log", "log10",
        "log1p", "log2", "rint", "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
    ]
} | {
    "acos": np.arccos, "acosh": np.arccosh, "asin": np.arcsin, "asinh": np.arcsinh,
    "atan": np.arctan, "atan2": np.arctan2, "atanh": np.arctanh, "cbrt": np.cbrt,
    "copysign": np.copysign,
    "div_rn": np.divide, "fast_dividef": np.divide, "fast_expf": np.exp, "fast_logf": np.log,
    "fast_tanhf": np.tanh, "pow": np.power, "rsqrt": lambda x: 1 / np.sqrt(x),
    "erf": scipy.special.erf, "erfc": scipy.special.erfc, "erfcx": scipy.special.erfcx,
    "erfinv": scipy.special.erfinv, "normcdf": scipy.special.ndtr, "tgamma": scipy.special.gamma,
    "lgamma": lambda x: np.where(np.isinf(x), np.inf, scipy.special.gammaln(x)),
}  # fmt: skip


@contextmanager
def repaired() -> Iterator[None]:
    """The interpreter without its known faults, until the block ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter, "_convert_float", _converting(interpreter._convert_float))
        for name in ["binary_op", "unary_op", "create_dot"]:
            patch.setattr(BUILDER, name, _refusing_bf16(getattr(BUILDER, name)))
        patch.setattr(BUILDER, "create_splat", _splat)
        for name, function in LIBDEVICE.items():
            patch.setattr(libdevice, name, _of_tensors(function), raising=False)
        yield


def _splat(self: Any, kind: Any, value: Any) -> Any:
    """A block of one number, in the block's dtype: that of a comparison's handle is its operands'."""
    data = np.full(kind.shape, np.ravel(value.data)[0], interpreter._get_np_dtype(kind))
    return interpreter.TensorHandle(data, kind.scalar)


def _converting(original: Callable[..., Array]) -> Callable[..., Array]:
    def convert(data: Array, source: Any, target: Any, mode: Any) -> Array:
        if (source, target) == (tl.float32, tl.bfloat16):
            return to_bf16_bits(data)
        if (source, target) == (tl.bfloat16, tl.float32):
            return data.view(np.uint16).astype(np.uint32) << 16
        return original(data, source, target, mode)

    return convert


def to_bf16_bits(data: Array) -> Array:
    """The nearest bfloat16s of float32s, ties to even, as uint16s; a NaN stays a NaN."""
    bits = np.ascontiguousarray(data, np.float32).view(np.uint32).reshape(np.shape(data))
    rounded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(data), ((bits >> 16) | 0x40).astype(np.uint16), rounded)


def _refusing_bf16(original: Callable[..., Any]) -> Callable[..., Any]:
    def operate(self: Any, operand: Any, *rest: Any) -> Any:
        if operand.dtype.scalar == tl.bfloat16:
            raise TypeError("arithmetic on bfloat16: convert to float32 right after the load")
        return original(self, operand, *rest)

    return operate


def _of_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy arrays as one of Triton's tensors; the dtype is the first operand's."""

    def call(*operands: Any) -> Any:
        first = next(operand for operand in operands if isinstance(operand, tl.tensor))
        dtype = first.type.scalar
        if dtype not in (tl.float32, tl.float64):
            raise TypeError(f"libdevice has no function of {dtype}")
        arrays = [
            operand.handle.data.astype(np.float64)
            if isinstance(operand, tl.tensor)
            else getattr(operand, "value", operand)
            for operand in operands
        ]
        with np.errstate(all="ignore"):
            data = np.asarray(function(*arrays)).astype(first.handle.data.dtype)
        blocks = any(isinstance(x, tl.tensor) and x.type.is_block() for x in operands)
        kind = tl.block_type(dtype, [int(size) for size in data.shape]) if blocks else dtype
        return tl.tensor(interpreter.TensorHandle(data, dtype), kind)

    return call


@dataclass
class Traffic:
    """How often each element of each named tensor was loaded and stored, by its place in memory.

    An atomic operation that changes memory is one load and one store of each element.
    """

    loads: dict[str, Array] = field(default_factory=dict)
    stores: dict[str, Array] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def loaded(self, name: str) -> int:
        """Bytes loaded: lanes that are not masked, times the size of an element."""
        return int(self.loads[name].sum()) * self.sizes[name]

    def stored(self, name: str) -> int:
        return int(self.stores[name].sum()) * self.sizes[name]


@contextmanager
def counted(tensors: Mapping[str, torch.Tensor]) -> Iterator[Traffic]:
    """Counts while the block runs kernels that touch nothing but these CPU tensors.

    IndexError (inside Triton's InterpreterError): a lane that is not masked has an address outside of
    all of them. ValueError: two of the tensors share memory.
    """
    traffic = Traffic()
    places = sorted((*_place(tensor), name) for name, tensor in tensors.items())
    for (_, end, first), (start, _, second) in pairwise(places):
        if start < end:
            raise ValueError(f"`{first}` and `{second}` share memory")
    for start, end, name in places:
        size = traffic.sizes[name] = tensors[name].element_size()
        traffic.loads[name] = np.zeros((end - start) // size, np.int64)
        traffic.stores[name] = np.zeros((end - start) // size, np.int64)

    def count(counts: Mapping[str, Array], pointers: Any, mask: Any) -> None:
        addresses, active = np.broadcast_arrays(pointers.data, mask.data)
        wanted = addresses[active].astype(np.int64)
        known = 0
        for start, end, name in places:
            here = wanted[(start <= wanted) & (wanted < end)]
            np.add.at(counts[name], (here - start) // traffic.sizes[name], 1)
            known += here.size
        if known < wanted.size:
            raise IndexError(f"{wanted.size - known} lanes access memory outside of every tensor")

    with pytest.MonkeyPatch.context() as patch:
        load, store, update = (
            BUILDER.create_masked_load, BUILDER.create_masked_store, BUILDER.create_atomic_rmw
        )  # fmt: skip

        def counting_load(self: Any, pointers: Any, mask: Any, *rest: Any, **more: Any) -> Any:
            count(traffic.loads, pointers, mask)
            return load(self, pointers, mask, *rest, **more)

        def counting_store(self: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
            count(traffic.stores, pointers, mask)
            return store(self, pointers, value, mask, *rest)

        def counting_update(
            self: Any, operation: Any, pointers: Any, value: Any, mask: Any, *rest: Any
        ) -> Any:
            count(traffic.loads, pointers, mask)
            count(traffic.stores, pointers, mask)
            return update(self, operation, pointers, value, mask, *rest)

        patch.setattr(BUILDER, "create_masked_load", counting_load)
        patch.setattr(BUILDER, "create_masked_store", counting_store)
        patch.setattr(BUILDER, "create_atomic_rmw", counting_update)
        yield traffic


def _place(tensor: torch.Tensor) -> tuple[int, int]:
    """The first address, and the one behind the last element."""
    if tensor.device.type != "cpu":
        raise ValueError("the interpreter copies tensors of other devices, so addresses differ")
    last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    elements = last + 1 if tensor.numel() else 0
    return tensor.data_ptr(), tensor.data_ptr() + elements * tensor.element_size()
