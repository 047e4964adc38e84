"""The installed Triton: whether it is there, what it can do in this process, and the tools it brings."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tdsl import faults
from tdsl.errors import InternalError

OLDEST = (3, 6)


@functools.cache
def require_triton() -> str:
    """The version of the installed Triton. TdslError where there is none, or an older one than 3.6."""
    try:
        import triton
    except ImportError as error:
        raise _missing(f"it cannot be imported: {error}") from error
    found: str = triton.__version__
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
    import triton

    bundled = Path(triton.__path__[0]) / "backends" / "nvidia" / "bin" / name
    found = str(bundled) if bundled.is_file() else shutil.which(name)
    if found is None:
        raise faults.MISSING_TOOL.at(
            tool=name, hint="install Triton's wheel, or CUDA's binary tools"
        )
    return found
