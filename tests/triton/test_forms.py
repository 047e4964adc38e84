"""Cheaper forms are within their bounds, are used where values are rounded to 16 bits, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tdsl
from tdsl.backends.triton.forms import FORMS, Form, forms_page
from tdsl.backends.triton.module import print_plan
from tdsl.fusion.plan import make_plan
from tdsl.ir.dtype import F32
from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import Node
from tdsl.ir.size import name
from tdsl.ops import add, constant, div, exp, input_
from tests.triton.interpreted import repaired
from tests.triton.plans import Array, run_plan

PAGE = Path(__file__).parents[2] / "docs" / "approximations.md"
N, D = name("N"), name("D")
X = input_(name="x", dtype=F32, axes=(N, D))
Y = input_(name="y", dtype=F32, axes=(N, D))
S = input_(name="s", dtype=F32, axes=(N,))
ONE = constant(value=1, dtype=F32)
ROWS, COLUMNS = 64, 512
Sample = tuple[Node, tuple[Node, ...], tuple[Array, ...], Callable[..., Array]]


def spread(least: float, most: float, *shape: int) -> Array:
    """Values of both signs whose magnitudes are spread evenly by their logarithms."""
    rng = np.random.default_rng(0)
    values = np.exp2(rng.uniform(least, most, shape)) * rng.choice([-1.0, 1.0], shape)
    return np.asarray(values, np.float32)


def samples() -> list[Sample]:
    """For each form a value, what it is made of, arguments, and the value in float64."""
    line = np.linspace(-87, 88, ROWS * COLUMNS, dtype=np.float32).reshape(ROWS, COLUMNS)
    large = spread(-60, 60, ROWS, COLUMNS)
    rows = spread(-60, 60, ROWS)
    rows[:6] = [2.0**60, 2.0**-60, 1.0, -1.0, 3.0, -0.1]
    one_more = add(ONE, exp(Y))
    return [
        (exp(X), (X,), (line,), np.exp),
        (div(X, S), (X, S), (large, rows), lambda x, s: x / s[:, None]),
        (div(X, one_more), (X, Y), (large, line), lambda x, y: x / (1 + np.exp(y))),
    ]


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    with repaired():
        yield


def run(value: Node, operands: tuple[Node, ...], arrays: tuple[Array, ...]) -> Array:
    params = tuple(Param(str(x["name"]), x.axes, x) for x in operands)
    function = Function("f", params, (Result((N, D), value),))
    (found,) = run_plan(function, {"N": ROWS, "D": arrays[0].shape[1]}, arrays)
    return found


@pytest.mark.parametrize(
    ("form", "sample"),
    list(zip(FORMS, samples(), strict=True)),
    ids=[form.operation for form in FORMS],
)
def test_errors_are_within_the_bounds(form: Form, sample: Sample) -> None:
    value, operands, arrays, exact = sample
    new = form.build(value, value.operands, (D,))
    assert new is not None
    found = run(new, operands, arrays).astype(np.float64)
    wanted = exact(*(array.astype(np.float64) for array in arrays))
    normal = np.abs(wanted) >= np.finfo(np.float32).tiny
    units = np.abs(found - wanted)[normal] / np.spacing(np.abs(wanted[normal]).astype(np.float32))
    assert 0 < units.max() <= form.bound


EDGES = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 200.0, -200.0, 1e-30], np.float32)


@pytest.mark.parametrize(
    ("form", "sample"),
    list(zip(FORMS, samples(), strict=True)),
    ids=[form.operation for form in FORMS],
)
def test_edges_are_those_of_the_operation(form: Form, sample: Sample) -> None:
    """NaN, infinities, zeros with their signs, overflow: every pair of edges."""
    value, operands, _, _ = sample
    rows = np.resize(EDGES, ROWS)
    whole = {x: np.array(np.broadcast_to(EDGES, (ROWS, EDGES.size))) for x in operands}
    whole[operands[-1]] = rows if operands[-1] is S else np.array(
        np.broadcast_to(rows[:, None], (ROWS, EDGES.size))
    )  # fmt: skip
    arrays = tuple(whole[x] for x in operands)
    new = form.build(value, value.operands, (D,))
    assert new is not None
    with np.errstate(all="ignore"):
        found, wanted = run(new, operands, arrays), run(value, operands, arrays)
    np.testing.assert_allclose(found, wanted, rtol=2e-5)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))


# Programs of x: T[N, D], with what is in the text for bf16 and for f32.
PROGRAMS = {
    "softmax": ("softmax(x, axis=D)", ("tl.exp2", "1.0 /"), ("tl.exp(", " / ")),
    "sigmoid": ("sigmoid(x)", ("tl.exp2", "tl.rsqrt"), ("tl.exp(", " / ")),
    "a comparison": ("where(exp(cast(x, f32)) > 2, x, 0)", ("tl.exp(",), ("tl.exp(",)),
    "a step": ("cast(floor(exp(cast(x, f32))), T)", ("tl.exp(",), ("tl.exp(",)),
    "also in f32": ("cast(exp(cast(x, f32)), T), exp(cast(x, f32))", ("tl.exp(",), ("tl.exp(",)),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=list(PROGRAMS))
def test_forms_are_for_values_of_16_bits(program: Any) -> None:
    body, in_bf16, in_f32 = program
    for dtype, parts in (("bf16", in_bf16), ("f32", in_f32)):
        function: Any = tdsl.compile(f"def f(x: T[N, D]):\n    return {body}\n")
        lowered = function.lower(f"{dtype}[64, 512]")
        text = print_plan(make_plan(lowered.graph), lowered.sizes, 132).source
        assert all(part in text for part in parts)


def test_the_page_is_up_to_date(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        PAGE.write_text(forms_page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == forms_page()
