"""Threads that run tiles, and calls where no compiler is at hand."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import tdsl
from tdsl.backends.c import compiler
from tdsl.backends.numpy import pool
from tdsl.runtime import backends, native
from tests.test_processor import PAIR, close, source


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_every_piece_of_work_is_done_once(threads: int) -> None:
    done: list[int] = []
    pool.share_out(done.extend, 40, threads)
    assert sorted(done) == [*range(40)]


def test_a_fault_in_a_thread_is_raised() -> None:
    def work(numbers: Iterator[int]) -> None:
        for number in numbers:
            if number == 7:
                raise ValueError(number)

    with pytest.raises(ValueError, match="7"):
        pool.share_out(work, 40, 2)


def test_the_interpreter_may_end_before_the_last_call() -> None:
    """When threads cannot be started any more, the calling thread does all the work."""
    script = (
        "import atexit, threading, numpy as np\n"
        "from tdsl.backends.threads import THREADS\n"
        "from tdsl.kernels import softmax\n"
        "THREADS.count = 2\n"
        "f, x = softmax.softmax.using(backend='numpy'), np.ones((512, 512), np.float32)\n"
        "atexit.register(lambda: print(float(f(x).sum())))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert float(done.stdout) == pytest.approx(512, rel=1e-4)


def test_without_a_compiler_calls_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "DEFAULT", "c")
    monkeypatch.setattr(native, "_REPORTED", set())
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(compiler, "CANDIDATES", ("no-such-compiler",))
    function: Any = tdsl.compile("def f(x: f32[N]) -> f32[N]:\n    return x * 3.0 + 1\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        close(function(np.ones(3, np.float32)), [4, 4, 4])
        close(function(torch.ones(3)).numpy(), [4, 4, 4])


def test_a_compiler_that_is_named_but_not_there_is_reported_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backends, "DEFAULT", "c")
    monkeypatch.setattr(native, "_REPORTED", set())
    monkeypatch.setenv("CC", "no-such-compiler")
    text = "def f(x: f32[N]) -> f32[N]:\n    return x * 3.0 + {0}\n"
    functions: list[Any] = [tdsl.compile(text.format(place)) for place in (1, 2)]
    first, second = functions
    with pytest.warns(RuntimeWarning, match="no-such-compiler"):
        close(first(np.ones(3, np.float32)), [4, 4, 4])
    close(second(np.ones(3, np.float32)), [5, 5, 5])


def test_the_environment_names_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "DEFAULT", "numpy")
    monkeypatch.setattr(native, "Executable", None)
    x = source().reshape(24, 40)
    function: Any = tdsl.compile(PAIR)
    close(function(x, x)[1], function.using(backend="interpreter")(x, x)[1])
