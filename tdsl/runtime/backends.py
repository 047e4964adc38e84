"""Which backends there are, which one runs by default, and whether a pinned one can run here."""

from __future__ import annotations

import os
from importlib.util import find_spec

from tdsl import faults
from tdsl.runtime.definition import Mode

BACKENDS = ("interpreter", "numpy", "c", "triton")
NATIVE = ("c", "numpy")
"""Those that run a plan's kernels on the processor."""
COMPILER_HINT = "install a C compiler, or name one that works in the environment variable CC"
DEFAULT = os.environ.get("TDSL_BACKEND") or "c"
"""The backend of calls on the processor that pin none, as the environment names it."""


def require_backend(backend: str | None) -> None:
    """Raise TdslValueError for a backend that is unknown or cannot be had; it would never fall back."""
    if backend in (None, "interpreter", "numpy"):
        return
    if backend not in BACKENDS:
        known = ", ".join(f"`{name}`" for name in BACKENDS)
        hint = f"{known} are available"
        raise faults.NO_BACKEND.at(backend=backend, note="it is unknown", hint=hint)
    if backend == "c":
        _require_compiler()
    elif find_spec("triton") is None or find_spec("torch") is None:
        hint = "pip install 'tdsl[torch,triton]'"
        raise faults.NO_BACKEND.at(backend=backend, note="it needs torch and Triton", hint=hint)


def _require_compiler() -> None:
    from tdsl.backends.c.compiler import CompilerError, compiler

    try:
        compiler()
    except CompilerError as error:
        raise faults.NO_BACKEND.at(backend="c", note=str(error), hint=COMPILER_HINT) from None


def is_native(mode: Mode) -> bool:
    """Whether the kernels of a plan run a call on the processor, compiled or tile by tile.

    Raises TdslValueError where the environment names a backend that there is not.
    """
    return not mode.checked and chosen(mode) in NATIVE


def chosen(mode: Mode) -> str:
    """The backend of a call on the processor: the pinned one, or the default."""
    return mode.backend or _default()


def _default() -> str:
    if DEFAULT not in BACKENDS:
        require_backend(DEFAULT)
    return DEFAULT
