"""Where the grammar and the standard library lie: beside the package, or in a wheel inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).parent


def data_path(kind: Literal["grammar", "kernels"]) -> Path:
    """The folder of the grammar, or that of the standard library's `.tdsl` files."""
    installed = _PACKAGE / "_data" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind
