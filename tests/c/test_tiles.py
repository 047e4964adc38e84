"""Transposes, alone and beside memory that lies the other way: values are the interpreter's."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import tdsl
from tdsl.backends.c.module import print_plan
from tdsl.fusion.plan import make_plan
from tdsl.ops import numpy_dtype
from tests.c.plans import assert_plan_is_right, small_blocks

SHAPES = ((3, 70, 133), (133, 70), (70,))
# Programs of x: T[B, N, D], y: T[D, N] and z: T[N].
BODIES = {
    "copy": "transpose(x, (0, 2, 1))",
    "all axes": "transpose(x, (2, 1, 0))",
    "turned round": "transpose(x, (2, 0, 1))",
    "beside": "transpose(x, (0, 2, 1)) + y",
    "a value of the row": "transpose(x, (0, 2, 1)) * y + z",
    "both results": "(transpose(y, (1, 0)) * 2, y * 3)",
    "padded": "pad(transpose(y, (1, 0)), axis=0, low=2, high=3) * 2",
    "compared": "transpose(y, (1, 0)) > 0",
    "reversed": "transpose(y, (1, 0))[::-1, ::-1] + transpose(y, (1, 0))",
}


def lowered(body: str, dtype: str) -> Any:
    signature = f"x: {dtype}[B, N, D], y: {dtype}[D, N], z: {dtype}[N]"
    function: Any = tdsl.compile(f"def f({signature}):\n    return {body}\n")
    return function.lower(*(f"{dtype}{list(shape)}" for shape in SHAPES))


@pytest.mark.parametrize("is_small", [False, True], ids=["normal", "small"])
@pytest.mark.parametrize("dtype", ["f64", "bf16"])
@pytest.mark.parametrize("name", BODIES)
def test_tiles_are_the_interpreters(name: str, dtype: str, is_small: bool) -> None:
    found, rng = lowered(BODIES[name], dtype), np.random.default_rng(0)
    own = numpy_dtype(tdsl.ir.dtype.DTYPES[dtype])
    arrays = [rng.standard_normal(shape).astype(own) for shape in SHAPES]
    with small_blocks() if is_small else nullcontext():
        assert_plan_is_right(found.graph, found.sizes, arrays, dtype)


@pytest.mark.parametrize("name", BODIES)
def test_transposes_run_by_tiles(name: str) -> None:
    found = lowered(BODIES[name], "f32")
    kernels = print_plan(make_plan(found.graph), found.sizes)[0].kernels
    assert [schedule.kind for _, schedule in kernels] == ["tiles"]
