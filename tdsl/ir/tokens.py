"""Tokens of the IR's text form, and the cursor that the reader moves over them.

In: text. Out: a `Cursor` on its tokens, and errors with their place. Between: newlines are tokens, one
between two lines that are not blank; the last token is `end`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tdsl import faults
from tdsl.errors import Fault, Span, TdslError

MAX_DEPTH = 60
MAX_DIGITS = 400

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r]+)
  | (?P<newline>\n)
  | (?P<name>[A-Za-z_]\w*(\.\w+)*)
  | (?P<number>\d+(\.\d*)?([eE][+-]?\d+)?)
  | (?P<string>"(\\.|[^"\\\n])*")
  | (?P<sign><-|->|<=|==|!=|//|[()\[\]{},:=+*%|<@-])
    """,
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its kind (`name number string sign newline end`), its text and place."""

    kind: str
    text: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"`{self.text}`" if self.kind not in ("newline", "end") else f"the {self.kind}"


class Cursor:
    """A position in the tokens of a text. Raises TdslSyntaxError for what has no token."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.lines = text.split("\n")
        self.tokens = list(self._tokens())
        self.at = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        """The token to be read next."""
        return self.tokens[self.at]

    def after(self, count: int = 1) -> Token:
        """The token that stands `count` places behind the next one."""
        return self.tokens[min(self.at + count, len(self.tokens) - 1)]

    def take(self) -> Token:
        """The next token, and move on; the end stays the end."""
        token = self.token
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def sees(self, *texts: str) -> bool:
        """Whether the next token is one of these words or signs."""
        return self.token.kind in ("name", "sign") and self.token.text in texts

    def accept(self, text: str) -> bool:
        """Move over this word or sign, if it is next."""
        found = self.sees(text)
        if found:
            self.take()
        return found

    def expect(self, text: str) -> Token:
        """Move over this word or sign. Raises TdslSyntaxError if something else is next."""
        if not self.sees(text):
            raise self.expected(f"`{text}`")
        return self.take()

    def word(self, what: str) -> Token:
        """The next token, which must be a name."""
        return self._kind("name", what)

    def newline(self) -> None:
        """Move over the end of a line."""
        if self.token.kind != "end":
            self._kind("newline", "the end of the line")

    def string(self) -> str:
        """The next token's text, which must be a string. Raises TdslSyntaxError."""
        token = self._kind("string", "a string")
        try:
            return str(json.loads(token.text))
        except json.JSONDecodeError:
            raise self.fail(
                faults.IR_SYNTAX, token, expected="a string as in JSON", found=token
            ) from None

    def integer(self) -> int:
        """The next token's value, which must be a whole number."""
        token = self._kind("number", "a whole number")
        if not token.text.isdigit() or len(token.text) > MAX_DIGITS:
            raise self.fail(faults.IR_SYNTAX, token, expected="a whole number", found=token)
        return int(token.text)

    @contextmanager
    def nested(self) -> Iterator[None]:
        """One level of brackets. Raises TdslSyntaxError if there are too many."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(faults.IR_TOO_DEEP, limit=MAX_DEPTH)
        yield
        self.depth -= 1

    def expected(self, what: str) -> TdslError:
        """The error that something else than the next token was expected."""
        return self.fail(faults.IR_SYNTAX, expected=what, found=self.token)

    def fail(self, fault: Fault, token: Token | None = None, **particulars: Any) -> TdslError:
        """The error at a token, by default the next one."""
        place = token or self.token
        end = place.column + max(1, len(place.text.rstrip("\n")))
        span = Span(self.file, place.line, place.column, end)
        return fault.at(span, source=self.lines[place.line - 1], **particulars)

    def _kind(self, kind: str, what: str) -> Token:
        if self.token.kind != kind:
            raise self.expected(what)
        return self.take()

    def _tokens(self) -> Iterator[Token]:
        last = "newline"
        for number, line in enumerate(self.lines, start=1):
            for token in self._line(number, line):
                if token.kind != "newline" or last != "newline":
                    yield token
                last = token.kind
        yield Token("end", "", len(self.lines), len(self.lines[-1]) + 1)

    def _line(self, number: int, line: str) -> Iterator[Token]:
        place = 0
        while place < len(line):
            match = _TOKEN.match(line, place)
            if match is None:
                token = Token("sign", line[place], number, place + 1)
                raise self.fail(faults.IR_SYNTAX, token, expected="a token", found=token)
            if match.lastgroup != "space":
                yield Token(str(match.lastgroup), match[0], number, place + 1)
            place = match.end()
        yield Token("newline", "\n", number, len(line) + 1)
