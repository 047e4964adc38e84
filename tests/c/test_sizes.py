"""What sizes decide: which schedule is taken; the rest is found out for the first of them."""

from __future__ import annotations

from typing import Any

import pytest

import tdsl
from tdsl.backends.c import module
from tdsl.backends.c.module import Texts
from tdsl.fusion.plan import make_plan
from tests.triton.test_streams import lowered

BODIES = {
    "rows": "softmax(x, axis=D)",
    "sums across rows": "sum(x * x, axis=N) * rsqrt(mean(x, axis=N))",
    "rows side by side": "sum(exp(x), axis=N) * exp(sum(x, axis=N))",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_more_rows_take_the_same_text_and_no_analysis(
    body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = Texts(make_plan(lowered(body, "f32", ("f32[64, 512]", "f32[512]")).graph))
    first, _ = texts.at({"N": 64, "D": 512})

    def asked(*_: object) -> None:
        raise AssertionError("asked again")

    for name in ("choices", "fitted", "looking_ahead", "print_kernel"):
        monkeypatch.setattr(module, name, asked)
    again, _ = texts.at({"N": 4096, "D": 512})
    assert again is first


def test_each_class_of_sizes_has_a_text() -> None:
    texts = Texts(make_plan(lowered("logsumexp(x, axis=D)", "f32", ("f32[8, 8]", "f32[8]")).graph))
    kinds = [
        texts.at({"N": 8, "D": length})[0] for length in (8, 6144, 6145, 32768, 32769, 1 << 20)
    ]
    schedules = [kernels[0][1] for kernels in (kind.kernels for kind in kinds)]
    assert [(s.staged, s.ahead) for s in schedules] == [
        (True, "near"), (True, "near"), (True, "far"), (True, "far"), (False, None), (False, None),
    ]  # fmt: skip
    assert len({id(kind) for kind in kinds}) == 3


def test_scattered_elements_are_shared_among_more_programs() -> None:
    """An element that lies anywhere takes as long as several in order."""
    specs = "f32[4096, 64]", "i64[4096]"
    counts = {
        name: Texts(make_plan(graph)).at({"N": 4096, "D": 64})[1]
        for name, graph in (
            ("scattered", labelled("take(x, y, axis=D)").lower(*specs).graph),
            ("in order", labelled("cast(y, f32)").lower(*specs).graph),
        )
    }
    assert counts == {"scattered": 2, "in order": 1}


def labelled(body: str) -> Any:
    text = f"def f(x: f32[N, D], y: i64[N]):\n    return sum({body}, axis=N)\n"
    return tdsl.compile(text)
