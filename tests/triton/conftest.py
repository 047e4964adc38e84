"""Caches of one run: no test finds what an earlier run left, and none leaves anything."""

import sys
from collections.abc import Iterator

import pytest

# Triton has wheels for Linux only.
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(folder / "triton"))
        patch.setenv("TDSL_CACHE_DIR", str(folder / "tdsl"))
        yield
