"""What the tiled executor computes otherwise than NumPy: the values are NumPy's own, or as near as is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import erf as true_erf

from tdsl.backends.numpy.functions import (
    at_least,
    at_most,
    erf_of,
    negative_size,
    rsqrt_of,
    sign_of,
)
from tdsl.backends.numpy.one_hot import one_hot, picking
from tdsl.backends.numpy.sums import PIECE, inner, summing
from tdsl.ir.dtype import F32
from tdsl.ir.size import name
from tdsl.ops import input_, sum_

EDGES = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3e38, -1e-38, 0.5], "f4")
LARGE = np.resize(EDGES, (5, 4001))

SAME: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sign": (sign_of, np.sign),
    "at least 0": (lambda x, out: at_least(x, x.dtype.type(0), out), lambda x: np.maximum(x, 0)),
    "at most 1": (lambda x, out: at_most(x.dtype.type(1), x, out), lambda x: np.minimum(1, x)),
    "at least NaN": (lambda x, out: at_least(x, x.dtype.type("nan"), out), lambda x: x * np.nan),
    "the negative of the size": (negative_size, lambda x: -np.abs(x)),
    "rsqrt": (rsqrt_of, lambda x: 1 / np.sqrt(x)),
}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", SAME)
def test_values_are_those_of_numpy(name: str, dtype: str) -> None:
    function, reference = SAME[name]
    x = LARGE.astype(dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(function(x, np.empty_like(x)), reference(x))
        np.testing.assert_array_equal(function(x, None), reference(x))


def test_the_error_function_is_good_to_4_units_in_the_last_place() -> None:
    generator = np.random.default_rng(0)
    spread = np.exp(generator.uniform(-80, 2, 100_000)) * generator.choice([-1, 1], 100_000)
    x = np.concatenate([spread, np.linspace(-6, 6, 300_001)]).astype("f4")
    expected = true_erf(x.astype("f8"))
    apart = np.abs(erf_of(x, np.empty_like(x)) - expected)
    assert (apart <= 4 * np.spacing(np.abs(expected).astype("f4"))).all()
    edges = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e20], "f4")
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(erf_of(edges), [0, 0, 1, -1, np.nan, 1])


@pytest.mark.parametrize("count", [0, 1, 7, PIECE, PIECE + 1, 3 * PIECE + 5])
def test_products_are_summed_in_pieces(count: int) -> None:
    x, y = np.random.default_rng(1).standard_normal((2, 3, 2, count))
    np.testing.assert_allclose(inner(x, y), (x * y).sum(-1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(inner(x, y[0, 0]), (x * y[0, 0]).sum(-1), rtol=1e-12, atol=1e-12)


def test_sums_are_those_of_all_axes() -> None:
    n, c, s = map(name, "NCS")
    x = np.random.default_rng(2).standard_normal((4, 5, 6), "f4")
    node = sum_(input_(name="x", dtype=F32, axes=(n, c, s)), axes=(s, n))
    np.testing.assert_allclose(summing(node, (n, c, s), 6)(x), x.sum((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(summing(node, (n, c, s), 6)(x, x), (x * x).sum((0, 2)), rtol=1e-5)


def test_rows_are_0_but_at_their_place() -> None:
    places, values = np.array([2, -1, 0, 3]), np.arange(1, 5, dtype="f4")
    expected = np.where(np.arange(3) == places[:, None], values[:, None], np.float32(0))
    run = one_hot((4, 3), np.dtype("f4"))
    np.testing.assert_array_equal(run(places, values), expected)
    np.testing.assert_array_equal(run(places, values, np.ones((4, 3), "f4")), expected)


@pytest.mark.parametrize("length", [0, 3])
def test_one_place_of_each_row_is_read(length: int) -> None:
    x = np.arange(4 * length, dtype="f4").reshape(4, length) + 1
    for places in ([0, 1, 2, 0], [2, -1, 0, 3]):
        expected = [
            row[place] if 0 <= place < length else 0 for row, place in zip(x, places, strict=True)
        ]
        for rows in (x, np.asfortranarray(x)):
            np.testing.assert_array_equal(picking((4, length))(rows, np.array(places)), expected)
