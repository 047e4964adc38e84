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

SIZES = {"N": 70, "D": 133, "B": 3}
# Programs of x: T[B, N, D], y: T[D, N] and z: T[N].
BODIES = {
    "copy": "transpose(x, (0, 2, 1))",
    "all axes": "transpose(x, (2, 1, 0))",
    "turned round": "transpose(x, (2, 0, 1))",
    "beside": "transpose(x, (0, 2, 1)) + y",
    "a value of the row": "transpose(x, (0, 2, 1)) * y + z",
    "both results": "(transpose(y, (1, 0)) * 2, y * 3)",
    "padded": "pad(transpose(y, (1, 0)), ((2, 3), (1, 1))) * 2",
    "compared": "transpose(y, (1, 0)) > 0",
    "reversed": "transpose(y, (1, 0))[::-1, ::-1] + transpose(y, (1, 0))",
}


def lowered(body: str, dtype: str) -> Any:
    signature = f"x: {dtype}[B, N, D], y: {dtype}[D, N], z: {dtype}[N]"
    function: Any = tdsl.compile(f"def f({signature}):\n    return {body}\n")
    return function.lower(f"{dtype}[3, 70, 133]", f"{dtype}[133, 70]", f"{dtype}[70]")
