"""The documents' examples hold: every block of Python runs, every block of tdsl compiles.

The blocks of one file share a namespace. A block of text right after a block of Python is what that prints.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

import tdsl

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    text: str
    line: int
    printed: str | None


def blocks(page: Path) -> Iterator[Block]:
    source = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(source))
    for match, after in zip_longest(found, found[1:]):
        follows = after and after[1] == "text" and not source[match.end() : after.start()].strip()
        line = source.count("\n", 0, match.start(2))
        yield Block(match[1], match[2], line, after[2] if after and follows else None)


def cases(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{page.name}:{block.line}")
        for page in PAGES
        for block in blocks(page)
        if block.language == language
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(ROOT)
    source = page.read_text(encoding="utf-8")
    copy = tmp_path / f"{page.stem}.py"  # `tdsl.jit` reads the source from a file
    copy.write_text(source, encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": page.stem}
    found = source
    for block in blocks(page):
        if block.language == "python":
            printed = StringIO()
            with redirect_stdout(printed):
                exec(compile("\n" * block.line + block.text, copy, "exec"), namespace)
            if block.printed is not None:
                found = found.replace(
                    f"```text\n{block.printed}```", f"```text\n{printed.getvalue()}```"
                )
    if request.config.getoption("--update-golden"):
        page.write_text(found, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == found


@pytest.mark.parametrize("block", cases("tdsl"))
def test_tdsl(block: Block) -> None:
    tdsl.compile(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    targets = LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_settings_lists_what_the_environment_sets() -> None:
    sources = (ROOT / "tdsl").rglob("*.py")
    read = re.compile(r"""environ(?:\.get\(|\[)"(\w+)"|"(\w+)" in os\.environ""")
    names = {a or b for path in sources for a, b in read.findall(path.read_text(encoding="utf-8"))}
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(TDSL_\w+)`", page, re.MULTILINE))
    assert listed == {name for name in names if name.startswith("TDSL_")}
    assert [name for name in names if f"`{name}" not in page] == []


def test_an_empty_backend_leaves_the_default() -> None:
    script = "from tdsl.runtime.backends import DEFAULT; print(DEFAULT)"
    environment = {**os.environ, "TDSL_BACKEND": ""}
    shown = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
    assert shown == "c\n"
