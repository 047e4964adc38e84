"""Kernels on plain tensors: by a device's backend, or in NumPy where the tensors lie on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tdsl.runtime.torch.memory import Callee, Tensor, array_of, tensor_of
from tdsl.runtime.torch.native import Layouts, layouts, run_native


def run_kernel(callee: Callee, values: Sequence[Any], key: Layouts | None = None) -> list[Tensor]:
    """The results on plain tensors and arrays of rank 0, of which `layouts` gave the key.

    Raises TdslValueError for wrong sizes.
    """
    key = key or layouts(values)
    if callee.native and key is not None:
        return run_native(callee, values, key)
    if is_launched(callee, values):
        from tdsl.runtime.torch.launch import run_tensors

        return run_tensors(callee.found, values, callee.mode.donate)
    if callee.native:
        return run_native(callee, values, None)
    arrays = [array_of(value) for value in values]
    run = callee.found.runner(tuple(array.shape for array in arrays), callee.mode)
    return [tensor_of(array) for array in run(arrays)]


def is_compiled(callee: Callee, values: Sequence[Any]) -> bool:
    """Whether generated kernels run the call, on a device or on the processor."""
    return callee.native or is_launched(callee, values)


def is_launched(callee: Callee, values: Sequence[Any]) -> bool:
    """Whether Triton's kernels run the call: on a GPU, or where it is pinned to them."""
    if callee.mode.backend == "triton":
        return True
    for value in values:
        if isinstance(value, Tensor):
            return value.is_cuda
    return False


def scale_gradients(callee: Callee, gradients: Sequence[Tensor], cotangent: Tensor) -> None:
    """Multiply gradients that generated kernels made by a cotangent of rank 0, in place."""
    if callee.native and cotangent.is_cpu:
        for gradient in gradients:
            gradient.mul_(cotangent)
        return
    from tdsl.backends.triton.scale import scale

    with np.errstate(all="ignore"):
        scale(gradients, cotangent.contiguous())
