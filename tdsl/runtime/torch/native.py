"""Compiled kernels on tensors that lie on the processor.

In: a callee, and plain tensors or arrays of rank 0. Out: fresh contiguous tensors. Between: a tensor is
known by its address; products are torch's own.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import torch

from tdsl.backends.arrays import Sizes
from tdsl.backends.triton.library import library_call
from tdsl.fusion.plan import LibraryCall
from tdsl.ir.dtype import AnyDtype
from tdsl.runtime.definition import Run, Shapes, remember
from tdsl.runtime.native import INTERPRETED, prepare
from tdsl.runtime.torch.memory import Callee, Tensor, array_of, tensor_of, torch_dtype

HUGE = 4 << 20
"""Bytes from which a fresh result is worth large pages, as NumPy's are."""


class TorchArrays:
    """Torch's tensors as an executor sees them."""

    def maker(self, shape: tuple[int, ...], dtype: AnyDtype) -> Callable[[], Tensor]:
        """A function that gives fresh contiguous tensors."""
        own, empty = torch_dtype(str(dtype)), torch.empty
        count = own.itemsize
        for side in shape:
            count *= side
        if count < HUGE or not hasattr(mmap, "MADV_HUGEPAGE"):
            return lambda: empty(shape, dtype=own)

        def make() -> Tensor:
            tensor = empty(shape, dtype=own)
            start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
            left = tensor.data_ptr() + count - start
            _advise(start, left // mmap.PAGESIZE * mmap.PAGESIZE, mmap.MADV_HUGEPAGE)
            return tensor

        return make

    @staticmethod
    def pointer(array: Tensor) -> ctypes.c_void_p:
        """The address of the first element."""
        return ctypes.c_void_p(array.data_ptr())

    def call(self, step: LibraryCall, memory: MutableMapping[str, Any], size: Sizes) -> None:
        """Run a library call by torch."""
        library_call(step, memory, size)


TORCH = TorchArrays()
_advise = ctypes.CDLL(None).madvise
_advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


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
        run = prepare(callee.found, shapes, strides, callee.mode, TORCH)
        run = remember(launched, key, run or _interpreted(callee, shapes))
    found: list[Tensor] = run(tensors)
    return found


def _interpreted(callee: Callee, shapes: Shapes) -> Run:
    """The interpreter on views of tensors."""
    run = callee.found.runner(shapes, INTERPRETED)
    return lambda tensors: [tensor_of(a) for a in run([array_of(t) for t in tensors])]
