"""The benchmarks' own expressions compute what the library does; the summary and the page of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tdsl.kernels
from benchmarks import fused, report, summary
from benchmarks.case import Case
from benchmarks.cases import CASES
from benchmarks.peers import contenders
from tdsl.cli.bench import check

SHAPE = (256, 16)


@pytest.mark.filterwarnings("ignore:.*size_average.*")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_expressions_agree(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fused.SIZES, "tiny", SHAPE)
    function, subject = fused.subject(case, "tiny")
    for stage in ("forward", "backward") if case.wrt else ("forward",):
        wanted = ("numpy", "torch", "numexpr", "tdsl on torch")
        variants = list(contenders(case, function, subject, stage, wanted))
        assert {"tdsl", "numpy", "torch"} <= {variant.name for variant in variants}
        check(variants, subject.names[stage])


def test_every_memory_bound_function_is_measured() -> None:
    files = ("activations", "softmax", "norms", "losses", "rope", "optimizers")
    known = {
        function.__name__
        for file in files
        for function in getattr(tdsl.kernels, file)
        if "A helper" not in (function.__doc__ or "")
    }
    assert {case.name for case in CASES} == known


def rows() -> list[dict[str, Any]]:
    """Two functions of which tdsl wins one."""
    found = []
    for function, ratio in (("gelu", 4.0), ("softmax", 0.5)):
        where = {"function": function, "size": "in cache", "stage": "forward", "ms": 1.0}
        found.append({**where, "variant": "tdsl", "of_copy": 1.5})
        bounds = {"ratio_low": ratio, "ratio_high": ratio}
        found.append({**where, "variant": "numpy", "of_copy": 1.0, "ratio": ratio, **bounds})
    return found


def test_the_summary() -> None:
    middle, low, high = summary.paired([1.0, 1.0, 2.0, 1.0], [2.0, 2.0, 4.0, 4.0])
    assert (middle, low) == (2.0, 2.0)
    assert 2.0 < high <= 4.0
    assert summary.geometric_mean([1.0, 4.0]) == pytest.approx(2.0)
    told = "\n".join(summary.lines(rows(), ("numpy",)))
    assert "numpy 1.41 x (2)" in told
    assert "1.50 x a copy of the same bytes" in told
    assert (
        "beyond the paired 95 % interval: 1\n  softmax forward in cache: numpy takes 0.50" in told
    )


def test_the_page(tmp_path: Path) -> None:
    others = {"compile_time": [{"what": "import"}], "overhead": {"microseconds": {"a call": 1.5}}}
    text = report.page({"fused": {"rows": rows()}, **others}, tmp_path)
    assert "| in cache, forward | 1.41 | 1.50 | 1.50 |" in text
    assert "- softmax forward in cache: numpy takes 0.50 x our time" in text
    assert "| what |\n| --- |\n| import |" in text
    assert "| a call | 1.5 |" in text
    assert "No results are kept here yet." in text
    assert (tmp_path / "benchmarks_in_cache.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_the_page_shows_the_results_that_are_kept(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    results = (root / "benchmarks" / "results").glob("*.json")
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in results}
    kept = (root / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert report.page(found, tmp_path) == kept


def test_a_run_goes_on_where_it_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(fused.SIZES, "tiny", SHAPE)
    out = tmp_path / "results" / "fused.json"
    given = ["fused", "--only", "relu,adamw", "--sizes", "tiny", "--vs", "numpy", "--seconds", "0"]
    monkeypatch.setattr("sys.argv", [*given, "--out", str(out)])
    assert fused.main() == 0
    first = json.loads(out.read_text())
    assert first["versions"]["tdsl"] == tdsl.__version__
    assert len(first["rows"]) == 6
    assert fused.main() == 0
    assert json.loads(out.read_text())["rows"] == first["rows"]
    assert "results that disagree: 0" in capsys.readouterr().out


def test_a_wrong_result_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(fused.SIZES, "tiny", SHAPE)
    case = next(case for case in CASES if case.name == "relu")
    wrong = Case(case.file, case.name, case.data, case.torch, lambda xp, x: x, case.backward)
    monkeypatch.setattr(fused, "CASES", (wrong,))
    given = ["fused", "--sizes", "tiny", "--vs", "numpy", "--seconds", "0"]
    monkeypatch.setattr("sys.argv", given)
    assert fused.main() == 1
    assert "`tdsl` and `numpy` disagree" in capsys.readouterr().out
