"""What compiling and calling cost: `python -m benchmarks.compile_time [--out FILE]`.

Prints the import of tdsl, parsing and elaborating each library file, deriving and simplifying backwards,
compiling the library's files of C from scratch and loading them from the cache of another process,
compiling 30 functions in C one after another and at once, and a cached call on tiny arrays beside the same
NumPy written by hand. Medians of repeated runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import tdsl
from benchmarks.goals import AT_ONCE, COMPILING, ONE_BY_ONE, compile_goals, told
from benchmarks.machine import keep
from benchmarks.summary import Row
from tdsl.data import data_path
from tdsl.ir.dtype import F32
from tdsl.syntax.elaboration.entry import check_program, elaborate
from tdsl.syntax.elaboration.program import load_program
from tdsl.transforms.differentiate import vjp

NUMBERS = count(1)
"""One for each function that is compiled: none is found in the cache."""
BACKWARDS = (("softmax", "softmax"), ("norms", "rms_norm"), ("norms", "layer_norm"))


def milliseconds(action: Callable[[], Any], runs: int = 7) -> float:
    """The median time of an action, after one run to warm up."""
    action()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return 1e3 * median(times)


def import_time() -> float:
    """Seconds inside a fresh process, without the interpreter's own start."""
    code = "import time; t = time.perf_counter(); import tdsl; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            for _ in range(5)]  # fmt: skip
    return 1e3 * median(float(run.stdout) for run in runs)


def first_use_time() -> float:
    """Milliseconds from the import to the first function compiled, in a fresh process."""
    code = (
        "import time; t = time.perf_counter(); import tdsl; "
        "tdsl.compile('def f(x: f32) -> f32:\\n    return x\\n'); print(time.perf_counter() - t)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            for _ in range(5)]  # fmt: skip
    return 1e3 * median(float(run.stdout) for run in runs)


def files_of_c() -> Iterator[tuple[str, float]]:
    """Milliseconds of each file, compiled into an empty cache, and then found there by a new process."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TDSL_CACHE_DIR": folder}
        command = [sys.executable, "-m", "benchmarks.files_of_c"]
        for what in COMPILING:
            run = subprocess.run(
                command, capture_output=True, text=True, check=True, env=environment
            )
            times = json.loads(run.stdout)
            yield what, median(times)
            yield f"{what}, the slowest", max(times)


def thirty_functions(*, at_once: bool) -> float:
    """Milliseconds from the text of a module to its 30 libraries, none of which is in the cache."""
    line = "def f{0}(x: f32[N, D]) -> f32[N, D]:\n    return softmax(x * {0}e-9, axis=D)\n"

    def run() -> None:
        seed = time.time_ns() % 1_000_000
        text = "\n".join(line.format(f"{next(NUMBERS)}{seed}") for _ in range(30))
        begun: list[Any] = []
        for function in tdsl.compile(text):  # type: ignore[union-attr]
            begun += function.lower("f32[4096, 512]").compile()
            if not at_once:
                wait(begun)
        wait(begun)

    return milliseconds(run, 3)


def call_overhead() -> tuple[float, float]:
    """Microseconds of a cached call on 4x8 floats, and of the same NumPy by hand.

    Taken in turn, the least of the rounds: other work on the machine only ever adds.
    """
    rms: Any = tdsl.kernels.norms.rms_norm
    x, w = np.ones((4, 8), np.float32), np.ones(8, np.float32)
    eps, share = np.float32(1e-6), np.float32(1 / 8)

    def by_hand() -> Any:
        return x * np.reciprocal(np.sqrt((x * x).sum(-1) * share + eps))[:, None] * w

    def many(action: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: [action() for _ in range(2000)]

    ours, theirs = [], []
    for _ in range(9):
        ours.append(milliseconds(many(lambda: rms(x, w)), 3) / 2)
        theirs.append(milliseconds(many(by_hand), 3) / 2)
    return min(ours), min(theirs)


def rows() -> list[tuple[str, float, str]]:
    """Every measurement: what, how much, unit."""
    found = [
        ("import tdsl", import_time(), "ms"),
        ("import, first compile", first_use_time(), "ms"),
    ]
    for path in sorted(data_path("kernels").glob("*.tdsl")):
        text = path.read_text(encoding="utf-8")

        def front(text: str = text, file: str = str(path)) -> None:
            check_program(load_program(text, file))

        found.append((f"parse and elaborate {path.stem}", milliseconds(front), "ms"))
    for file, name in BACKWARDS:
        path = data_path("kernels") / f"{file}.tdsl"
        program = load_program(path.read_text(encoding="utf-8"), str(path))
        graph = elaborate(program, name, ranks={"B": 1, "A": 2}, dtypes={"T": F32})
        found.append((f"derive and simplify {name}", milliseconds(lambda g=graph: vjp(g)), "ms"))  # type: ignore[misc]
    found += [(what, value, "ms") for what, value in files_of_c()]
    found += [
        (ONE_BY_ONE, thirty_functions(at_once=False), "ms"),
        (AT_ONCE, thirty_functions(at_once=True), "ms"),
    ]
    ours, theirs = call_overhead()
    found += [
        ("cached call of rms_norm, 4x8", ours, "us"),
        ("the same NumPy by hand", theirs, "us"),
    ]
    found += [("more than by hand", ours - theirs, "us"), ("ratio of the two", ours / theirs, "x")]
    return found


def main() -> None:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    found: list[Row] = [{"what": w, "value": v, "unit": u} for w, v, u in rows()]
    for row in found:
        print(f"{row['what']:40} {row['value']:9.2f} {row['unit']}")
    print("\n".join(told(compile_goals(found))))
    if options.out:
        keep(options.out, "compile_time", found)


if __name__ == "__main__":
    main()
