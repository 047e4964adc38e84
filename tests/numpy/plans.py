"""Plans in tests: run one tile by tile, and compare its results with the oracle's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from tdsl.backends.arrays import NUMPY
from tdsl.backends.numpy import execute, run, select, tiles
from tdsl.backends.numpy.execute import Executable
from tdsl.fusion.kernel import Stage
from tdsl.fusion.plan import make_plan
from tdsl.ir.function import Function
from tdsl.runtime.pipeline import executable
from tests.triton.plans import Array, assert_same


@contextmanager
def small_tiles(elements: int = 4, programs: int = 3) -> Iterator[None]:
    """Even small arrays take several tiles, programs, threads, and scratch memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "ELEMENTS", elements)
        patch.setattr(tiles, "LINE", 1)
        patch.setattr(execute, "MOST_PROGRAMS", programs)
        for part in (execute, run, select):
            patch.setattr(part, "SMALL", 0)
        yield


def run_plan(
    function: Function, sizes: Mapping[str, int], arrays: Sequence[Array], stage: Stage = "forward"
) -> list[Array]:
    """The results of the function's plan."""
    return Executable(make_plan(function, stage), sizes, NUMPY).run(arrays)


def assert_plan_is_right(
    function: Function,
    sizes: Mapping[str, int],
    arrays: Sequence[Array],
    dtype: str,
    stage: Stage = "forward",
    condition: str = "value",
) -> None:
    """The plan's results are the interpreter's."""
    found = run_plan(function, sizes, arrays, stage)
    expected = executable(function, sizes).run(arrays)
    for actual, wanted in zip(found, expected, strict=True):
        assert_same(actual, wanted, dtype, condition)
