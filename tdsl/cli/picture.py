"""The picture of a benchmark: bars of the times, and a roofline.

In: the document of `tdsl bench`. Out: an SVG or PNG file. Between: the roofline's slope is the measured
copy; a point stands for a stage run by a variant, at the number of results of the fused variant that it
makes for each byte moved, so that moving fewer bytes is to the right and running sooner is up.
"""

from __future__ import annotations

from typing import Any

from tdsl import faults

COLOURS = {
    "fused": "#1b7837", "unfused": "#a6dba0", "tiled": "#5aae61", "interpreter": "#9e9ac8",
    "numpy": "#9e9ac8", "torch": "#fdae61", "compile": "#d7301f",
}  # fmt: skip


def draw(document: dict[str, Any], file: str) -> None:
    """Write the picture. Raises TdslError for a file that cannot be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    bars, roof = figure.subplots(1, 2)
    _bars(bars, document["rows"])
    _roofline(roof, document)
    figure.suptitle(f"{document['function']} on {document['device']}")
    try:
        figure.savefig(file, metadata={"Date": None} if file.endswith(".svg") else None)
    except OSError as error:
        raise faults.UNWRITABLE.at(file=file, reason=error.strerror or str(error)) from None


def _bars(axes: Any, rows: list[dict[str, Any]]) -> None:
    """The median of each variant, and its least; the most tells more about the machine."""
    labels = [f"{row['variant']}, {row['stage']}" for row in rows]
    places = range(len(rows))
    times = [row["ms"] for row in rows]
    below = [[row["ms"] - row["ms_min"] for row in rows], [0.0] * len(rows)]
    colours = [COLOURS[row["variant"]] for row in rows]
    drawn = axes.barh(places, times, xerr=below, color=colours, ecolor="#555555", capsize=2)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.bar_label(drawn, [f"{time:.3g}" for time in times], padding=3)
    axes.margins(x=0.15)
    axes.set_xlabel("milliseconds (median; the whisker goes down to the least)")


def _roofline(axes: Any, document: dict[str, Any]) -> None:
    """Work over time against work over bytes; the unit of work is the fused variant's bytes."""
    rows = document["rows"]
    fused = {row["stage"]: row["bytes_moved"] for row in rows if row["variant"] == "fused"}
    marks = {"forward": "o", "backward": "s"}
    least = 1.0
    for row in rows:
        work = fused[row["stage"]]
        share = work / max(row["bytes_moved"], 1)
        least = min(least, share)
        rate = work / row["ms"] / 1e6
        axes.plot(share, rate, marks[row["stage"]], color=COLOURS[row["variant"]],
                  label=f"{row['variant']}, {row['stage']}")  # fmt: skip
    ends = [least / 1.5, 1.5]
    axes.plot(ends, [document["copy_gb_per_s"] * end for end in ends], color="#555555", lw=1)
    axes.text(ends[0], document["copy_gb_per_s"] * ends[0], "copy", va="bottom")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("bytes of the fused kernels / bytes moved")
    axes.set_ylabel("bytes of the fused kernels / time (GB/s)")
    axes.legend(fontsize=7)
