"""`tdsl bench` beside JAX and NumExpr: they compute what the interpreter does, or say why they cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.kernels.reference import ROWS

FILES = tuple(dict.fromkeys(row.file for row in ROWS))
# What NumExpr has no expression for.
MISSING = ("sum", "max", "min", "prod", "take", "index", "dot", "arange", "erf")
POINTWISE = ("activations", "losses", "norms", "optimizers")
"""Files with functions that are one expression of NumExpr."""
SOURCE = """
def swish(x: T[*B], y: T[*B]) -> T[*B]:
    return x * y / (1 + exp(-x))


def loss(x: T[N, D], label: i64[N]) -> T:
    return mean(logsumexp(x, axis=D) - take(x, label, axis=D))


def read(x: T[N, D], place: u8[M]) -> T[M, D]:
    return take(x, place, axis=N)


def clamped(x: T[*B]) -> T[*B]:
    return clamp(x, -1, 1) * sign(x) + maximum(x, 0)


def shifted(x: T[N]) -> T[N]:
    return cumsum(x, axis=N) + pad(x[1:], axis=0, low=1)
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("file", [
    pytest.param(file, marks=[] if file == "rope" else pytest.mark.nightly)
    for file in FILES
])  # fmt: skip
def test_the_library_through_peers(file: str) -> None:
    done = run("tests.cli.peers", file)
    assert not done.returncode, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines
    same = [name for _, _, name, outcome in lines if outcome == "same"]
    assert "jax" in same
    assert ("numexpr" in same) == (file in POINTWISE)
    allowed = {"E0310 NumExpr has no form for a cast of f64 to f32"}
    allowed |= {f"E0310 NumExpr has no form for `{name}`" for name in MISSING}
    for place, stage, name, outcome in lines:
        is_left_out = name == "numexpr" and outcome in allowed
        assert outcome == "same" or is_left_out, (place, stage, name, outcome)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "f.tdsl"
    path.write_text(SOURCE, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(("name", "spec", "vs", "kernels"), [
    ("swish", "x=f64[64,8]", "jax,numexpr", (1, 2)),
    ("loss", "x=f32[16,8]", "jax", None),
    ("read", "x=f32[256,3]", "jax", None),
    ("clamped", "x=f32[9,3]", "jax,numexpr", (1, 1)),
    ("shifted", "x=f32[9]", "jax", None),
])  # fmt: skip
def test_rows_of_peers(
    file: str, name: str, spec: str, vs: str, kernels: Sequence[int] | None
) -> None:
    done = run("tdsl", "bench", file, "--fn", name, "--arg", spec, "--grad", "--json", "--vs", vs)
    assert not done.returncode, done.stderr
    rows = [row for row in json.loads(done.stdout)["rows"] if row["variant"] != "fused"]
    stages = ("forward", "backward")
    assert [(r["variant"], r["stage"]) for r in rows] == [
        (variant, stage) for stage in stages for variant in vs.split(",")
    ]
    assert all(row["kernels"] > 0 for row in rows)
    if kernels:
        assert [row["kernels"] for row in rows if row["variant"] == "numexpr"] == [*kernels]


@pytest.mark.parametrize(("name", "spec", "vs", "reason"), [
    ("loss", "x=f32[16,8]", "numexpr", "NumExpr has no form for"),
    ("swish", "x=bf16[64]", "numexpr", "NumExpr has no form for bf16"),
])  # fmt: skip
def test_what_a_peer_lacks(file: str, name: str, spec: str, vs: str, reason: str) -> None:
    done = run("tdsl", "bench", file, "--fn", name, "--arg", spec, "--vs", vs)
    assert done.returncode == 1
    assert "error[E0310]" in done.stderr
    assert reason in done.stderr
