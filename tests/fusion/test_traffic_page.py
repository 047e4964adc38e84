"""The page of traffic and launches is what the plans say, and has every function of the library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tdsl
from benchmarks.traffic import HERE, chosen, traffic_page

PAGE = HERE.parent / "docs" / "traffic.md"


def test_the_page_is_up_to_date(request: pytest.FixtureRequest) -> None:
    text = traffic_page()
    if request.config.getoption("--update-golden"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text


def test_every_function_is_there_and_was_measured() -> None:
    """After a change of the library: `python -m benchmarks.launches --out benchmarks/launches.json`."""
    library = {
        (file, f.__name__) for file in dir(tdsl.kernels) for f in getattr(tdsl.kernels, file)
    }
    assert {(row.file, row.name) for row in chosen()} == library
    launches = json.loads(Path(HERE / "launches.json").read_text(encoding="utf-8"))["launches"]
    assert {f"{row.file}.{row.id}" for row in chosen()} <= set(launches)


def test_every_count_of_liger_has_its_row() -> None:
    """A key that is no row's would be left out of the table without a word."""
    liger = json.loads(Path(HERE / "liger.json").read_text(encoding="utf-8"))["launches"]
    assert set(liger) <= {f"{row.file}.{row.id}" for row in chosen()}
