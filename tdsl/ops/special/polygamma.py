"""The derivatives of digamma, from the Hurwitz zeta function.

polygamma(n, x) = (-1)**(n + 1) n! zeta(n + 1, x), where zeta(s, x) is the sum over k >= 0 of
(x + k)**-s. For n = 0 it is digamma. In: the order n, a static integer, and x. Out: an array.
"""

import math
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from tdsl.errors import InternalError
from tdsl.ops.special.elementwise import FloatArray, apply, piecewise
from tdsl.ops.special.gamma import digamma
from tdsl.ops.special.series import BERNOULLI, F64, horner

_DIRECT_TERMS = 10  # with these, 12 terms of the rest's series suffice for s >= 2
_EXPONENT_LIMIT = 5000  # beyond it ldexp gives 0 or infinity, whatever the mantissa


def _zeta_ratio(s: int, x: F64) -> F64:
    """Return zeta(s, x) * x**(s - 1) for 0 < x < inf, by the Euler-Maclaurin formula.

    Scaled so, it lies between 1/(s - 1) and 1/(s - 1) + 1/x.
    """
    total = np.ones_like(x)
    for k in range(1, _DIRECT_TERMS):
        total += np.power(x / (x + k), s)
    first_left = x + _DIRECT_TERMS
    inverse = 1 / first_left
    rising = float(s)
    coefficients = []
    for k, bernoulli in enumerate(BERNOULLI, 1):
        coefficients.append(float(bernoulli / math.factorial(2 * k)) * rising)
        rising *= (s + 2 * k - 1) * (s + 2 * k)
    rest = first_left / (s - 1) + 0.5 + inverse * horner(coefficients, inverse * inverse)
    return (total + np.power(x * inverse, s) * rest) / x


def _magnitude(n: int, x: F64) -> tuple[F64, F64]:
    """Return n! zeta(n + 1, x) for 0 < x < inf, as a significand and an exponent of 2.

    n!, x**-n and even the whole may leave the range of f64.
    """
    mantissa, exponent = np.frexp(x)
    log2_power = -n * np.log2(mantissa)
    whole = np.rint(log2_power)
    factorial = math.factorial(n)
    bits = factorial.bit_length()
    significand = (factorial / (1 << bits)) * np.exp2(log2_power - whole) * _zeta_ratio(n + 1, x)
    return significand, whole + bits - float(n) * exponent


def _scale(significand: F64, exponent: F64) -> F64:
    """Return significand * 2**exponent."""
    limited = np.clip(exponent, -_EXPONENT_LIMIT, _EXPONENT_LIMIT)
    return np.ldexp(significand, limited.astype(np.int32))


def _positive(n: int, x: F64) -> F64:
    return (-1.0) ** (n + 1) * _scale(*_magnitude(n, x))


def _negative(n: int, x: F64) -> F64:
    """Return polygamma(n, x) for x < 0 between the poles.

    The sum over k >= 0 of (x + k)**-s is that over all integers k, less the terms below x. Split at
    the integer nearest to x, at a distance d, the former is zeta(s, d) +- zeta(s, 1 - d), and the
    latter +-zeta(s, 1 - x). The first is the largest: its exponent is held back to the end.
    """
    offset = x - np.rint(x)
    distance = np.abs(offset)
    close, exponent = _magnitude(n, distance)
    far, below = (
        _scale(significand, power - exponent)
        for significand, power in (_magnitude(n, 1 - distance), _magnitude(n, 1 - x))
    )
    if n % 2:
        return _scale(close + far - below, exponent)
    return -_scale(np.copysign(close - far, offset) + below, exponent)


def _polygamma(n: int, x: F64) -> F64:
    at_pole = (x <= 0) & (x == np.rint(x)) & (x > -np.inf)
    between = (x < 0) & (x != np.rint(x))
    sign = (-1.0) ** (n + 1)
    return piecewise(
        x,
        [(x > 0) & (x < np.inf), x == np.inf, at_pole, between],
        [partial(_positive, n), sign * 0.0, sign * np.inf, partial(_negative, n), np.nan],
    )


def polygamma(n: int, x: ArrayLike) -> FloatArray:
    """Return the n-th derivative of digamma elementwise, for n >= 0.

    For n >= 1 it is (-1)**(n + 1) inf at 0, -0 and the negative integers, as in SciPy, and NaN at
    -inf. The relative error is at most 1e-14 (1 + n/50), save for even n and negative x: there the
    error is at most 1e-14 (1 + n/50) (|polygamma(n, x)| + n! 2**(n + 1)), since two terms as large
    as the latter cancel near the zeros.

    Raises InternalError for a negative n.
    """
    if n < 0:
        raise InternalError(f"polygamma of negative order {n}")
    if n == 0:
        return digamma(x)
    return apply(partial(_polygamma, n), x)
