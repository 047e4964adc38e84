"""What a loop fetches of the next row or block, and claims of what it will store: where, and from where."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tdsl
from tdsl.backends.c.module import print_plan
from tdsl.fusion.plan import make_plan
from tests.triton.test_streams import lowered

ROW = ("", "row * D + start + D", "end - start")
FAR = ("_far", *ROW[1:])
BLOCK = ("", "(first - start + end) + row * D", "last - first")
CASES = [
    ("the second loop sums", "logsumexp(x, axis=D)", "[4096, 2048]", [ROW]),
    ("the second loop keeps powers", "softmax(x, axis=D)", "[4096, 2048]", [ROW]),
    ("the second loop stores", "x * rsqrt(mean(x * x, axis=D))", "[4096, 2048]", []),
    ("one loop is all", "sum(x * x, axis=D)", "[4096, 2048]", []),
    ("two rows are more than the nearest cache", "logsumexp(x, axis=D)", "[512, 8192]", [FAR]),
    ("blocks of a long row", "logsumexp(x, axis=D)", "[64, 131072]", [BLOCK]),
    ("blocks of a long row, in one loop", "sum(x * x, axis=D)", "[64, 131072]", []),
]


@pytest.mark.parametrize(
    ("body", "shape", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_is_fetched(body: str, shape: str, wanted: list[tuple[str, ...]]) -> None:
    found = lowered(body, "f32", (f"f32{shape}", f"f32[{shape.split()[1]}"))
    text = print_plan(make_plan(found.graph), found.sizes)[0].source
    calls = re.findall(r"fetch(\w*)\(&x_ptr\[(.*)\], 4 \* \((.*)\)\);", text)
    assert calls == wanted
    assert len(re.findall(r"fetch\w*\(&", text)) == len(calls)


def test_the_block_after_the_last_of_a_piece() -> None:
    function: Any = tdsl.compile("def f(x: f32[N, C, S]):\n    return var(x, axis=(N, S))\n")
    found = function.lower("f32[64, 64, 4096]")
    text = print_plan(make_plan(found.graph), found.sizes)[0].source
    place = "(first - start + (end < S ? end : (C * S))) + column_N * C * S + row * S"
    assert text.count(f"fetch(&x_ptr[{place}], 4 * (last - first));") == 1


PARTS = ("256 + row * D + start", "end - start")
CLAIMS = [
    ("blocks of everything", "x * 2", "[4096, 2048]", [("256 + first", "last - first")]),
    ("the last loop over a row", "softmax(x, axis=D)", "[4096, 2048]", [PARTS]),
    ("a row that does not stay in the cache", "x / sum(x, axis=D)", "[64, 131072]", [PARTS]),
    ("two pieces of a row", "concat((x * 2, x + 1), axis=-1)", "[4096, 2048]",
     [("256 + row * D * 2 + start", "end - start"), ("256 + row * D * 2 + start + D", "end - start")]),
    ("a loop that computes meanwhile", "exp(x)", "[4096, 2048]", []),
    ("a loop that goes on from the last element", "cumsum(x, axis=D)", "[4096, 2048]", []),
    ("a loop that stores nothing", "sum(x * x, axis=D)", "[4096, 2048]", []),
    ("results along the rows", "x.T", "[4096, 2048]", []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "shape", "wanted"), [c[1:] for c in CLAIMS], ids=[c[0] for c in CLAIMS]
)
def test_what_is_claimed(body: str, shape: str, wanted: list[tuple[str, str]]) -> None:
    found = lowered(body, "f32", (f"f32{shape}", f"f32[{shape.split()[1]}"))
    text = print_plan(make_plan(found.graph), found.sizes)[0].source
    calls = re.findall(r"claim\(&out_ptr\[(.*)\], 4 \* \((.*)\)\);", text)
    assert calls == wanted
    assert text.count("claim(&") == len(calls)


def test_pieces_of_a_row_are_stored_from_another_one_on_for_each_row() -> None:
    text = """
def f(x: f32[N, C, S]) -> f32[N, C, S]:
    return x * rsqrt(var(x, axis=(N, S)))
"""
    function: Any = tdsl.compile(text)
    found = function.lower("f32[5,4,600]")
    source = print_plan(make_plan(found.graph), found.sizes)[0].source
    loops = re.findall(r"for \(int64_t (\w+) = 0; \1 < N;.*\n(.*)", source)
    *sums, (name, line) = loops
    assert ({other for other, _ in sums}, name) == ({"column_N"}, "turn")
    assert "column_N = (turn + N * unit / units) % N;" in line
    x = np.random.default_rng(0).standard_normal((5, 4, 600)).astype(np.float32)
    wanted = x / np.sqrt(x.astype(np.float64).var(axis=(0, 2), keepdims=True))
    np.testing.assert_allclose(function(x), wanted, rtol=1e-6)
