"""Source text to AST.

In: the text of a file, of a type or of one Python function. Out: an `ast.Module`, or one TdslError with
every independent syntax error of the text.
Between: the file is cut at its unindented lines, so an error in one function hides none in the next;
within a function a faulty line is put aside and the rest is read again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from lark import Lark, UnexpectedInput
from lark import Token as LarkToken
from lark import __version__ as lark_version
from lark.lexer import Lexer
from lark.parse_tree_builder import ParseTreeBuilder

from tdsl import faults
from tdsl.data import data_path
from tdsl.errors import Span, TdslError, combine
from tdsl.syntax import ast
from tdsl.syntax.build import Builder, Problem, clean
from tdsl.syntax.lexer import Source, Token, blocks, check_length, tokenize
from tdsl.transforms.work import MAX_STEPS

MAX_ERRORS = 20
_DEFINED = re.compile(r"^(?:def +)?([A-Za-z_]\w*)", re.MULTILINE)
MAX_DEPTH = 600
"""Open constructs that the parser holds at once; nested expressions take a few each."""
FOREIGN = {
    "while": "a loop over an axis is `for t in range(S)`, one over constants `for i in range(3)`",
    "class": "a file holds functions and constants",
    "lambda": "define a function with `def` and pass its name",
    "import": "write `from module import name`",
    "match": "write `if` on static values, `where` on arrays",
    "with": "there is nothing to enter: every expression is a value",
    "try": "write `assert condition, message` for what must hold",
    "yield": "return the values as a tuple",
    "global": "constants are visible everywhere and never change",
    "nonlocal": "constants are visible everywhere and never change",
    "del": "values are freed when nobody needs them",
    "raise": "write `assert condition, message`",
    "async": "every function is an ordinary one",
    "await": "every function is an ordinary one",
    "pass": "leave the branch out",
    "break": "write a static `if` inside the loop",
    "continue": "write a static `if` inside the loop",
    "in": "compare with `==`, and join with `|`",
}


def parse_module(text: str, file: str) -> ast.Module:
    """The AST of a whole file.

    Raises TdslError with all independent syntax errors, or for a text over the stated limits.
    """
    module, errors = read_module(text, file)
    if errors:
        raise combine(errors)
    return module


def read_module(text: str, file: str) -> tuple[ast.Module, list[TdslError]]:
    """The AST of what can be read of a file, and the errors of the rest.

    Raises TdslError for a text over the stated limits.
    """
    text = text.removeprefix("\N{BYTE ORDER MARK}").replace("\r\n", "\n").replace("\r", "\n")
    source = Source(text, file)
    errors: list[TdslError] = []
    items: list[Any] = []
    broken: set[str] = set()
    chunks = _readable(source, errors, broken)
    tokens = sum(map(len, chunks))
    if tokens > MAX_STEPS:
        raise faults.TOO_MUCH_WORK.at(source.span(1, 1, 1), limit=f"{MAX_STEPS:,}")
    for chunk in chunks:
        try:
            items.append(_parse(chunk, "item", source))
        except TdslError as error:
            errors += [error, *_further_errors(chunk, error, source)]
            broken.update(_defined(chunk))
    module = _module(items, source, errors)
    return replace(module, broken=frozenset(broken), tokens=tokens), errors[:MAX_ERRORS]


def _readable(source: Source, errors: list[TdslError], broken: set[str]) -> list[list[Token]]:
    """The chunks of a text; where tokens cannot be read, those of each definition that can."""
    check_length(source)
    try:
        return list(_chunks(tokenize(source)))
    except TdslError as error:
        parts = blocks(source)
        if len(parts) == 1:
            errors.append(error)
            return []
    chunks: list[list[Token]] = []
    for part in parts:
        try:
            chunks += _chunks(tokenize(part))
        except TdslError as error:
            errors.append(error)
            broken.update(_DEFINED.findall(part.text))
    return chunks


def _defined(chunk: Sequence[Token]) -> list[str]:
    """The name that a chunk would define, and those that it would import."""
    first = next((t.kind for t in chunk if t.kind in ("def", "from", "NAME")), "")
    names = [token.text for token in chunk if token.kind == "NAME"]
    return names if first == "from" else names[:1]


def parse_function(source: Source) -> ast.FunctionDef:
    """The one function that `source` holds (a piece of a Python file, its margin removed)."""
    items = [_parse(chunk, "item", source) for chunk in _chunks(tokenize(source))]
    match items:
        case [ast.FunctionDef() as function]:
            return function
    raise source.fail(faults.NOT_A_FUNCTION, source.span(1, 1, 1))


def parse_annotation(text: str, span: Span, source: Source) -> ast.TypeExpr:
    """The type in a string annotation, with spans inside the string."""
    inner = Source(text, span.file, span.line, span.column)
    tokens = [t for t in tokenize(inner) if t.kind != "NEWLINE"]
    try:
        return Builder(inner, parse_annotation).type_of(_parse(tokens, "expr", inner))
    except Problem as problem:
        raise source.fail(faults.NOT_A_TYPE, span) from problem


def _module(items: Sequence[Any], source: Source, errors: list[TdslError]) -> ast.Module:
    """The file of these items; adds errors for stray ones, unless they may follow from an earlier error."""
    is_sound = not errors
    docstring: str | None = None
    match items:
        case [ast.ExprStmt(value=ast.String(value=text)), *_]:
            docstring = clean(text)
    for place, item in enumerate(items):
        is_docstring = place == 0 and docstring is not None
        is_known = is_docstring or isinstance(item, ast.Import | ast.Assign | ast.FunctionDef)
        if is_sound and not is_known:
            errors.append(source.fail(faults.STRAY_STATEMENT, item.span))
    return ast.Module(
        docstring,
        tuple(i for i in items if isinstance(i, ast.Import)),
        tuple(i for i in items if isinstance(i, ast.Assign)),
        tuple(i for i in items if isinstance(i, ast.FunctionDef)),
        source.file,
        source.text,
    )


def _chunks(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The tokens of each unindented statement, decorators with their function."""
    chunk: list[Token] = []
    depth, line_start = 0, ""
    for token, following in zip_longest(tokens, tokens[1:]):
        depth += {"INDENT": 1, "DEDENT": -1}.get(token.kind, 0)
        if not chunk or chunk[-1].kind == "NEWLINE":
            line_start = token.kind
        chunk.append(token)
        ends = depth == 0 and token.kind in ("NEWLINE", "DEDENT") and line_start != "@"
        if ends and (following is None or following.kind not in ("INDENT", "elif", "else")):
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _further_errors(chunk: list[Token], error: TdslError, source: Source) -> list[TdslError]:
    """Errors on other lines of the chunk, found by leaving out each faulty simple line."""
    found: list[TdslError] = []
    while error.span is not None and len(found) < MAX_ERRORS:
        kept = _without_line(chunk, error.span.line)
        if kept is None or len(kept) >= len(chunk):
            break
        chunk = kept
        try:
            _parse(chunk, "item", source)
        except TdslError as another:
            error = another
            found.append(another)
        else:
            break
    return found


def _without_line(chunk: list[Token], line: int) -> list[Token] | None:
    """The chunk with one logical line replaced by a constant; None for the header of a block."""
    layout = ("INDENT", "DEDENT", "NEWLINE")
    on_line = (i for i, t in enumerate(chunk) if t.span.line == line and t.kind not in layout)
    start = next(on_line, None)
    if start is None:
        return None
    while start > 0 and chunk[start - 1].kind not in ("NEWLINE", "INDENT", "DEDENT"):
        start -= 1
    end = next((i for i in range(start, len(chunk)) if chunk[i].kind == "NEWLINE"), None)
    if end is None or (end + 1 < len(chunk) and chunk[end + 1].kind == "INDENT") or start == 0:
        return None
    return [*chunk[:start], Token("INT", "0", chunk[start].span), *chunk[end:]]


def _parse(tokens: Sequence[Token], start: str, source: Source) -> Any:
    """What the tokens are as a `start` of the grammar; one error at most."""
    names = _terminals()
    parser = _grammar().parse_interactive("", start=start)
    parser.parser_state.parse_conf.callbacks = _callbacks(source)
    previous: Token | None = None
    for token in tokens:
        kind = names.get(token.kind, token.kind)
        if kind not in _known_terminals():
            raise _foreign(token, source)
        lark_token = LarkToken(
            kind, token.text, None, token.span.line, token.span.column,
            token.span.line, token.span.end,
        )  # fmt: skip
        try:
            parser.feed_token(lark_token)
        except UnexpectedInput:
            error = _try_statement(token, tokens, source)
            raise error or _unexpected(token, previous, _accepted(parser), source) from None
        except Problem as problem:
            raise problem.error from None
        previous = token
        if len(parser.parser_state.state_stack) > MAX_DEPTH:
            raise source.fail(faults.TOO_DEEP, token.span, limit=MAX_DEPTH)
    try:
        return parser.feed_eof()  # type: ignore[no-untyped-call]
    except UnexpectedInput:
        last = tokens[-1] if tokens else Token("NEWLINE", "", source.span(1, 1, 1))
        raise _unexpected(last, previous, _accepted(parser), source) from None
    except Problem as problem:
        raise problem.error from None


def _accepted(parser: Any) -> set[str]:
    accepted: set[str] = parser.accepts()
    return accepted


def _foreign(token: Token, source: Source) -> TdslError:
    return source.fail(faults.UNEXPECTED, token.span, found=f"`{token.text}`", expected="")


def _try_statement(token: Token, tokens: Sequence[Token], source: Source) -> TdslError | None:
    """The error for a line that begins with `try:`, which else would be a typed local."""
    words = (t for t in tokens if t.span.line == token.span.line and t.kind == "NAME")
    first = next(words, token)
    if first.text != "try":
        return None
    return source.fail(faults.FOREIGN, first.span, word="try", hint=FOREIGN["try"])


def _unexpected(
    token: Token, previous: Token | None, accepted: set[str], source: Source
) -> TdslError:
    """The error for a token that may not stand where it stands."""
    if previous is not None and previous.kind == "NAME" and previous.text in FOREIGN:
        return source.fail(
            faults.FOREIGN, previous.span, word=previous.text, hint=FOREIGN[previous.text]
        )
    if previous is not None and token.kind == "STRING" and previous.span.end == token.span.column:
        return source.fail(
            faults.FOREIGN, previous.span, word=f"{previous.text}''", hint="strings are plain"
        )
    if token.text in FOREIGN:
        return source.fail(faults.FOREIGN, token.span, word=token.text, hint=FOREIGN[token.text])
    if token.kind == "INDENT":
        return source.fail(faults.UNEXPECTED_INDENT, token.span)
    found = {"NEWLINE": "the end of the line", "DEDENT": "the end of the block"}.get(
        token.kind, f"`{token.text}`"
    )
    literal = {name: text for text, name in _terminals().items()}
    wanted = sorted(literal[name] for name in accepted if name in literal)
    if "INDENT" in accepted:
        return source.fail(faults.EMPTY_BLOCK, previous.span if previous else token.span)
    expected = ""
    if len(wanted) == 1 and "NAME" not in accepted:
        expected = f", expected `{wanted[0]}`"
    elif ":" in wanted and token.kind in ("NEWLINE", "NAME", "return"):
        expected = ", expected `:`"
    elif accepted == {"NAME"}:
        expected = ", expected a name"
    hint = "use `==` to compare" if token.kind == "=" else ""
    return source.fail(faults.UNEXPECTED, token.span, found=found, expected=expected, hint=hint)


class _NoLexer(Lexer):
    """Tokens are fed by hand; Lark asks for a lexer all the same."""

    def __init__(self, conf: object) -> None:
        pass

    def lex(self, lexer_state: object) -> Iterator[LarkToken]:  # type: ignore[override]
        return iter(())


@cache
def _grammar() -> Lark:
    """The LALR parser, its table from the user's cache folder where that can be read and written."""
    text = (data_path("grammar") / "tdsl.lark").read_text(encoding="utf-8")
    key = hashlib.sha256(f"{text}{lark_version}".encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tdsl"
    options: dict[str, Any] = {
        "parser": "lalr",
        "lexer": _NoLexer,
        "strict": True,
        "start": ["item", "expr"],
        "keep_all_tokens": True,
        "maybe_placeholders": True,
    }
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Lark(text, cache=str(folder / f"grammar-{key}"), **options)
    except OSError:
        return Lark(text, **options)


@cache
def _terminals() -> dict[str, str]:
    """Lark's name for each keyword and operator."""
    return {
        t.pattern.value: t.name
        for t in _grammar().terminals
        if getattr(t.pattern, "type", "") == "str"
    }


@cache
def _known_terminals() -> frozenset[str]:
    return frozenset(t.name for t in _grammar().terminals) | {
        "NAME", "INT", "FLOAT", "STRING", "NEWLINE", "INDENT", "DEDENT", "AUGMENT", "COMPARE", "SHIFT",
    }  # fmt: skip


@lru_cache(maxsize=8)
def _callbacks(source: Source) -> Any:
    """The actions of the parser for one text: the builder's methods, applied as rules reduce."""
    lark, builder = _grammar(), Builder(source, parse_annotation)
    tree_builder = ParseTreeBuilder(  # type: ignore[no-untyped-call]
        lark.rules, object, maybe_placeholders=True
    )
    return tree_builder.create_callback(builder)  # type: ignore[no-untyped-call]
