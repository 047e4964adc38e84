"""What the rows of `fused` say together: geometric means, and who is slower than whom.

In: rows. Out: lines of text, or figures for the report. Between: a ratio above 1 means that tdsl is faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import exp, log
from typing import Any

import numpy as np

Row = dict[str, Any]


def paired(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """The median ratio of two variants' rounds, and the ends of its 95 % interval, by resampling."""
    ratios = np.asarray(theirs) / np.asarray(ours)
    generator = np.random.default_rng(0)
    drawn = np.median(generator.choice(ratios, (2000, len(ratios))), axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)


def geometric_mean(values: Iterable[float]) -> float:
    """The exponential of the mean of the logarithms; NaN of nothing."""
    logs = [log(value) for value in values]
    return exp(sum(logs) / len(logs)) if logs else float("nan")


def means(rows: Sequence[Row], size: str, stage: str) -> dict[str, tuple[float, int]]:
    """For each variant the geometric mean of its ratios to tdsl, and over how many functions."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["size"] == size and row["stage"] == stage and "ratio" in row:
            found.setdefault(row["variant"], []).append(row["ratio"])
    return {name: (geometric_mean(ratios), len(ratios)) for name, ratios in found.items()}


def over(rows: Sequence[Row], size: str, stage: str, slow: str, fast: str) -> float:
    """The geometric mean of the ratios of two variants, over the functions that both have."""
    times: dict[str, dict[str, float]] = {slow: {}, fast: {}}
    for row in rows:
        if row["size"] == size and row["stage"] == stage and row["variant"] in times:
            times[row["variant"]][row["function"]] = row["ms"]
    both = times[slow].keys() & times[fast].keys()
    return geometric_mean(times[slow][name] / times[fast][name] for name in both)


def copies(
    rows: Sequence[Row], size: str, stage: str, variant: str = "tdsl"
) -> list[tuple[float, str]]:
    """How many times as long as a copy of its compulsory bytes each function takes, the worst first."""
    own = [r for r in rows if r["size"] == size and r["stage"] == stage and r["variant"] == variant]
    return sorted(((row["of_copy"], row["function"]) for row in own), reverse=True)


def slower(rows: Sequence[Row], peers: Sequence[str]) -> Iterator[str]:
    """Where a peer is faster, beyond the paired 95 % interval."""
    for row in rows:
        if row["variant"] in peers and row.get("ratio_high", 1.0) < 1:
            where = f"{row['function']} {row['stage']} {row['size']}"
            yield f"{where}: {row['variant']} takes {row['ratio']:.2f} x our time"


def lines(rows: Sequence[Row], peers: Sequence[str]) -> Iterator[str]:
    """The summary as text."""
    for size in dict.fromkeys(row["size"] for row in rows):
        for stage in ("forward", "backward"):
            found = means(rows, size, stage)
            if not found:
                continue
            told = ", ".join(f"{name} {mean:.2f} x ({n})" for name, (mean, n) in found.items())
            yield f"{size}, {stage}: time over tdsl's, geometric means: {told}"
            ratios = copies(rows, size, stage)
            worst = ", ".join(f"{name} {ratio:.2f}" for ratio, name in ratios[:5])
            mean = geometric_mean(ratio for ratio, _ in ratios)
            yield f"  {mean:.2f} x a copy of the same bytes; the most: {worst}"
            if {"numpy", "tiled"} <= {*found}:
                yield f"  numpy over tiled: {over(rows, size, stage, 'numpy', 'tiled'):.2f} x"
    found_slower = list(slower(rows, peers))
    yield f"slower than a peer, beyond the paired 95 % interval: {len(found_slower)}"
    yield from (f"  {line}" for line in found_slower)
