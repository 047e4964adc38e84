"""The wheel is whole: it carries grammar, library and type marker, and works away from the sources."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

import tdsl

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the wheel's files as an installer would lay them."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*build, str(folder)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_carries_grammar_library_and_type_marker(installed: Path) -> None:
    data = installed / "tdsl/_data"
    for kind in ("grammar", "kernels"):
        sources = {path.name: path.read_bytes() for path in (ROOT / kind).iterdir()}
        assert {path.name: path.read_bytes() for path in (data / kind).iterdir()} == sources
    assert (installed / "tdsl/py.typed").exists()


def test_the_wheel_works_away_from_the_sources(installed: Path, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import numpy, tdsl\n"
        "from tdsl.kernels import softmax\n"
        "print(tdsl.__file__, softmax.softmax(numpy.zeros(4, 'f')).tolist())"
    )
    run = [sys.executable, "-c", program]
    printed = subprocess.run(run, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert printed == f"{installed / 'tdsl/__init__.py'} [0.25, 0.25, 0.25, 0.25]\n"


def test_the_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert tdsl.__version__ == project["version"]
