"""Generated lines in the form that ruff and Black give them.

In: lines of Python that are one statement each. Out: the same statements, none wider than 100 where a
bracket allows it, without parentheses inside parentheses. Between: the outermost bracket at the end of a
line is opened first; its inside stands on one line if it fits, else each of its parts does; a part that
is still too long is broken before the operators that bind least.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

WIDTH = 100
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_OPERATORS = (r" \| ", r" & ", r" (?:==|!=|<=|>=|<|>) ", r" [+-] ", r" (?:\*|//|/|%) ")


def formatted(lines: Iterable[str]) -> list[str]:
    """The lines, broken where they are too long. A line is left as it is, if nothing can be done."""
    return [part for line in lines for part in _broken(_tidy(line))]


def _is_prose(line: str) -> bool:
    return line.lstrip().startswith(("#", '"""', 'r"""'))


def _tidy(line: str) -> str:
    """The line without redundant parentheses: around a pair of them, and around an assigned value."""
    if _is_prose(line) or "(" not in line:
        return line
    pairs = dict(_brackets(line, depth=None))
    drop = set()
    for start, end in pairs.items():
        inner = pairs.get(start + 1) == end - 1 and line[start : start + 2] == "(("
        value = end == len(line) - 1 and line[:start].endswith(" = ") and line[start] == "("
        place = (start + 1, end - 1) if inner else (start, end)
        if (inner or value) and len(_parts(line[place[0] + 1 : place[1]], keep_last=True)) == 1:
            drop |= {*place}
    return _tidy("".join(s for i, s in enumerate(line) if i not in drop)) if drop else line


def _broken(line: str) -> Iterator[str]:
    if len(line) <= WIDTH or _is_prose(line):
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
    yield line[: start + 1]
    if len(parts) == 1 and not inside.endswith(","):
        yield from _part(inner, "")
    elif len(inner) <= WIDTH and _is_call(line, start):
        yield inner
    else:
        for part in parts:
            yield from _part(f"{indent}    {part}", ",")
    yield f"{indent}{tail}"


def _part(line: str, end: str) -> Iterator[str]:
    """One of the parts inside a bracket, broken before operators if it is too long."""
    if len(line) + len(end) <= WIDTH:
        yield line + end
        return
    indent = line[: len(line) - len(line.lstrip())]
    name = re.match(r"\s*\w+=", line)
    breaks = [] if name else _breaks(line)
    if not breaks:
        yield from _broken(line + end)
        return
    pieces = [line[a:b].strip() for a, b in zip([0, *breaks], [*breaks, len(line)], strict=True)]
    for piece in pieces[:-1]:
        yield from _broken(indent + piece)
    yield from _broken(indent + pieces[-1] + end)


def _breaks(line: str) -> list[int]:
    """The places of the outermost operators that bind least."""
    inside = [range(start, end) for start, end in _brackets(line)]
    for operator in _OPERATORS:
        found = [m.start() for m in re.finditer(operator, line)]
        found = [place for place in found if not any(place in r for r in inside)]
        if found:
            return found
    return []


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


def _brackets(text: str, depth: int | None = 0) -> Iterator[tuple[int, int]]:
    """Where each bracket opens and closes: the outermost ones, or all for `depth` None."""
    opened: list[int] = []
    for place, sign in _signs(text):
        if sign in _PAIRS:
            opened.append(place)
        elif sign in _PAIRS.values() and opened:
            start = opened.pop()
            if depth is None or len(opened) == depth:
                yield start, place


def _parts(text: str, *, keep_last: bool = False) -> list[str]:
    """What outermost commas part; `keep_last`: with what is after the last one, though it is nothing."""
    depth, parts, begin = 0, [], 0
    for place, sign in _signs(text):
        depth += (sign in _PAIRS) - (sign in _PAIRS.values())
        if sign == "," and depth == 0:
            parts.append(text[begin:place].strip())
            begin = place + 1
    return [part for part in (*parts, text[begin:].strip()) if part or keep_last]


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
