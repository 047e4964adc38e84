"""Caches of one run, for all of its processes: no test finds what an earlier run left."""

import os
import sys
from collections.abc import Iterator

import pytest

# Triton has wheels for Linux only.
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "caches"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(folder / "triton"))
        patch.setenv("TDSL_CACHE_DIR", str(folder / "tdsl"))
        yield
