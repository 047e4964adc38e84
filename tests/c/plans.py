"""The C backend in tests, and constants that cut small arrays into several parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from tdsl.backends.c import (
    ahead,
    chains,
    execute,
    loops,
    module,
    online,
    passes,
    printer,
    schedule,
    tiles,
)
from tdsl.backends.c.execute import Executable
from tdsl.backends.c.module import Texts
from tdsl.ir.dtype import DTYPES
from tdsl.ops import numpy_dtype
from tests.processor import Executor

SMALL = {
    "STAGED": 4, "STAGED_LANES": 0, "BLOCK": 4, "LANES": 4, "TILE": 2, "EACH_PROGRAM": 1,
    "SHARING": 2, "PART": 3, "CLAIMED": 3, "LONGEST": 2, "NEAREST": 48,
}  # fmt: skip
"""Constants of the schedule with which even small arrays take several blocks, lanes and programs."""


@contextmanager
def small_blocks() -> Iterator[None]:
    """Schedules with these constants."""
    with pytest.MonkeyPatch.context() as patch:
        for part in (ahead, chains, schedule, passes, online, loops, module, printer, tiles):
            for constant, value in SMALL.items():
                if hasattr(part, constant):
                    patch.setattr(part, constant, value)
        yield


@contextmanager
def shared() -> Iterator[None]:
    """Even small arrays are shared among threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "SMALL", 0)
        yield


C = Executor(
    "c",
    lambda plan, sizes, arrays: Executable(Texts(plan), sizes, arrays).run,
    small_blocks,
    shared,
)
run_plan, assert_plan_is_right = C.run_plan, C.assert_plan_is_right


def assert_drawn_is_right(found: Any, shapes: Sequence[tuple[int, ...]], dtype: str) -> None:
    """What was lowered for arguments of these shapes gives the interpreter's results on random ones."""
    rng, own = np.random.default_rng(0), numpy_dtype(DTYPES[dtype])
    arrays = [rng.uniform(-1, 1, shape).astype(own) for shape in shapes]
    assert_plan_is_right(found.graph, found.sizes, arrays, dtype)
