"""Scratch memory of each thread, used again from tile to tile and from call to call."""

from __future__ import annotations

import threading
from math import prod
from typing import Any

import numpy as np

from tdsl.ops.base import Array

KEPT = 8 << 20
"""The most bytes of one piece that a thread keeps."""
ALIGNED = 64


class Scratch(threading.local):
    """Pieces of memory by number."""

    def __init__(self) -> None:
        self.pieces: dict[int, Array] = {}

    def array(self, number: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """The piece as an array, with any values."""
        count = prod(shape) * dtype.itemsize
        if count > KEPT:
            return np.empty(shape, dtype)
        piece = self.pieces.get(number)
        if piece is None or piece.size < count:
            piece = self.pieces[number] = _aligned(count)
        return piece[:count].view(dtype).reshape(shape)


def _aligned(count: int) -> Array:
    """Bytes that begin with a line of the cache."""
    piece = np.empty(count + ALIGNED, np.uint8)
    start = -piece.ctypes.data % ALIGNED
    return piece[start : start + count]


SCRATCH = Scratch()
