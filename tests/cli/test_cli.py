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
    absent = str(tmp_path / "absent.tdsl")
    assert main(["check", absent, "--json"]) == 1
    output = capsys.readouterr()
    assert output.err.startswith(f"{absent}:1:1: error[E0401]: {absent} cannot be read")
    assert json.loads(output.out)["errors"][0]["file"] == absent


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


def test_comments_stay_in_their_block(file: str) -> None:
    text = (
        "# file\n\n\ndef f(x: f32) -> f32:\n    # first\n    if True:\n        # then\n"
        "        y = x\n        # still then\n    # after\n    return y\n    # last\n\n\n"
        "# of g\ndef g(x: f32) -> f32:\n    return x\n\n\n# end\n"
    )
    Path(file).write_text(text.replace("    ", "  "), encoding="utf-8")
    assert main(["fmt", file]) == 0
    assert Path(file).read_text(encoding="utf-8") == text


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


KINDS = """
def f(
    x: f32[N, D], n: int, b: bool = False, axis: Axis = -1, to: DType = f32, scale: float = 1.0
) -> f32[N, D]:
    y = cast(cast(x, to), f32) * n * scale + 0 * sum(x, axis=axis)
    if b:
        y = -y
    return y
"""


def test_static_values_are_read_by_their_type(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "kinds.tdsl"
    path.write_text(KINDS, encoding="utf-8")
    statics = ["n=2", "b=true", "axis=(N,1)", "to=f16", "scale=0.5"]
    given = ["--arg", "x=f32[2,3]", *(part for s in statics for part in ("--static", s))]
    assert main(["run", str(path), *given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["results"]["result"]["values"]
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.float32(found), -x.astype(np.float16).astype(np.float32))
    for wrong in ("n=x", "b=maybe", "to=f33", "missing=1"):
        assert (
            main(["run", str(path), "--arg", "x=f32[2,3]", "--static", "n=1", "--static", wrong])
            == 1
        )
    assert main(["run", str(path), "--arg", "x=f32[2,3]"]) == 1
    assert "`n`" in capsys.readouterr().err


def test_data_that_does_not_fit_in_memory_or_on_disk(
    file: str, tmp_path: Path, capsys: Output
) -> None:
    assert main(["run", file, "--arg", "x=f32[99999999,99999999]"]) == 1
    assert "no memory" in capsys.readouterr().err
    where = str(tmp_path / "absent" / "out.npz")
    assert main(["run", file, "--arg", "x=f32[2,2]", "--out", where]) == 1
    assert "E0404" in capsys.readouterr().err


def test_a_function_must_be_there_and_chosen(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "two.tdsl"
    path.write_text(TWO, encoding="utf-8")
    for arguments, code in ((["--fn", "h"], "E0301"), ([], "E0313")):
        assert main(["show", str(path), "--stage", "ir", *arguments, "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["errors"][0]["code"] == code


@pytest.mark.parametrize("again", [["--arg", "x=f32[2,2]"], ["--static", "x=3"]])
def test_an_argument_is_given_once(file: str, again: list[str], capsys: Output) -> None:
    assert main(["run", file, "--arg", "x=f32[2,3]", *again]) == 1
    assert "`x` is given twice" in capsys.readouterr().err


def test_the_tree_of_one_function(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "two.tdsl"
    path.write_text(TWO, encoding="utf-8")
    assert main(["show", str(path), "--stage", "ast", "--fn", "g"]) == 0
    assert capsys.readouterr().out.startswith("FunctionDef name='g'")
    assert main(["show", str(path), "--stage", "ast", "--fn", "h"]) == 1


def test_bool_and_rank_0_data(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "mask.tdsl"
    path.write_text(
        "def f(m: bool[N], s: f32, k: i32) -> (bool[N], f32, i32):\n    return ~m, s * 2, k + 1\n",
        encoding="utf-8",
    )
    given = ["--arg", "m=bool[4]", "--arg", "s=1.5", "--arg", "k=3"]
    assert main(["run", str(path), *given, "--seed", "3"]) == 0
    text = capsys.readouterr().out
    assert "result1 = " in text
    assert main(["run", str(path), *given, "--json", "--grad=s"]) == 0
    assert json.loads(capsys.readouterr().out)["results"]["grad.s"]["values"] == 2.0
