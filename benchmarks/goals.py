"""What is meant to be reached on the processor, and what is.

In: the rows of a suite. Out: a `Goal` for each figure. Between: of the memory-bound library arrays of 32 MB
and more count; those that stay in the cache have no goal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.calls import FEW
from benchmarks.summary import Row, copies, geometric_mean, means, over, slower

COUNTED = ("32 MB", "beyond the cache")
FACTORS = {"compile": (2.5, 3.0), "torch": (5.0, None), "numpy": (4.0, None)}
"""How many times as fast as a peer, as a geometric mean: at least, and better."""
OF_COPY, TILED = 1.5, 2.0
MEMORY = 1.1
"""How many times the compulsory buffers both passes may take."""
MORE_THAN_HAND, MORE_THAN_EAGER = 3.0, 5.0
"""Microseconds of a call on 8 floats, more than what it is compared with."""

KNOWN: Mapping[tuple[str, str], str] = {
    ("nll", "backward"): "stores almost alone: its fresh pages are twice those of a copy of as many bytes",
}  # fmt: skip
"""Why a stage misses a copy's time, where it is the nature of what it does."""

ONE_BY_ONE, AT_ONCE = (f"30 functions in C: {how}" for how in ("one after another", "in parallel"))
COMPILING = {"a file of C, compiled": 500.0, "a file of C, from the cache": 5.0}
"""Milliseconds, at the median."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure, what it is to be, whether it is, and which rows miss it by themselves."""

    what: str
    found: str
    target: str
    is_met: bool
    misses: tuple[str, ...] = ()


def goals(rows: Sequence[Row], peers: Sequence[str]) -> Iterator[Goal]:
    """Every goal for which there are rows."""
    counted = [row for row in rows if row["size"] in COUNTED]
    for size in dict.fromkeys(row["size"] for row in counted):
        for stage in ("forward", "backward"):
            found = means(counted, size, stage)
            for name, (least, aim) in FACTORS.items():
                if name in found:
                    better = f", aim {aim:g}" if aim else ""
                    of_copy = geometric_mean(r for r, _ in copies(counted, size, stage, name))
                    note = f" (over a copy's {of_copy:.2f})"
                    yield _mean(f"{size}, {stage}: time of {name} over tdsl's", found[name][0],
                                least, better, note)  # fmt: skip
            if {"numpy", "tiled"} <= found.keys():
                mean = over(counted, size, stage, "numpy", "tiled")
                yield _mean(f"{size}, {stage}: time of numpy over that of tiles", mean, TILED)
    own = [row for row in counted if row["variant"] == "tdsl"]
    light = [row for row in own if row.get("calls_per_element", 0) <= FEW]
    heavy = [row for row in own if row not in light]
    if light:
        yield _within("memory-bound: time over a copy's", light, "of_copy")
    if heavy:
        yield _within("more calls: time over a copy's and the calls'", heavy, "of_copy_and_calls")
    if counted:
        beaten = tuple(slower(counted, peers))
        what = "slower than a peer, beyond the paired 95 % interval"
        yield Goal(what, str(len(beaten)), "none", not beaten, beaten)


def memory_goals(rows: Sequence[Row]) -> Iterator[Goal]:
    """Of the rows of `memory`: the most that tdsl takes."""
    for variant in ("tdsl", "tdsl on torch"):
        own = [row for row in rows if row["variant"] == variant]
        if own:
            above = sorted((r for r in own if r["ratio"] > MEMORY), key=lambda row: -row["ratio"])
            misses = tuple(f"{row['function']}: {row['ratio']:.2f} x" for row in above)
            worst = max(row["ratio"] for row in own)
            what = f"{variant}: most memory over the compulsory buffers"
            yield Goal(what, f"{worst:.2f} x", f"at most {MEMORY:g}", not above, misses)


def call_goals(rows: Sequence[Row]) -> Iterator[Goal]:
    """Of the rows of `overhead`: what a call costs more than the least that does the same."""
    known = {row["what"]: row["value"] for row in rows}
    pairs = [("cpu: tdsl, NumPy", "cpu: C by hand, NumPy", MORE_THAN_HAND)]
    kinds = ("no gradient", "recorded", "backward too")
    pairs += [(f"cpu: tdsl, {kind}", f"cpu: eager, {kind}", MORE_THAN_EAGER) for kind in kinds]
    for own, other, most in pairs:
        more = known[own] - known[other]
        what = f"{own}, more than {other.removeprefix('cpu: ')}"
        yield Goal(what, f"{more:.2f} us", f"at most {most:g}", more <= most)


def compile_goals(rows: Sequence[Row]) -> Iterator[Goal]:
    """Of the rows of `compile_time`: medians over the library's files of C, and 30 functions at once."""
    known = {row["what"]: row["value"] for row in rows}
    for what, most in COMPILING.items():
        yield Goal(what, f"{known[what]:.2f} ms", f"below {most:g}", known[what] < most)
    if {ONE_BY_ONE, AT_ONCE} <= known.keys():
        times = known[ONE_BY_ONE] / known[AT_ONCE]
        what = f"{ONE_BY_ONE}, over in parallel"
        yield Goal(what, f"{times:.2f} x", "above 1", times > 1)


def told(goals: Iterable[Goal]) -> Iterator[str]:
    """The goals as text, with what misses them."""
    for goal in goals:
        mark = "pass" if goal.is_met else "MISS"
        yield f"{mark}  {goal.what}: {goal.found} ({goal.target})"
        yield from (f"        {line}" for line in goal.misses)


def _mean(what: str, mean: float, least: float, better: str = "", note: str = "") -> Goal:
    return Goal(what, f"{mean:.2f} x{note}", f"at least {least:g}{better}", mean >= least)


def _miss(row: Row, key: str) -> str:
    why = KNOWN.get((row["function"], row["stage"]))
    reason = f" ({why})" if why else ""
    return f"{row['function']} {row['stage']} {row['size']}: {row[key]:.2f} x{reason}"


def _within(what: str, rows: Sequence[Row], key: str) -> Goal:
    """Of rows, that a ratio is at most `OF_COPY` in each; the worst miss first."""
    above = sorted((row for row in rows if row[key] > OF_COPY), key=lambda row: -row[key])
    misses = tuple(_miss(row, key) for row in above)
    mean = geometric_mean(row[key] for row in rows)
    worst = max(row[key] for row in rows)
    found = f"{mean:.2f} x, at most {worst:.2f} x; beyond it {len(above)} of {len(rows)}"
    return Goal(what, found, f"each at most {OF_COPY:g}", not above, misses)
