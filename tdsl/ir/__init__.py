"""The intermediate representation: sizes, dtypes, nodes, Functions, and their text form."""

from __future__ import annotations

from tdsl.ir.reader import parse
from tdsl.ir.text import print_function

__all__ = ["parse", "print_function"]
