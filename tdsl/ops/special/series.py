"""Polynomials over arrays, and the Bernoulli numbers of the asymptotic series."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

# B_2, B_4, ... B_24
BERNOULLI = tuple(
    Fraction(*ratio)
    for ratio in (
        (1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510),
        (43867, 798), (-174611, 330), (854513, 138), (-236364091, 2730),
    )
)  # fmt: skip


def horner(coefficients: Sequence[float], t: F64) -> F64:
    """The polynomial with these coefficients, lowest power first, at every element of t."""
    result = np.full_like(t, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result *= t
        result += coefficient
    return result
