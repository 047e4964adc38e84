"""Generated Triton source, loaded as a module.

In: the text of a module. Out: its functions.
Between: the text lies in a file named by its content, because Triton reads a kernel's source from
its file; equal texts are one module, in every thread.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable
from importlib.abc import SourceLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from tdsl.backends.cache import stored
from tdsl.backends.triton.toolchain import require_triton
from tdsl.errors import InternalError

_MODULES: dict[str, ModuleType] = {}
_LOADING = threading.RLock()


def load(source: str, name: str) -> Callable[..., Any]:
    """The function `name` of the module whose text is `source`, with its decorators applied.

    TdslError: Triton is missing. RuntimeWarning, once: the cache cannot be written.
    """
    require_triton()
    return load_python(source, name)


def load_python(source: str, name: str) -> Callable[..., Any]:
    """The same for a text that needs no Triton."""
    with _LOADING:
        module = _MODULES.get(source)
        if module is None:
            module = _MODULES[source] = _import(source)
    function: Callable[..., Any] | None = getattr(module, name, None)
    if function is None:
        raise InternalError(f"the generated module {module.__file__} has no `{name}`")
    return function


class _Text(SourceLoader):
    """Imports the very text that was compared with the file, and leaves no bytecode behind."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data = path, data

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_data(self, path: Any) -> bytes:
        return self.data


def _import(source: str) -> ModuleType:
    data = source.encode()
    path = stored(data, "triton", "py")
    name = f"tdsl_generated_{path.stem}"
    loader = _Text(path, data)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None:
        raise InternalError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception):
            raise InternalError(f"the generated module {path} fails to load: {error!r}") from error
        raise
    return module
