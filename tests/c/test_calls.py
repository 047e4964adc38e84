"""Calls that run compiled C: a compiler that is missing or broken, the cache, settings of the process."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.checkpoint

import tdsl
from tdsl.backends import threads
from tdsl.backends.c import compiler
from tdsl.errors import TdslError
from tdsl.kernels import softmax
from tdsl.runtime import backends, native
from tests.test_processor import close


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A compiler that fails, and an empty cache."""
    script = tmp_path / "broken"
    script.write_text(
        '#!/bin/sh\ncase "$*" in *--version*) echo broken;; *) echo why >&2; exit 1;; esac\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    monkeypatch.setenv("TDSL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(backends, "DEFAULT", "c")
    monkeypatch.setattr(native, "_REPORTED", [])
    compiler.compiler.cache_clear()
    compiler.identity.cache_clear()
    yield
    compiler.compiler.cache_clear()
    compiler.identity.cache_clear()


@pytest.mark.usefixtures("no_compiler")
def test_a_broken_compiler_is_reported_once_and_never_fails_a_call() -> None:
    text = "def broken(x: f32[N]) -> f32[N]:\n    return x * 3.0 + {0}\n"
    functions: list[Any] = [tdsl.compile(text.format(place)) for place in (1, 2)]
    first, second = functions
    with pytest.warns(RuntimeWarning, match="why"):
        close(first(np.ones(3, np.float32)), [4, 4, 4])
    close(second(np.ones(3, np.float32)), [5, 5, 5])
    close(second(torch.ones(3)).numpy(), [5, 5, 5])


@pytest.mark.usefixtures("no_compiler")
def test_a_pinned_backend_never_falls_back() -> None:
    function = tdsl.compile("def f(x: f32[N]) -> f32[N]:\n    return x * 7.5\n").using(backend="c")
    with pytest.raises(TdslError, match="E0310") as caught:
        function(np.ones(3, np.float32))
    assert "why" in str(caught.value)


def test_a_compiler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    compiler.compiler.cache_clear()
    try:
        with pytest.raises(TdslError, match="no-such-compiler"):
            softmax.softmax.using(backend="c")
    finally:
        compiler.compiler.cache_clear()


def test_a_damaged_library_is_compiled_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TDSL_CACHE_DIR", str(tmp_path))
    text = "int seven(void) { return 7; }\n"
    assert compiler._load(text).seven() == 7
    (path,) = tmp_path.glob("c/*.so")
    for damage in (b"", path.read_bytes()[:100]):
        path.unlink()
        path.write_bytes(damage)
        again: ctypes.CDLL = compiler._load(text)
        assert again.seven() == 7


def test_the_processes_flags_stay(tmp_path: Path) -> None:
    """No code is linked in that flushes subnormal numbers to 0, or maps NaN away."""
    script = (
        "import numpy as np, tdsl\n"
        "f = tdsl.compile('def f(x: f32[N]) -> f32[N]:\\n    return x * 0.5\\n').using(backend='c')\n"
        "tiny = np.array([1e-40, np.nan, -np.inf], np.float32)\n"
        "assert f(tiny)[0] > 0 and tiny[0] * np.float32(0.5) > 0, f(tiny)\n"
        "assert np.isnan(f(tiny)[1]) and f(tiny)[2] == -np.inf\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ)


@pytest.mark.parametrize(("told", "expected"), [("3", 3), ("1", 1), ("2,4", 2)])
def test_openmp_is_told_how_many_threads(
    told: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert threads.Threads().count == expected
