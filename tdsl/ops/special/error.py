"""The error function, its complement and its inverse."""

import numpy as np

from tdsl.ops.special import fits
from tdsl.ops.special.elementwise import elementwise, piecewise
from tdsl.ops.special.series import F64

_NOTHING_LEFT = 29.0  # erfc is 0 in f64 from 27.3 on, and the fit ends here
_HIGH_HALF = np.int64(-1 << 27)  # the leading 26 bits of an f64, whose square is exact


def _central_erf(x: F64) -> F64:
    """Return erf(x) for |x| <= 1."""
    return x * fits.ERF(x * x)


def _scaled_erfc(x: F64) -> F64:
    """Return exp(x**2) erfc(x) for x from 1 to 29, as Shepherd and Laframboise (1981) do."""
    return fits.ERFC((x - 3) / (x + 3)) / (1 + 2 * x)


def _far_erf(x: F64) -> F64:
    """Return erf(x) for |x| >= 1, and for NaN."""
    size = np.minimum(np.abs(x), _NOTHING_LEFT)
    result: F64 = np.copysign(1 - np.exp(-size * size) * _scaled_erfc(size), x)
    return result


def _far_erfc(x: F64) -> F64:
    """Return erfc(x) for x >= 1, and for NaN.

    x**2 may be 700, and rounding it would cost exp nine bits: its high part is squared exactly.
    """
    x = np.minimum(x, _NOTHING_LEFT)
    high = (x.view(np.int64) & _HIGH_HALF).view(np.float64)
    return np.exp(-high * high) * (np.exp((high - x) * (high + x)) * _scaled_erfc(x))


@elementwise
def erf(x: F64) -> F64:
    """Return 2/sqrt(pi) times the integral of exp(-t**2) from 0 to x, elementwise."""
    return piecewise(x, [np.abs(x) < 1], [_central_erf, _far_erf])


@elementwise
def erfc(x: F64) -> F64:
    """Return 1 - erf(x) elementwise, with no loss where erf(x) is near 1."""
    return piecewise(
        x,
        [np.abs(x) < 1, x <= -1],
        [lambda x: 1 - _central_erf(x), lambda x: 1 - _far_erf(x), _far_erfc],
    )


def _outer_erfinv(x: F64) -> F64:
    """Return erfinv(x) for 1/2 <= |x| < 1, where 1 - |x| is exact."""
    s = np.sqrt(-np.log(1 - np.abs(x)))
    return np.copysign(
        piecewise(s, [s < fits.ERFINV_TAIL.lo], [fits.ERFINV_MIDDLE, fits.ERFINV_TAIL]), x
    )


@elementwise
def erfinv(x: F64) -> F64:
    """Return the y with erf(y) = x elementwise: infinite at -1 and 1, NaN outside."""
    size = np.abs(x)
    return piecewise(
        x,
        [size < 0.5, (size >= 0.5) & (size < 1), size == 1],
        [lambda x: x * fits.ERFINV_CENTRE(x * x), _outer_erfinv, lambda x: x * np.inf, np.nan],
    )
