"""Exported launchers compute the grids, blocks and warps that the scheduler chooses."""

import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch

import tdsl
from tdsl.backends.triton.module import PROGRAMS_NAME, print_plan
from tdsl.backends.triton.source import load
from tdsl.fusion.plan import make_plan
from tdsl.ir.size import Size
from tdsl.runtime.export import export
from tdsl.transforms.partition import partition


def module_of(text: str, name: str) -> ModuleType:
    function: Any = load(text, name)
    return sys.modules[function.__module__]


LAYER_NORM = """
def layer_norm(x: T[N, D], w: T[D]) -> T[N, D]:
    c = x - mean(x, axis=D)
    return c * rsqrt(mean(c * c, axis=D) + 1e-5) * w
"""
COLUMNS = """
def columns(x: T[N, D], y: T[D]) -> (T[D], T, T[D, N]):
    return sum(x, axis=N), sum(x * x), exp(x) * y
"""


@pytest.mark.parametrize("source", [LAYER_NORM, COLUMNS])
@pytest.mark.parametrize(
    ("chosen", "lengths"),
    [
        ((1024, 64), (64, 33)),
        ((8, 3000), (3000, 2049)),
        ((4, 20000), (20000, 30000)),
    ],
)
def test_launches_are_those_that_the_scheduler_chooses(
    source: str, chosen: tuple[int, int], lengths: tuple[int, ...]
) -> None:
    """For every size of the class that was exported: grids, blocks and warps. The device has 4 multiprocessors."""
    function: Any = tdsl.compile(source)
    specs = (f"f32[{chosen[0]},{chosen[1]}]", f"f32[{chosen[1]}]")
    module = module_of(export(function.target, specs, {}, True), function.__name__)
    lowered = function.lower(*specs, grad=True)
    split = partition(lowered.graph, lowered.backward)
    for n in (chosen[0],) if source is COLUMNS else (1, 3, 40, 5000):  # a row may run along N
        for d in lengths:
            for title, graph in (("forward", split.forward), ("backward", split.backward)):
                launched = launches(module, title, graph, n, d)
                plan = make_plan(graph)
                printed = print_plan(plan, {"N": n, "D": d}, 4)
                sizes = {"N": n, "D": d, PROGRAMS_NAME: printed.programs}
                wanted = []
                for _, schedule in printed.kernels:
                    count = schedule.programs(partial(Size.evaluate, values=sizes), 4)
                    if schedule.walked:
                        tiles = -(-d // schedule.block_columns) if schedule.kind == "tiled" else 1
                        count = printed.programs * tiles
                    wanted.append(
                        (count, schedule.block_rows, schedule.block_columns, schedule.warps)
                    )
                assert launched == wanted, (n, d, title)


class Recorder:
    """Stands for a kernel, and notes grid, blocks and warps of its launches."""

    def __init__(self, found: list[Any]) -> None:
        self.found = found

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*_: Any, num_warps: int, **blocks: int) -> None:
            rows, columns = blocks.get("BLOCK_ROWS", 1), blocks.get("BLOCK_COLUMNS", 1)
            self.found.append((grid[0], rows, columns, num_warps))

        return launch


def launches(module: ModuleType, title: str, graph: Any, n: int, d: int) -> list[Any]:
    """Grid, blocks and warps of each launch, on tensors without memory."""
    found: list[Any] = []
    empty = torch.empty
    with pytest.MonkeyPatch.context() as patch:
        for name in list(vars(module)):
            if f"_{title}" in name and not name.startswith("_launch"):
                patch.setattr(module, name, Recorder(found))
        patch.setattr(torch, "empty", lambda *_, **__: empty(0))
        tensors = [torch.zeros(0) for _ in graph.params]
        getattr(module, f"_launch_{title}")(*tensors, N=n, D=d)
    return found
