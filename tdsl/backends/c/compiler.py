"""The system's C compiler: which one, with which flags, and what it made before.

In: the text of a C file. Out: a loaded library. Between: a library's name in the cache is made of the
text, the compiler's version, the flags and the processor, since `-march=native` code is for one kind of
processor; what is damaged is compiled again. No flag changes what NaN, infinity or subnormal numbers
mean. Several files compile at once, each once.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import threading
from functools import cache
from pathlib import Path

from tdsl.backends.cache import made
from tdsl.backends.threads import Pool, after_fork, processors

FLAGS = (
    "-std=gnu11", "-O3", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-fwrapv", "-fPIC",
    "-shared",
)  # fmt: skip
CANDIDATES = ("cc", "gcc", "clang")
SECONDS = 120
"""How long the compiler may take for one file."""

COMPILERS = Pool("tdsl compiler", processors)
"""Threads in which the compiler runs for what will be called."""
_LIBRARIES: dict[str, ctypes.CDLL] = {}
_COMPILING: dict[str, threading.Lock] = {}
# In a forked child nobody would release what a thread of its parent holds.
after_fork(_COMPILING.clear)


class CompilerError(Exception):
    """There is no compiler, or it fails; the message says what it said."""


@cache
def compiler() -> tuple[str, ...]:
    """The compiler's command: `$CC`, else the first of `CANDIDATES`. Raises CompilerError."""
    wanted = os.environ.get("CC", "").split()
    for command in [wanted] if wanted else [[name] for name in CANDIDATES]:
        if shutil.which(command[0]):
            return tuple(command)
    names = wanted[0] if wanted else ", ".join(CANDIDATES)
    raise CompilerError(f"no C compiler was found (looked for: {names})")


@cache
def identity() -> str:
    """What compiled code depends on beside its text. Raises CompilerError."""
    version = _run([*compiler(), "--version"])
    return "\n".join([*compiler(), version, *flags(), _processor()])


@cache
def flags() -> tuple[str, ...]:
    """The flags, with those that mean this very processor, and its widest vectors."""
    if platform.machine() in ("x86_64", "AMD64"):
        return (*FLAGS, "-march=native", "-mprefer-vector-width=512")
    return (*FLAGS, "-mcpu=native")


def _processor() -> str:
    """The processor's features, as the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


def library(source: str) -> ctypes.CDLL:
    """The compiled text, loaded. Raises CompilerError."""
    known = _LIBRARIES.get(source)
    if known is not None:
        return known
    with _COMPILING.setdefault(source, threading.Lock()):
        if source not in _LIBRARIES:
            _LIBRARIES[source] = _load(source)
    return _LIBRARIES[source]


def _load(source: str) -> ctypes.CDLL:
    key = hashlib.sha256(f"{identity()}\n{source}".encode()).hexdigest()[:32]
    path = made("c", f"{key}.so", lambda target: _compile(source, target))
    return ctypes.CDLL(str(path))


def _compile(source: str, target: Path) -> None:
    text = target.with_suffix(".c")
    try:
        text.write_text(source)
        _run([*compiler(), *flags(), str(text), "-o", str(target), "-lm"])
    finally:
        text.unlink(missing_ok=True)


def assembly(source: str) -> str:
    """The text in the processor's assembly language. Raises CompilerError."""
    command = [*compiler(), *flags(), "-S", "-x", "c", "-", "-o", "-"]
    return _run([flag for flag in command if flag != "-shared"], source)


def _run(command: list[str], text: str | None = None) -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompilerError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise CompilerError(f"{command[0]} failed:\n{done.stderr.strip()}")
    return done.stdout
