"""The bytes that kernels are said to move are those that they move, counted while they run interpreted.

For each kernel of the library, forward with what it saves, backward, and losses with their gradients, under
each configuration of the schedule, and for each buffer:

- Stores: the declared bytes are the lanes that store, times the size of an element. So an address that two
  programs store counts twice.
- Loads: the declared bytes are the lanes that load, where each row has elements of its own: a buffer with
  a single access along every row (and every tile of it) that no index map moves. Elsewhere programs load
  what others have loaded (a weight that every row shares, the statistics of a group of channels, a row
  and one element gathered from it), which the cache keeps: there the declared bytes are those of the
  addresses that are loaded at all, once for each pass over the row that loads them.

The passes are counted in the printed text. Sizes are small, so nothing is beyond the 8 MB that stay in the
cache.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch

import tdsl
from tdsl.backends.torch_dtype import torch_dtype
from tdsl.backends.triton.execute import Executable
from tdsl.backends.triton.library import library_call
from tdsl.backends.triton.module import print_plan
from tdsl.fusion.kernel import Kernel, used
from tdsl.fusion.offsets import base_of
from tdsl.fusion.plan import Plan
from tdsl.fusion.schedule import Schedule
from tdsl.fusion.traffic import traffic
from tdsl.ops import index
from tests.kernels.reference import ROWS, Row
from tests.triton.interpreted import Traffic, counted, repaired
from tests.triton.plans import CONFIGURATIONS, CPU, Array, assert_same, configured, to_torch
from tests.triton.test_kernels import given, library, own_arguments

Memory = Mapping[str, torch.Tensor]


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    with repaired():
        yield


def cases() -> Iterator[Any]:
    """Each row under each configuration; in a usual run under one of them, by its name."""
    names = list(CONFIGURATIONS)
    for row in ROWS:
        own = names[zlib.crc32(f"{row.file} {row.id}".encode()) % len(names)]
        for name in names:
            marks = [] if name == own else [pytest.mark.nightly]
            yield pytest.param(row, name, id=f"{row.id}-{name}", marks=marks)


@pytest.mark.parametrize(("row", "configuration"), list(cases()))
def test_declared_bytes_are_the_counted_bytes(row: Row, configuration: str) -> None:
    function, own = library(row), own_arguments(row, "f32")
    lowered = function.lower(*own, grad=True, **row.static)
    with configured(configuration):
        for one in lowered.reports:
            arrays = given(function, row, one.plan, lowered.sizes, own)
            check(one.plan, lowered.sizes, arrays)


def check(plan: Plan, sizes: Mapping[str, int], arrays: list[Array]) -> None:
    """Run the plan kernel by kernel, and compare what each has loaded and stored."""
    program = Executable(plan, sizes, CPU)
    memory = {p.name: to_torch(a) for p, a in zip(plan.params, arrays, strict=True)}
    for buffer in plan.buffers:
        shape = [program.size(size) for size in buffer.shape]
        memory[buffer.name] = torch.zeros(shape, dtype=torch_dtype(buffer.dtype))
    kernels = iter(zip(program.launches, print_plan(plan, sizes, 4).kernels, strict=True))
    for step in plan.steps:
        if not isinstance(step, Kernel):
            library_call(step, memory, program.size)
            continue
        launch, (printed, schedule) = next(kernels)
        with counted(memory) as found, np.errstate(all="ignore"):
            launch(memory)
        declared = traffic(step, schedule, program.size)
        reads = {name: loaded(step, schedule, printed.text, name, found) for name in memory}
        writes = {name: found.stored(name) for name in memory}
        assert present(reads) == present(declared.reads)
        assert present(writes) == present(declared.writes)


def present(sizes: Mapping[str, int]) -> dict[str, int]:
    """The buffers of which something is moved."""
    return {name: count for name, count in sizes.items() if count}


def loaded(kernel: Kernel, schedule: Schedule, text: str, name: str, found: Traffic) -> int:
    """The bytes that are loaded of a buffer, what the cache keeps once."""
    memory = {read.node: read.name for read in kernel.reads}
    taken = {operand for node in kernel.nodes() for operand in used(node, memory)}
    taken |= {store.node for store in kernel.stores}
    accesses = [n for n in kernel.nodes() if n in taken and memory.get(base_of(n)) == name]
    shares = {*schedule.rows, *(schedule.columns if schedule.kind == "tiled" else ())}
    is_own = all(n.op is not index and shares <= set(n.axes) for n in accesses)
    if is_own and len(accesses) <= 1:
        return found.loaded(name)
    streams = re.findall(rf"tl\.load\({name}_ptr.*\bcolumn\b", text)
    passes = max(len(streams), 1) if schedule.kind == "looped" else 1
    return int(np.count_nonzero(found.loads[name])) * found.sizes[name] * passes


TOTALS = "def f(x: f32[N, D], w: f32[N]) -> (f32, f32[D], f32):\n    return sum(x), sum(x, axis=N), sum(w)\n"


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_totals_beside_sums_of_columns(configuration: str) -> None:
    """Tiles of the columns do not store the parts of one total over each other."""
    function: Any = tdsl.compile(TOTALS)
    x = np.random.default_rng(0).standard_normal((6, 9)).astype(np.float32)
    with configured(configuration):
        lowered = function.lower(x, x[:, 0].copy())
        check(lowered.reports[0].plan, lowered.sizes, [x, x[:, 0].copy()])
        results = function.using(backend="triton")(x, x[:, 0].copy())
    for actual, expected in zip(results, (x.sum(), x.sum(0), x[:, 0].sum()), strict=True):
        assert_same(np.asarray(actual), expected, "f32")
