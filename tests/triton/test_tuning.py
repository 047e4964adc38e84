"""Numbers of warps that are measured: at most three, once for a kind of device, and only if asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tdsl.backends.triton import tuning
from tdsl.backends.triton.execute import Executable, Texts
from tdsl.backends.triton.launch import Loaded
from tdsl.fusion.plan import Plan, make_plan
from tdsl.kernels import norms
from tests.triton.interpreted import repaired

SIZES = {"B.0": 6, "D": 40}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[int]]:
    """Two warps are the fastest; what was measured, in order."""
    found: list[int] = []

    def milliseconds(launch: object) -> float:
        warps: int = launch.func.loaded.warps  # type: ignore[attr-defined]
        found.append(warps)
        return 1.0 if warps == 2 else 2.0

    monkeypatch.setenv("TDSL_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tuning, "is_wanted", lambda device: True)
    monkeypatch.setattr(tuning, "milliseconds", milliseconds)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a device")
    with repaired():
        yield found


def plan() -> Plan:
    return make_plan(norms.rms_norm.lower("f32[6, 40]", "f32[40]").graph)


def run(texts: Texts, sizes: dict[str, int] = SIZES) -> list[Loaded]:
    program = Executable(plan(), sizes, CPU, texts=texts)
    x, w = torch.randn(sizes["B.0"], sizes["D"]), torch.ones(sizes["D"])
    for _ in range(2):
        (actual, *_) = program.run([x, w])
    expected = norms.rms_norm.using(backend="interpreter")(x, w)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    return list(program.text.kernels)


def test_the_best_of_three_is_taken_once(measured: list[int]) -> None:
    texts: Texts = {}
    (kernel,) = run(texts)
    assert kernel.warps == 2
    assert sorted(measured) == [2, 4, 8]
    (again,) = run(texts)
    assert again is kernel
    (other,) = run({})  # as another process does
    assert other.warps == 2
    assert sorted(measured) == [2, 4, 8]


def test_a_damaged_record_is_measured_anew(measured: list[int], tmp_path: Path) -> None:
    run({})
    (record,) = (tmp_path / "tuned").glob("*.json")
    record.write_text("{")
    (kernel,) = run({})
    assert kernel.warps == 2
    assert len(measured) == 6


@pytest.mark.parametrize(("warps", "tried"), [(1, [1, 2]), (4, [4, 2, 8]), (32, [32, 16])])
def test_neighbours(warps: int, tried: list[int]) -> None:
    assert tuning.neighbours(warps) == tried


def test_nothing_is_measured_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.delenv("TDSL_TUNE", raising=False)
    assert not tuning.is_wanted(torch.device("cuda:0"))
    monkeypatch.setenv("TDSL_TUNE", "1")
    assert tuning.is_wanted(torch.device("cuda:0"))
    assert not tuning.is_wanted(CPU)
