"""C compilers that are missing or broken: told once, with what helps, and no call fails but a pinned one."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tdsl
from tdsl.backends.c import compiler
from tdsl.backends.c.compiler import CompilerError
from tdsl.errors import TdslError
from tdsl.kernels import softmax
from tdsl.ops import erf
from tdsl.runtime import backends, native
from tests.test_processor import close

SCRIPT = """#!/bin/sh
echo start >> {log}
case "$*" in *--version*) exec cc --version;; esac
out=; last=
for word in "$@"; do
    if [ "$last" = -o ]; then out=$word; fi
    last=$word
done
{body}
"""
KINDS = {
    "fails": ("echo why >&2; exit 1", "why"),
    "fails and says nothing": ("exit 3", "exit status 3"),
    "fails in Latin-1": ("printf 'na\\357f' >&2; exit 1", "na\N{REPLACEMENT CHARACTER}f"),
    "writes nothing": ("exit 0", "wrote no library"),
    "writes garbage": ("echo garbage > $out", "cannot be loaded"),
    "writes an empty library": ("echo 'int z;' | cc -shared -fPIC -x c - -o $out", "without "),
    "needs a library that is missing": (
        "d=$(dirname $out); echo 'int z(void){return 1;}' | cc -shared -fPIC -x c - -o $d/libzzq.so;"
        ' cc "$@" -Wl,--no-as-needed -L$d -lzzq; rm $d/libzzq.so',
        "libzzq.so",
    ),
}
"""What the compiler does instead of compiling, and what is told of it."""
Make = Callable[..., Path]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Make:
    """Makes $CC a script that answers `--version`, logs its starts and else does this; no cache yet."""
    monkeypatch.setenv("TDSL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(backends, "DEFAULT", "c")
    monkeypatch.setattr(native, "_REPORTED", set())
    monkeypatch.setattr(compiler, "_LIBRARIES", {})
    monkeypatch.setattr(compiler, "_FAILED", {})

    def made(body: str, name: str = "broken") -> Path:
        script, log = tmp_path / name, tmp_path / "log"
        script.write_text(SCRIPT.format(log=log, body=body))
        script.chmod(0o755)
        monkeypatch.setenv("CC", str(script))
        return log

    return made


def function(number: float = 7.5) -> Any:
    return tdsl.compile(f"def f(x: f32[N]) -> f32[N]:\n    return x * {number}\n")


def starts(log: Path) -> int:
    return log.read_text().count("start")


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_compiler_is_reported_once_and_never_fails_a_call(kind: str, make: Make) -> None:
    body, said = KINDS[kind]
    log = make(body)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        close(function(1.5)(np.ones(3, np.float32)), [1.5] * 3)
        close(function(2.5)(np.ones(3, np.float32)), [2.5] * 3)
        close(function(3.5)(torch.ones(3)).numpy(), [3.5] * 3)
    (warning,) = found
    assert said in str(warning.message)
    assert "environment variable CC" in str(warning.message)
    assert 'using(backend="numpy")' in str(warning.message)
    assert "\n\n" not in str(warning.message)
    assert warning.filename == __file__
    # One for the version where that is not known, one for the first file, none for the others.
    assert starts(log) <= 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_pinned_backend_never_falls_back(kind: str, make: Make) -> None:
    body, said = KINDS[kind]
    make(body)
    for _ in range(2):
        with pytest.raises(TdslError, match="E0310") as caught:
            function().using(backend="c")(np.ones(3, np.float32))
        assert said in str(caught.value)


@pytest.mark.parametrize("command", ["false", "cc -fno-such-flag", "no-such-compiler"])
def test_commands_that_cannot_compile(
    command: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("")
    monkeypatch.setenv("CC", command)
    with pytest.warns(RuntimeWarning, match=command.split()[0]) as found:
        close(function()(np.ones(3, np.float32)), [7.5] * 3)
    assert len(found) == 1
    with pytest.raises(TdslError, match=command.split()[0]):
        function().using(backend="c")(np.ones(3, np.float32))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "library" in kind or "garbage" in kind])
def test_a_mended_compiler_finds_nothing_of_the_broken_one(kind: str, make: Make) -> None:
    make(KINDS[kind][0])
    f, x = function(), np.ones(3, np.float32)
    with pytest.warns(RuntimeWarning, match=KINDS[kind][1]):
        f(x)
    make('exec cc "$@"')
    close(f.using(backend="c")(x), [7.5] * 3)
    assert f.lower("f32[4]").processor == "c"


def test_what_cannot_be_loaded_any_more_is_compiled_again(make: Make, tmp_path: Path) -> None:
    """A library may lie in the cache that has since lost what it needs, with a sum that fits."""
    make('exec cc "$@"')
    text = "int eight(void) { return 8; }\n"
    command = compiler.compiler()
    compiler._load(text, command)
    (path,) = tmp_path.glob("cache/c/*.so")
    path.unlink()
    path.write_bytes(b"garbage")
    total = path.with_name(f"{path.name}.sum")
    total.write_text(hashlib.sha256(b"garbage").hexdigest())
    assert compiler._load(text, command).eight() == 8


def test_lower_tells_of_the_fallback(make: Make) -> None:
    log = make("exit 1")
    f = function()
    assert f.lower("f32[4]").processor == "c"
    assert not log.exists()
    with pytest.warns(RuntimeWarning):
        f(np.ones(3, np.float32))
    assert f.lower("f32[4]").processor == "numpy"
    assert f.lower("f32[4]").compile() == []
    (begun,) = f.lower("f32[4]", backend="c").compile()
    assert isinstance(begun.exception(), CompilerError)


def test_another_compiler_is_tried(make: Make) -> None:
    make("exit 1")
    with pytest.warns(RuntimeWarning):
        function()(np.ones(3, np.float32))
    log = make('exec cc "$@"', "good")
    assert function().lower("f32[4]").processor == "c"
    before = starts(log)
    close(function(8.5)(np.ones(3, np.float32)), [8.5] * 3)
    assert starts(log) == before + 2


def test_one_text_that_fails_does_not_condemn_the_compiler(make: Make) -> None:
    """After a success a failure is the text's: that one is not tried again, others are."""
    log = make('if grep -q "2\\.5f" ${out%.so}.c; then exit 1; fi; exec cc "$@"')
    x = np.ones(3, np.float32)
    close(function(1.5)(x), [1.5] * 3)
    bad = function(2.5)
    with pytest.warns(RuntimeWarning):
        close(bad(x), [2.5] * 3)
    before = starts(log)
    close(bad(np.ones(5, np.float32)), [2.5] * 5)
    assert starts(log) == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        close(function(3.5)(x), [3.5] * 3)
    assert starts(log) == before + 1


def test_a_compiler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(TdslError, match="no-such-compiler"):
        softmax.softmax.using(backend="c")


@pytest.fixture
def no_erf() -> Iterator[None]:
    """An operation that C has not. It is frozen, and known by its identity."""
    known = erf.c
    object.__setattr__(erf, "c", "")
    yield
    object.__setattr__(erf, "c", known)


@pytest.mark.usefixtures("make", "no_erf")
def test_an_operation_without_a_form_in_c() -> None:
    """NumPy has one; a pinned backend names the operation and its line."""
    text = "def f(x: f32[N]) -> f32[N]:\n    y = erf(x) * 2\n    return y + 1\n"
    f: Any = tdsl.compile(text)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        close(f(np.zeros(3, np.float32)), [1] * 3)
        close(f(np.zeros(4, np.float32)), [1] * 4)
    (warning,) = found
    assert "`erf` of f32 has no form in C" in str(warning.message)
    assert warning.filename == __file__
    for call in (f.using(backend="c"), lambda x: f.lower(x, backend="c").kernels):
        with pytest.raises(TdslError, match="`erf` of f32 has no form in C") as caught:
            call(np.zeros(3, np.float32))
        assert caught.value.span is not None
        assert caught.value.span.line == 2
