"""Laws of Plans, over the standard library: kernels compute the function, each value once, always alike."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

import tdsl
from tdsl.backends.triton.module import print_plan
from tdsl.fusion.kernel import Stage
from tdsl.fusion.plan import Plan, make_plan
from tdsl.ir.function import Function
from tests.kernels.reference import ROWS, Row
from tests.triton.interpreted import repaired
from tests.triton.plans import assert_plan_is_right, configured
from tests.triton.test_kernels import library, own_arguments

STAGES: tuple[Stage, ...] = ("forward", "backward")
CASES = [pytest.param(row, stage, id=f"{row.id}-{stage}") for row in ROWS for stage in STAGES]


def lowered(row: Row, stage: Stage) -> tuple[Function, dict[str, int]]:
    found = library(row).lower(*own_arguments(row, "f32"), grad=stage == "backward", **row.static)
    return (found.backward if stage == "backward" else found.graph), dict(found.sizes)


def text(plan: Plan, sizes: dict[str, int]) -> str:
    return print_plan(plan, sizes, 4).source


@pytest.mark.parametrize(("row", "stage"), CASES)
def test_every_buffer_is_stored_before_it_is_read(row: Row, stage: Stage) -> None:
    plan = make_plan(lowered(row, stage)[0], stage)
    known = {param.name for param in plan.params}
    buffers = {buffer.name for buffer in plan.buffers}
    assert not known & buffers
    for step in plan.steps:
        assert step.stores
        assert {read.name for read in step.reads} <= known
        known |= {store.buffer for store in step.stores}
    assert buffers | {param.name for param in plan.params} == known
    assert set(plan.results) <= buffers


# Bodies of programs of x: f64[N, D] and y: f64[K, M]; what they show.
PROGRAMS = {
    "a total that a kernel completed is read by a library":
        "s = sum(x); return s, s * 2, dot(expand(s, N, D), x, axis=D)",
    "a total for other kernels and a library":
        "s = max(x); return s ** 2, sum(s * s * exp(x)), dot(expand(s, K), y, axis=K)",
    "a total and a library's result in one kernel":
        "s = sum(x); return s * 2, dot(x, x, axis=(N, D)) + exp(s), dot(expand(s, N, D), x, axis=D)",
    "a library's total for a kernel of rows":
        "return sum(x, axis=D), exp(x) + dot(x, x, axis=(N, D))",
    "a place in a half of what is read in halves":
        "a = flatten(flip(unflatten(x, axis=D, sizes=(2, H)), axis=-1), axes=(-2, -1));"
        " b = a - mean(a, axis=D);"
        " return flatten(flip(unflatten(b, axis=D, sizes=(2, H)), axis=-1), axes=(-2, -1))",
    "a sum across rows that is read at other places":
        "return exp(x), roll(sum(x, axis=N), 1, axis=D)",
    "running reductions along two axes":
        "return cumprod(tanh(cumprod(x, axis=N)), axis=D)",
}  # fmt: skip


@pytest.mark.parametrize("configuration", ["normal", "streamed"])
@pytest.mark.parametrize("body", PROGRAMS.values(), ids=list(PROGRAMS))
def test_programs_are_the_interpreters(body: str, configuration: str) -> None:
    lines = "\n".join(f"    {line}" for line in body.split("; "))
    program: Any = tdsl.compile(f"def f(x: f64[N, D], y: f64[K, M]):\n{lines}\n")
    found = program.lower("f64[4, 6]", "f64[3, 5]", grad=True)
    rng = np.random.default_rng(0)
    with repaired(), configured(configuration):
        for graph, stage in ((found.graph, STAGES[0]), (found.backward, STAGES[1])):
            assert all(step.stores for step in make_plan(graph, stage).steps)
            shapes = [[size.evaluate(found.sizes) for size in p.shape] for p in graph.params]
            values = [rng.uniform(0.5, 1.5, shape) for shape in shapes]
            assert_plan_is_right(graph, found.sizes, values, "f64", stage, "gradient")


def digest() -> str:
    """One number for the texts of the plans of the library's derivatives."""
    total = sha256()
    for row in ROWS:
        graph, sizes = lowered(row, "backward")
        total.update(text(make_plan(graph, "backward"), sizes).encode())
    return total.hexdigest()


def test_processes_print_the_same() -> None:
    """Sets and hashes of strings have another order in each process."""
    code = "from tests.triton.test_plans import digest; print(digest())"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        for seed in ("1", "2")
    ]  # fmt: skip
    found = {run.communicate()[0] for run in runs}
    assert all(run.returncode == 0 for run in runs)
    assert len(found) == 1
