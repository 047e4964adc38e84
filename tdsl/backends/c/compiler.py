"""The system's C compiler: which one, with which flags, and what it made before.

In: the text of a C file. Out: a loaded library. Between: a library's name in the cache is made of the
text, the compiler's version, the flags and the processor, since `-march=native` code is for one kind of
processor; nothing is kept there that cannot be loaded, and what is damaged is compiled again. No flag
changes what NaN, infinity or subnormal numbers mean. Several files compile at once, each once. Whatever a
compiler does wrong is a CompilerError, and one that is broken is not run again.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

from tdsl.backends.cache import made
from tdsl.backends.threads import Pool, after_fork, processors

FLAGS = (
    "-std=gnu11", "-O3", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-fwrapv", "-fPIC",
    "-shared",
)  # fmt: skip
CANDIDATES = ("cc", "gcc", "clang")
FUNCTION = re.compile(r"^void (\w+)\(", re.MULTILINE)
"""What a text's callers call."""
SECONDS = 120
"""How long the compiler may take for one file."""

COMPILERS = Pool("tdsl compiler", processors)
"""Threads in which the compiler runs for what will be called."""
_LIBRARIES: dict[str, ctypes.CDLL] = {}
_COMPILING: dict[str, threading.Lock] = {}
_FAILED: dict[tuple[tuple[str, ...], str], str] = {}
"""What was said when a command failed, by the text that it failed at; that of a broken one by ""."""
_WORKING: set[tuple[str, ...]] = set()
"""The commands whose last file could be loaded."""
# In a forked child nobody would release what a thread of its parent holds.
after_fork(_COMPILING.clear)


class CompilerError(Exception):
    """There is no compiler, it fails, or what it made cannot be loaded; the message says what was said."""


def compiler() -> tuple[str, ...]:
    """The compiler's command: `$CC`, else the first of `CANDIDATES`. Raises CompilerError."""
    wanted = os.environ.get("CC", "").split()
    for command in [wanted] if wanted else [[name] for name in CANDIDATES]:
        if shutil.which(command[0]):
            return tuple(command)
    names = wanted[0] if wanted else ", ".join(CANDIDATES)
    raise CompilerError(f"no C compiler was found (looked for: {names})")


def working() -> tuple[str, ...]:
    """The compiler's command, unless it was found broken in this process; nothing is run.

    Raises CompilerError.
    """
    command = compiler()
    if (said := _FAILED.get((command, ""))) is not None:
        raise CompilerError(said)
    return command


def forget() -> None:
    """Let compilers that failed be tried again."""
    _FAILED.clear()


@cache
def identity(command: tuple[str, ...]) -> str:
    """What code compiled by this command depends on beside its text. Raises CompilerError."""
    version = _run([*command, "--version"])
    return "\n".join([*command, version, *flags(), _processor()])


@cache
def flags() -> tuple[str, ...]:
    """The flags, with those that mean this very processor, and its widest vectors."""
    # A kernel that another calls is the file's own, whatever else is loaded under its name.
    own = (*FLAGS, "-Wl,-Bsymbolic-functions") if sys.platform == "linux" else FLAGS
    if platform.machine() in ("x86_64", "AMD64"):
        return (*own, "-march=native", "-mprefer-vector-width=512")
    return (*own, "-mcpu=native")


def _processor() -> str:
    """The processor's features, as the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


def library(source: str) -> ctypes.CDLL:
    """The compiled text, loaded.

    Raises CompilerError: at once, where the compiler failed at this text before, or is broken.
    """
    known = _LIBRARIES.get(source)
    if known is not None:
        return known
    with _COMPILING.setdefault(source, threading.Lock()):
        if source not in _LIBRARIES:
            _LIBRARIES[source] = _tried(source)
    return _LIBRARIES[source]


def _tried(source: str) -> ctypes.CDLL:
    """The text's library. A failure is the text's fault after a success, else the compiler's."""
    command = working()
    if (said := _FAILED.get((command, source))) is not None:
        raise CompilerError(said)
    try:
        return _load(source, command)
    except CompilerError as error:
        _FAILED[command, source if command in _WORKING else ""] = str(error)
        _WORKING.discard(command)
        raise


def _load(source: str, command: tuple[str, ...]) -> ctypes.CDLL:
    key = hashlib.sha256(f"{identity(command)}\n{source}".encode()).hexdigest()[:32]

    def path() -> Path:
        return made("c", f"{key}.so", lambda target: _compile(source, command, target))

    found = path()
    try:
        return _opened(found, command, source)
    except CompilerError:  # what it needs is gone since it was made
        with suppress(OSError):
            found.unlink()
        return _opened(path(), command, source)


def _compile(source: str, command: tuple[str, ...], target: Path) -> None:
    """Write the text's library, which can be loaded. Raises CompilerError."""
    text = target.with_suffix(".c")
    try:
        text.write_text(source)
        _run([*command, *flags(), str(text), "-o", str(target), "-lm"])
    finally:
        text.unlink(missing_ok=True)
    _opened(target, command, source)
    _WORKING.add(command)


def _opened(path: Path, command: tuple[str, ...], source: str) -> ctypes.CDLL:
    """The library, which has all functions of its text."""
    if not path.is_file():
        raise CompilerError(f"{command[0]} wrote no library, and told of no error")
    try:
        found = ctypes.CDLL(str(path))
    except OSError as error:
        message = f"{command[0]} made a library that cannot be loaded: {error}"
        remedy = "if its folder forbids to run code, TDSL_CACHE_DIR names another"
        raise CompilerError(f"{message}\n{remedy}") from error
    if lost := [name for name in FUNCTION.findall(source) if not hasattr(found, name)]:
        raise CompilerError(f"{command[0]} made a library without {', '.join(lost)}")
    return found


def assembly(source: str) -> str:
    """The text in the processor's assembly language. Raises CompilerError."""
    command = [*compiler(), *flags(), "-S", "-x", "c", "-", "-o", "-"]
    return _run([flag for flag in command if flag != "-shared"], source)


def _run(command: list[str], text: str | None = None) -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, timeout=SECONDS, check=False,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompilerError(f"{command[0]}: {error}") from error
    if done.returncode:
        said = done.stderr.strip()
        ending = f":\n{said}" if said else f" and said nothing (exit status {done.returncode})"
        raise CompilerError(f"{command[0]} failed{ending}")
    return done.stdout
