"""The formatter: one way to write a program.

In: source text. Out: the same program with normal spacing, indentation by 4, and blank lines between
definitions. Between: line breaks stay where the author put them, every comment is kept, and tokens are
the same before and after, so the meaning is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tdsl.syntax.lexer import KEYWORDS, Source, Token, raw_tokens, tokenize
from tdsl.syntax.parser import parse_module

INDENT = 4
TIGHT_AFTER = frozenset(("(", "[", "{", "~", "."))
TIGHT_BEFORE = frozenset((")", "]", "}", ",", ".", ":"))
PREFIX = frozenset(("+", "-", "*", "~"))
OPENERS = frozenset(("(", "[", "{"))
CLOSERS = frozenset((")", "]", "}"))


def format_source(text: str, file: str) -> str:
    """The text in normal form. Raises TdslError if it is not a program."""
    parse_module(text, file)
    text = text.removeprefix("\N{BYTE ORDER MARK}").replace("\r\n", "\n").replace("\r", "\n")
    source = Source(text, file)
    levels = _levels(source)
    lines = _lines(raw_tokens(source))
    depths = {**_comment_levels(lines, levels), **levels}
    layout = _Layout()
    shown: list[str] = []
    for line in lines:
        shown += layout.blank_lines(line, depths, bool(shown))
        shown.append(layout.render(line, depths))
    return "\n".join(shown).rstrip("\n") + "\n" if shown else ""


def _levels(source: Source) -> dict[int, int]:
    """The depth of the block that each logical line belongs to, by its first line."""
    levels: dict[int, int] = {}
    depth, fresh = 0, True
    for token in tokenize(source):
        if token.kind in ("INDENT", "DEDENT"):
            depth += 1 if token.kind == "INDENT" else -1
        elif token.kind == "NEWLINE":
            fresh = True
        elif fresh:
            levels[token.span.line] = depth
            fresh = False
    return levels


def _comment_levels(lines: Sequence[list[Token]], levels: dict[int, int]) -> dict[int, int]:
    """The depth of each comment that has a line of its own: of the statement before or after it."""
    above, depth = [], 0
    for line in lines:
        depth = levels.get(line[0].span.line, depth)
        above.append(depth)
    found: dict[int, int] = {}
    column, below = 1, 0  # of the next statement
    for line, before in zip(reversed(lines), reversed(above), strict=True):
        first = line[0].span
        if first.line in levels:
            column, below = first.column, levels[first.line]
        elif first.column == column:
            found[first.line] = below
        else:
            found[first.line] = max(before, below) if first.column > column else below
    return found


def _lines(tokens: Sequence[Token]) -> list[list[Token]]:
    """The tokens of each physical line that has any; a line that only ends something is dropped."""
    lines: list[list[Token]] = [[]]
    for token in tokens:
        if token.kind == "NEWLINE":
            if lines[-1]:
                lines.append([])
        else:
            lines[-1].append(token)
    return [line for line in lines if line]


@dataclass(slots=True)
class _Layout:
    """What is known of the lines so far: open brackets, the current depth, and what came last."""

    brackets: list[str] = field(default_factory=list)
    depth: int = 0
    last_line: int = 0
    last_kind: str = ""
    annotated: list[bool] = field(default_factory=lambda: [False])
    after_prefix: bool = False
    previous: Token | None = None

    def blank_lines(self, line: list[Token], levels: dict[int, int], has_text: bool) -> list[str]:
        """The blank lines before this one: two around definitions, at most one elsewhere."""
        first = line[0]
        gap = first.span.line - self.last_line - 1
        starts = first.text if first.kind in ("def", "@") else ""
        if not has_text or self.brackets:
            count = 0
        elif levels.get(first.span.line, 0) == 0 and (
            (starts and self.last_kind not in ("@", "COMMENT"))
            or (self.depth > 0 and levels.get(first.span.line) == 0)
        ):
            count = 2
        else:
            count = min(gap, 2 if self.depth == 0 else 1)
        return [""] * count

    def render(self, line: list[Token], levels: dict[int, int]) -> str:
        """One physical line."""
        first = line[0]
        if not self.brackets:
            self.depth = levels.get(first.span.line, self.depth)
            self.previous = None
            self.annotated = [False]
        closes = first.text in CLOSERS
        inner = len(self.brackets) - (1 if closes else 0)
        text = " " * (INDENT * (self.depth + inner))
        before: Token | None = None
        for token in line:
            if before is not None:
                text += self._space(before, token)
            text += token.text.rstrip() if token.kind == "COMMENT" else token.text
            self._track(token)
            before = token
        last = line[-1]
        self.last_line = last.span.line + last.text.count("\n")
        self.last_kind = first.kind
        return text

    def _track(self, token: Token) -> None:
        """Take a token into account: brackets, annotations, and whether it is a prefix operator."""
        stands_first = self.previous is None or not _ends_value(self.previous)
        is_decorator = token.kind == "@" and self.previous is None
        self.after_prefix = is_decorator or (token.kind in PREFIX and stands_first)
        self.previous = token
        if token.kind in OPENERS:
            self.brackets.append(token.kind)
            self.annotated.append(False)
        elif token.kind in CLOSERS:
            self.brackets.pop()
            self.annotated.pop()
        elif token.kind == ":":
            self.annotated[-1] = True
        elif token.kind == ",":
            self.annotated[-1] = False

    def _space(self, before: Token, token: Token) -> str:
        """The space between two tokens of a line."""
        if token.kind == "COMMENT":
            return "  "
        inside = self.brackets[-1] if self.brackets else ""
        if token.kind in OPENERS and _ends_value(before) and token.kind != "{":
            return ""
        if before.kind == ",":
            return " "
        if inside == "[" and ":" in (before.kind, token.kind):
            return ""
        if before.kind in TIGHT_AFTER or token.kind in TIGHT_BEFORE:
            return ""
        if "=" in (before.kind, token.kind) and inside == "(" and not self.annotated[-1]:
            return ""
        if self.after_prefix:
            return ""
        return " "


def _ends_value(token: Token) -> bool:
    """Whether a bracket after the token is a call or subscript of it."""
    if token.kind in KEYWORDS:
        return token.kind in ("True", "False", "None")
    return token.kind in ("NAME", "STRING", "INT", "FLOAT") or token.kind in CLOSERS
