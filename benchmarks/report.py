"""The page of results: what was measured where, tables, and pictures.

In: the documents of the suites, by name. Out: the text of a page in Markdown, and SVG files in a folder.
Between: every table says in what unit it is, and every suite has the command that measures it anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.summary import Row, copies, geometric_mean, means, slower

Document = Any
PEERS = ("numpy", "torch", "compile", "jax", "numexpr")
ORDER = ("tdsl", "tdsl on torch", "unfused", "tiled", *PEERS)
COLOURS = dict(zip(ORDER, (
    "#1b7837", "#5aae61", "#a6dba0", "#d9f0d3", "#9e9ac8", "#fdae61", "#d7301f", "#4393c3", "#999999",
), strict=True))  # fmt: skip
INTRODUCTION = """# Benchmarks

Made by `python -m benchmarks report` from the files in benchmarks/results. Of a function of your own,
`tdsl bench FILE` measures the same: fused, unfused, in NumPy, by torch eager and by torch.compile.

How it is measured: all variants in one process, on the same data, with as many threads as each takes by
itself; results are checked against each other first; variants are timed in turn (A B C, A B C, ...), so
that what slows the machine slows all; compiling is not timed; results are fresh arrays for everybody. Times
are medians. The backward stage is the backward pass alone, from what the forward pass saved; of a loss it
is the value and its gradients together. A ratio above 1 means that tdsl is faster. "A copy" is our own copy
in C, by all threads, into a fresh array of NumPy, of as many bytes as the stage cannot avoid to move.
"""
COMMANDS: Mapping[str, tuple[str, str]] = {
    "fused": ("The memory-bound library", "python -m benchmarks.fused --out benchmarks/results/fused.json"),
    "memory": ("Peak memory", "python -m benchmarks.memory --out benchmarks/results/memory.json"),
    "compile_time": (
        "Compiling", "python -m benchmarks.compile_time --json > benchmarks/results/compile_time.json",
    ),
    "overhead": ("Calls", "python -m benchmarks.overhead --out benchmarks/results/overhead.json"),
    "gpu": ("On a GPU", "python -m benchmarks.gpu --out benchmarks/results/gpu.json"),
}  # fmt: skip


def page(found: Mapping[str, Document], folder: Path) -> str:
    """The page; pictures go into the folder."""
    blocks = [INTRODUCTION]
    for name, (title, command) in COMMANDS.items():
        blocks.append(f"## {title}\n\n`{command}`\n")
        document = found.get(name)
        if document is None:
            blocks.append("No results are kept here yet.\n")
            continue
        if isinstance(document, dict) and "processor" in document:
            blocks.append(_where(document))
        if name == "fused":
            blocks += _fused(document["rows"], folder)
        elif name == "memory":
            blocks.append(_memory(document["rows"]))
        else:
            blocks.append(_plain(_rows(document)))
    return "\n".join(blocks)


def _where(document: Document) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    return (
        f"{document['date']}, {document['processor']}, {document['threads']} threads, "
        f"{document['system']}, {document['compiler']}, {versions}.\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _fused(rows: Sequence[Row], folder: Path) -> Iterator[str]:
    rows = [row for row in rows if "variant" in row]
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    names = [n for n in ORDER[1:] if any(row["variant"] == n for row in rows)]
    lines = []
    for size in sizes:
        for stage in ("forward", "backward"):
            found = means(rows, size, stage)
            ratios = [ratio for ratio, _ in copies(rows, size, stage)]
            cells = [f"{found[n][0]:.2f}" if n in found else "" for n in names]
            worst = max(ratios, default=float("nan"))
            lines.append(
                [f"{size}, {stage}", *cells, f"{geometric_mean(ratios):.2f}", f"{worst:.2f}"]
            )
    yield "Geometric means of time over tdsl's; the last two columns are tdsl's time over the copy's:\n"
    yield _table(["", *names, "of a copy", "at most"], lines)
    for size in sizes:
        name = f"benchmarks_{size.replace(' ', '_')}.svg"
        _picture([row for row in rows if row["size"] == size], names, size, folder / name)
        yield f"![Time over tdsl's for each function, arrays {size}]({name})\n"
    beaten = list(slower(rows, PEERS))
    yield "Where a peer is faster beyond the paired 95 % interval:\n"
    yield "\n".join(f"- {line}" for line in beaten or ["nowhere"]) + "\n"
    for size in sizes:
        yield f"### Milliseconds, {size}\n"
        yield _times([row for row in rows if row["size"] == size], ["tdsl", *names])


def _times(rows: Sequence[Row], names: Sequence[str]) -> str:
    known = {(row["function"], row["stage"], row["variant"]): row for row in rows}
    lines = []
    for function, stage in dict.fromkeys((row["function"], row["stage"]) for row in rows):
        found = [known.get((function, stage, name)) for name in names]
        cells = [f"{row['ms']:.3g}" if row else "" for row in found]
        lines.append(
            [f"{function}, {stage}", *cells, f"{found[0]['of_copy']:.2f}" if found[0] else ""]
        )
    return _table(["", *names, "of a copy"], lines)


def _picture(rows: Sequence[Row], names: Sequence[str], title: str, file: Path) -> None:
    """A point for each function and variant: its time over tdsl's."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    functions = list(dict.fromkeys(row["function"] for row in rows))
    with mpl.rc_context({"svg.hashsalt": "tdsl"}):
        figure = Figure(figsize=(11, 0.17 * len(functions) + 1.6), layout="constrained")
        for axes, stage in zip(
            figure.subplots(1, 2, sharey=True), ("forward", "backward"), strict=True
        ):
            for name in names:
                own = [r for r in rows if r["stage"] == stage and r["variant"] == name]
                places = [functions.index(row["function"]) for row in own]
                ratios = [row["ratio"] for row in own]
                axes.plot(ratios, places, "o", ms=4, color=COLOURS[name], label=name)
            axes.axvline(1, color=COLOURS["tdsl"], lw=1)
            axes.set_xscale("log")
            axes.set_yticks(range(len(functions)), functions, fontsize=7)
            axes.set_ylim(len(functions) - 0.5, -0.5)
            axes.set_title(f"{stage}, {title}")
            axes.set_xlabel("time over tdsl's")
        axes.legend(fontsize=7)
        figure.savefig(file, metadata={"Date": None})


def _memory(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(row["variant"] for row in rows))
    known = {(row["function"], row["variant"]): row["ratio"] for row in rows}
    lines = [
        [function, *(f"{known[function, n]:.2f}" if (function, n) in known else "" for n in names)]
        for function in dict.fromkeys(row["function"] for row in rows)
    ]
    head = "Most memory over the compulsory buffers, which are results and gradients:\n\n"
    return head + _table(["", *names], lines)


def _rows(document: Document) -> list[Row]:
    """The rows of a suite that has another kind of document."""
    if isinstance(document, list):
        return document
    calls = document.get("microseconds", {}).items()
    return document.get("rows") or [{"call": name, "microseconds": value} for name, value in calls]


def _plain(rows: Sequence[Row]) -> str:
    """Rows as they are, where a suite has a table of its own kind."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return _table(keys, [[_cell(row.get(key, "")) for key in keys] for row in rows])


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
