"""The memory-bound library on the processor: `python -m benchmarks.fused [--quick] [--out FILE]`.

Every function, forward and backward, in three sizes: tdsl fused, on torch tensors, unfused, beside plain
NumPy by hand, torch eager, torch.compile, and JAX and NumExpr where they are installed. Results are
checked before anything is timed; variants are timed in turn in one process, with the threads that each
takes by itself; compiling is not timed. No pages of earlier results are kept but for the variant `tdsl with
pool`. Prints a line for each row, then geometric means, the ratio to a
copy of the same bytes, and every function that a peer beats; the exit status is 1 where results disagree.
What the output file has already is not measured again, so that a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tdsl.kernels
from benchmarks.case import Case
from benchmarks.cases import CASES, QUICK
from benchmarks.machine import machine
from benchmarks.peers import OURS, PEERS, contenders
from benchmarks.summary import Row, lines, paired
from tdsl.backends import pool
from tdsl.backends.pool import Pool
from tdsl.cli.bench import check
from tdsl.cli.measuring import copying, in_turn, seconds_of
from tdsl.cli.subject import Subject, subject_of
from tdsl.errors import TdslError

SIZES = {"in cache": (256, 1024), "32 MB": (4096, 2048), "beyond the cache": (8192, 4096)}
"""Rows and columns: arrays of 1, 32 and 128 MB."""


def subject(case: Case, size: str) -> tuple[tdsl.Function, Subject]:
    """The function of a case with its data."""
    rows, columns = SIZES[size]
    generator = np.random.default_rng(0)
    arrays = {name: make(generator, rows, columns) for name, make in case.data.items()}
    function = getattr(getattr(tdsl.kernels, case.file), case.name)
    options = Namespace(seed=1, grad=",".join(case.wrt) or None)
    return function, subject_of(function, arrays, case.static, options)


def measure(case: Case, size: str, wanted: Sequence[str], seconds: float) -> Iterator[Row]:
    """A row for each variant of each stage; one with `disagrees` where results differ."""
    function, data = subject(case, size)
    for stage in ("forward", "backward") if case.wrt else ("forward",):
        variants = list(contenders(case, function, data, stage, wanted))
        where = {"function": case.name, "size": size, "stage": stage}
        try:
            check(variants, data.names[stage])
        except TdslError as error:
            yield {**where, "disagrees": str(error)}
            continue
        count = data.compulsory(stage)
        prepared = {variant.name: variant.prepare for variant in variants}
        prepared["copy"] = copying(count)[1]
        gc.collect()
        times = in_turn(prepared, seconds_of, f"{case.name} {size} {stage}", seconds)
        ours, copy = times["tdsl"].rounds, times.pop("copy").rounds
        for name, found in times.items():
            row: Row = {
                **where, "variant": name, "ms": found.middle, "ms_min": min(found.rounds),
                "ms_max": max(found.rounds), "runs": len(found.rounds), "bytes_compulsory": count,
                "of_copy": paired(copy, found.rounds)[0],
            }  # fmt: skip
            if name != "tdsl":
                keys = ("ratio", "ratio_low", "ratio_high")
                row |= dict(zip(keys, paired(ours, found.rounds), strict=True))
            yield row


def text(row: Row) -> str:
    """A row on one line."""
    what = f"{row['function']:17} {row['size']:16} {row['stage']:8}"
    if "disagrees" in row:
        return f"{what} {row['disagrees']}"
    ratio = f"{row['ratio']:7.2f} x tdsl" if "ratio" in row else ""
    return f"{what} {row['variant']:13} {row['ms']:9.3f} ms {row['of_copy']:6.2f} x copy {ratio}"


def arguments() -> Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)} alone, at 32 MB")
    parser.add_argument("--only", help="functions, by name")
    parser.add_argument("--sizes", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--vs", default=",".join((*OURS, *PEERS)), help="variants beside tdsl")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each comparison (5)")
    parser.add_argument("--out", type=Path, help="a JSON file, which is added to")
    return parser.parse_args()


def main() -> int:
    """Measure what is not there yet, and print what all of it says."""
    options = arguments()
    pool.POOL = Pool(0)  # fresh pages for everybody, but for the variant that says otherwise
    names = options.only.split(",") if options.only else QUICK if options.quick else None
    sizes = options.sizes.split(",") if options.sizes else ["32 MB"] if options.quick else SIZES
    cases = [case for case in CASES if names is None or case.name in names]
    document: dict[str, Any] = {"suite": "fused", **machine(), "rows": []}
    if options.out and options.out.exists():
        document["rows"] = json.loads(options.out.read_text())["rows"]
    done = {(row["function"], row["size"]) for row in document["rows"]}
    for size in sizes:
        for case in cases:
            if (case.name, size) in done:
                continue
            rows = list(measure(case, size, options.vs.split(","), options.seconds))
            document["rows"] += rows
            print("\n".join(map(text, rows)), flush=True)
            if options.out:
                options.out.parent.mkdir(parents=True, exist_ok=True)
                options.out.write_text(json.dumps(document, indent=1))
    wrong = [row for row in document["rows"] if "disagrees" in row]
    print("\n".join(lines([r for r in document["rows"] if "variant" in r], PEERS)))
    print(f"results that disagree: {len(wrong)}")
    print("\n".join(map(text, wrong)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
