"""Kernels on tensors that lie on the processor, compiled or tile by tile.

In: a callee, and plain tensors or arrays of rank 0. Out: fresh contiguous tensors. Between: a tensor is
known by its address; products are torch's own.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from functools import cache, partial
from math import prod
from typing import Any

import numpy as np
import torch
from torch.nn import Parameter

from tdsl.backends import pool
from tdsl.backends.arrays import NUMPY, Sizes
from tdsl.backends.threads import THREADS
from tdsl.backends.torch_dtype import torch_dtype
from tdsl.backends.triton.library import library_call
from tdsl.fusion.plan import LibraryCall
from tdsl.ir.dtype import AnyDtype
from tdsl.ops import numpy_dtype
from tdsl.runtime.arguments import Array, dtype_named
from tdsl.runtime.definition import Run, remember
from tdsl.runtime.native import prepare
from tdsl.runtime.torch.memory import Callee, Tensor, tensor_of

Layouts = tuple[object, ...]
"""The shape and the strides of each tensor."""
_is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
HUGE = 4 << 20
"""Bytes from which a fresh result is worth large pages, as NumPy's are."""


class TorchArrays:
    """Torch's tensors as an executor sees them."""

    def maker(self, shape: tuple[int, ...], dtype: AnyDtype) -> Callable[[], Tensor]:
        """A function that gives fresh contiguous tensors."""
        own = torch_dtype(str(dtype))
        count = own.itemsize * prod(shape)
        # In half the time of `torch.empty`.
        empty = partial(torch.empty_strided, shape, _contiguous(shape), dtype=own)
        if pool.POOL.limit and count >= pool.LARGE:
            fresh = NUMPY.maker(shape, dtype)
            return lambda: tensor_of(fresh())
        if count < HUGE or not hasattr(mmap, "MADV_HUGEPAGE"):
            return empty

        advise = ctypes.CDLL(None).madvise
        advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

        def make() -> Tensor:
            tensor = empty()
            start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
            left = tensor.data_ptr() + count - start
            advise(start, left // mmap.PAGESIZE * mmap.PAGESIZE, mmap.MADV_HUGEPAGE)
            return tensor

        return make

    @staticmethod
    def pointers(arrays: Iterable[Tensor]) -> Iterable[int]:
        """The address of each tensor's first element."""
        return map(Tensor.data_ptr, arrays)

    def view(self, array: Tensor) -> Array:
        """The same memory as NumPy's array, by its address: it lasts no longer than the tensor."""
        shape, dtype = tuple(array.shape), _own_dtype(array.dtype)
        strides = tuple(step * dtype.itemsize for step in array.stride())
        if not array.numel():
            return np.empty(shape, dtype)
        last = sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        memory: Any = (ctypes.c_char * (last + dtype.itemsize)).from_address(array.data_ptr())
        return np.ndarray(shape, dtype, memory, 0, strides)

    @staticmethod
    def threads() -> int:
        """As many as torch takes, and the process has."""
        return min(torch.get_num_threads(), THREADS.count)

    def call(self, step: LibraryCall, memory: MutableMapping[str, Any], size: Sizes) -> None:
        """Run a library call by torch."""
        library_call(step, memory, size)


def _contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of torch's fresh tensors, in which an empty axis counts as one element."""
    steps = [1]
    for size in reversed(shape[1:]):
        steps.append(steps[-1] * max(size, 1))
    return tuple(reversed(steps[: len(shape)]))


@cache
def _own_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """NumPy's dtype for one of torch's."""
    known = dtype_named(dtype)
    assert known is not None, dtype
    return numpy_dtype(known)


TORCH = TorchArrays()


def layouts(values: Sequence[Any]) -> Layouts | None:
    """The shapes and strides of plain, aligned tensors on the processor; None where there is another."""
    found: list[object] = []
    for value in values:
        kind = type(value)
        if kind is not Tensor and kind is not Parameter:
            return None
        if not value.is_cpu or value.layout is not torch.strided:
            return None
        if value.is_neg() or _is_wrapped(value):
            return None
        if value.data_ptr() & 7 and not _is_aligned(value):
            return None
        found += value.shape, value.stride()
    return tuple(found)


def run_native(callee: Callee, values: Sequence[Any], key: Layouts | None) -> list[Tensor]:
    """The results on plain tensors and arrays of rank 0, of which `layouts` gave the key.

    Raises TdslError for what cannot run.
    """
    if key is None:
        values = [_plain(v) if isinstance(v, Tensor) else tensor_of(v) for v in values]
        key = tuple([part for v in values for part in (v.shape, v.stride())])
    run = callee.prepared.get(key)
    if run is None:
        run = remember(callee.prepared, key, _prepared(callee, values))
    if (
        torch._C._len_torch_function_stack()
    ):  # as for a default device, which fresh memory would follow
        with torch._C.DisableTorchFunction():
            return run(values)
    return run(values)


def _plain(tensor: Tensor) -> Tensor:
    """The tensor as kernels read it: what foreign memory holds need not be aligned."""
    own = tensor.resolve_neg()
    return own if _is_aligned(own) else own.clone(memory_format=torch.contiguous_format)


def _is_aligned(tensor: Tensor) -> bool:
    return tensor.data_ptr() % tensor.element_size() == 0


def _prepared(callee: Callee, tensors: Sequence[Tensor]) -> Run:
    """What runs tensors of these shapes and strides, whoever calls."""
    shapes = tuple(tuple(tensor.shape) for tensor in tensors)
    strides = [tensor.stride() for tensor in tensors]
    key = (callee.mode.backend, shapes, *strides)
    launched = callee.found.launched
    if key not in launched:
        remember(launched, key, prepare(callee.found, shapes, strides, callee.mode, TORCH))
    run: Run = launched[key]
    return run
