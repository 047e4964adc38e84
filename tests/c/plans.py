"""Plans in tests: compile one as C, and compare its results with the oracle's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from tdsl.backends.arrays import NUMPY
from tdsl.backends.c import loops, module, printer, schedule, tiles
from tdsl.backends.c.execute import Executable
from tdsl.fusion.kernel import Stage
from tdsl.fusion.plan import make_plan
from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import Node
from tdsl.ir.rewrite import substitute
from tdsl.ops import input_
from tdsl.runtime.pipeline import executable
from tdsl.transforms.inline import inline_calls
from tests.ops.graphs import inputs
from tests.triton.plans import Array, assert_same

SMALL = {"STAGED": 4, "STAGED_LANES": 0, "BLOCK": 4, "LANES": 4, "TILE": 2, "EACH_PROGRAM": 1}
"""Constants of the schedule with which even small arrays take several blocks, lanes and programs."""


@contextmanager
def small_blocks() -> Iterator[None]:
    """Schedules with these constants."""
    with pytest.MonkeyPatch.context() as patch:
        for part in (schedule, loops, module, printer, tiles):
            for constant, value in SMALL.items():
                if hasattr(part, constant):
                    patch.setattr(part, constant, value)
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


def together(nodes: Sequence[Node]) -> tuple[Function, list[Node]]:
    """One function with all of the nodes as results, and the nodes' inputs in the parameters' order."""
    found = inputs(nodes)
    new = {
        x: input_(name=f"{x['name']}_{place}", dtype=x.dtype, axes=x.axes)
        for place, x in enumerate(found)
    }
    params = tuple(Param(str(new[x]["name"]), x.axes, new[x]) for x in found)
    results = tuple(Result(node.axes, node) for node in substitute(nodes, new))
    return inline_calls(Function("f", params, results)), list(found)
