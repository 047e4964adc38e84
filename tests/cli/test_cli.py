"""The command line: exit statuses, texts, documents."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tdsl.cli import main

SOURCE = "def f(x: T[N, D]) -> T[N]:\n    return sum(x * x, axis=D)\n"
TWO = SOURCE + "\n\ndef g(w: f32[V], i: i64[M]) -> f32[M]:\n    return take(w, i, axis=V)\n"
Output = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "f.tdsl"
    path.write_text(SOURCE, encoding="utf-8")
    return str(path)


def test_check(file: str, tmp_path: Path, capsys: Output) -> None:
    assert main(["check", file]) == 0
    bad = tmp_path / "bad.tdsl"
    bad.write_text("def f(x: f32) -> f32:\n    return y\n", encoding="utf-8")
    assert main(["check", file, str(bad)]) == 1
    assert capsys.readouterr().err.startswith(f"{bad}:2:12: error[E0201]: there is no `y` here\n")
    assert main(["check", str(bad), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["errors"][0]["line"] == 2
    assert main(["check", str(tmp_path / "absent.tdsl")]) == 1


@pytest.mark.parametrize(("stage", "text"), [
    ("ast", "FunctionDef name='f'"), ("ir", "function f(x: T[N, D])"), ("backward", "function f_vjp"),
])  # fmt: skip
def test_show(file: str, stage: str, text: str, capsys: Output) -> None:
    assert main(["show", file, "--stage", stage]) == 0
    assert text in capsys.readouterr().out


def test_show_for_given_arguments(file: str, capsys: Output) -> None:
    assert main(["show", file, "--stage", "backward", "--arg", "x=f32[4,8]", "--grad=x"]) == 0
    assert "f32[N, D]" in capsys.readouterr().out
    assert main(["show", file, "--stage", "ptx"]) == 1


def test_run(file: str, tmp_path: Path, capsys: Output) -> None:
    out = tmp_path / "out.npz"
    assert (
        main(["run", file, "--arg", "x=f64[2,3]", "--grad", "--seed", "1", "--out", str(out)]) == 0
    )
    text = capsys.readouterr().out
    assert "result = float64[2]" in text
    assert "grad.x = float64[2, 3]" in text
    with np.load(out) as found:
        x = np.random.default_rng(1).standard_normal((2, 3))
        np.testing.assert_allclose(found["result"], (x * x).sum(1))
        np.testing.assert_allclose(found["grad.x"], 2 * x)
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    assert main(["run", file, "--arg", f"x=@{tmp_path / 'x.npy'}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"]["result"]["values"] == [2.0, 2.0]


def test_integers_are_drawn_from_the_axis_they_index(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "two.tdsl"
    path.write_text(TWO, encoding="utf-8")
    given = ["--arg", "w=f32[3]", "--arg", "i=i64[200]"]
    assert main(["run", str(path), "--fn", "g", *given, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)["results"]["result"]["values"]
    assert len(set(values)) == 3
    assert 0.0 not in values
    assert main(["run", str(path), *given]) == 1
    assert "choose one with --fn" in capsys.readouterr().err


def test_fmt(file: str, capsys: Output) -> None:
    Path(file).write_text(SOURCE.replace(" * ", "*"), encoding="utf-8")
    assert main(["fmt", "--check", file]) == 1
    assert main(["fmt", file]) == 0
    assert Path(file).read_text(encoding="utf-8") == SOURCE
    assert main(["fmt", "--check", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""])) == {
        "changed": []
    }


@pytest.mark.parametrize("arguments", [[], ["nope"], ["show"], ["run", "x.tdsl", "--seed", "a"]])
def test_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_bad_data_is_the_users_fault(file: str, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"nothing")
    for value in (f"@{tmp_path / 'x.npy'}", "f33[2]", "f32[2]", "f32[2,a]"):
        assert main(["run", file, "--arg", f"x={value}"]) == 1


def test_a_file_that_is_not_text(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "bytes.tdsl"
    path.write_bytes(b"\xff\xfe\x00")
    assert main(["check", str(path)]) == 1
    assert "not UTF-8" in capsys.readouterr().err


def test_our_own_faults_say_so(file: str, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(main.__globals__["COMMANDS"], "check", broken)
    assert main(["check", file]) == 70
    assert "please report" in capsys.readouterr().err
