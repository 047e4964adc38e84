"""The memory-bound library on the processor: `python -m benchmarks.fused [--minutes 9] [--out FILE]`.

Every function, forward and backward, in three sizes: tdsl fused, on torch tensors, unfused, by tiles of
NumPy, beside plain NumPy by hand, torch eager, torch.compile, and JAX and NumExpr where they are installed.
Results are checked before anything is timed; variants are timed in turn in one process, with the threads
that each takes by itself; compiling is not timed. No pages of earlier results are kept but for the variant
`tdsl with pool`. A copy of the same bytes, and the calls of mathematical functions in a bare loop, are
timed in the same rounds.

Prints a line for each row, geometric means, every function that a peer beats, and the goals. The exit
status is 1 where results disagree, and else 3 where `--minutes` were over before the end: what the output
file has already is not measured again, so the same command goes on.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tdsl.kernels
from benchmarks.calls import calling, calls_of, per_element
from benchmarks.case import Case
from benchmarks.cases import CASES, QUICK
from benchmarks.goals import goals, told
from benchmarks.machine import keep
from benchmarks.peers import OURS, PEERS, contenders
from benchmarks.summary import Row, lines, paired
from tdsl.backends import pool
from tdsl.backends.pool import Pool
from tdsl.cli.bench import check
from tdsl.cli.measuring import FEWEST, copying, fresh_pages, in_turn, seconds_of
from tdsl.cli.subject import Subject, subject_of
from tdsl.cli.variants import STAGES
from tdsl.errors import TdslError


@dataclass(frozen=True, slots=True)
class Extent:
    """How large arrays are, and how long one comparison takes: seconds, beyond the fewest rounds."""

    rows: int
    columns: int
    seconds: float
    fewest: int = FEWEST


SIZES = {
    "in cache": Extent(256, 1024, 1.0),
    "32 MB": Extent(4096, 2048, 1.5, 7),
    "beyond the cache": Extent(8192, 4096, 3.0),
}
"""Arrays of 1, 32 and 128 MB."""


def subject(case: Case, size: str) -> tuple[tdsl.Function, Subject]:
    """The function of a case with its data."""
    extent = SIZES[size]
    generator = np.random.default_rng(0)
    arrays = {
        name: make(generator, extent.rows, extent.columns) for name, make in case.data.items()
    }
    function = getattr(getattr(tdsl.kernels, case.file), case.name)
    options = Namespace(seed=1, grad=",".join(case.wrt) or None)
    return function, subject_of(function, arrays, case.static, options)


def stages(case: Case) -> tuple[str, ...]:
    """The stages that a case has."""
    return ("forward", "backward") if case.wrt else ("forward",)


def measure(
    case: Case, size: str, stage: str, wanted: Sequence[str], seconds: float | None
) -> Iterator[Row]:
    """A row for each variant of a stage; one with `disagrees` where results differ."""
    function, data = subject(case, size)
    variants = list(contenders(case, function, data, stage, wanted))
    where = {"function": case.name, "size": size, "stage": stage}
    try:
        check(variants, data.names[stage])
    except TdslError as error:
        yield {**where, "disagrees": str(error)}
        return
    count, calls = data.compulsory(stage), calls_of(data, stage)
    prepared = {variant.name: variant.prepare for variant in variants}
    prepared |= {"copy": copying(count)[1], "calls": calling(calls)}
    gc.collect()
    extent = SIZES[size]
    title = f"{case.name} {size} {stage}"
    limit = extent.seconds if seconds is None else seconds
    times = in_turn(prepared, seconds_of, title, limit, extent.fewest)
    copy, bare = times.pop("copy").rounds, times.pop("calls").rounds
    both = [a + b for a, b in zip(copy, bare, strict=True)]
    ours = times["tdsl"].rounds
    for name, found in times.items():
        row: Row = {
            **where, "variant": name, "ms": found.middle, "ms_min": min(found.rounds),
            "ms_max": max(found.rounds), "runs": len(found.rounds), "bytes_compulsory": count,
            "of_copy": paired(copy, found.rounds)[0],
        }  # fmt: skip
        if name == "tdsl":
            row["copy_ms"], row["calls_ms"] = float(np.median(copy)), float(np.median(bare))
            row["calls_per_element"] = per_element(data, calls)
            row["of_copy_and_calls"] = paired(both, found.rounds)[0]
        else:
            keys = ("ratio", "ratio_low", "ratio_high")
            row |= dict(zip(keys, paired(ours, found.rounds), strict=True))
        yield row


def text(row: Row) -> str:
    """A row on one line."""
    what = f"{row['function']:17} {row['size']:16} {row['stage']:8}"
    if "disagrees" in row:
        return f"{what} {row['disagrees']}"
    more = f"{row['ratio']:7.2f} x tdsl" if "ratio" in row else ""
    if row.get("calls_per_element", 0) >= 0.01:
        more = f"{row['of_copy_and_calls']:6.2f} x copy and {row['calls_per_element']:.2f} calls"
    return f"{what} {row['variant']:13} {row['ms']:9.3f} ms {row['of_copy']:6.2f} x copy {more}"


def arguments() -> Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)} alone, at 32 MB")
    parser.add_argument("--only", help="functions, by name")
    parser.add_argument("--sizes", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--vs", default=",".join((*OURS, *PEERS)), help="variants beside tdsl")
    parser.add_argument(
        "--seconds", type=float, help="for each comparison, beyond the fewest rounds"
    )
    parser.add_argument("--minutes", type=float, help="after which nothing more is begun")
    parser.add_argument("--out", type=Path, help="a JSON file, which is added to")
    return parser.parse_args()


def wanted(options: Namespace) -> list[tuple[Case, str, str]]:
    """What is to be compared: case, size, stage."""
    names = options.only.split(",") if options.only else QUICK if options.quick else None
    sizes = options.sizes.split(",") if options.sizes else ["32 MB"] if options.quick else SIZES
    cases = [case for case in CASES if names is None or case.name in names]
    return [(case, size, stage) for size in sizes for case in cases for stage in stages(case)]


def sorted_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows by size, then as the cases stand, whenever they were measured."""
    sizes, names = [*SIZES], [case.name for case in CASES]

    def place(row: Row) -> tuple[int, int, int]:
        return sizes.index(row["size"]), names.index(row["function"]), STAGES.index(row["stage"])

    return sorted(rows, key=place)


def main() -> int:
    """Measure what is not there yet, and print what all of it says."""
    options = arguments()
    start = time.monotonic()
    fresh_pages()  # for everybody, but for the variant that says otherwise
    pool.POOL = Pool(0)
    all_rows: list[Row] = []
    if options.out and options.out.exists():
        all_rows = json.loads(options.out.read_text())["rows"]
    done = {(row["function"], row["size"], row["stage"]) for row in all_rows}
    left = [one for one in wanted(options) if (one[0].name, *one[1:]) not in done]
    while left and (options.minutes is None or time.monotonic() - start < 60 * options.minutes):
        case, size, stage = left.pop(0)
        rows = list(measure(case, size, stage, options.vs.split(","), options.seconds))
        all_rows = sorted_rows([*all_rows, *rows])
        print("\n".join(map(text, rows)), flush=True)
        if options.out:
            keep(options.out, "fused", all_rows)
    return told_all(all_rows, len(left))


def told_all(rows: Sequence[Row], left: int) -> int:
    """Print the summary; gives the exit status."""
    wrong = [row for row in rows if "disagrees" in row]
    right = [row for row in rows if "variant" in row]
    print("\n".join([*lines(right, PEERS), *told(goals(right, PEERS))]))
    print("\n".join([f"results that disagree: {len(wrong)}", *map(text, wrong)]))
    if left:
        print(f"{left} comparisons are left: the same command goes on with them")
    return 1 if wrong else 3 if left else 0


if __name__ == "__main__":
    sys.exit(main())
