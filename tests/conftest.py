"""Settings for the whole suite."""

import os

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_addoption(parser: pytest.Parser) -> None:
    """One flag rewrites every golden text; the diff is then for a person to read."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden texts")
