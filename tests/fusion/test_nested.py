"""Reductions that go on from others: the oracle's values, and along the fewest axes."""

from __future__ import annotations

from typing import Any

import pytest

import tdsl
from tdsl.fusion.normalise import normalise
from tests.c.plans import assert_drawn_is_right

BODIES = {
    "sums": ("sum(x, axis=(N, C)) + sum(sum(x, axis=C) ** 2, axis=N)", "C N N"),
    "factors that do not vary": (
        "sum(x * y * s, axis=(N, C)) + sum(abs(sum(x * y, axis=C)), axis=N)", "C N N",
    ),
    "a factor of the same axes": ("sum(x * y, axis=C) + sum(s * x * y, axis=C)", "C"),
    "in another order": ("sum(x * (y * x), axis=C) + sum((x * y) * x, axis=C)", "C C"),
    "in three steps": ("sum(x) + sum(exp(sum(x, axis=(N, C)))) + sum(tanh(sum(x, axis=C)))",
                       "C M M M,N N"),
    "extrema": ("max(x, axis=(N, C)) + max(-max(x, axis=C), axis=N)", "C N N"),
    "factors that vary": ("sum(x * y * x, axis=(N, C)) + sum(abs(sum(x * y, axis=C)), axis=N)",
                          "C N N,C"),
    "flags": ("any(x > 0, axis=(N, C)) | any(~any(x > 0, axis=C), axis=N)", "C N N"),
    "products": ("prod(x, axis=(N, C)) + prod(1 + prod(x, axis=C), axis=N)", "C N N"),
    "along other axes": ("sum(x, axis=N) * y[:, 0, :] + sum(x, axis=(N, C))", "C N"),
    "not along the fewest": ("sum(x, axis=N) * y[:, 0, :] + sum(x, axis=C)[:, :1]", "C N"),
}  # fmt: skip
SHAPES = ((3, 4, 5), (3, 4, 5), (3, 4))


def graph(body: str, dtype: str) -> Any:
    function: Any = tdsl.compile(
        f"def f(x: T[M, N, C], y: T[M, N, C], s: T[M, N]):\n    return {body}\n"
    )
    return function.lower(*(f"{dtype}{[*shape]}" for shape in SHAPES))


@pytest.mark.parametrize(("body", "axes"), BODIES.values(), ids=BODIES)
def test_they_go_on_from_the_longest_part(body: str, axes: str) -> None:
    function = normalise(graph(body, "f64").graph).function
    found = [n["axes"] for n in function.nodes() if n.op.family == "reduction"]
    assert sorted(",".join(map(str, axes)) for axes in found) == axes.split()


@pytest.mark.parametrize("dtype", ["f64", "f32", "bf16"])
@pytest.mark.parametrize("body", [body for body, _ in BODIES.values()], ids=BODIES)
def test_values_are_the_oracles(body: str, dtype: str) -> None:
    assert_drawn_is_right(graph(body, dtype), SHAPES, dtype)
