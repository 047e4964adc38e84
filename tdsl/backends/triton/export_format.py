"""Long lines of a generated file, broken as ruff and Black break them.

In: lines of Python that are one statement each. Out: the same statements, none wider than 100 where a
bracket allows it. Between: the outermost bracket at the end of a line is opened first; its inside stands on
one line if it fits, else each of its parts does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

WIDTH = 100
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def formatted(lines: Iterable[str]) -> list[str]:
    """The lines, broken where they are too long. A line is left as it is, if nothing can be done."""
    return [part for line in lines for part in _broken(line)]


def _broken(line: str) -> Iterator[str]:
    if len(line) <= WIDTH or line.lstrip().startswith(("#", '"""')):
        yield line
        return
    indent = line[: len(line) - len(line.lstrip())]
    found = _last_bracket(line)
    if found is None:
        yield line
        return
    start, end = found
    inside, tail = line[start + 1 : end], line[end:]
    inner = f"{indent}    {inside}"
    parts = _parts(inside)
    if len(parts) == 1 and not inside.endswith(","):
        yield line[: start + 1]
        yield from _broken(inner)
    elif len(inner) <= WIDTH and _is_call(line, start):
        yield line[: start + 1]
        yield inner
    else:
        yield line[: start + 1]
        for part in parts:
            yield from _broken(f"{indent}    {part},")
    yield f"{indent}{tail}"


def _is_call(line: str, start: int) -> bool:
    """Whether a bracket holds arguments or an index, which may share a line, and no collection."""
    return (
        not line.lstrip().startswith("def ") and re.match(r"[\w\])]", line[start - 1]) is not None
    )


def _last_bracket(line: str) -> tuple[int, int] | None:
    """The last outermost bracket with something inside."""
    found = None
    for start, end in _brackets(line):
        if end > start + 1:
            found = start, end
    return found


def _brackets(text: str) -> Iterator[tuple[int, int]]:
    """The outermost brackets: where each opens and closes."""
    depth, start = 0, 0
    for place, sign in _signs(text):
        if sign in _PAIRS:
            start = place if depth == 0 else start
            depth += 1
        elif sign in _PAIRS.values():
            depth -= 1
            if depth == 0:
                yield start, place


def _parts(text: str) -> list[str]:
    """What outermost commas part."""
    depth, parts, begin = 0, [], 0
    for place, sign in _signs(text):
        depth += (sign in _PAIRS) - (sign in _PAIRS.values())
        if sign == "," and depth == 0:
            parts.append(text[begin:place].strip())
            begin = place + 1
    return [part for part in (*parts, text[begin:].strip()) if part]


def _signs(text: str) -> Iterator[tuple[int, str]]:
    """The characters outside of strings."""
    quote = ""
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[place - 1] != "\\" else quote
        elif sign in "\"'":
            quote = sign
        else:
            yield place, sign
