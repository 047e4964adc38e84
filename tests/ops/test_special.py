"""The special functions against mpmath (40 digits) and SciPy, and the law of their fits."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.special
from mpmath import mp, mpf

from tdsl.errors import InternalError
from tdsl.ops.special import digamma, erf, erfc, erfinv, fits, gamma, lgamma, polygamma
from tdsl.ops.special.elementwise import FloatArray
from tdsl.ops.special.fits import Fit

INF, NAN = math.inf, math.nan
SMALLEST, LARGEST = 5e-324, 1.7976931348623157e308
ROOT = 1.4616321449683622  # of digamma

Function = Callable[[Any], Any]


def _log_spaced(low: float, high: float, count: int) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.exp(random.uniform(math.log(low), math.log(high), count))


def _order(n: int) -> Function:
    return lambda x: polygamma(n, x)


def _true_lgamma(x: Any) -> Any:
    return mp.log(abs(mp.gamma(x))) if x < 0 else mp.re(mp.loggamma(x))


def _true_polygamma(n: int) -> Function:
    return lambda x: mp.polygamma(n, x)


# The samples
BOTH_SIDES = np.concatenate(
    [np.linspace(-6.5, 6.5, 801), _log_spaced(1e-300, 10, 200), -_log_spaced(1e-300, 10, 200)]
)
TAIL = np.concatenate([np.linspace(-6.5, 26, 1601), _log_spaced(1e-300, 26, 300)])
WITHIN_1 = np.concatenate(
    [
        np.linspace(-0.999, 0.999, 801),
        _log_spaced(1e-300, 0.9, 200),
        1 - _log_spaced(1e-16, 0.5, 300),
    ]
)
POSITIVE = np.concatenate([np.linspace(0.001, 20, 1201), _log_spaced(1e-300, 1e300, 400)])
AROUND_1_AND_2 = np.concatenate(
    [zero + step * np.linspace(-1, 1, 100) for zero in (1, 2) for step in (1e-2, 1e-8, 1e-15)]
)
AROUND_ROOT = np.concatenate(
    [ROOT + step * np.linspace(-1, 1, 100) for step in (1e-2, 1e-8, 1e-15)]
)
NEGATIVE = -np.concatenate([np.linspace(0.0013, 30, 1201), _log_spaced(1e-300, 200, 400)])
MODERATE = np.concatenate([np.linspace(0.01, 30, 101), _log_spaced(1e-8, 1e6, 100)])
MODERATE_NEGATIVE = -np.concatenate([np.linspace(0.0013, 30, 301), _log_spaced(1e-8, 30, 100)])


def _at_zeros(n: int) -> Function:
    """The size of what cancels in polygamma(n, x) at a negative x and an even n."""
    return lambda x: abs(mp.polygamma(n, x)) + mp.factorial(n) * mpf(2) ** (n + 1)


# (function, truth, samples, what the error is relative to: None for the truth itself, tolerance)
ACCURACY: dict[str, tuple[Function, Function, np.ndarray, Function | None, float]] = {
    "erf": (erf, mp.erf, BOTH_SIDES, None, 1e-14),
    "erfc": (erfc, mp.erfc, TAIL, None, 1e-14),
    "erfinv": (erfinv, mp.erfinv, WITHIN_1, None, 1e-14),
    "lgamma": (lgamma, _true_lgamma, POSITIVE, None, 1e-14),
    "lgamma near its zeros": (lgamma, _true_lgamma, AROUND_1_AND_2, None, 1e-14),
    "lgamma of negatives": (
        lgamma, _true_lgamma, NEGATIVE, lambda x: 1 + abs(_true_lgamma(1 - x)), 1e-14,
    ),
    "digamma": (digamma, mp.digamma, POSITIVE, None, 1e-14),
    "digamma near its zero": (digamma, mp.digamma, AROUND_ROOT, None, 1e-14),
    "digamma of negatives": (
        digamma, mp.digamma, NEGATIVE,
        lambda x: max(1, abs(mp.digamma(x)), mp.digamma(1 - x)), 1e-14,
    ),
    **{
        f"polygamma {n}": (_order(n), _true_polygamma(n), MODERATE, None, 1e-14 * (1 + n / 50))
        for n in (1, 2, 3, 4, 5, 10, 20, 50, 100)
    },
    **{
        f"polygamma {n} of large": (
            _order(n), _true_polygamma(n), np.linspace(n / 4, 2 * n, 41), None,
            1e-14 * (1 + n / 50),
        )
        for n in (170, 171, 400)
    },
    **{
        f"polygamma {n} of negatives": (
            _order(n), _true_polygamma(n), MODERATE_NEGATIVE[:: n // 9 + 1],
            _at_zeros(n) if n % 2 == 0 else None,
            1e-14 * (1 + n / 50),
        )
        for n in (1, 2, 3, 4, 5, 10, 147, 148, 170)
    },
}  # fmt: skip


@pytest.mark.parametrize("row", ACCURACY)
def test_agrees_with_40_digits(row: str) -> None:
    function, truth, samples, scale, tolerance = ACCURACY[row]
    samples = samples[(samples > 0) | (samples != np.rint(samples))]
    values = function(samples)
    wrong = []
    with mp.workdps(40):
        for sample, value in zip(samples.tolist(), values.tolist(), strict=True):
            x = mpf(sample)
            expected = truth(x)
            if abs(expected) > LARGEST:
                good = value == math.copysign(INF, expected)
            else:
                size = abs(expected) if scale is None else scale(x)
                # denormals have fewer bits
                good = abs(mpf(value) - expected) <= tolerance * size + SMALLEST
            if not good:
                wrong.append((sample, value, float(expected)))
    assert not wrong


# (function, SciPy's, samples where SciPy is good)
AGAINST_SCIPY: dict[str, tuple[Function, Function, np.ndarray]] = {
    "erf": (erf, scipy.special.erf, np.linspace(-7, 7, 100_001)),
    "erfc": (erfc, scipy.special.erfc, np.linspace(-7, 5, 100_001)),
    "erfinv": (erfinv, scipy.special.erfinv, np.linspace(-0.99999, 0.99999, 100_001)),
    "lgamma": (lgamma, scipy.special.gammaln, np.geomspace(2.1, 1e300, 100_001)),
    "digamma": (digamma, scipy.special.psi, np.geomspace(1.6, 1e300, 100_001)),
    **{
        f"polygamma {n}": (
            _order(n), partial(scipy.special.polygamma, n), np.geomspace(1e-8, 1e8, 100_001),
        )
        for n in (1, 2, 3)
    },
}  # fmt: skip


@pytest.mark.parametrize("row", AGAINST_SCIPY)
def test_agrees_with_scipy(row: str) -> None:
    function, reference, samples = AGAINST_SCIPY[row]
    np.testing.assert_allclose(function(samples), reference(samples), rtol=1e-14, atol=0)


# function: (argument, value) pairs; equal to the last bit and in the sign of 0
EXACT: dict[str, tuple[Function, list[tuple[float, float]]]] = {
    "erf": (erf, [(0.0, 0.0), (-0.0, -0.0), (INF, 1), (-INF, -1), (NAN, NAN), (30, 1), (-1e300, -1),
                  (SMALLEST, SMALLEST), (-SMALLEST, -SMALLEST)]),
    "erfc": (erfc, [(0.0, 1), (-0.0, 1), (INF, 0.0), (-INF, 2), (NAN, NAN), (28, 0.0),
                    (LARGEST, 0.0), (-LARGEST, 2), (SMALLEST, 1)]),
    "erfinv": (erfinv, [(0.0, 0.0), (-0.0, -0.0), (1, INF), (-1, -INF), (NAN, NAN), (INF, NAN),
                        (-INF, NAN), (np.nextafter(1, 2), NAN), (-2, NAN), (SMALLEST, SMALLEST)]),
    "lgamma": (lgamma, [(0.0, INF), (-0.0, INF), (1, 0.0), (2, 0.0), (INF, INF), (-INF, INF),
                        (NAN, NAN), (-1, INF), (-170, INF), (-1e15, INF), (-1e300, INF),
                        (-LARGEST, INF), (LARGEST, INF)]),
    "digamma": (digamma, [(0.0, -INF), (-0.0, INF), (INF, INF), (-INF, NAN), (NAN, NAN), (-1, NAN),
                          (-1e15, NAN), (-1e300, NAN), (SMALLEST, -INF), (-SMALLEST, INF)]),
    **{
        f"polygamma {n}": (
            _order(n), [(0.0, sign * INF), (-0.0, sign * INF), (INF, sign * 0.0), (-INF, NAN),
                        (NAN, NAN), (-1, sign * INF), (-1e300, sign * INF), (SMALLEST, sign * INF),
                        (-SMALLEST, INF)],
        )
        for n, sign in ((1, 1), (2, -1), (3, 1), (200, -1))
    },
}  # fmt: skip


@pytest.mark.parametrize("row", EXACT)
def test_special_values(row: str) -> None:
    function, pairs = EXACT[row]
    arguments, expected = np.array(pairs, np.float64).T
    values = function(arguments)
    np.testing.assert_array_equal(values, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(values[numbers]), np.signbit(expected[numbers]))


def test_values_at_the_ends_of_the_range() -> None:
    assert lgamma(SMALLEST) == pytest.approx(-math.log(SMALLEST), rel=1e-15)
    assert lgamma(-SMALLEST) == pytest.approx(-math.log(SMALLEST), rel=1e-15)
    assert lgamma(2.5e305) == pytest.approx(float(mp.loggamma(mpf(2.5e305))), rel=1e-15)
    assert digamma(LARGEST) == pytest.approx(math.log(LARGEST), rel=1e-15)
    assert polygamma(1, 1e300) == pytest.approx(1e-300, rel=1e-14)
    assert polygamma(1, 1e-150) == pytest.approx(1e300, rel=1e-14)
    with mp.workdps(40):
        for x in (26.6, 27.0, 27.2):
            assert erfc(x) == pytest.approx(float(mp.erfc(mpf(x))), rel=1e-14, abs=SMALLEST)


FUNCTIONS = {
    "erf": erf,
    "erfc": erfc,
    "erfinv": erfinv,
    "lgamma": lgamma,
    "digamma": digamma,
    "polygamma 1": _order(1),
    "polygamma 2": _order(2),
}
everywhere = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


@everywhere
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3, 4), (20_000,)])
def test_shape_and_dtype_are_kept(function: Function, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).uniform(-4, 4, shape)
    value = function(x)
    assert isinstance(value, np.ndarray)
    assert (value.shape, value.dtype) == (shape, np.float64)
    single = np.asarray(x, np.float32)
    rounded = function(single)
    assert isinstance(rounded, np.ndarray)
    assert (rounded.shape, rounded.dtype) == (shape, np.float32)
    np.testing.assert_array_equal(rounded, function(np.asarray(single, np.float64)).astype("f4"))


@everywhere
def test_each_element_is_independent_of_its_place(function: Function) -> None:
    x = np.random.default_rng(2).uniform(-4, 4, 20_000)
    places = np.arange(0, x.size, 997)
    one_by_one = [function(x[place]) for place in places]
    np.testing.assert_allclose(function(x)[places], one_by_one, rtol=1e-15)


@everywhere
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_strides_do_not_matter_and_the_input_stays(function: Function, dtype: type) -> None:
    whole: FloatArray = np.random.default_rng(3).uniform(-4, 4, (6, 8, 10)).astype(dtype)
    for view in (whole.T, whole[::-2, ::3, ::-1], np.broadcast_to(whole[:1], (5, 8, 10))):
        before = view.copy()
        value = function(view)
        np.testing.assert_allclose(
            value, function(before), rtol=1e-15 if dtype is np.float64 else 0
        )
        np.testing.assert_array_equal(view, before)
        assert not np.shares_memory(value, view)
    frozen: FloatArray = np.array([0.25, -0.5], dtype)
    frozen.flags.writeable = False
    function(frozen)


@everywhere
def test_warns_of_nothing_even_if_told_to_raise(function: Function) -> None:
    edges = [
        0.0,
        -0.0,
        1,
        -1,
        -2,
        30,
        -30,
        INF,
        -INF,
        NAN,
        SMALLEST,
        LARGEST,
        -LARGEST,
        -0.5,
        1e-200,
    ]
    with np.errstate(all="raise"):
        function(np.array(edges))
        function(np.array([*edges[:10], 1e-40, -1e-40, 3e38], np.float32))


def test_polygamma_0_is_digamma() -> None:
    np.testing.assert_array_equal(polygamma(0, MODERATE), digamma(MODERATE))


def test_polygamma_of_a_negative_order_is_our_fault() -> None:
    with pytest.raises(InternalError, match="order -1"):
        polygamma(-1, np.ones(2))


def _over_root(f: Function) -> Function:
    return lambda z: f(mp.sqrt(z)) / mp.sqrt(z)


def _scaled_erfc(t: Any) -> Any:
    x = 3 * (1 + t) / (1 - t)
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


def _erfinv_tail(s: Any) -> Any:
    return mp.erfinv(1 - mp.exp(-s * s))


def _lgamma_over_zeros(x: Any) -> Any:
    return 1 - mp.euler if x == 2 else mp.loggamma(x) / ((x - 1) * (x - 2))


def _digamma_over_zero(x: Any) -> Any:
    return mp.digamma(x) / (x - mp.findroot(mp.digamma, ROOT))


FITS: dict[str, tuple[Fit, Function]] = {
    "ERF": (fits.ERF, _over_root(mp.erf)),
    "ERFC": (fits.ERFC, _scaled_erfc),
    "ERFINV_CENTRE": (fits.ERFINV_CENTRE, _over_root(mp.erfinv)),
    "ERFINV_MIDDLE": (fits.ERFINV_MIDDLE, _erfinv_tail),
    "ERFINV_TAIL": (fits.ERFINV_TAIL, _erfinv_tail),
    "LGAMMA_NEAR": (fits.LGAMMA_NEAR, _lgamma_over_zeros),
    "LGAMMA_MIDDLE": (fits.LGAMMA_MIDDLE, _lgamma_over_zeros),
    "DIGAMMA_NEAR": (fits.DIGAMMA_NEAR, _digamma_over_zero),
    "DIGAMMA_MIDDLE": (fits.DIGAMMA_MIDDLE, _digamma_over_zero),
}


def _interpolant(f: Function, low: float, high: float, count: int) -> list[Any]:
    """The coefficients, in powers of t, of the interpolant at `count` Chebyshev points."""
    angles = [mp.pi * (2 * j + 1) / (2 * count) for j in range(count)]
    middle, half = (mpf(low) + mpf(high)) / 2, (mpf(high) - mpf(low)) / 2
    values = [f(middle + half * mp.cos(angle)) for angle in angles]
    result = [mpf(0)] * count
    previous, current = [mpf(0)] * count, [mpf(1)] + [mpf(0)] * (count - 1)  # T_-1 by halves, T_0
    for k in range(count):
        weight = mp.fsum(v * mp.cos(k * a) for v, a in zip(values, angles, strict=True))
        weight *= mpf(2 if k else 1) / count
        result = [r + weight * c for r, c in zip(result, current, strict=True)]
        shifted = [mpf(0), *current[:-1]]
        following = [(2 if k else 1) * s - p for s, p in zip(shifted, previous, strict=True)]
        previous, current = current, following
    return result


@pytest.mark.parametrize("name", FITS)
def test_the_fits_are_the_interpolants_they_are_said_to_be(name: str) -> None:
    fit, truth = FITS[name]
    with mp.workdps(50):
        computed = _interpolant(truth, fit.lo, fit.hi, len(fit.coefficients))
        assert fit.coefficients == tuple(float(c) for c in computed)


def test_the_zero_of_digamma_is_split_right() -> None:
    with mp.workdps(50):
        root = mp.findroot(mp.digamma, ROOT)
        assert float(root) == gamma._ROOT
        assert float(root - mpf(gamma._ROOT)) == gamma._ROOT_REST
