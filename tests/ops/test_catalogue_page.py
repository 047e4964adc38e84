"""The committed pages are what the catalogue and the declarations say."""

from collections.abc import Callable
from inspect import getdoc
from pathlib import Path

import pytest

from tdsl.ops import CATALOGUE
from tdsl.ops.page import operations_page
from tdsl.syntax.elaboration.builtin import BUILTINS
from tdsl.syntax.elaboration.page import builtins_page

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "text"),
    [("operations.md", operations_page), ("builtins.md", builtins_page)],
    ids=["operations", "builtins"],
)
def test_the_page_is_up_to_date(
    page: str, text: Callable[[], str], request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--update-golden"):
        (DOCS / page).write_text(text(), encoding="utf-8")
    assert (DOCS / page).read_text(encoding="utf-8") == text()


def test_the_page_has_every_operation() -> None:
    page = operations_page()
    assert all(f"**`{name}`**" in page for name in CATALOGUE)


@pytest.mark.parametrize("name", BUILTINS)
def test_every_built_in_is_described(name: str) -> None:
    assert getdoc(BUILTINS[name].apply)
    assert f"`{BUILTINS[name].text}`" in builtins_page()
