"""Kernels that follow each other run in one call, and what only they know needs no array."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest

import tdsl
from tdsl.backends.c.chains import Chain
from tdsl.backends.c.module import Texts
from tdsl.fusion.plan import make_plan
from tests.c.plans import assert_drawn_is_right, shared, small_blocks

# Programs of x: T[N, D] and y: T[D, M]; the kernels of each call, and the buffers that need no array.
BODIES: dict[str, tuple[str, list[int], int]] = {
    "one kernel": ("x * 2", [1], 0),
    "a sum of all": ("sum(x * x, axis=(N, D))", [2], 1),
    "two sums of all": ("sum(x, axis=(N, D)) / (1 + mean(y * y, axis=(D, M)))", [3], 2),
    "sums across rows": ("sum(x * x, axis=N)", [2], 0),
    "a sum before a product": ("(x * sum(y, axis=(D, M))) @ y", [2], 1),
    "a sum after a product": ("sum(x @ y, axis=(N, M))", [2], 1),
    "a sum around a product": ("(x * 2) @ y + sum(x, axis=(N, D))", [1, 1], 0),
}


WAYS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "normal": nullcontext,
    "small": small_blocks,
    "threads": shared,
}


def lowered(body: str, dtype: str, n: int, d: int) -> Any:
    text = f"def f(x: {dtype}[N, D], y: {dtype}[D, M]):\n    return {body}\n"
    function: Any = tdsl.compile(text)
    return function.lower(f"{dtype}[{n}, {d}]", f"{dtype}[{d}, 5]")


@pytest.mark.parametrize("name", BODIES)
def test_kernels_that_follow_each_other_are_one_call(name: str) -> None:
    body, calls, scratch = BODIES[name]
    found = lowered(body, "f32", 6, 7)
    module, _ = Texts(make_plan(found.graph)).at(found.sizes)
    called = [step for step in module.steps if isinstance(step, Chain)]
    assert [len(chain.kernels) for chain in called] == calls
    assert sum(len(chain.scratch) for chain in called) == scratch
    for chain in called:
        assert not {*chain.scratch} & {*chain.pointers}
        assert f"void {chain.name}(" in module.source


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("n", "d"), [(6, 7), (0, 7), (6, 0), (0, 0)])
@pytest.mark.parametrize("name", BODIES)
def test_chains_are_the_interpreters(name: str, n: int, d: int, way: str) -> None:
    found = lowered(BODIES[name][0], "f64", n, d)
    with WAYS[way](), small_blocks() if way == "threads" else nullcontext():
        assert_drawn_is_right(found, ((n, d), (d, 5)), "f64")


def test_calls_at_once_have_scratch_of_their_own() -> None:
    f: Any = tdsl.compile("def f(x: f64[N, D]) -> f64:\n    return sum(x * x, axis=(N, D))\n")
    given = [np.full((64, 2048), float(i)) for i in range(8)]
    with ThreadPoolExecutor(4) as threads:
        found = [float(y) for y in threads.map(f.using(backend="c"), given * 16)]
    assert found == [64 * 2048 * float(i) ** 2 for i in range(8)] * 16
