"""A gradient that was computed in the forward pass, times the cotangent that came later, in place.

In: gradients for the cotangent 1, and the cotangent, of rank 0 on the device. Between: the kernel reads the
cotangent and ends at once where it is 1, so that the usual case costs a launch and moves nothing; the
host never looks at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tdsl.backends.triton.source import load

BLOCK = 1024
SOURCE = '''"""Gradients times a cotangent."""

import triton
import triton.language as tl


@triton.jit
def scale(gradient_ptr, cotangent_ptr, count, BLOCK: tl.constexpr):
    """Multiply in place; a cotangent of 1 moves nothing."""
    factor = tl.cast(tl.load(cotangent_ptr), tl.float32)
    if factor != 1.0:
        start = tl.cast(tl.program_id(0), tl.int64) * BLOCK
        lane = tl.arange(0, BLOCK)
        mask = lane < count - start
        gradient = tl.load(gradient_ptr + start + lane, mask=mask, other=0.0)
        scaled = tl.cast(gradient, tl.float32) * factor
        tl.store(gradient_ptr + start + lane, tl.cast(scaled, gradient.dtype), mask=mask)
'''


def scale(gradients: Sequence[torch.Tensor], cotangent: torch.Tensor) -> None:
    """Multiply contiguous gradients by the cotangent, in place."""
    kernel: Any = load(SOURCE, "scale")
    for gradient in gradients:
        count = gradient.numel()
        if count:
            kernel[(-(-count // BLOCK),)](gradient, cotangent, count, BLOCK=BLOCK, num_warps=4)
