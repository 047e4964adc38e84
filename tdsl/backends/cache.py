"""Files that generated code needs, kept between processes and named by what they hold.

In: the bytes of a file. Out: the path of a file that holds exactly these.
Between: a file appears under its name only whole, so any number of processes may write it at once;
what is found there is compared before it is trusted, so a damaged file is written again.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tdsl.errors import warn

_SUBSTITUTES: list[Path] = []


def cache_folder() -> Path:
    """`$TDSL_CACHE_DIR`, else `tdsl` in `$XDG_CACHE_HOME` or `~/.cache`.

    RuntimeError: there is no home directory.
    """
    if chosen := os.environ.get("TDSL_CACHE_DIR"):
        return Path(chosen).absolute()
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification ignores a relative path.
    return (shared if shared.is_absolute() else Path.home() / ".cache") / "tdsl"


def stored(data: bytes, kind: str, suffix: str) -> Path:
    """The file `KIND/HASH.SUFFIX` of the cache, which holds `data`.

    Where the cache cannot be written, the file lies in a temporary folder of this process, and a
    RuntimeWarning says so once.
    """
    name = f"{hashlib.sha256(data).hexdigest()[:32]}.{suffix}"
    try:
        return _written(cache_folder() / kind, name, data)
    except (OSError, RuntimeError) as error:
        return _written(_substitute(str(error)) / kind, name, data)


def made(kind: str, name: str, make: Callable[[Path], None]) -> Path:
    """The file `KIND/NAME` of the cache, which `make` writes where it is missing or damaged.

    A sum beside the file tells whether it is whole. Where the cache cannot be written, the file lies in a
    temporary folder of this process, and a RuntimeWarning says so once. When `make` returns there is a
    file; an OSError or RuntimeError that it raises is taken for that of a cache that cannot be written.
    """
    try:
        folder = cache_folder() / kind
        folder.mkdir(parents=True, exist_ok=True)
        return _made(folder, name, make)
    except (OSError, RuntimeError) as error:
        folder = _substitute(str(error)) / kind
        folder.mkdir(parents=True, exist_ok=True)
        return _made(folder, name, make)


def _made(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    path, total = folder / name, folder / f"{name}.sum"
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest().encode() == total.read_bytes():
            return path
    except FileNotFoundError:
        pass
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder) as unfinished:
        target = Path(unfinished) / name
        make(target)
        found = Path(unfinished) / total.name
        found.write_text(hashlib.sha256(target.read_bytes()).hexdigest())
        target.replace(path)
        found.replace(total)
    return path


def _written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    if not _holds(path, data):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(unfinished).replace(path)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
    return path


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except FileNotFoundError:
        return False


def _substitute(reason: str) -> Path:
    """The temporary folder that stands in for the cache until this process ends."""
    if not _SUBSTITUTES:
        folder = Path(tempfile.mkdtemp(prefix="tdsl-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _SUBSTITUTES.append(folder)
        warn(
            f"the cache of tdsl cannot be written ({reason}); "
            f"generated code lies in the temporary folder {folder} until this process ends"
        )
    return _SUBSTITUTES[0]
