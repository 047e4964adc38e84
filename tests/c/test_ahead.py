"""What is known to be called compiles ahead: files at once, each once, and calls find them."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tdsl
from tdsl.backends.c import compiler
from tdsl.backends.c.compiler import COMPILERS, CompilerError
from tdsl.errors import TdslError
from tdsl.kernels import losses, norms
from tdsl.runtime import backends

WIDTH = 4
SCRIPT = """#!/bin/sh
case "$*" in *--version*) exec cc --version;; esac
echo start >> {log}
for _ in $(seq 500); do
    if [ $(grep -c start {log}) -ge $WANTED ]; then break; fi
    sleep 0.02
done
cc "$@" -O0
status=$?
echo end >> {log}
exit $status
"""
"""A compiler that tells when it starts and ends; the first ones wait for each other."""


class Log:
    """What the compilers told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def __len__(self) -> int:
        """How many files were compiled."""
        return self.path.read_text().count("start")

    def at_once(self) -> int:
        """How many compilers ran at most at the same time."""
        running = [0]
        for line in self.path.read_text().splitlines():
            running.append(running[-1] + (1 if line == "start" else -1))
        return max(running)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Log]:
    """The compilers' log; none has found anything in the cache, and `WIDTH` may run."""
    script = tmp_path / "compiler"
    found = Log(tmp_path / "log")
    script.write_text(SCRIPT.format(log=found.path))
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    monkeypatch.setenv("WANTED", "1")
    monkeypatch.setenv("TDSL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(backends, "DEFAULT", "c")
    monkeypatch.setattr(COMPILERS, "most", lambda: WIDTH)
    monkeypatch.setattr(COMPILERS, "threads", None)
    monkeypatch.setattr(compiler, "_LIBRARIES", {})
    yield found
    if COMPILERS.threads is not None:
        COMPILERS.threads.shutdown()


def test_a_module_of_30_functions_compiles_at_once(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANTED", str(WIDTH))
    line = "def f{0}(x: f32[N]) -> f32[N]:\n    return x * {0} + 1\n"
    module: Any = tdsl.compile("\n".join(line.format(place) for place in range(30)))
    begun = [future for f in module for future in f.lower("f32[8]").compile()]
    wait(begun)
    assert [future.exception() for future in begun] == [None] * 30
    assert (len(log), log.at_once()) == (30, WIDTH)
    for place, function in enumerate(module):
        np.testing.assert_array_equal(function(np.ones(8, np.float32)), place + 1)
    assert len(log) == 30


def test_both_passes_compile_at_once(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the forward pass compiles the backward pass does, before it is asked for."""
    monkeypatch.setenv("WANTED", "2")
    text = "def f(x: f32[N, D]) -> f32[N, D]:\n    return x * sigmoid(sum(x, axis=D))\n"
    x = torch.ones(4, 8, requires_grad=True)
    result = tdsl.compile(text)(x)  # type: ignore[operator]
    assert log.at_once() == 2
    result.backward(torch.ones(4, 8))
    assert len(log) == 2


@pytest.mark.parametrize("is_loss", [False, True], ids=["passes", "a loss"])
def test_a_recorded_call_finds_what_was_compiled(is_loss: bool, log: Log) -> None:
    x, w, b = torch.ones(6, 40), torch.ones(40), torch.zeros(40)
    x.requires_grad_()
    wrt: str | tuple[str, ...] = ("w", "x")
    function, values = norms.layer_norm, [x, w.requires_grad_(), b]
    specs = ["f32[6, 40]", "f32[40]", "f32[40]"]
    if is_loss:
        function, values, wrt = (
            losses.cross_entropy,
            [x, torch.zeros(6, dtype=torch.int64)],
            "logits",
        )
        specs = ["f32[6, 40]", "i64[6]"]
    begun = function.lower(*specs, grad=wrt).compile()
    for future in begun:
        future.result()
    count = len(log)
    assert count == len(begun) == (1 if is_loss else 2)
    result = function(*values)
    result.backward(torch.ones_like(result))
    assert len(log) == count


def test_a_compiler_that_fails_is_told_by_the_future(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(log) == 0
    monkeypatch.setenv("CC", "false")
    function = tdsl.compile("def f(x: f32[N]) -> f32[N]:\n    return x * 7.5\n")
    (begun,) = function.lower("f32[8]").compile()
    assert isinstance(begun.exception(), CompilerError)


def test_what_is_not_compiled(log: Log) -> None:
    """Other backends have nothing to compile, and a graph without sizes cannot be."""
    assert norms.rms_norm.lower("f32[4, 8]", "f32[8]", backend="numpy").compile() == []
    assert norms.rms_norm.lower("f32[4, 8]", "f32[8]", backend="triton").compile() == []
    with pytest.raises(TdslError, match="give specs"):
        norms.rms_norm.lower().compile()
    assert len(log) == 0


def compiled_in_a_child(text: str) -> int:
    found: int = compiler.library(text).five()
    return found


def test_a_child_waits_for_no_compiler_of_its_parent(tmp_path: Path) -> None:
    text = f"// {tmp_path}\nint five(void) {{ return 5; }}\n"
    held = compiler._COMPILING.setdefault(text, threading.Lock())
    with held, multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map_async(compiled_in_a_child, [text]).get(timeout=60) == [5]
