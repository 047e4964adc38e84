"""Where and when results were measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from typing import Any

import tdsl
from tdsl.backends.c.compiler import identity
from tdsl.cli.bench import processor

PACKAGES = ("numpy", "scipy", "torch", "triton", "jax", "numexpr")


def machine() -> dict[str, Any]:
    """The date, the processor, how many threads may run, and versions."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "threads": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "compiler": identity().split("\n")[1],
        "versions": {
            "tdsl": tdsl.__version__,
            **{name: version for name in PACKAGES if (version := _version(name))},
        },
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
