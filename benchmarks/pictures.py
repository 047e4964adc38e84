"""The pictures of the page of results.

In: rows, a title, a file. Out: an SVG file. Between: the same rows give the same file; a point or a bar
that is further to the left is better, but for a time over tdsl's, which is a peer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.summary import Row

ORDER = ("tdsl", "tdsl with pool", "tdsl on torch", "unfused", "tiled", *PEERS)
COLOURS = dict(zip(ORDER, (
    "#00441b", "#238b45", "#66c2a4", "#b3cde3", "#8c6bb1", "#252525", "#fe9929", "#d7301f", "#4393c3",
    "#bdbdbd",
), strict=True))  # fmt: skip
MARKS = dict(zip(ORDER, "o^v<>DosPX", strict=True))

TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@contextmanager
def _drawing(file: Path, size: tuple[float, float]) -> Iterator[Any]:
    """A figure that is written to the file, with the same identifiers every time."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "tdsl", "font.size": 9}):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        figure.savefig(file, metadata={"Date": None})


def ratios(rows: Sequence[Row], names: Sequence[str], title: str, file: Path) -> None:
    """A point for each function and variant, in two stages: its time over tdsl's."""
    functions = list(dict.fromkeys(row["function"] for row in rows))
    with _drawing(file, (11, 0.19 * len(functions) + 1.8)) as figure:
        for axes, stage in zip(
            figure.subplots(1, 2, sharey=True), ("forward", "backward"), strict=True
        ):
            own = [row for row in rows if row["stage"] == stage and "ratio" in row]
            _points(axes, own, names, functions, "ratio")
            axes.axvline(1, color=COLOURS["tdsl"], lw=1.5)
            axes.set_title(f"{stage}, arrays {title}")
            axes.set_xlabel("time over tdsl's (right of the line: tdsl is faster)")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(names), frameon=False)


def shares(rows: Sequence[Row], names: Sequence[str], label: str, file: Path) -> None:
    """A point for each function and variant: a ratio to what cannot be avoided."""
    functions = list(dict.fromkeys(row["function"] for row in rows))
    with _drawing(file, (7, 0.19 * len(functions) + 1.5)) as figure:
        axes = figure.subplots()
        _points(axes, rows, names, functions, "ratio")
        axes.axvline(1, color="#555555", lw=1)
        axes.set_xlabel(label)
        figure.legend(loc="outside upper center", ncols=len(names), frameon=False)


def _points(
    axes: Any, rows: Sequence[Row], names: Sequence[str], functions: Sequence[str], key: str
) -> None:
    places = {function: place for place, function in enumerate(functions)}
    for height, name in enumerate(names):
        own = [row for row in rows if row["variant"] == name]
        axes.plot(
            [row[key] for row in own], [places[row["function"]] for row in own], MARKS[name],
            ms=4.5, color=COLOURS[name], label=name, alpha=0.9,
            zorder=3 + len(names) - height,
        )  # fmt: skip
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.grid(axis="y", lw=0.3)
    axes.set_axisbelow(True)
    axes.set_yticks(range(len(functions)), functions, fontsize=8)
    axes.set_ylim(len(functions) - 0.5, -0.5)


def bars(values: Mapping[str, float], label: str, file: Path) -> None:
    """A bar for each figure, with its number."""
    with _drawing(file, (8, 0.26 * len(values) + 0.9)) as figure:
        axes = figure.subplots()
        own = [COLOURS["tdsl" if "tdsl" in name else "numpy"] for name in values]
        drawn = axes.barh(range(len(values)), list(values.values()), color=own, alpha=0.85)
        axes.bar_label(drawn, [f"{value:.3g}" for value in values.values()], padding=3)
        axes.set_yticks(range(len(values)), list(values))
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel(label)
