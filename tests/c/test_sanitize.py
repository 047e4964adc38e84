"""The laws of the C backend once more, compiled with the address and undefined behaviour sanitizers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tdsl.backends.c.compiler import compiler

LAWS = ("test_kernels.py", "test_random_programs.py")


def runtime(name: str) -> str:
    """The path of a sanitizer's library, which must be in the process before Python is."""
    command = [*compiler(), f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.sanitize
@pytest.mark.parametrize("law", LAWS)
def test_generated_code_under_sanitizers(law: str, tmp_path: Path) -> None:
    flags = "-fsanitize=address,undefined -fno-sanitize-recover=undefined"
    settings = {
        "CC": f"{' '.join(compiler())} {flags}",
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        # Python itself never frees all of its memory.
        "ASAN_OPTIONS": "detect_leaks=0",
        "TDSL_CACHE_DIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:cov"]
    path = Path(__file__).with_name(law)
    subprocess.run([*command, str(path)], check=True, env={**os.environ, **settings})
