"""Every fault of the catalogue: its example shows it, its mended example does not, its text is pinned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tdsl import faults
from tdsl.errors import Fault, TdslError, render
from tdsl.syntax.elaboration.entry import check_program, read_program
from tdsl.syntax.elaboration.program import load_program

CATALOGUE = faults.catalogue()
SHOWN = [fault for fault in CATALOGUE.values() if fault.example and not fault.call]
PINNED = Path(__file__).parent.parent / "diagnostics"
PROGRAMS = sorted((PINNED / "programs").glob("*.tdsl"))
PAGE = Path(__file__).parent.parent.parent / "docs" / "errors.md"
Golden = Callable[[Path, str], None]


def fault_of(text: str) -> TdslError:
    with pytest.raises(TdslError) as caught:
        check_program(load_program(text, "example.tdsl"))
    return caught.value


@pytest.mark.parametrize("fault", SHOWN, ids=lambda fault: fault.code)
def test_example_shows_the_fault(fault: Fault, golden: Golden) -> None:
    error = fault_of(fault.example)
    assert fault.code in [diagnostic.code for diagnostic in error.errors]
    assert error.code == error.errors[0].code
    shown = "\n".join(render(diagnostic) for diagnostic in error.errors) + "\n"
    span = error.span
    if span is not None and span.file == "example.tdsl":
        lines = fault.example.split("\n")
        assert 1 <= span.line <= len(lines)
        assert 1 <= span.column <= len(lines[span.line - 1]) + 1
        assert shown.startswith(f"example.tdsl:{span.line}:{span.column}: error[{error.code}]: ")
    golden(PINNED / f"{fault.code}.tdsl", fault.example)
    golden(PINNED / f"{fault.code}.txt", shown)


@pytest.mark.parametrize("fault", SHOWN, ids=lambda fault: fault.code)
def test_mended_example_is_a_program(fault: Fault) -> None:
    check_program(load_program(fault.fixed, "example.tdsl"))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_programs_with_several_faults(path: Path, golden: Golden) -> None:
    with pytest.raises(TdslError) as caught:
        read_program(path.read_text(encoding="utf-8"), path.name)
    shown = "\n".join(render(diagnostic) for diagnostic in caught.value.errors) + "\n"
    golden(path.with_suffix(".txt"), shown)


def test_at_least_sixty_faults_are_pinned() -> None:
    assert len(SHOWN) >= 60


def test_codes_are_unique() -> None:
    rows = [value for value in vars(faults).values() if isinstance(value, Fault)]
    assert len(rows) == len(CATALOGUE)


def test_page_lists_every_code(golden: Golden) -> None:
    golden(PAGE, page())


def page() -> str:
    """docs/errors.md, made from the catalogue."""
    parts = [
        "# Errors\n\nEvery diagnostic by its code: what it says, why, an example and its fix.\n"
    ]
    for fault in CATALOGUE.values():
        parts.append(f"\n## {fault.code}: {fault.message}\n\n{fault.why}\n")
        if fault.example:
            parts.append(f"\n```text\n{fault.example}```\n\nbecomes\n\n```tdsl\n{fault.fixed}```\n")
    return "".join(parts)


def test_independent_errors_are_reported_together() -> None:
    text = "def f(x: f32) -> f32:\n    y = nope\n    return x + y\n\ndef g(x: f32):\n    return zilch\n"
    assert [d.message for d in fault_of(text).errors] == [
        "there is no `nope` here",
        "there is no `zilch` here",
    ]
