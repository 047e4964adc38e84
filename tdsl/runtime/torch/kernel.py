"""Kernels on plain tensors: by a device's backend, or in NumPy where the tensors lie on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tdsl.runtime.torch.launch import run_tensors
from tdsl.runtime.torch.memory import Callee, Tensor, array_of, tensor_of


def run_kernel(callee: Callee, values: Sequence[Any]) -> list[Tensor]:
    """The results on plain tensors and arrays of rank 0. Raises TdslValueError for wrong sizes."""
    if callee.mode.backend == "triton" or any(getattr(value, "is_cuda", False) for value in values):
        return run_tensors(callee.found, values)
    arrays = [array_of(value) for value in values]
    run = callee.found.runner(tuple(array.shape for array in arrays), callee.mode)
    return [tensor_of(array) for array in run(arrays)]
