"""The installed Triton: whether it is there, what it can do in this process, and the tools it brings."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tdsl import faults
from tdsl.errors import InternalError

OLDEST = (3, 6)


@functools.cache
def require_triton() -> str:
    """The version of the installed Triton. TdslError where there is none, or an older one than 3.6."""
    if importlib.util.find_spec("triton") is None:
        raise _missing("none is installed")
    found = version("triton")
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
        raise _missing(f"{found} is installed")
    return found


def _missing(found: str) -> Exception:
    needed = ".".join(map(str, OLDEST))
    return faults.MISSING_TRITON.at(needed=needed, found=found, hint="pip install 'tdsl[triton]'")


def is_interpreted() -> bool:
    """Whether kernels run in Triton's interpreter here, so that this process cannot compile any.

    `TRITON_INTERPRET` says so for the kernels loaded from now on; for `triton.language` itself it
    counted when that was imported.
    """
    if os.environ.get("TRITON_INTERPRET", "").lower() in {"1", "true", "on", "yes", "y"}:
        return True
    language = sys.modules.get("triton.language.standard")
    return language is not None and type(language.cdiv).__name__ != "JITFunction"


def run_tool(name: str, *arguments: str) -> str:
    """What `cuobjdump` or `nvdisasm` prints."""
    path = require_tool(name)
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InternalError(f"{path} {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


@functools.cache
def require_tool(name: str) -> str:
    """Where `cuobjdump` or `nvdisasm` lies: in Triton's wheel, else on the PATH. TdslError: nowhere."""
    for folder in _folders():
        bundled = Path(folder) / "backends" / "nvidia" / "bin" / name
        if bundled.is_file():
            return str(bundled)
    found = shutil.which(name)
    if found is None:
        raise faults.MISSING_TOOL.at(
            tool=name, hint="install Triton's wheel, or CUDA's binary tools"
        )
    return found


def _folders() -> list[str]:
    spec = importlib.util.find_spec("triton")
    return list(spec.submodule_search_locations or []) if spec else []
