"""Where and when results were measured, and the file that says so."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tdsl
from tdsl.backends.c.compiler import compiler, identity
from tdsl.cli.bench import processor

PACKAGES = ("numpy", "scipy", "torch", "triton", "jax", "numexpr")


def machine() -> dict[str, Any]:
    """The date, the processor, how many threads may run, and versions."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "threads": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "compiler": identity(compiler()).split("\n")[1],
        "versions": {
            "tdsl": tdsl.__version__,
            **{name: version for name in PACKAGES if (version := _version(name))},
        },
    }


def keep(file: Path, suite: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the document of a suite."""
    file.parent.mkdir(parents=True, exist_ok=True)
    document = {"suite": suite, **machine(), "rows": rows}
    file.write_text(json.dumps(document, indent=1), encoding="utf-8")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
