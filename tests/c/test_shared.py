"""Costly values that several rows share: computed once for those, and the oracle's.

What all rows share is computed before them, what some share in a kernel of its own.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tdsl
from tdsl.backends.c import execute
from tdsl.backends.c.module import print_plan
from tdsl.backends.threads import THREADS
from tdsl.fusion.plan import make_plan
from tdsl.ops import numpy_dtype
from tests.c.plans import assert_plan_is_right

CASES = {
    "by one axis": ("x * exp(w) + sin(w)", "exp|sin"),
    "of functions of functions": ("tanh(x * sin(exp(w * (s + 1)) * s))", "exp|sin"),
    "by all axes": ("x * tanh(v)", "tanh"),
    "after a value of the row": ("x / exp(s * w)", "exp"),
    "after what others need": ("x * (s * s + 1) * exp(w * (s * s + 1))", "exp"),
    "before a reduction": ("softmax(x * sin(v), axis=D)", "sin"),
    "in a sum": ("sum(x * exp(w), axis=D)", "exp"),
    "gathered": ("x * take(v, i, axis=D)", "i_ptr"),
    "of different axes": ("x * exp(w) * exp(s * w) * sin(v * w)", "exp|sin"),
}
"""Bodies, and what is called, or read, for the shared values."""
BODIES = {name: body for name, (body, _) in CASES.items()}

SHAPES = {"x": (6, 4, 7), "w": (4, 7), "v": (7,), "s": (4,)}


def lowered(body: str, dtype: str, *, with_gradients: bool = False) -> Any:
    result = f"sum({body})" if with_gradients else body
    function: Any = tdsl.compile(
        "def f(x: T[M, N, D], w: T[N, D], v: T[D], s: T[N], i: i64[D]):\n"
        f"    return {result}\n"
    )  # fmt: skip
    specs = [f"{dtype}{[*shape]}" for shape in SHAPES.values()]
    return (tdsl.value_and_grad(function) if with_gradients else function).lower(*specs, "i64[7]")


@pytest.mark.parametrize("with_gradients", [False, True], ids=["value", "gradients"])
@pytest.mark.parametrize("dtype", ["f64", "f32", "bf16"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_shared_values_are_the_oracles(
    body: str, dtype: str, with_gradients: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "SMALL", 0)
    monkeypatch.setattr(THREADS, "count", 3)
    rng = np.random.default_rng(0)
    own = numpy_dtype(tdsl.ir.dtype.DTYPES[dtype])
    arrays = [rng.uniform(-1, 1, shape).astype(own) for shape in SHAPES.values()]
    found = lowered(body, dtype, with_gradients=with_gradients)
    arrays.append(rng.integers(0, 7, 7))
    condition = "gradient" if with_gradients and dtype != "bf16" else "value"
    assert_plan_is_right(found.graph, found.sizes, arrays, dtype, condition=condition)


@pytest.mark.parametrize(("body", "called"), CASES.values(), ids=CASES)
def test_they_are_computed_once(body: str, called: str) -> None:
    found = lowered(body, "f32")
    kernels = print_plan(make_plan(found.graph), found.sizes)[0].kernels
    before, _, each_row = kernels[-1][0].text.rpartition("#pragma omp for")
    call = rf"\b({called})(_f32|f)?[(\[]"
    assert not re.search(call, each_row)
    assert (len(kernels), bool(re.search(call, before))) in [(1, True), (2, False)]
