"""Functions of a part of all numbers: where they are called, and that they are right there."""

from __future__ import annotations

import numpy as np
import pytest

from tests.c.test_accuracy import ROWS, function, points, units_off

BOUNDS = {name: float(f32) for name, _, _, f32, _ in ROWS}
EXACT_WITHIN = {
    "exp(-abs(x))": "exp_nonpositive",
    "exp(minimum(x, 0.0))": "exp_nonpositive",
    "exp(minimum(-maximum(x, 2.0), x))": "exp_nonpositive",
    "log1p(minimum(maximum(x, 0.0), 1.0))": "log1p_unit",
    "log1p(minimum(abs(x), 0.5))": "log1p_unit",
}
NARROW = EXACT_WITHIN | {"exp(-(x * x))": "exp_nonpositive", "log1p(exp(-abs(x)))": "log1p_unit"}
WHOLE = [
    "exp(-x)", "exp(abs(x))", "exp(minimum(x, 1.0))", "exp(maximum(x, -1.0))", "exp(x * abs(x))",
    "exp(minimum(x, x + 1.0))", "exp(-abs(x) + 1.0)", "log1p(-abs(x))", "log1p(exp(x))",
    "log1p(minimum(abs(x), 1.5))", "log1p(minimum(x, 1.0))",
]  # fmt: skip
EDGES = [
    np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 1e-38, -1e-38, 3e38, -3e38,
    87.3, -87.4, 103.9, -104.0, 173.9, -174.1, 1e9, -1e9, 0.414213, 0.414214, 1e-8, 0.99999994,
]  # fmt: skip


@pytest.mark.parametrize("body", NARROW)
def test_a_narrow_form_is_called(body: str) -> None:
    assert f"{NARROW[body]}_f32(" in source(body, "f32")
    assert NARROW[body] not in source(body, "f64")


@pytest.mark.parametrize("body", WHOLE)
def test_what_may_lie_outside_takes_the_whole_function(body: str) -> None:
    assert not any(f"{name}_f32(" in source(body, "f32") for name in NARROW.values())


@pytest.mark.parametrize("body", EXACT_WITHIN)
def test_narrow_forms_are_as_exact_as_whole_ones(body: str) -> None:
    x = np.concatenate([points(-88, 88, 1 << 16), points(-1.5, 1.5, 1 << 16)]).astype(np.float32)
    assert units_off(function(body, "c")(x), body, x) <= BOUNDS[body.partition("(")[0]]


@pytest.mark.parametrize("body", NARROW)
def test_edges(body: str) -> None:
    x = np.array(EDGES, np.float32)
    actual, wanted = (function(body, backend)(x) for backend in ("c", "interpreter"))
    np.testing.assert_array_max_ulp(actual, wanted, 6)
    assert (np.signbit(actual) == np.signbit(wanted))[~np.isnan(wanted)].all()


def source(body: str, dtype: str) -> str:
    lowered = function(body, "c").lower(f"{dtype}[64]", backend="c")
    (text,) = lowered.asm("c").values()
    return str(text)
