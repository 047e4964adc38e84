"""Rows that leave the cache: sums that join a pass are the oracle's, infinities and NaN included."""

from __future__ import annotations

import numpy as np
import pytest

import tdsl
from tdsl.backends.c import schedule
from tdsl.backends.c.module import print_plan
from tdsl.fusion.plan import make_plan
from tdsl.ops import numpy_dtype
from tests.c.plans import assert_plan_is_right, run_plan, small_blocks
from tests.triton.test_streams import SUMS, lowered, rows


@pytest.mark.parametrize("dtype", ["f64", "f32", "bf16"])
@pytest.mark.parametrize("name", SUMS)
def test_streamed_rows_are_the_oracles(name: str, dtype: str) -> None:
    x, y = (array.astype(numpy_dtype(tdsl.ir.dtype.DTYPES[dtype])) for array in rows())
    found = lowered(SUMS[name][0], dtype, (f"{dtype}[12, 7]", f"{dtype}[7]"))
    with small_blocks():
        assert_plan_is_right(found.graph, found.sizes, [x, y], dtype)


@pytest.mark.parametrize("name", SUMS)
def test_how_often_a_row_is_streamed(name: str) -> None:
    body, times = SUMS[name]
    found = lowered(body, "f32", ("f32[16, 131072]", "f32[131072]"))
    text = print_plan(make_plan(found.graph), found.sizes)[0].source
    assert text.count("for (int64_t start = 0;") == times


def test_squares_far_from_zero() -> None:
    """In f32, of a long row with a mean far above its deviation."""
    x = (np.random.default_rng(0).standard_normal((2, 100_000)) + 1000).astype(np.float32)
    found = lowered("var(x, axis=D)", "f32", ("f32[2, 100000]", "f32[100000]"))
    (actual,) = run_plan(found.graph, found.sizes, [x, x[0]])
    np.testing.assert_allclose(actual, np.var(x.astype(np.float64), axis=1), 1e-5)


def test_constant_rows_have_no_variance_below_zero() -> None:
    x = np.full((12, 7), 0.1, np.float32) * np.arange(1, 13, dtype=np.float32)[:, None]
    found = lowered("var(x, axis=D)", "f32", ("f32[12, 7]", "f32[7]"))
    with small_blocks():
        (actual,) = run_plan(found.graph, found.sizes, [x, x[0]])
    assert np.all(actual >= 0)
    np.testing.assert_allclose(actual, 0, atol=1e-12)


@pytest.mark.parametrize(
    ("body", "lanes"),
    [("softmax(x, axis=N)", 2), ("logsumexp(x, axis=N)", 4)],
    ids=["kept", "none"],
)
def test_longer_rows_side_by_side_are_fewer(
    body: str, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where something waits for a later pass, so that it fits the cache."""
    x, y = (array.astype(np.float32) for array in rows())
    found = lowered(body, "f32", ("f32[12, 7]", "f32[7]"))
    with small_blocks():
        monkeypatch.setattr(schedule, "STAGED_LANES", 4)
        ((_, chosen),) = print_plan(make_plan(found.graph), found.sizes)[0].kernels
        assert (chosen.lanes, chosen.staged) == (lanes, lanes == 2)
        assert_plan_is_right(found.graph, found.sizes, [x, y], "f32")
