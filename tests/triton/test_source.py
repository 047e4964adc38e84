"""Generated source as a module: found by its content, whatever happened to the file."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tdsl.backends import cache
from tdsl.backends.triton import source
from tdsl.backends.triton.source import load
from tdsl.errors import InternalError

TEXT = "def answer():\n    return 42\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TDSL_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(source, "_MODULES", {})
    monkeypatch.setattr(cache, "_SUBSTITUTES", [])
    return tmp_path


def only_file(folder: Path) -> Path:
    (path,) = [path for path in folder.rglob("*") if path.is_file()]
    return path


def test_a_function_of_the_text(folder: Path) -> None:
    assert load(TEXT, "answer")() == 42
    assert only_file(folder).read_text() == TEXT
    assert load(TEXT, "answer") is load(TEXT, "answer")


def test_another_text_is_another_module() -> None:
    other = load(TEXT.replace("42", "43"), "answer")
    assert (load(TEXT, "answer")(), other()) == (42, 43)


@pytest.mark.parametrize(
    "damage", [b"", TEXT[:9].encode(), b"\0" * len(TEXT), TEXT.encode() + b"x"]
)
def test_a_damaged_file_is_written_again(
    folder: Path, damage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(TEXT, "answer")
    path = only_file(folder)
    path.write_bytes(damage)
    monkeypatch.setattr(source, "_MODULES", {})
    assert load(TEXT, "answer")() == 42
    assert only_file(folder).read_text() == TEXT


def test_threads_share_one_module() -> None:
    with ThreadPoolExecutor(8) as pool:
        functions = list(pool.map(lambda _: load(TEXT, "answer"), range(64)))
    assert len(set(functions)) == 1


def test_eight_processes_load_the_same_text(folder: Path) -> None:
    program = (
        "from tdsl.backends.triton.source import load\n"
        "from pathlib import Path\n"
        f"folder = Path({str(folder)!r})\n"
        f"texts = [{TEXT!r}.replace('42', str(n)) for n in range(20)]\n"
        "assert [load(text, 'answer')() for text in texts] == list(range(20))\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(8)]
    assert [process.wait() for process in processes] == [0] * 8
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 20


def test_an_unwritable_cache_is_said_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = folder / "a file"
    blocked.write_text("")
    monkeypatch.setenv("TDSL_CACHE_DIR", str(blocked))
    with pytest.warns(RuntimeWarning, match="temporary folder") as caught:
        first = load(TEXT, "answer")
    # Any warning is an error here, so a second one would fail the test.
    second = load(TEXT.replace("42", "43"), "answer")
    assert len(caught) == 1
    assert (first(), second()) == (42, 43)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"TDSL_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"TDSL_CACHE_DIR": "", "XDG_CACHE_HOME": "/b"}, "/b/tdsl"),
        ({"TDSL_CACHE_DIR": "", "XDG_CACHE_HOME": "b", "HOME": "/c"}, "/c/.cache/tdsl"),
    ],
)
def test_where_the_cache_lies(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.cache_folder() == Path(expected)


@pytest.mark.parametrize(
    ("text", "name"), [(TEXT, "question"), ("1 / 0", "answer"), ("(", "answer")]
)
def test_a_bad_text_is_our_fault(text: str, name: str) -> None:
    before = set(sys.modules)
    with pytest.raises(InternalError, match="the generated module"):
        load(text, name)
    assert not [new for new in set(sys.modules) - before if "generated" in new and text != TEXT]


def test_a_failed_write_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(_path: Path, _target: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        load(TEXT, "answer")
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_importing_tdsl_imports_no_triton() -> None:
    program = (
        "import sys, tdsl, tdsl.backends.triton.machine_code, tdsl.backends.triton.source\n"
        "sys.exit('triton' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
