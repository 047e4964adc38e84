"""Names of a program that the compiler makes as well: of results, of numbers, and of the grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tdsl
from tests.triton.interpreted import repaired
from tests.triton.plans import assert_same

X = np.arange(12, dtype=np.float32).reshape(4, 3)
PROGRAMS = {
    "one result": ("(out: f32[N, D]) -> f32[N, D]:\n    return exp(out)", 1),
    "two results": (
        "(out1: f32[N, D], out0: f32[N, D]) -> (f32[N, D], f32[N]):\n"
        "    return exp(out0), sum(out1, axis=D)", 2,
    ),
    "a number": ("(x: f32[N, D], number0: f32[N, D]) -> f32[N]:\n    return mean(x * number0, axis=D)", 2),
    "a number of rank 0": ("(x: f32[N, D], number0: f32) -> f32[N]:\n    return mean(x, axis=D) * number0", 2),
    "a workspace": ("(sum_partial: f32[N, D]) -> f32:\n    return sum(sum_partial)", 1),
    "rows": ("(x: f32[programs, D]) -> f32[D]:\n    return sum(x, axis=programs)", 1),
    "columns": ("(x: f32[N, programs]) -> f32[N, programs]:\n    return softmax(x, axis=programs)", 1),
    "both": (
        "(x: f32[programs, D]) -> (f32[programs, D], f32[D]):\n"
        "    return x * mean(x, axis=D), sum(x, axis=programs)", 1,
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    with repaired():
        yield


@pytest.mark.parametrize("case", PROGRAMS)
def test_a_program_may_use_the_compilers_names(case: str) -> None:
    text, count = PROGRAMS[case]
    function: Any = tdsl.compile(f"def f{text}\n")
    second = np.float32(5) if "rank 0" in case else X
    given = (X, second)[:count]
    found, expected = (
        function.using(backend=backend)(*given) for backend in ("triton", "interpreter")
    )
    for actual, wanted in zip(
        *(one if isinstance(one, tuple) else (one,) for one in (found, expected)), strict=True
    ):
        assert_same(np.asarray(actual), wanted, "f32")


def test_a_gradient_is_not_called_like_a_parameter() -> None:
    function: Any = tdsl.compile("def f(y: f32[N], dy: f32[N]) -> f32[N]:\n    return y * dy\n")
    backward = function.lower("f32[64]", "f32[64]", grad=True).reports[1].plan
    assert not set(backward.results) & {param.name for param in backward.params}
