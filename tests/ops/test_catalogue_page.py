"""The committed page is what the catalogue says."""

from pathlib import Path

import pytest

from tdsl.ops import CATALOGUE
from tdsl.ops.page import operations_page

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_the_page_is_up_to_date(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(operations_page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == operations_page()


def test_the_page_has_every_operation() -> None:
    page = operations_page()
    assert all(f"**`{name}`**" in page for name in CATALOGUE)
