"""Results that are arithmetic on what is flattened: stored by the kernel that reduces, where it pays."""

from __future__ import annotations

from typing import Any

import pytest

import tdsl
from tdsl.fusion.plan import make_plan
from tests.c.plans import assert_drawn_is_right

GROUPS = (
    "def f(x: T[N, C, D], w: T[C], v: T[N, C, D], groups: int = 2):\n"
    "    g = unflatten(x, axis=C, sizes=(groups, K))\n"
    "    y = flatten(g - mean(g, axis=(K, D)), axes=(groups, K))\n"
)
TURNED = (
    "def f(x: T[N, C, D], w: T[C], v: T[N, C, D]):\n"
    "    y = flatten(x - mean(x, axis=D), axes=(C, D))\n"
)
BODIES = {
    "as it is": (GROUPS + "    return y\n", 1),
    "scaled": (GROUPS + "    return y * w\n", 1),
    "beside an array": (GROUPS + "    return exp(y) * w + v * 2\n", 1),
    "twice": (GROUPS + "    return y * w / (1 + y * y)\n", 1),
    "two results": (GROUPS + "    return y * w, y - w\n", 1),
    "summed beside": (GROUPS + "    return y * w, sum(y * v, axis=(N, D))\n", 2),
    "other sums": (GROUPS + "    return y * sum(v, axis=D)\n", 2),
    "all in a row": (TURNED + "    return y * 2 + flatten(v, axes=(C, D))\n", 1),
    "a part": (GROUPS + "    return y[:, 1:, :] * 2\n", 2),
    "reversed": (GROUPS + "    return flip(y, axis=C) * w\n", 1),
}
SHAPES = ((3, 6, 5), (6,), (3, 6, 5))


def graph(text: str, dtype: str) -> Any:
    function: Any = tdsl.compile(text)
    return function.lower(*(f"{dtype}{[*shape]}" for shape in SHAPES))


@pytest.mark.parametrize(("text", "kernels"), BODIES.values(), ids=BODIES)
def test_kernels(text: str, kernels: int) -> None:
    assert len(make_plan(graph(text, "f64").graph).kernels) == kernels


@pytest.mark.parametrize("dtype", ["f64", "f32", "bf16"])
@pytest.mark.parametrize("text", [text for text, _ in BODIES.values()], ids=BODIES)
def test_values_are_the_oracles(text: str, dtype: str) -> None:
    assert_drawn_is_right(graph(text, dtype), SHAPES, dtype)
