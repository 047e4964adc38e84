"""tdsl: a compiler for a small tensor language with named axes.

Everything is imported on first use, so `import tdsl` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tdsl.api import Module, compile, foreach, grad, jit, load, value_and_grad, vjp
    from tdsl.errors import TdslError
    from tdsl.runtime.function import Function

__version__ = "0.1.0"

_PLACES = {
    "Function": "tdsl.runtime.function",
    "Module": "tdsl.api",
    "TdslError": "tdsl.errors",
    "compile": "tdsl.api",
    "foreach": "tdsl.api",
    "grad": "tdsl.api",
    "jit": "tdsl.api",
    "load": "tdsl.api",
    "value_and_grad": "tdsl.api",
    "vjp": "tdsl.api",
}
__all__ = [
    "Function", "Module", "TdslError", "__version__", "compile", "foreach", "grad", "jit", "load",
    "value_and_grad", "vjp",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        value = getattr(import_module(_PLACES[name]), name)
        globals()[name] = value
        return value
    if name == "ir":
        import_module("tdsl.ops")  # its text form names operations
    if name in ("ir", "kernels", "errors"):
        return import_module(f"tdsl.{name}")
    raise AttributeError(f"module 'tdsl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "ir", "kernels"]
