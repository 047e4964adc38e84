"""The standard library: `from tdsl.kernels import losses` gives the Module of kernels/losses.tdsl."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from tdsl.data import data_path

if TYPE_CHECKING:
    from tdsl.api import Module


def __getattr__(name: str) -> Module:
    if name not in __dir__():
        raise AttributeError(f"the standard library has no file {name!r}")
    return _module(name)


def __dir__() -> list[str]:
    return sorted(path.stem for path in data_path("kernels").glob("*.tdsl"))


@cache
def _module(name: str) -> Module:
    from tdsl.api import Module
    from tdsl.syntax.elaboration.program import library_program

    return Module(name, library_program(name))
