"""The source of a Python function, for `tdsl.jit`.

In: a Python function. Out: its syntax tree with spans that point into the Python file, and what its free
names mean. Nothing of the function is executed.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType
from typing import Any

from tdsl import faults
from tdsl.syntax import ast
from tdsl.syntax.lexer import Source
from tdsl.syntax.parser import parse_function


def read_function(function: Callable[..., Any]) -> tuple[ast.Module, dict[str, object]]:
    """A module of the one function, and the values of names it does not define.

    Raises TdslError if there is no source, or it is not in the language.
    """
    if not isinstance(function, FunctionType) or function.__name__ == "<lambda>":
        raise faults.NOT_A_FUNCTION.at(hint="decorate a function defined with `def`")
    try:
        lines, first = inspect.getsourcelines(function)
        file = inspect.getsourcefile(function) or function.__code__.co_filename
    except (OSError, TypeError):
        raise faults.NOT_A_FUNCTION.at(
            hint="write it to a file: there is no source to read"
        ) from None
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("def "))
    text = textwrap.dedent("".join(lines[start:]))
    indent = len(lines[start]) - len(lines[start].lstrip())
    source = Source(text, file, first + start if first else start + 1, indent)
    definition = parse_function(source)
    padding = "\n" * (source.first_line - 1)
    margin = "".join(f"{' ' * indent}{line}\n" for line in text.split("\n"))
    module = ast.Module(None, (), (), (definition,), file, padding + margin)
    return module, _free_names(function, definition)


def _free_names(function: FunctionType, definition: ast.FunctionDef) -> dict[str, object]:
    """The globals and closed-over values of the function and of its defaults, by name."""
    closure = inspect.getclosurevars(function)
    defaults = tuple(param.default for param in definition.params)
    names = {node.id for node in ast.walk(defaults) if isinstance(node, ast.Name)}
    known = {name: value for name, value in function.__globals__.items() if name in names}
    return {**known, **closure.globals, **closure.nonlocals}
