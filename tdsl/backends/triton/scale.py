"""A gradient that was computed in the forward pass, times the cotangent that came later, in place.

In: gradients for the cotangent 1, and the cotangent, of rank 0 on the device. Between: the kernel reads the
cotangent and ends at once where it is 1, so that the usual case costs a launch and moves nothing; the
host never looks at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tdsl.backends.triton.scale_source import NAME, SOURCE
from tdsl.backends.triton.source import load

BLOCK = 1024


def scale(gradients: Sequence[torch.Tensor], cotangent: torch.Tensor) -> None:
    """Multiply contiguous gradients by the cotangent, in place."""
    kernel: Any = load(SOURCE, NAME)
    for gradient in gradients:
        count = gradient.numel()
        if count:
            kernel[(-(-count // BLOCK),)](gradient, cotangent, count, BLOCK=BLOCK, num_warps=4)
