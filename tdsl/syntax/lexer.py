"""Text to tokens, layout included.

In: source text. Out: a list of `Token`s ending in NEWLINE; INDENT and DEDENT enclose blocks; comments and
blank lines are gone. Raises TdslError for what no program may contain.
Between: inside brackets line ends mean nothing; a token never spans lines, but for triple-quoted strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tdsl import faults
from tdsl.errors import Fault, Span, TdslError

MAX_BYTES = 4_000_000
MAX_BRACKETS = 100
MAX_INDENTS = 50

_TOKEN = re.compile(
    r"""
    (?P<SPACE>[ \t\f]+|\\\n)
  | (?P<COMMENT>\#[^\n]*)
  | (?P<NEWLINE>\n)
  | (?P<FLOAT>(?:[0-9](?:_?[0-9])*)?\.[0-9](?:_?[0-9])*(?:[eE][+-]?[0-9]+)?
      |[0-9](?:_?[0-9])*\.(?!\.)(?:[eE][+-]?[0-9]+)?
      |[0-9](?:_?[0-9])*[eE][+-]?[0-9]+)
  | (?P<INT>0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|[0-9](?:_?[0-9])*)
  | (?P<NAME>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<STRING>\"\"\"(?:[^\\]|\\.|\\\n)*?\"\"\"|'''(?:[^\\]|\\.|\\\n)*?'''
      |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
  | (?P<AUGMENT>(?:\*\*|//|<<|>>|[-+*/%@&|^])=)
  | (?P<SHIFT><<|>>)
  | (?P<COMPARE>==|!=|<=|>=|<|>)
  | (?P<OP>->|\*\*|//|\.\.\.|[-+*/%@&|^~()\[\]{},:.=])
    """,
    re.VERBOSE,
)
_BLOCK = re.compile(r"^(?:def|from) ", re.MULTILINE)
_OPEN = {"(": ")", "[": "]", "{": "}"}
KEYWORDS = frozenset(
    (
        *("False", "None", "True", "and", "as", "assert", "def", "elif", "else", "for", "from"),
        *("if", "import", "in", "is", "not", "or", "return"),
    )
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `kind` is a group of the token pattern, a keyword or operator itself, or layout."""

    kind: str
    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Source:
    """A text with its file name and lines, for spans and for the line that a diagnostic shows.

    `first_line` and `first_column` are where the text begins in the file (1, 1 for a whole file).
    """

    text: str
    file: str
    first_line: int = 1
    indent: int = 0

    def lines(self) -> list[str]:
        """The lines, without their ends."""
        return self.text.split("\n")

    def span(self, line: int, column: int, width: int) -> Span:
        """The span at a 1-based place in the text."""
        return Span(
            self.file,
            line + self.first_line - 1,
            column + self.indent,
            column + self.indent + width,
        )

    def fail(self, fault: Fault, span: Span, **particulars: object) -> TdslError:
        """The error for a fault at `span`, with the line it stands on."""
        lines = self.lines()
        row = span.line - self.first_line
        shown = " " * self.indent + lines[row] if 0 <= row < len(lines) else ""
        hint = str(particulars.pop("hint", ""))
        note = str(particulars.pop("note", ""))
        return fault.at(span, hint=hint, note=note, source=shown, **particulars)


def check_length(source: Source) -> None:
    """Raise TdslError for a text over the limit."""
    if len(source.text) > MAX_BYTES:
        raise source.fail(faults.FILE_TOO_LARGE, source.span(1, 1, 1), limit=MAX_BYTES)


def tokenize(source: Source) -> list[Token]:
    """The tokens of the text, layout included; raises TdslError at the first that cannot be read."""
    check_length(source)
    return list(_layout(source, _raw(source)))


def blocks(source: Source) -> list[Source]:
    """The text cut before each unindented definition and import, to read around what is unreadable."""
    starts = [match.start() for match in _BLOCK.finditer(source.text)]
    cuts = [0, *(start for start in starts if start), len(source.text)]
    return [
        Source(source.text[a:b], source.file, source.first_line + source.text.count("\n", 0, a))
        for a, b in pairwise(cuts)
    ]


def raw_tokens(source: Source) -> list[Token]:
    """Tokens and comments with NEWLINE after each line, without layout."""
    return list(_raw(source, comments=True))


def _raw(source: Source, *, comments: bool = False) -> Iterator[Token]:
    """Tokens with NEWLINE after each line, spaces left out, and comments unless they are wanted."""
    text, position, line, start = source.text, 0, 1, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unreadable(source, line, position - start + 1, text[position:])
        kind, piece = match.lastgroup or "", match.group()
        first = piece.split("\n", 1)[0]
        span = source.span(line, position - start + 1, max(1, len(first)))
        position = match.end()
        if kind == "SPACE" and "\f" in piece:
            raise source.fail(faults.BAD_CHARACTER, span, character="'\\x0c'")
        if kind != "SPACE" and (comments or kind != "COMMENT"):
            shown = piece if kind == "OP" or piece in KEYWORDS else kind
            yield Token(shown, piece, span)
        breaks = piece.count("\n")
        if breaks:
            line += breaks
            start = position - (len(piece) - piece.rfind("\n") - 1)
    yield Token("NEWLINE", "\n", source.span(line, max(1, len(text) - start + 1), 1))


def _unreadable(source: Source, line: int, column: int, rest: str) -> TdslError:
    span = source.span(line, column, 1)
    if rest.startswith(("'", '"')):
        return source.fail(faults.UNCLOSED_STRING, span, hint="close it with the same quotes")
    return source.fail(faults.BAD_CHARACTER, span, character=ascii(rest[0]))


def _layout(source: Source, raw: Iterator[Token]) -> Iterator[Token]:
    """NEWLINE only after lines that hold something, INDENT and DEDENT around blocks."""
    indents, fresh = [0], True
    brackets: list[Token] = []
    lines = source.lines()
    last: Token | None = None
    for token in raw:
        last = token
        if token.kind == "NEWLINE":
            if not fresh and not brackets:
                yield token
                fresh = True
            continue
        if fresh and not brackets:
            yield from _indentation(source, token, lines, indents)
            fresh = False
        if token.text in _OPEN and token.kind == token.text:
            brackets.append(token)
            if len(brackets) > MAX_BRACKETS:
                raise source.fail(faults.TOO_DEEP, token.span, limit=MAX_BRACKETS)
        elif token.kind in (")", "]", "}"):
            if not brackets or _OPEN[brackets[-1].text] != token.text:
                raise _mismatch(source, token, brackets)
            brackets.pop()
        yield token
    if brackets:
        opener = brackets[-1]
        raise source.fail(
            faults.UNCLOSED_BRACKET, opener.span, bracket=opener.text, closer=_OPEN[opener.text]
        )
    if last is not None:
        for _ in indents[1:]:
            yield Token("DEDENT", "", last.span)


def _indentation(
    source: Source, token: Token, lines: list[str], indents: list[int]
) -> Iterator[Token]:
    row = token.span.line - source.first_line
    margin = lines[row][: token.span.column - 1 - source.indent]
    if "\t" in margin:
        raise source.fail(faults.TAB_INDENT, source.span(row + 1, 1, len(margin)))
    width = len(margin)
    if width > indents[-1]:
        indents.append(width)
        if len(indents) > MAX_INDENTS:
            raise source.fail(faults.TOO_DEEP, token.span, limit=MAX_INDENTS)
        yield Token("INDENT", "", token.span)
    while width < indents[-1]:
        indents.pop()
        yield Token("DEDENT", "", token.span)
    if width != indents[-1]:
        raise source.fail(faults.BAD_DEDENT, source.span(row + 1, 1, max(1, width)))


def _mismatch(source: Source, token: Token, brackets: list[Token]) -> TdslError:
    if not brackets:
        return source.fail(faults.UNOPENED_BRACKET, token.span, bracket=token.text)
    opener = brackets[-1]
    return source.fail(
        faults.UNCLOSED_BRACKET,
        opener.span,
        bracket=opener.text,
        closer=_OPEN[opener.text],
        note=f"`{token.text}` on line {token.span.line} does not close it",
    )
