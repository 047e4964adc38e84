"""Which backends there are, and whether a pinned one can run here."""

from __future__ import annotations

from importlib.util import find_spec

from tdsl import faults

BACKENDS = ("interpreter", "triton", "numpy", "c")
LATER = ("numpy", "c")


def require_backend(backend: str | None) -> None:
    """Raise TdslValueError for a backend that is unknown or cannot be had; it would never fall back."""
    if backend in (None, "interpreter"):
        return
    if backend in LATER or backend not in BACKENDS:
        note = "it comes with a later version" if backend in LATER else "it is unknown"
        hint = "`interpreter` and `triton` are available"
        raise faults.NO_BACKEND.at(backend=backend, note=note, hint=hint)
    if find_spec("triton") is None or find_spec("torch") is None:
        hint = "pip install 'tdsl[torch,triton]'"
        raise faults.NO_BACKEND.at(backend=backend, note="it needs torch and Triton", hint=hint)
