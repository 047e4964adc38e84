"""Peak memory of forward and backward: `python -m benchmarks.memory [--only A,B] [--out FILE]`.

For each function at 32 MB: the most that the process has in memory while the forward pass, then the
backward pass runs, beside the compulsory buffers: arguments, results, their cotangents and gradients
(of a loss the arguments and their gradients). tdsl fused and unfused, plain NumPy by hand, torch eager
and torch.compile; no pages of earlier results are kept. Linux alone: it reads what the system counts,
after one run that warms up, and adds the arguments, which are there before. The last line says whether
tdsl keeps within the compulsory buffers and a tenth.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import sys
from pathlib import Path
from typing import Any

from benchmarks.case import Case
from benchmarks.cases import CASES
from benchmarks.fused import subject
from benchmarks.goals import memory_goals, told
from benchmarks.machine import keep
from benchmarks.peers import contenders
from tdsl.backends import pool
from tdsl.backends.pool import Pool
from tdsl.cli.measuring import Prepare
from tdsl.cli.subject import Subject

VARIANTS = ("tdsl on torch", "unfused", "numpy", "torch", "compile")
STATUS, REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(kind: str) -> int:
    """Bytes that the process has in memory: now (`VmRSS`), or at most since the last reset (`VmHWM`)."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(kind))
    return int(line.split()[1]) * 1024


def growth(prepare: Prepare) -> int:
    """By how many bytes the process grows at most while both passes run."""
    prepare()()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    REFS.write_text("5")
    start = resident("VmRSS")
    result = prepare()()
    grown = resident("VmHWM") - start
    del result
    return grown


def given(data: Subject) -> int:
    """The bytes of the arguments, and of the cotangents of arrays: they are there before."""
    arrays = data.arrays if data.is_loss else (*data.arrays, *data.cotangents)
    return sum(int(x.nbytes) for x in arrays)


def made(data: Subject) -> int:
    """The bytes of the results and of the gradients; of a loss its gradients."""
    arrays = dict(zip((p.name for p in data.found.graph.params), data.arrays, strict=True))
    gradients = sum(int(arrays[name].nbytes) for name in data.wrt)
    return gradients if data.is_loss else gradients + sum(int(x.nbytes) for x in data.cotangents)


def measure(case: Case, size: str) -> list[dict[str, Any]]:
    """A row for each variant."""
    function, data = subject(case, size)
    there = given(data)
    least = there + made(data)
    return [
        {"function": case.name, "size": size, "variant": variant.name, "bytes_compulsory": least,
         "bytes_peak": (most := there + growth(variant.prepare)), "ratio": most / least}
        for variant in contenders(case, function, data, "backward", VARIANTS)
    ]  # fmt: skip


def main() -> int:
    """Print and keep a row for each function and variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="functions, by name")
    parser.add_argument("--size", default="32 MB", help="as in benchmarks.fused")
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    if not REFS.exists():
        print("there is no /proc/self/clear_refs here")
        return 1
    pool.POOL = Pool(0)
    names = options.only.split(",") if options.only else None
    rows: list[dict[str, Any]] = []
    for case in CASES:
        if case.wrt and (names is None or case.name in names):
            found = measure(case, options.size)
            rows += found
            for row in found:
                shown = f"{row['bytes_peak'] / 1e6:9.1f} MB {row['ratio']:6.2f} x compulsory"
                print(f"{row['function']:17} {row['variant']:13} {shown}", flush=True)
    print("\n".join(told(memory_goals(rows))))
    if options.out:
        keep(options.out, "memory", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
