"""The logarithm of |gamma| and its derivative, digamma.

Both go the same way: fits from 1 to 8, the asymptotic series above, one step of the recurrence
below 1, and the reflection formula for negative x. The formulas are those of the NIST Digital
Library of Mathematical Functions, 5.5 and 5.11.
"""

import numpy as np

from tdsl.ops.special import fits
from tdsl.ops.special.elementwise import Kernel, elementwise, piecewise
from tdsl.ops.special.series import BERNOULLI, F64, horner

# The terms B_2k / (2k (2k - 1)) and B_2k / 2k of the series; from 8 on they suffice.
_STIRLING = [float(b / (2 * k * (2 * k - 1))) for k, b in enumerate(BERNOULLI[:10], 1)]
_DIGAMMA = [float(b / (2 * k)) for k, b in enumerate(BERNOULLI[:10], 1)]
# digamma's positive zero, as a sum of two f64
_ROOT = 1.4616321449683622
_ROOT_REST = 9.549995429965697e-17
_HALF_LOG_2PI = 0.9189385332046728


def _by_interval(x: F64, below_1: Kernel, near: Kernel, middle: Kernel, series: Kernel) -> F64:
    """Apply to each element the kernel of its interval: (0, 1), [1, 3), [3, 8) or [8, inf]."""
    conditions = [(x > 0) & (x < 1), (x >= 1) & (x < 3), (x >= 3) & (x < 8), x >= 8]
    return piecewise(x, conditions, [below_1, near, middle, series, np.nan])


def _stirling(x: F64) -> F64:
    """Return lgamma(x) for x >= 8; in this form nothing overflows before the result does."""
    inverse = 1 / x
    rest = inverse * horner(_STIRLING, inverse * inverse)
    result: F64 = (x - 0.5) * (np.log(x) - 1) + (_HALF_LOG_2PI - 0.5 + rest)
    return result


def _near_lgamma(x: F64) -> F64:
    """Return lgamma(x) for x from 1 to 3, to a relative error even at its zeros."""
    return (x - 1) * (x - 2) * fits.LGAMMA_NEAR(x) + 0.0  # not -0 at 1


def _positive_lgamma(x: F64) -> F64:
    return _by_interval(
        x,
        lambda x: x * (x - 1) * fits.LGAMMA_NEAR(x + 1) - np.log(x),
        _near_lgamma,
        lambda x: (x - 1) * (x - 2) * fits.LGAMMA_MIDDLE(x),
        _stirling,
    )


def _reflected_lgamma(x: F64) -> F64:
    """Return lgamma(x) for x <= 0, from gamma(x) gamma(1 - x) = pi / sin(pi x)."""
    x = np.maximum(x, -(2.0**53))  # an integer, as all below are
    sine = np.abs(np.sin(np.pi * (x - np.rint(x))))
    return -np.log(sine / np.pi) - _positive_lgamma(1 - x)


@elementwise
def lgamma(x: F64) -> F64:
    """Return log(|gamma(x)|) elementwise: inf at 0, the negative integers and both infinities.

    The error for negative x is at most 1e-14 (1 + lgamma(1 - x)): relative to the larger of the two
    terms whose difference the result is, and which cancel near its zeros.
    """
    return piecewise(x, [x <= 0], [_reflected_lgamma, _positive_lgamma])


def _digamma_series(x: F64) -> F64:
    """Return digamma(x) for x >= 8."""
    inverse = 1 / x
    square = inverse * inverse
    return np.log(x) - (0.5 * inverse + square * horner(_DIGAMMA, square))


def _near_digamma(x: F64) -> F64:
    """Return digamma(x) for x from 1 to 3, to a relative error even at its zero."""
    return ((x - _ROOT) - _ROOT_REST) * fits.DIGAMMA_NEAR(x)


def _positive_digamma(x: F64) -> F64:
    return _by_interval(
        x,
        lambda x: _near_digamma(x + 1) - 1 / x,
        _near_digamma,
        lambda x: (x - _ROOT) * fits.DIGAMMA_MIDDLE(x),
        _digamma_series,
    )


def _reflected_digamma(x: F64) -> F64:
    """Return digamma(x) for x < 0, from digamma(1 - x) - digamma(x) = pi cot(pi x)."""
    offset = x - np.rint(x)
    cotangent = 1 / np.tan(np.pi * offset)
    return np.where(offset == 0, np.nan, _positive_digamma(1 - x) - np.pi * cotangent)


@elementwise
def digamma(x: F64) -> F64:
    """Return the derivative of lgamma elementwise: NaN at the negative integers and at -inf.

    At 0 it is -inf, at -0 inf. The error for negative x is at most 1e-14 times the larger of 1,
    |digamma(x)| and digamma(1 - x), a term that cancels near the zeros.
    """
    return piecewise(x, [x < 0, x == 0], [_reflected_digamma, lambda x: -1 / x, _positive_digamma])
