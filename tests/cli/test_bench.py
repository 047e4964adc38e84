"""`tdsl bench`: its document, its table and picture, what it refuses; figures, never times."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tdsl
import tdsl.runtime.lowered
from tdsl.backends import pool
from tdsl.backends.triton.eager import torch_text
from tdsl.cli import bench, main, measuring
from tdsl.cli.defaults import missing
from tdsl.kernels import attention, losses, norms, optimizers
from tdsl.runtime.binding import Fact

SOURCE = """
def softmax(x: T[*B, D]) -> T[*B, D]:
    e = exp(x - max(x, axis=D))
    return e / sum(e, axis=D)


def loss(x: T[N, D], w: T[D], label: i64[N]) -> T:
    y = x * w
    return mean(logsumexp(y, axis=D) - take(y, label, axis=D))


def several(x: f32[N], k: i32[N]) -> (f32[N], i32[N]):
    return x * x, k + 1
"""
Output = pytest.CaptureFixture[str]
ROW = {
    "variant": str, "stage": str, "ms": float, "ms_min": float, "ms_max": float, "runs": int,
    "bytes_moved": int, "gb_per_s": float, "percent_of_copy": float, "kernels": int,
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(measuring, "MOST", 5)
    path = tmp_path / "f.tdsl"
    path.write_text(SOURCE, encoding="utf-8")
    return str(path)


def document(capsys: Output, *arguments: str) -> dict[str, Any]:
    """The document, which stands alone on standard output."""
    assert main(["bench", *arguments, "--backend", "c", "--json"]) == 0
    output = capsys.readouterr()
    assert not output.err
    found: dict[str, Any] = json.loads(output.out)
    return found


@pytest.mark.parametrize("shape", ["64, 3", "40000, 16", "4, 9000"])
def test_bytes_are_those_of_lower(file: str, capsys: Output, shape: str) -> None:
    found = document(capsys, file, "--fn", "softmax", "--arg", f"x=f32[{shape}]", "--vs", "torch")
    lowered = tdsl.load(file).softmax.lower(f"f32[{shape}]", backend="c")
    assert found["rows"][0]["bytes_moved"] == lowered.bytes_moved


def test_every_round_has_fresh_pages(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []

    def measured(*given: Any) -> tuple[dict[str, Any], str]:
        limits.append(pool.POOL.limit)
        return {"rows": []}, ""

    monkeypatch.setattr(bench, "measured", measured)
    monkeypatch.setattr(bench, "table", lambda *given: "")
    before = pool.POOL
    assert main(["bench", file, "--fn", "softmax", "--arg", "x=f32[16,8]", "--backend", "c"]) == 0
    assert limits == [0]
    assert pool.POOL is before


def test_a_picture_that_cannot_be_written_is_refused_first(
    file: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "measured", None)
    picture = str(Path(file).parent / "missing" / "x.svg")
    assert main(["bench", file, "--fn", "softmax", "--plot", picture]) == 1
    assert "E0404" in (told := capsys.readouterr().err)
    assert "there is no such folder" in told


def test_the_document(file: str, capsys: Output) -> None:
    vs = "unfused,interpreter,numpy,torch"
    found = document(capsys, file, "--fn", "softmax", "--arg", "x=f32[16,8]", "--grad", "--vs", vs)
    assert found.keys() == {"function", "device", "rows", "copy_gb_per_s"}
    assert found["function"] == "softmax"
    assert found["copy_gb_per_s"] > 0
    names = ["fused", *vs.split(",")]
    assert [(r["variant"], r["stage"]) for r in found["rows"]] == [
        (name, stage) for stage in ("forward", "backward") for name in names
    ]
    for row in found["rows"]:
        assert {key: type(value) for key, value in row.items()} == ROW
        assert 0 < row["ms_min"] <= row["ms"] <= row["ms_max"]
        rate = row["bytes_moved"] / row["ms"] / 1e6
        assert row["gb_per_s"] == pytest.approx(rate)
        assert row["percent_of_copy"] == pytest.approx(100 * rate / found["copy_gb_per_s"])
    counts = {(r["variant"], r["stage"]): (r["kernels"], r["bytes_moved"]) for r in found["rows"]}
    x, row = 4 * 16 * 8, 4 * 16
    assert counts["fused", "forward"] == (1, 2 * x)
    # The maximum, the difference, exp, the sum, the quotient.
    apart = (5, 8 * x + 4 * row)
    assert counts["unfused", "forward"] == counts["interpreter", "forward"] == apart
    assert counts["numpy", "forward"] == counts["torch", "forward"] == apart
    assert counts["fused", "backward"][0] == 1
    assert counts["unfused", "backward"][0] > 3


@pytest.mark.parametrize(("name", "arguments", "stages"), [
    ("loss", ["--arg", "x=f64[16,8]", "--grad=x"], ["forward", "backward"]),
    ("several", ["--arg", "x=f32[9]", "--seed", "3"], ["forward"]),
    ("several", ["--arg", "x=f32[9]", "--grad"], ["forward", "backward"]),
])  # fmt: skip
def test_losses_and_several_results(
    file: str, name: str, arguments: list[str], stages: list[str], capsys: Output
) -> None:
    found = document(capsys, file, "--fn", name, *arguments, "--vs", "unfused,numpy,torch")
    assert [r["stage"] for r in found["rows"]] == [s for s in stages for _ in range(4)]


def test_the_table(file: str, capsys: Output) -> None:
    given = ["--fn", "softmax", "--arg", "x=f32[16,8]", "--vs", "numpy", "--backend", "c"]
    assert main(["bench", file, *given]) == 0
    output = capsys.readouterr()
    assert not output.err
    title, _, stage, head, *rows = output.out.splitlines()
    assert title.startswith("softmax on ")
    assert stage == "forward"
    assert head.split()[:2] == ["variant", "ms"]
    assert [row.split()[0] for row in rows[:2]] == ["fused", "numpy"]
    assert "a copy in C" in rows[3]


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["softmax", "loss"])
def test_torch_compile(file: str, name: str, capsys: Output) -> None:
    given = ["--fn", name, "--arg", "x=f32[16,8]", "--grad", "--vs", "compile"]
    rows = [row for row in document(capsys, file, *given)["rows"] if row["variant"] == "compile"]
    assert [row["stage"] for row in rows] == ["forward", "backward"]
    assert all(row["kernels"] for row in rows)


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_picture(file: str, tmp_path: Path, kind: str, capsys: Output) -> None:
    where = tmp_path / f"p.{kind}"
    given = ["--fn", "softmax", "--arg", "x=f32[16,8]", "--vs", "numpy", "--plot", str(where)]
    document(capsys, file, *given, "--grad")
    starts = {"svg": b"<?xml", "png": b"\x89PNG"}
    assert where.read_bytes().startswith(starts[kind])
    where = tmp_path / "absent" / "p.svg"
    assert main(["bench", file, *given[:-1], str(where)]) == 1
    assert "E0404" in capsys.readouterr().err


def test_what_is_not_installed(file: str, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    find = importlib.util.find_spec

    def found(name: str) -> Any:
        return None if name in ("matplotlib", "torch", "jax", "numexpr") else find(name)

    monkeypatch.setattr("tdsl.cli.bench.find_spec", found)
    absent = ("torch", "compile", "jax", "numexpr")
    given = ["bench", file, "--fn", "softmax", "--arg", "x=f32[4,8]"]
    for more in (["--plot", "x.svg"], *(["--vs", name] for name in absent)):
        assert main([*given, *more]) == 1
        assert "error[E0451]" in capsys.readouterr().err
    rows = document(capsys, file, *given[2:])["rows"]
    assert {row["variant"] for row in rows}.isdisjoint(absent)


@pytest.mark.parametrize("vs", ["unfused", "compile,unfused"])
def test_without_kernels_nothing_is_fused(file: str, vs: str, capsys: Output) -> None:
    given = ["bench", file, "--fn", "softmax", "--arg", "x=f32[4,8]", "--backend", "interpreter"]
    assert main([*given, "--vs", vs]) == 1
    assert "E0310" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--vs", "nope"], ["--vs", ""], ["--plot", "x.pdf"]])
def test_wrong_usage(file: str, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bench", file, *wrong])
    assert caught.value.code == 2


@pytest.mark.parametrize("wrong", [
    ["--fn", "absent"], ["--fn", "softmax", "--arg", "y=f32[2]"], ["--fn", "softmax", "--grad=y"],
    ["--fn", "softmax", "--arg", "x=f32[2"], ["--fn", "softmax", "--backend", "cuda"],
    ["--fn", "loss", "--arg", "x=f32[2,3]", "--arg", "w=f32[4]"],
])  # fmt: skip
def test_wrong_arguments(file: str, wrong: list[str]) -> None:
    assert main(["bench", file, *wrong]) == 1


def test_variants_that_disagree_are_not_timed(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    def text(*given: Any) -> str:
        return torch_text(*given).replace("torch.exp(", "torch.sin(")

    monkeypatch.setattr("tdsl.cli.torch_variants.torch_text", text)
    given = ["--fn", "softmax", "--arg", "x=f32[4,8]", "--vs", "numpy,torch", "--backend", "c"]
    assert main(["bench", file, *given]) == 1
    assert "error[E0405]: `fused` and `torch` disagree: the result" in capsys.readouterr().err


def test_what_torch_cannot_run_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr("tdsl.cli.bench.VARIANTS", ("interpreter", "torch"))
    path = tmp_path / "u.tdsl"
    path.write_text("def u(x: u32[N]) -> u32[N]:\n    return x // 3\n", encoding="utf-8")
    given = ["bench", str(path), "--arg", "x=u32[9]", "--backend", "c"]
    assert main([*given, "--vs", "torch"]) == 1
    assert "`torch` is not available" in capsys.readouterr().err
    assert main([*given, "--json"]) == 0
    output = capsys.readouterr()
    variants = [row["variant"] for row in json.loads(output.out)["rows"]]
    assert variants == ["fused", "interpreter"]
    assert "torch is left out" in output.err


def test_progress_is_for_terminals(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    assert list(measuring.progress(range(2), "forward")) == [0, 1]
    assert not capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert list(measuring.progress(range(2), "forward")) == [0, 1]
    assert "\rforward: round 2 of 2" in capsys.readouterr().err


@pytest.mark.parametrize(("function", "given", "wanted"), [
    (norms.rms_norm, {}, {"x": "f32[4096, 4096]"}),
    (norms.affine, {}, {"y": "f32[256, 256, 256]"}),
    (losses.cross_entropy, {}, {"logits": "f32[4096, 4096]", "labels": "i64[4096]"}),
    (losses.cross_entropy, {"logits": "f64[6, 3]"}, {"labels": "i64[6]"}),
    (attention.attention_bias, {}, {"q": "f32[64, 64, 64, 64]", "bias": "f32[64, 64, 64]"}),
    (optimizers.rmsprop, {"p": "bf16[3, 4]"}, {"g": "bf16[3, 4]", "v": "f32[3, 4]", "lr": ()}),
])  # fmt: skip
def test_default_arguments(function: Any, given: dict[str, str], wanted: dict[str, Any]) -> None:
    facts = {name: tdsl.runtime.lowered.parse_spec(text) for name, text in given.items()}
    found = missing(function, facts, {})
    shown = {
        name: f"{value.dtype}{list(value.shape)}" if isinstance(value, Fact) else value.shape
        for name, value in found.items()
    }
    assert shown.items() >= wanted.items()
    assert {*found, *given} == {
        p.name for p in function.target.signature.parameters if p.is_tensor and p.default is None
    }


def test_a_difference_is_relative_and_knows_nan() -> None:
    x = np.array([1.0, np.nan, np.inf, -100.0])
    assert measuring.difference(x, x) == 0
    assert measuring.difference(x + 1, x) == pytest.approx(0.01)
    assert measuring.difference(np.nan_to_num(x), x) == np.inf
    assert measuring.difference(x[:3], x) == np.inf
    assert measuring.difference(x[:0], x[:0]) == 0
    assert measuring.limit_of(np.dtype("int32")) == 0
    assert {str(dtype) for dtype in (np.dtype(f"f{n}") for n in (2, 4, 8))} < {*measuring.LIMITS}


@pytest.mark.parametrize("count", [1000, 16 << 20])
def test_a_copy_copies(count: int) -> None:
    name, prepare = measuring.copying(count)
    assert "in C" in name
    np.testing.assert_array_equal(prepare()(), np.ones(count // 2, np.uint8))


def test_large_arrays_have_fresh_pages() -> None:
    """What was freed just before is not what comes next: pages of the system are empty.

    In a process of its own, since threads of others have memory of their own.
    """
    script = (
        "import numpy as np, torch\n"
        "from tdsl.cli import measuring\n"
        "measuring.fresh_pages()\n"
        "for size in (measuring.LARGE // 4, measuring.LARGE, 4 * measuring.LARGE):\n"
        "    for full, empty in ((np.ones, np.empty), (torch.ones, torch.empty)):\n"
        "        full(size)\n"
        "        assert not empty(size).any(), (size, empty)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
