"""The benchmarks' own expressions compute what the library does; the summary and the page of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tdsl.kernels
from benchmarks import calls, fused, goals, report, summary
from benchmarks.case import Case
from benchmarks.cases import CASES
from benchmarks.peers import contenders
from tdsl.cli.bench import check

TINY = fused.Extent(256, 16, 0, 2)


@pytest.mark.filterwarnings("ignore:.*size_average.*")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_expressions_agree(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fused.SIZES, "tiny", TINY)
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


def rows(size: str = "32 MB") -> list[dict[str, Any]]:
    """Two functions of which tdsl wins one; the other makes many calls."""
    found = []
    for function, ratio, made in (("gelu", 4.0, 1.0), ("softmax", 0.5, 3.0)):
        where = {"function": function, "size": size, "stage": "forward", "ms": 1.0}
        shares = {"of_copy": 1.6, "calls_per_element": made, "of_copy_and_calls": 1.4}
        found.append({**where, "variant": "tdsl", **shares})
        for name, times in (("numpy", 1.0), ("tiled", 0.5)):
            bounds = {"ratio_low": ratio * times, "ratio_high": ratio * times, "ms": times}
            found.append(
                {**where, "variant": name, "of_copy": 3.0, "ratio": ratio * times, **bounds}
            )
    return found


def test_the_summary() -> None:
    middle, low, high = summary.paired([1.0, 1.0, 2.0, 1.0], [2.0, 2.0, 4.0, 4.0])
    assert (middle, low) == (2.0, 2.0)
    assert 2.0 < high <= 4.0
    assert summary.geometric_mean([1.0, 4.0]) == pytest.approx(2.0)
    text = "\n".join(summary.lines(rows(), ("numpy",)))
    assert "numpy 1.41 x (2)" in text
    assert "1.60 x a copy of the same bytes" in text
    assert "beyond the paired 95 % interval: 1\n  softmax forward 32 MB: numpy takes 0.50" in text


def test_the_goals() -> None:
    found = list(goals.goals([*rows("in cache"), *rows()], ("numpy",)))
    assert [(goal.found, goal.is_met) for goal in found] == [
        ("1.41 x (over a copy's 3.00)", False),
        ("2.00 x", True),
        ("1.60 x, at most 1.60 x; beyond it 1 of 1", False),
        ("1.40 x, at most 1.40 x; beyond it 0 of 1", True),
        ("1", False),
    ]
    text = "\n".join(goals.told(found))
    assert (
        "MISS  32 MB, forward: time of numpy over tdsl's: 1.41 x (over a copy's 3.00) (at least 4)"
        in text
    )
    assert "pass  32 MB, forward: time of numpy over that of tiles: 2.00 x (at least 2)" in text
    assert "\n        gelu forward 32 MB: 1.60 x" in text


def test_reasons_for_misses() -> None:
    stages = {(case.name, stage) for case in CASES for stage in fused.stages(case)}
    assert goals.KNOWN.keys() <= stages
    lost = [{**row, "function": "nll", "stage": "backward"} for row in rows()[:1]]
    (goal,) = [goal for goal in goals.goals(lost, ()) if goal.misses]
    assert goal.misses == (f"nll backward 32 MB: 1.60 x ({goals.KNOWN['nll', 'backward']})",)


def test_the_other_goals() -> None:
    memory = [{"function": "f", "variant": "tdsl", "ratio": ratio} for ratio in (1.0, 1.2)]
    (goal,) = goals.memory_goals(memory)
    assert (goal.is_met, goal.misses) == (False, ("f: 1.20 x",))
    assert [goal.is_met for goal in goals.call_goals(CALLS)] == [True, False, True, True]
    assert [goal.is_met for goal in goals.compile_goals(FILES)] == [True, False, True]


def test_calls_are_counted() -> None:
    cases = {case.name: case for case in CASES}
    for name, stage, wanted in (
        ("mish", "forward", {"exp", "log1p", "tanh"}), ("relu", "forward", set()),
        ("gelu", "backward", {"exp", "erf"}), ("adamw", "forward", {"pow"}),
    ):  # fmt: skip
        _, data = fused.subject(cases[name], "in cache")
        found = calls.calls_of(data, stage)
        assert {function for function, _ in found} == wanted
        assert calls.per_element(data, found) == pytest.approx(
            0 if name == "adamw" else len(wanted), abs=1e-3
        )
        calls.calling(found)()()


CALLS = [
    {"what": f"cpu: {name}", "value": value, "unit": "us"}
    for name, value in {
        "tdsl, NumPy": 4.0, "C by hand, NumPy": 1.5, "tdsl, no gradient": 9.0,
        "eager, no gradient": 1.0, "tdsl, recorded": 6.0, "eager, recorded": 2.0,
        "tdsl, backward too": 30.0, "eager, backward too": 29.0,
    }.items()
]  # fmt: skip
FILES = [
    {"what": what, "value": value, "unit": "ms"}
    for what, value in zip(
        (*goals.COMPILING, goals.ONE_BY_ONE, goals.AT_ONCE), (100.0, 6.0, 50.0, 30.0), strict=True
    )
]


def test_the_page(tmp_path: Path) -> None:
    memory = [{"function": "f", "variant": "tdsl", "ratio": 1.25}]
    suites = {"fused": rows(), "memory": memory, "compile_time": FILES, "overhead": CALLS}
    found = {name: {"rows": found} for name, found in suites.items()}
    there = dict.fromkeys(("date", "processor", "threads", "system", "compiler"), "Z80")
    text = report.page({**found, "fused_z80": {**there, "versions": {}, "rows": rows()}}, tmp_path)
    assert text.count("| 32 MB, forward | 0.71 | 1.41 | 1.60 | 1.60 |") == 2
    assert "### The same on Z80\n" in text
    assert (
        "| 32 MB, forward: time of numpy over tdsl's | 1.41 x (over a copy's 3.00) | at least 4 | no |"
        in text
    )
    assert "- softmax forward 32 MB: numpy takes 0.50 x our time" in text
    assert "| tdsl: most memory over the compulsory buffers | 1.25 x | at most 1.1 | no |" in text
    assert "| a file of C, compiled | 100.00 ms | below 500 | yes |" in text
    assert "| cpu: tdsl, recorded | 6 | us |" in text
    assert text.count("No results are kept here yet.") == 1
    for picture in ("32_MB", "memory", "compile_time", "overhead"):
        drawn = tmp_path / f"benchmarks_{picture}.svg"
        assert drawn.read_text(encoding="utf-8").startswith("<?xml")


def test_the_page_shows_the_results_that_are_kept(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    results = (root / "benchmarks" / "results").glob("*.json")
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in results}
    kept = (root / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert report.page(found, tmp_path) == kept


def test_a_run_goes_on_where_it_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(fused.SIZES, "tiny", TINY)
    out = tmp_path / "results" / "fused.json"
    given = ["fused", "--only", "relu,adamw", "--sizes", "tiny", "--vs", "numpy", "--seconds", "0"]
    monkeypatch.setattr("sys.argv", [*given, "--out", str(out)])
    monkeypatch.setattr("sys.argv", [*given, "--out", str(out), "--minutes", "0"])
    assert fused.main() == 3
    monkeypatch.setattr("sys.argv", [*given, "--out", str(out)])
    assert fused.main() == 0
    first = json.loads(out.read_text())
    assert first["versions"]["tdsl"] == tdsl.__version__
    assert len(first["rows"]) == 6
    assert fused.main() == 0
    assert json.loads(out.read_text())["rows"] == first["rows"]
    output = capsys.readouterr().out
    assert "results that disagree: 0" in output
    assert "3 comparisons are left" in output


def test_a_wrong_result_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(fused.SIZES, "tiny", TINY)
    case = next(case for case in CASES if case.name == "relu")
    wrong = Case(case.file, case.name, case.data, case.torch, lambda xp, x: x, case.backward)
    monkeypatch.setattr(fused, "CASES", (wrong,))
    given = ["fused", "--sizes", "tiny", "--vs", "numpy", "--seconds", "0"]
    monkeypatch.setattr("sys.argv", given)
    assert fused.main() == 1
    assert "`tdsl` and `numpy` disagree" in capsys.readouterr().out
