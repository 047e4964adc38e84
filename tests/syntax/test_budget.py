"""Small texts with an enormous meaning are refused in seconds, at the place that takes too long."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest

import tdsl
from tdsl.errors import TdslError
from tdsl.syntax.elaboration.entry import elaborate
from tdsl.syntax.elaboration.program import load_program
from tdsl.transforms.differentiate import vjp

# What is refused is refused within 10 s of work where nothing else runs; what else runs, and measuring
# coverage, make that several times as long. What is not refused takes hours.
SECONDS = 30 if sys.gettrace() is None else 60

HEAD = "def f(x: T[N]) -> T[N]:\n    y = x\n"
IDENTITY = "def f{0}(x: T[N]) -> T[N]:\n    return x\n"
LOOPS = "".join(f"{' ' * 4 * i}for i{i} in range(1000):\n" for i in (1, 2, 3))
FACTORS = " * ".join(f"(A{i} + 1)" for i in range(40))
CALLS = "def f{0}(x: T[N]) -> T[N]:\n    return f{1}(x) + f{1}(x * 2)\n"
ROWS: dict[str, tuple[str, str, int]] = {
    "nested loops": (HEAD + LOOPS + " " * 16 + "y = y + x\n    return y\n", "E0120", 6),
    "an unrolled body": (
        "def f(x: T[N]) -> T[N]:\n    for a in range(300):\n        for b in range(300):\n"
        "            x = sin(x + a * b)\n    return x\n", "E0120", 4),
    "a size": (f"def f(x: T[{FACTORS}]):\n    return x\n", "E0121", 1),
    "a growing size": (
        "def f(x: f32[N]) -> f32:\n    for i in range(60):\n"
        "        x = concat((x[::2], x[::3]), axis=0)\n    return sum(x)\n", "E0121", 3),
    "doubling calls": (
        "".join(CALLS.format(i, i + 1) for i in range(40)) + IDENTITY.format(40), "E0120", 80),
    "doubling constants": (
        "A0 = 1\n" + "".join(f"A{i + 1} = A{i} + A{i}\n" for i in range(40)), "E0120", 16),
    "nested derivatives": (
        "def e0(x: f64) -> f64:\n    return exp(sin(x))\n"
        + "".join(f'e{i} = grad(e{i - 1}, wrt="x")\n' for i in range(1, 41)), "E0120", 13),
    "many terms": (
        HEAD + "    return " + " + ".join(f"x * {i}" for i in range(100_000)) + "\n", "E0120", 3),
    "many functions": ("\n".join(IDENTITY.format(i) for i in range(25_000)), "E0120", 1),
    "a deep expression": (HEAD + "    return y" + ".exp()" * 500 + "\n", "E0112", 3),
    "a deep subscript": (HEAD + "    return y" + "[0:1]" * 5000 + "\n", "E0112", 3),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_an_enormous_program_is_refused_in_seconds(row: tuple[str, str, int]) -> None:
    text, code, line = row
    start = time.process_time()
    with pytest.raises(TdslError) as caught:
        tdsl.compile(text)
    assert time.process_time() - start < SECONDS
    assert [error.code for error in caught.value.errors] == [code]
    assert caught.value.span is not None
    assert caught.value.span.line == line


def test_derivatives_from_python_share_a_budget() -> None:
    f: Any = tdsl.compile("def f(x: f64) -> f64:\n    return exp(sin(x))\n")
    for _ in range(40):
        f = tdsl.grad(f, wrt="x")
    with pytest.raises(TdslError, match="more than 500,000 steps"):
        f(0.5)


def test_a_chain_is_differentiated_in_time_linear_in_its_length() -> None:
    text = "def f(x: f64) -> f64:\n    for i in range(1000):\n        x = sin(x)\n    return x\n"
    f: Any = tdsl.compile(text)
    start = time.process_time()
    assert abs(tdsl.grad(f, wrt="x")(0.5)) < 1
    assert time.process_time() - start < SECONDS


def test_second_derivatives_of_nested_additions_take_seconds() -> None:
    """Inside their sums there are exponentially many ways to multiply out."""
    text = (
        "def f(x: f64[N, D]) -> f64[N, D]:\n    a = x * std(x, axis=D) - x[:, ::-1]\n"
        "    b = a + take(a, argmax(a, axis=D), axis=D)\n    return sigmoid(exp(-b * b))\n"
    )
    start = time.process_time()
    graph = elaborate(load_program(text, "f.tdsl"), "f")
    vjp(vjp(graph))
    assert time.process_time() - start < SECONDS
