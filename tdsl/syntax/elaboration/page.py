"""The page of the documentation that lists the built-ins.

In: the built-ins, as they are declared. Out: Markdown text, deterministic.
"""

from __future__ import annotations

from inspect import getdoc

from tdsl.syntax.elaboration import (
    builtins_axes,
    builtins_contraction,
    builtins_creation,
    builtins_math,
    builtins_reductions,
    calculus,
)
from tdsl.syntax.elaboration.builtin import BUILTINS, Apply

SECTIONS = {
    "Mathematics": builtins_math,
    "Reductions": builtins_reductions,
    "Contractions and indexing": builtins_contraction,
    "Axes": builtins_axes,
    "Creation": builtins_creation,
    "Derivatives": calculus,
}
HEADER = """# Built-ins

Every function of the language, with its arguments; those before `=` may be left out. All can be written as
methods too: `x.sum(axis=D)`. An `axis` is a name, a position counted from either end, or several in
parentheses. This page is made from the declarations in `tdsl/syntax/elaboration`.
"""


def builtins_page() -> str:
    """The text of `docs/builtins.md`."""
    sections = [HEADER]
    for title, module in SECTIONS.items():
        found: dict[Apply, list[str]] = {}
        for one in BUILTINS.values():
            if one.apply.__module__ == module.__name__:
                found.setdefault(one.apply, []).append(one.text)
        entries = "\n".join(_entry(texts, apply) for apply, texts in found.items())
        sections.append(f"## {title}\n\n{entries}\n")
    return "\n".join(sections)


def _entry(texts: list[str], apply: Apply) -> str:
    names = ", ".join(f"`{text}`" for text in texts)
    return f"- {names}: {' '.join((getdoc(apply) or '').split())}"
