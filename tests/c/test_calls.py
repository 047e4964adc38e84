"""Calls that run compiled C: the cache, settings of the process."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tdsl.backends import threads
from tdsl.backends.c import compiler


def test_a_damaged_library_is_compiled_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TDSL_CACHE_DIR", str(tmp_path))
    text = "int seven(void) { return 7; }\n"
    assert compiler._load(text, compiler.compiler()).seven() == 7
    (path,) = tmp_path.glob("c/*.so")
    for damage in (b"", path.read_bytes()[:100]):
        path.unlink()
        path.write_bytes(damage)
        again: ctypes.CDLL = compiler._load(text, compiler.compiler())
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
