"""Laws of the machine code of the library's kernels, read without a GPU: see tests/triton/large.py.

The figures for sm_90 stand in golden/figures.json, which `--update-golden` alone rewrites.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import tdsl
from tdsl.backends.triton import machine_code
from tdsl.backends.triton.ahead import multiprocessors, requests
from tdsl.backends.triton.aot import Compiled, compile_many
from tdsl.backends.triton.machine_code import MachineCode
from tdsl.backends.triton.module import print_plan
from tdsl.fusion.kernel import Kernel, access
from tdsl.fusion.layout import PROGRAMS
from tdsl.fusion.offsets import COLUMN, ROW, accesses, is_contiguous
from tdsl.fusion.plan import make_plan
from tdsl.fusion.schedule import Schedule
from tdsl.ir.dtype import F64, item_bytes
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ops import index, take
from tests.kernels.reference import ROWS, Row
from tests.triton.large import (
    WORKS,
    Case,
    Made,
    Work,
    cases,
    is_image,
    kernels,
    others,
    planned,
    representatives,
)
from tests.triton.once import compile_once

GOLDEN = Path(__file__).parent / "golden" / "figures.json"
SECONDS = 5.0
RISE = 1.1
LANES = {"gfx942": 64}


@dataclass(frozen=True, slots=True)
class Figures:
    """A kernel and what became of it."""

    made: Made
    compiled: Compiled
    code: MachineCode

    @property
    def lanes(self) -> int:
        return LANES.get(self.compiled.target, 32) * self.made.request.num_warps


def built(wanted: Sequence[Case]) -> tuple[Figures, ...]:
    """The kernels of the library, compiled; those that are the same once."""
    made = [one for case in wanted for one in kernels(case)]
    found = compile_once([one.request for one in made])
    return tuple(
        Figures(one, compiled, machine_code.read(compiled))
        for one, compiled in zip(made, found, strict=True)
    )


DAYS = 5 if os.environ.get("CI") else 100
"""In how many days the rest takes its turn, where it is not asked for."""
WANTED: dict[str, Callable[[], list[Case]]] = {
    "sm_90": lambda: cases(representatives()),
    "some of the rest": lambda: others(date.today().toordinal(), DAYS),
    "the rest": others,
}


@cache
def figures_of(name: str) -> tuple[Figures, ...]:
    return built(WANTED[name]())


@pytest.fixture(
    scope="module",
    params=[
        name if name != "the rest" else pytest.param(name, marks=pytest.mark.nightly)
        for name in WANTED
    ],
)
def figures(request: pytest.FixtureRequest) -> tuple[Figures, ...]:
    return figures_of(request.param)


def broken(figures: tuple[Figures, ...], law: Callable[[Figures], Any]) -> list[tuple[str, Any]]:
    """The kernels that do not keep a law, with what the law says of them."""
    return [(one.made.id, found) for one in figures if (found := law(one))]


def test_nothing_is_spilled(figures: tuple[Figures, ...]) -> None:
    def spilled(one: Figures) -> int:
        # The exact reduction of a large angle indexes a table, which lies in local memory.
        has_angles = any(n.op.name in ("sin", "cos", "tan") for n in one.made.kernel.nodes())
        return 0 if has_angles else one.compiled.spills or one.code.local

    assert not broken(figures, spilled)


def test_registers_are_within_the_budget(figures: tuple[Figures, ...]) -> None:
    def beyond(one: Figures) -> int:
        return max(0, one.compiled.registers * one.lanes - 65536 * one.lanes // _lanes32(one))

    assert not broken(figures, beyond)


def _lanes32(one: Figures) -> int:
    return 32 * one.made.request.num_warps


def test_nothing_is_atomic(figures: tuple[Figures, ...]) -> None:
    assert not broken(figures, lambda one: one.code.atomics)


def test_double_precision_is_used_where_the_source_asks(figures: tuple[Figures, ...]) -> None:
    def unasked(one: Figures) -> int:
        asked = any(node.dtype == F64 for node in one.made.kernel.nodes())
        # AMD's mathematical functions of f32 use it inside.
        return 0 if asked or one.compiled.target == "gfx942" else one.code.f64

    assert not broken(figures, unasked)


def test_pointwise_kernels_of_one_dtype_use_no_shared_memory(figures: tuple[Figures, ...]) -> None:
    def shared(one: Figures) -> int:
        dtypes = {read.node.dtype for read in one.made.kernel.reads if read.shape}
        dtypes |= {store.dtype for store in one.made.kernel.stores}
        dtypes |= {node.dtype for node in one.made.kernel.nodes()} & {F64}
        is_plain = one.made.schedule.flat and len(dtypes) == 1
        return one.compiled.shared if is_plain else 0

    assert not broken(figures, shared)


def test_compiling_is_quick(figures: tuple[Figures, ...]) -> None:
    assert not broken(figures, lambda one: max(0.0, one.compiled.compile_seconds - SECONDS))


def test_streams_are_read_and_written_in_accesses_of_128_bits(figures: tuple[Figures, ...]) -> None:
    def narrow(one: Figures) -> str:
        if not one.made.aligned:
            return ""
        found = one.code.loads.get(128, 0), one.code.stores.get(128, 0)
        needed = vectors(one)
        is_enough = found[0] >= needed[0] and found[1] >= needed[1]
        return "" if is_enough else f"{found} of {needed}"

    assert not broken(figures, narrow)


def vectors(one: Figures) -> tuple[int, int]:
    """How many accesses of 128 bits a lane needs for what lies contiguous along the columns."""
    kernel, schedule = one.made.kernel, one.made.schedule
    each = schedule.block_rows * schedule.block_columns // one.lanes
    reads = {read.node: read.shape for read in kernel.reads}
    stored = [store.node for store in kernel.stores]
    places = accesses(kernel, schedule.rows, schedule.columns)
    if PROGRAMS in schedule.columns:
        return 0, 0  # so little that a few programs made it, not always 16
    counts = [0, 0]
    for number, (node, offset) in enumerate(places):
        is_store = number >= len(places) - len(stored)
        if node.op is take or not is_contiguous(offset, COLUMN):
            continue
        if set(node.axes) != {*schedule.rows, *schedule.columns}:
            continue
        if node.op is index and access(node, reads[node.operands[0]]).domain:
            continue
        counts[is_store] += each * item_bytes(node.dtype) // 16
    return counts[0], counts[1]


def summary(one: Figures) -> dict[str, Any]:
    """What is golden of a kernel."""
    return {
        "registers": one.compiled.registers,
        "instructions": one.code.instructions,
        "special": one.code.special,
        "loads": {str(width): count for width, count in one.code.loads.items()},
        "stores": {str(width): count for width, count in one.code.stores.items()},
    }


def test_figures_do_not_rise(request: pytest.FixtureRequest) -> None:
    found = {one.made.id: summary(one) for one in built(cases(representatives()))}
    if request.config.getoption("--update-golden"):
        GOLDEN.parent.mkdir(exist_ok=True)
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(found[key])}" for key in sorted(found))
        GOLDEN.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert found.keys() == golden.keys()
    assert [line for key in golden for line in risen(key, golden[key], found[key])] == []


def risen(key: str, golden: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Which figures of a kernel have risen by more than a tenth."""
    for name, before in golden.items():
        pairs = {name: (before, found[name])}
        if isinstance(before, dict):
            widths = {*before, *found[name]}
            pairs = {f"{name} {w}": (before.get(w, 0), found[name].get(w, 0)) for w in widths}
            pairs.pop(f"{name} 128", None)
        for what, (old, new) in pairs.items():
            if new > RISE * old:
                yield f"{key}: {what} {old} -> {new}"


# The layouts.


def test_neighbours_in_memory_are_neighbours_in_a_program(figures: tuple[Figures, ...]) -> None:
    def apart(one: Figures) -> list[Node]:
        made = one.made
        own = own_accesses(made.kernel, made.schedule)
        return [node for node, offset in own if not beside(offset, made.schedule, made.sizes)]

    assert not broken(figures, apart)


def own_accesses(kernel: Kernel, schedule: Schedule) -> list[tuple[Node, Size]]:
    """The accesses that each element of a kernel has of its own, where it counts rows and columns."""
    if schedule.flat or len(axes := {*schedule.rows, *schedule.columns}) == 1:
        return []
    places = accesses(kernel, schedule.rows, schedule.columns)
    return [(node, at) for node, at in places if set(node.axes) >= axes and node.op is not take]


def beside(offset: Size, schedule: Schedule, sizes: Mapping[str, int]) -> bool:
    """Whether a row or a column that a program holds beside another is the next element."""
    here = {**sizes, str(PROGRAMS): 16, str(ROW): 1024, str(COLUMN): 1024}
    counters = {"rows": (ROW,), "columns": (COLUMN,), "both": (ROW, COLUMN)}[schedule.lanes]
    start = offset.evaluate(here)
    return any(offset.evaluate({**here, str(one): 1025}) - start == 1 for one in counters)


# The texts.

ROW_COUNTS = (0, 1, 16, 17)
LENGTHS = (1000, 1008, 1024, 1025, 1536, 2000, 2048, 2049, 3000, 4096, 4097, 5000)
# Which of a row's small sizes is the number of rows, and which their length.
ROWS_AND_LENGTHS = {"softmax": (3, 5), "norms": (3, 5), "losses": (4, 7), "activations": (3, 5)}


def of_rows() -> list[Row]:
    """Functions of a matrix that work on its rows."""
    return [
        row for row in representatives()
        if row.file in ROWS_AND_LENGTHS and "axis" not in row.static and not is_image(row)
        and isinstance(first := row.arguments[0], tuple) and first[-2:] == ROWS_AND_LENGTHS[row.file]
    ]  # fmt: skip


def printed(row: Row, work: Work, rows: int, length: int) -> list[tuple[str, Any]]:
    """The text of each plan, and what else a compiled kernel depends on."""
    places = ROWS_AND_LENGTHS[row.file]
    plans, sizes = planned(row, work, "bf16", dict(zip(places, (rows, length), strict=True)))
    modules = [print_plan(plan, sizes, multiprocessors("sm_90")) for plan in plans]
    return [
        (module.source, [
            (p.constants, s.warps, s.stages)
            for p, s in module.kernels
            if not _is_across(s, sizes, rows)
        ])
        for module in modules
    ]  # fmt: skip


def _is_across(schedule: Schedule, sizes: Mapping[str, int], rows: int) -> bool:
    """Whether the rows of the matrix are what the kernel reduces, as a row of its own."""
    axes = [axis for axis in schedule.columns if axis != PROGRAMS]
    return not schedule.flat and any(axis.evaluate(sizes) == rows for axis in axes)


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("row", of_rows(), ids=lambda row: row.id)
def test_the_number_of_rows_decides_nothing(row: Row, work: Work) -> None:
    first, *others = [printed(row, work, rows, 4096) for rows in ROW_COUNTS]
    assert all(other == first for other in others)


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("row", of_rows(), ids=lambda row: row.id)
def test_few_texts_serve_all_lengths(row: Row, work: Work) -> None:
    for found in zip(*(printed(row, work, 100, length) for length in LENGTHS), strict=True):
        assert len({text for text, _ in found}) <= 3
        assert len({repr(one) for one in found}) <= 4


BEYOND = {
    "silu": {3: 65536, 5: 65536},
    "softmax": {3: 65536, 5: 65536},
    "rms_norm": {3: 1 << 20, 5: 8192},
    "mse": {3: 1 << 20, 5: 8192},
}


@pytest.mark.parametrize("work", WORKS)
def test_more_elements_than_32_bits_count(work: Work) -> None:
    wanted = [row for row in representatives() if row.name in BEYOND]
    wanted += [row for row in ROWS if row.name == "softmax" and row.static]
    made = [one for row in wanted for one in kernels(Case(row, work), BEYOND[row.name])]
    found = compile_many([one.request for one in made])
    assert not [one.id for one, compiled in zip(made, found, strict=True) if compiled.spills]
    counted = [one for one in made if "walked" not in one.id and one.schedule.columns]
    assert all("tl.int64" in one.request.source for one in counted)


def test_a_size_beyond_32_bits_is_passed_in_64() -> None:
    (row,) = [row for row in ROWS if row.id == "silu1"]
    (made,) = kernels(Case(row, "forward"), {3: 3 << 30, 5: 16})
    assert sorted(made.request.signature.values()) == ["*bf16", "*bf16", "i32", "i64"]
    (compiled,) = compile_many([made.request])
    assert compiled.spills == 0


RUNNING = {
    "cumsum": "cumsum(x, axis=D)",
    "logcumsumexp": "logcumsumexp(x, axis=D)",
    "argmax": "argmax(x, axis=D)",
    "logsumexp": "logsumexp(x, axis=D)",
    "variance": "var(x, axis=D)",
}


@pytest.mark.parametrize("body", RUNNING.values(), ids=list(RUNNING))
def test_long_rows_are_streamed_without_spills(body: str) -> None:
    function: Any = tdsl.compile(f"def f(x: f32[N, D]):\n    return {body}\n")
    lowered = function.lower("f32[64, 100000]")
    plan = make_plan(lowered.graph)
    module = print_plan(plan, lowered.sizes, multiprocessors("sm_90"))
    assert [schedule.kind for _, schedule in module.kernels] == ["looped"]
    (compiled,) = compile_many(requests(plan, lowered.sizes, "sm_90"))
    assert compiled.spills == 0
