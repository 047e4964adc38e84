"""Rows that are streamed in blocks: sums that join a pass are the oracle's, infinities and NaN included."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tdsl
from tdsl.backends.triton.module import print_plan
from tdsl.fusion.plan import make_plan
from tdsl.ops import numpy_dtype
from tests.triton.interpreted import repaired
from tests.triton.plans import Array, assert_plan_is_right, configured

INF, NAN = math.inf, math.nan
EDGES = [
    [-INF] * 7,
    [-INF, -INF, -INF, 1.0, 2.0, -INF, 0.5],
    [-INF, -INF, -INF, -1000.0, -INF, -1001.0, -INF],
    [-1000.0, 1000.0, -INF, 2.0, 1000.0, 3.0, 999.0],
    [1000.0, 999.0, 3.0, 4.0, -1000.0, -INF, 5.0],
    [1.0, 2.0, INF, 3.0, -INF, 4.0, 5.0],
    [INF] * 7,
    [1.0, NAN, 2.0, 3.0, INF, 4.0, 5.0],
    [-INF, -INF, NAN, -INF, -INF, -INF, -INF],
    [0.0, -0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [1e4, 1e4 + 1, 1e4 - 1, 1e4, 1e4 + 2, 1e4, 1e4 - 2],
    [3e18, 3e18, 3e18, 3e18, 3e18, 3e18, 3e18],
]
# The bodies of programs of x: T[N, D] and y: T[D], and how often x is then streamed.
SUMS = {
    "softmax": ("softmax(x, axis=D)", 2),
    "masked softmax": ("masked_softmax(x, axis=D)", 2),
    "logsumexp": ("logsumexp(x, axis=D)", 1),
    "sum of powers": ("sum(exp(x - max(x, axis=D)), axis=D)", 1),
    "powers of two": ("sum(exp2(x - max(x, axis=D)), axis=D)", 1),
    "weighted": ("sum(exp(x - max(x, axis=D)) * y, axis=D)", 1),
    "divided": ("sum(-exp(x - max(x, axis=D)) / y, axis=D)", 1),
    "masked": ("sum(where(y > 0, exp(x - max(x, axis=D)), 0), axis=D)", 1),
    "masked before": ("logsumexp(where(y > 0, x, -inf), axis=D)", 1),
    "scaled": ("logsumexp(x * 0.5, axis=D) + logsumexp(x, axis=D)", 1),
    "twice the maximum": ("sum(exp(x - 2 * max(x, axis=D)), axis=D)", 1),
    "variance": ("var(x, axis=D)", 1),
    "another reference": ("sum((x - sum(x, axis=D)) * (x - sum(x, axis=D)), axis=D)", 1),
    "normalised": ("(x - mean(x, axis=D)) * rsqrt(var(x, axis=D) + 1e-5)", 2),
    # What is no multiple of a power of x - max(x), or no square of x - sum(x), waits.
    "another maximum": ("sum(exp(x - max(x * y, axis=D)), axis=D)", 2),
    "not a multiple": ("sum(exp(x - max(x, axis=D)) + 1, axis=D)", 2),
    "two references": ("sum(exp(x - max(x, axis=D)) * (x - max(x, axis=D)), axis=D)", 2),
    "a cube": ("sum((x - mean(x, axis=D)) ** 3, axis=D)", 2),
    "another mean": ("sum((x - mean(x * y, axis=D)) ** 2, axis=D)", 2),
}


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    with repaired():
        yield


def lowered(body: str, dtype: str, specs: tuple[str, str]) -> Any:
    result = f"x: {dtype}[N, D], y: {dtype}[D]"
    function: Any = tdsl.compile(f"def f({result}):\n    return {body}\n")
    return function.lower(*specs)


def rows() -> tuple[Array, Array]:
    return np.array(EDGES), np.array([1.0, 2.0, 0.5, -1.0, 3.0, 1.0, 0.25])


@pytest.mark.parametrize("dtype", ["f64", "f32", "bf16"])
@pytest.mark.parametrize("name", SUMS)
def test_streamed_rows_are_the_oracles(name: str, dtype: str) -> None:
    x, y = (array.astype(numpy_dtype(tdsl.ir.dtype.DTYPES[dtype])) for array in rows())
    found = lowered(SUMS[name][0], dtype, (f"{dtype}[12, 7]", f"{dtype}[7]"))
    with configured("streamed"):
        assert_plan_is_right(found.graph, found.sizes, [x, y], dtype)


@pytest.mark.parametrize("name", SUMS)
def test_how_often_a_row_is_streamed(name: str) -> None:
    body, times = SUMS[name]
    found = lowered(body, "f32", ("f32[16, 131072]", "f32[131072]"))
    text = print_plan(make_plan(found.graph), found.sizes, 132).source
    assert text.count("for start in") == times


def test_labels_of_rows_that_take_all_lanes() -> None:
    """Places are compared with labels in parts, all of which decide."""
    labels = np.array([0b10_1101_0110_1101, 20000, -100])
    logits = np.linspace(-3, 3, labels.size * 20001, dtype=np.float32).reshape(labels.size, 20001)
    loss = tdsl.value_and_grad(tdsl.kernels.losses.cross_entropy, wrt="logits")
    found = loss.lower("f32[3, 20001]", "i64[3]")
    assert "is_at(" in found.kernels[1].source
    assert_plan_is_right(found.graph, found.sizes, [logits, labels], "f32")
