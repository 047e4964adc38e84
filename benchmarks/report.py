"""The page of results: what was measured where, tables, and pictures.

In: the documents of the suites, by name. Out: the text of a page in Markdown, and SVG files in a folder.
Between: every table says in what unit it is, and every suite has the command that measures it anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import pictures
from benchmarks.goals import Goal, call_goals, compile_goals, goals, memory_goals
from benchmarks.peers import PEERS
from benchmarks.pictures import ORDER
from benchmarks.summary import Row, copies, geometric_mean, means, slower

Document = Any
INTRODUCTION = """# Benchmarks

Made by `python -m benchmarks report` from the files in benchmarks/results. Of a function of your own,
`tdsl bench FILE` measures the same: fused, unfused, in NumPy, by torch eager, torch.compile, JAX and
NumExpr.

How it is measured: all variants in one process, on the same data, with as many threads as each takes by
itself; results are checked against each other first; variants are timed in turn (A B C, A B C, ...), so
that what slows the machine slows all, each directly after a run of its own that is not timed, before which
the threads of the one before fall asleep; compiling is not timed; results are fresh arrays for everybody.
Times are medians. The backward stage is the backward pass alone, from what the forward pass saved; of a
loss it is the value and its gradients together. A ratio above 1 means that tdsl is faster. "A copy" is our
own copy in C, by all threads, into a fresh array of NumPy, of as many bytes as the stage cannot avoid to
move; a peer's time "over a copy's" is what that processor leaves to be gained by who moves no more.
"""
COMMANDS: Mapping[str, tuple[str, str]] = {
    "fused": ("The memory-bound library", "python -m benchmarks.fused --out benchmarks/results/fused.json"),
    "memory": ("Peak memory", "python -m benchmarks.memory --out benchmarks/results/memory.json"),
    "compile_time": (
        "Compiling", "python -m benchmarks.compile_time --out benchmarks/results/compile_time.json",
    ),
    "overhead": ("Calls", "python -m benchmarks.overhead --out benchmarks/results/overhead.json"),
    "gpu": ("On a GPU", "python -m benchmarks.gpu --out benchmarks/results/gpu.json"),
}  # fmt: skip


def page(found: Mapping[str, Document], folder: Path) -> str:
    """The page; pictures go into the folder."""
    makers = {
        "fused": _fused, "memory": _memory, "compile_time": _compile_time, "overhead": _overhead,
    }  # fmt: skip
    blocks = [INTRODUCTION]
    for name, (title, command) in COMMANDS.items():
        blocks.append(f"## {title}\n\n`{command}`\n")
        document = found.get(name)
        if document is None:
            blocks.append("No results are kept here yet.\n")
            continue
        if "processor" in document:
            blocks.append(_where(document))
        make = makers.get(name, _plain)
        blocks += make(document["rows"], folder)
        if name == "fused":
            for other in sorted(key for key in found if key.startswith("fused_")):
                blocks += _elsewhere(found[other])
    return "\n".join(blocks)


def _where(document: Document) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    note = f" {document['note']}" if "note" in document else ""
    return (
        f"{document['date']}, {document['processor']}, {document['threads']} threads, "
        f"{document['system']}, {document['compiler']}, {versions}.{note}\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _fused(rows: Sequence[Row], folder: Path) -> Iterator[str]:
    rows = [row for row in rows if "variant" in row]
    yield _means(rows)
    names = _variants(rows)
    for size in _sizes(rows):
        name = f"benchmarks_{size.replace(' ', '_')}.svg"
        pictures.ratios([row for row in rows if row["size"] == size], names, size, folder / name)
        yield f"![Time over tdsl's for each function, arrays {size}]({name})\n"
    yield from _compared(rows, "")


def _elsewhere(document: Document) -> Iterator[str]:
    """The same of another processor, without pictures."""
    where = document["processor"]
    yield f"### The same on {where}\n"
    rows = [row for row in document["rows"] if "variant" in row]
    yield _where(document)
    yield _means(rows)
    yield from _compared(rows, f", {where}")


def _sizes(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["size"] for row in rows))


def _variants(rows: Sequence[Row]) -> list[str]:
    """The variants beside tdsl, in the order of all tables."""
    return [n for n in ORDER[1:] if any(row["variant"] == n for row in rows)]


def _means(rows: Sequence[Row]) -> str:
    """Geometric means for each size and stage, as a table."""
    names, lines = _variants(rows), []
    for size in _sizes(rows):
        for stage in ("forward", "backward"):
            found = means(rows, size, stage)
            ratios = [ratio for ratio, _ in copies(rows, size, stage)]
            cells = [f"{found[n][0]:.2f}" if n in found else "" for n in names]
            worst = max(ratios, default=float("nan"))
            lines.append(
                [f"{size}, {stage}", *cells, f"{geometric_mean(ratios):.2f}", f"{worst:.2f}"]
            )
    head = (
        "Geometric means of time over tdsl's; the last two columns are tdsl's time over the copy's:"
    )
    return f"{head}\n\n{_table(['', *names, 'of a copy', 'at most'], lines)}"


def _compared(rows: Sequence[Row], where: str) -> Iterator[str]:
    """The goals, and every time; headings say where it was measured."""
    yield from _goals(list(goals(rows, PEERS)))
    beaten = [line for line in slower(rows, PEERS) if "in cache" in line]
    if beaten:
        yield "In the cache, which has no goal, a peer is faster beyond the paired 95 % interval in\n"
        yield "\n".join(f"- {line}" for line in beaten) + "\n"
    for size in _sizes(rows):
        yield f"### Milliseconds, {size}{where}\n"
        yield _times([row for row in rows if row["size"] == size], ["tdsl", *_variants(rows)])


def _times(rows: Sequence[Row], names: Sequence[str]) -> str:
    known = {(row["function"], row["stage"], row["variant"]): row for row in rows}
    lines = []
    for function, stage in dict.fromkeys((row["function"], row["stage"]) for row in rows):
        found = [known.get((function, stage, name)) for name in names]
        cells = [_cell(row["ms"]) if row else "" for row in found]
        lines.append(
            [f"{function}, {stage}", *cells, f"{found[0]['of_copy']:.2f}" if found[0] else ""]
        )
    return _table(["", *names, "of a copy"], lines)


def _goals(found: Sequence[Goal]) -> Iterator[str]:
    """The goals as a table, then what misses them."""
    if not found:
        return
    lines = [[goal.what, goal.found, goal.target, "yes" if goal.is_met else "no"] for goal in found]
    yield "What is meant to be reached:\n"
    yield _table(["", "found", "meant", "reached"], lines)
    for goal in found:
        if goal.misses:
            yield f'Beyond it, of "{goal.what}":\n'
            yield "\n".join(f"- {line}" for line in goal.misses) + "\n"


def _memory(rows: Sequence[Row], folder: Path) -> Iterator[str]:
    names = [name for name in ORDER if any(row["variant"] == name for row in rows)]
    known = {(row["function"], row["variant"]): row["ratio"] for row in rows}
    lines = [
        [function, *(f"{known[function, n]:.2f}" if (function, n) in known else "" for n in names)]
        for function in dict.fromkeys(row["function"] for row in rows)
    ]
    yield from _goals(list(memory_goals(rows)))
    label = "most memory of forward and backward over the compulsory buffers"
    pictures.shares(rows, names, label, folder / "benchmarks_memory.svg")
    yield "![Most memory over the compulsory buffers](benchmarks_memory.svg)\n"
    yield "The most memory over that of arguments, results, cotangents and gradients:\n"
    yield _table(["", *names], lines)


def _compile_time(rows: Sequence[Row], folder: Path) -> Iterator[str]:
    yield from _goals(list(compile_goals(rows)))
    times = {row["what"]: row["value"] for row in rows if row["unit"] == "ms"}
    pictures.bars(times, "milliseconds", folder / "benchmarks_compile_time.svg")
    yield "![Milliseconds of compiling](benchmarks_compile_time.svg)\n"
    yield from _plain(rows, folder)


def _overhead(rows: Sequence[Row], folder: Path) -> Iterator[str]:
    yield from _goals(list(call_goals(rows)))
    times = {row["what"]: row["value"] for row in rows}
    label = "microseconds of a call on 8 floats"
    pictures.bars(times, label, folder / "benchmarks_overhead.svg")
    yield "![Microseconds of a call](benchmarks_overhead.svg)\n"
    yield from _plain(rows, folder)


def _plain(rows: Sequence[Row], _: Path) -> Iterator[str]:
    """Rows as they are, where a suite has a table of its own kind."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    yield _table(keys, [[_cell(row.get(key, "")) for key in keys] for row in rows])


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
