"""What a loop fetches of the next row, or the next block: where it pays, and from where."""

from __future__ import annotations

import re
from typing import Any

import pytest

import tdsl
from tdsl.backends.c.module import print_plan
from tdsl.fusion.plan import make_plan
from tests.triton.test_streams import lowered

ROW = ("row * D + start + D", "end - start")
BLOCK = ("(first - start + end) + row * D", "last - first")
CASES = [
    ("the second loop sums", "logsumexp(x, axis=D)", "[4096, 2048]", [ROW]),
    ("the second loop keeps powers", "softmax(x, axis=D)", "[4096, 2048]", [ROW]),
    ("the second loop stores", "x * rsqrt(mean(x * x, axis=D))", "[4096, 2048]", []),
    ("one loop is all", "sum(x * x, axis=D)", "[4096, 2048]", []),
    ("two rows are more than the nearest cache", "logsumexp(x, axis=D)", "[512, 8192]", []),
    ("blocks of a long row", "logsumexp(x, axis=D)", "[64, 131072]", [BLOCK]),
    ("blocks of a long row, in one loop", "sum(x * x, axis=D)", "[64, 131072]", []),
]


@pytest.mark.parametrize(
    ("body", "shape", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_is_fetched(body: str, shape: str, wanted: list[tuple[str, str]]) -> None:
    found = lowered(body, "f32", (f"f32{shape}", f"f32[{shape.split()[1]}"))
    text = print_plan(make_plan(found.graph), found.sizes)[0].source
    calls = re.findall(r"fetch\(&x_ptr\[(.*)\], 4 \* \((.*)\)\);", text)
    assert calls == wanted
    assert text.count("fetch(&") == len(calls)


def test_the_block_after_the_last_of_a_piece() -> None:
    function: Any = tdsl.compile("def f(x: f32[N, C, S]):\n    return var(x, axis=(N, S))\n")
    found = function.lower("f32[64, 64, 4096]")
    text = print_plan(make_plan(found.graph), found.sizes)[0].source
    place = "(first - start + (end < S ? end : (C * S))) + column_N * C * S + row * S"
    assert text.count(f"fetch(&x_ptr[{place}], 4 * (last - first));") == 1
