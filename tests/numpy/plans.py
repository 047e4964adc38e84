"""The tiled executor in tests, and tiles so small that small arrays have several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tdsl.backends import threads
from tdsl.backends.numpy import execute, functions, select, tiles
from tdsl.backends.numpy.execute import Executable
from tests.processor import Executor


@contextmanager
def small_tiles(elements: int = 4, programs: int = 3) -> Iterator[None]:
    """Even small arrays take several tiles, programs, threads, and scratch memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "ELEMENTS", elements)
        patch.setattr(tiles, "LINE", 1)
        patch.setattr(execute, "MOST_PROGRAMS", programs)
        for part in (functions, select, threads):
            patch.setattr(part, "SMALL", 0)
        yield


TILED = Executor(
    "numpy",
    lambda plan, sizes, arrays: Executable(plan, sizes, arrays).run,
    small_tiles,
    lambda: small_tiles(64),
)
run_plan, assert_plan_is_right = TILED.run_plan, TILED.assert_plan_is_right
