"""Settings for the whole suite."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# Whether kernels are interpreted is decided when Triton is imported, so it is decided here, for all tests:
# this process interprets, and what compiles kernels does so in child processes (see
# tdsl/backends/triton/aot.py), which is what users with this variable get as well.
os.environ.setdefault("TRITON_INTERPRET", "1")

# Most tests are about what comes before code is generated. Compiling each of their functions would take
# an hour, so that they run by the interpreter; tests of the backends and of torch pin theirs.
os.environ.setdefault("TDSL_BACKEND", "interpreter")

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_addoption(parser: pytest.Parser) -> None:
    """One flag rewrites every golden text; the diff is then for a person to read."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden texts")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes comes first, so that no process waits for another at the end."""
    items.sort(key=lambda item: item.path.name != "test_static.py")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with its golden file, or rewrite that under `--update-golden`."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text

    return compare
