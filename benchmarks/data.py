"""Arguments of the benchmarks: random arrays by kind, for so many rows and columns.

In: a generator, rows, columns. Out: an array in f32, or of integers. Between: `x` and `y` are normal, laid
out as rows, as images of 64 channels, or as sequences of 256 positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Make = Callable[[np.random.Generator, int, int], Any]
CHANNELS, POSITIONS = 64, 256
F32 = np.float32


def normal(shape: Callable[[int, int], tuple[int, ...]]) -> Make:
    """Standard normal data."""
    return lambda g, r, c: g.standard_normal(shape(r, c), F32)


def uniform(low: float, high: float, shape: Callable[[int, int], tuple[int, ...]]) -> Make:
    """Data in an interval."""
    return lambda g, r, c: g.uniform(low, high, shape(r, c)).astype(F32)


def rows(r: int, c: int) -> tuple[int, ...]:
    """The shape of rows."""
    return (r, c)


def row(r: int, c: int) -> tuple[int, ...]:
    """The shape of one row."""
    return (c,)


def images(r: int, c: int) -> tuple[int, ...]:
    """The shape of images with `CHANNELS` channels."""
    return (r // CHANNELS, CHANNELS, c)


def channels(r: int, c: int) -> tuple[int, ...]:
    """The shape of a weight for each channel."""
    return (CHANNELS,)


def sequences(r: int, c: int) -> tuple[int, ...]:
    """The shape of sequences of `POSITIONS` positions."""
    return (r // POSITIONS, POSITIONS, c)


def table(r: int, c: int) -> tuple[int, ...]:
    """The shape of a table of angles."""
    return (POSITIONS, c // 2)


def probabilities(g: np.random.Generator, r: int, c: int) -> Any:
    """Rows of probabilities."""
    x = np.exp(g.standard_normal((r, c), F32))
    return x / x.sum(-1, keepdims=True)


def log_probabilities(g: np.random.Generator, r: int, c: int) -> Any:
    """Logarithms of rows of probabilities."""
    return np.log(probabilities(g, r, c))


def labels(g: np.random.Generator, r: int, c: int) -> Any:
    """A class for each row."""
    return g.integers(0, c, r)


def signs(g: np.random.Generator, r: int, c: int) -> Any:
    """-1 and 1, for each element."""
    return (g.integers(0, 2, (r, c)) * 2 - 1).astype(F32)


def row_signs(g: np.random.Generator, r: int, c: int) -> Any:
    """-1 and 1, for each row."""
    return (g.integers(0, 2, r) * 2 - 1).astype(F32)


def number(value: float) -> Make:
    """A number: integers as i64, others as f32."""
    dtype = np.int64 if isinstance(value, int) else F32
    return lambda g, r, c: np.asarray(value, dtype)
