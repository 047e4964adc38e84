"""The bounds of docs/accuracy.md, which is their table."""

from __future__ import annotations

from ctypes import c_int64, c_void_p
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

import tdsl
from tdsl.backends.c.compiler import library
from tdsl.backends.c.elementary import SINGLE
from tdsl.backends.c.helpers import BINARY, MATH
from tdsl.backends.c.module import print_plan
from tdsl.fusion.plan import make_plan

Array = np.ndarray[Any, np.dtype[Any]]
PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in PAGE.read_text().splitlines()
    if line.startswith("|")
][2:]
BITS = 160
EXACT: dict[str, Any] = {
    "exp2": lambda x: mpmath.mpf(2) ** x, "log2": lambda x: mpmath.log(x, 2),
    "rsqrt": lambda x: 1 / mpmath.sqrt(x), "lgamma": mpmath.loggamma,
    "pow": lambda x, y: x**y, "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
}  # fmt: skip


def points(low: float, high: float, count: int) -> Array:
    """Points of the range, half of them of any magnitude."""
    rng = np.random.default_rng(0)
    plain = rng.uniform(low, high, count)
    if low > 0 and high / low > 1e6:
        return np.exp(rng.uniform(np.log(low), np.log(high), count))
    small = plain * 10.0 ** rng.uniform(-8, 0, count) if low < 0 < high else plain
    return np.where(rng.random(count) < 0.5, plain, small)


def called(name: str) -> str:
    return f"{name}({'x, y' if name in BINARY else 'x'})"


def operands(name: str, low: str, high: str, count: int) -> list[Array]:
    x = points(float(low), float(high), count)
    return [x, np.random.default_rng(1).permutation(x)][: 2 if name in BINARY else 1]


def function(body: str, backend: str) -> Any:
    params = "x: T[N], y: T[N]" if ", y)" in body else "x: T[N]"
    found: Any = tdsl.compile(f"def f({params}) -> T[N]:\n    return {body}\n")
    return found.using(backend=backend)


def units_off(actual: Array, body: str, *given: Array) -> float:
    """The largest distance from the interpreter's results in f64, in units in the last place of f32."""
    reference = function(body, "interpreter")(*(x.astype(np.float64) for x in given))
    unit = np.spacing(np.abs(reference).astype(np.float32)).astype(np.float64)
    return float((np.abs(actual.astype(np.float64) - reference) / unit).max())


@pytest.mark.parametrize(("name", "low", "high", "f32", "f64"), ROWS, ids=[r[0] for r in ROWS])
def test_bounds(name: str, low: str, high: str, f32: str, f64: str) -> None:
    given, body = operands(name, low, high, 1 << 17), called(name)
    narrow = [x.astype(np.float32) for x in given]
    assert units_off(function(body, "c")(*narrow), body, *narrow) <= float(f32) + 1e-3
    wide = operands(name, low, high, 300)
    exact = EXACT.get(name) or getattr(mpmath, name)
    with mpmath.workprec(BITS):
        for *at, actual in zip(*wide, function(body, "c")(*wide), strict=True):
            wanted = exact(*(mpmath.mpf(float(x)) for x in at))
            error = abs(mpmath.mpf(float(actual)) - wanted) / float(np.spacing(abs(float(wanted))))
            assert error <= float(f64) + 1e-3, at


@pytest.mark.parametrize("row", [row for row in ROWS if row[0] in SINGLE], ids=lambda row: row[0])
def test_bounds_without_the_c_library(row: list[str]) -> None:
    name, low, high, f32, _ = row
    x = points(float(low), float(high), 1 << 17).astype(np.float32)
    body = called(name)
    lowered = function(body, "c").lower(f"f32[{x.size}]")
    module, _ = print_plan(make_plan(lowered.graph, "forward"), lowered.sizes)
    run = library(f"#define TDSL_VECTORS 0\n{module.source}").f_forward
    actual = np.empty_like(x)
    run(*(c_void_p(array.ctypes.data) for array in (x, actual)), c_int64(x.size), 1)
    assert units_off(actual, body, x) <= float(f32)


def test_every_function_is_in_the_table() -> None:
    assert {*MATH} <= {row[0] for row in ROWS}
