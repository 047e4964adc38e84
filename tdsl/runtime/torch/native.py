"""Kernels on tensors that lie on the processor, compiled or tile by tile.

In: a callee, and plain tensors or arrays of rank 0. Out: fresh contiguous tensors. Between: a tensor is
known by its address; products are torch's own.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, MutableMapping, Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np
import torch

from tdsl.backends import pool
from tdsl.backends.arrays import NUMPY, Sizes
from tdsl.backends.torch_dtype import torch_dtype
from tdsl.backends.triton.library import library_call
from tdsl.fusion.plan import LibraryCall
from tdsl.ir.dtype import AnyDtype
from tdsl.ops import numpy_dtype
from tdsl.runtime.arguments import Array, dtype_named
from tdsl.runtime.definition import remember
from tdsl.runtime.native import prepare
from tdsl.runtime.torch.memory import Callee, Tensor, tensor_of

HUGE = 4 << 20
"""Bytes from which a fresh result is worth large pages, as NumPy's are."""


class TorchArrays:
    """Torch's tensors as an executor sees them."""

    def maker(self, shape: tuple[int, ...], dtype: AnyDtype) -> Callable[[], Tensor]:
        """A function that gives fresh contiguous tensors."""
        own, empty = torch_dtype(str(dtype)), torch.empty
        count = own.itemsize * prod(shape)
        if count >= pool.LARGE and pool.POOL.limit:
            fresh = NUMPY.maker(shape, dtype)
            return lambda: tensor_of(fresh())
        if count < HUGE or not hasattr(mmap, "MADV_HUGEPAGE"):
            return lambda: empty(shape, dtype=own)

        advise = ctypes.CDLL(None).madvise
        advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

        def make() -> Tensor:
            tensor = empty(shape, dtype=own)
            start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
            left = tensor.data_ptr() + count - start
            advise(start, left // mmap.PAGESIZE * mmap.PAGESIZE, mmap.MADV_HUGEPAGE)
            return tensor

        return make

    @staticmethod
    def pointer(array: Tensor) -> ctypes.c_void_p:
        """The address of the first element."""
        return ctypes.c_void_p(array.data_ptr())

    def view(self, array: Tensor) -> Array:
        """The same memory as NumPy's array, by its address: it lasts no longer than the tensor."""
        shape, dtype = tuple(array.shape), _own_dtype(array.dtype)
        strides = tuple(step * dtype.itemsize for step in array.stride())
        if not array.numel():
            return np.empty(shape, dtype)
        last = sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        memory: Any = (ctypes.c_char * (last + dtype.itemsize)).from_address(array.data_ptr())
        return np.ndarray(shape, dtype, memory, 0, strides)

    def call(self, step: LibraryCall, memory: MutableMapping[str, Any], size: Sizes) -> None:
        """Run a library call by torch."""
        library_call(step, memory, size)


@cache
def _own_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """NumPy's dtype for one of torch's."""
    known = dtype_named(dtype)
    assert known is not None, dtype
    return numpy_dtype(known)


TORCH = TorchArrays()


def run_native(callee: Callee, values: Sequence[Any]) -> list[Tensor]:
    """The results on plain tensors and arrays of rank 0. Raises TdslError for what cannot run."""
    tensors = [v if isinstance(v, Tensor) else tensor_of(v) for v in values]
    if any(tensor.is_neg() for tensor in tensors):
        tensors = [tensor.resolve_neg() for tensor in tensors]
    key = (callee.mode.backend, *[(tensor.shape, tensor.stride()) for tensor in tensors])
    launched = callee.found.launched
    run = launched.get(key)
    if run is None:
        shapes = tuple(tuple(tensor.shape) for tensor in tensors)
        strides = [tensor.stride() for tensor in tensors]
        run = remember(launched, key, prepare(callee.found, shapes, strides, callee.mode, TORCH))
    found: list[Tensor] = run(tensors)
    return found
