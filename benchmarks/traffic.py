"""The page of traffic and launches: `python -m benchmarks.traffic > docs/traffic.md`.

In: every function of the library at the large sizes of `tests/triton/large.py`, and the launches of others
in `launches.json` (measured by `benchmarks/launches.py`) and `liger.json` (read off its published code).
Out: Markdown, deterministic. Nothing is run: the figures are read off plans.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import tdsl
from tdsl.fusion.plan import LibraryCall
from tdsl.runtime.kernels import REFERENCE_TARGET
from tdsl.runtime.lowered import Lowered
from tests.kernels.reference import Row
from tests.triton.large import is_image, representatives, specs

HERE = Path(__file__).parent
MORE_ROWS = {"norms": {2: 32}}
FROZEN = {"rope": (1, 2), "cosine_embedding": (2,)}
"""Arguments that have no gradient, or none in practice: the tables of angles."""

KINDS = ("eager", "compile")
COLUMNS = (
    "function", "arguments", "moved / least, forward", "with gradients", "launches", *KINDS, "Liger"
)  # fmt: skip
HEADER = """# Traffic and launches

What the library's functions move on a GPU, and how many kernels do it, read off the plans for {target} by
`python -m benchmarks.traffic`. Nothing here is a time: no kernel was run for it.

- *moved / least*: the bytes that the kernels move, over the least that any program could: arguments read
  once, results written once. Workspaces between kernels count, and so does what the forward pass saves.
  The least counts an array whole of which some elements are gathered, so `pick` and `nll` are below 1;
  rows too long for the registers are read again by each pass over them.
- *launches*: kernels and calls of the vendor's library, forward + backward. The gradients of a loss are
  computed with its value, so nothing is left for the backward pass but a kernel that scales them, which
  ends at once where the loss's cotangent is 1: `(1)`, not counted in the bytes.
- *eager*: operations of aten that are no views and no allocations, torch {torch} on the CPU, in f32. Each
  launches at least one kernel; what is one operation on CUDA may be several on the CPU (`rms_norm`). Where
  torch has no function, the expression is the one in `tests/kernels/reference.py`, written by hand.
- *compile*: groups of loops and calls that are left after Inductor's fusion for the CPU, torch {torch}, for
  the same expression. Its kernels for a GPU are not counted here, and may be fewer or more. `-`: it does
  not take the expression.
- *Liger*: kernels and operations of aten in the code that Liger-Kernel publishes, counted alike, for an
  incoming gradient of 1; the files are named below.
"""


def traffic_page() -> str:
    """The text of `docs/traffic.md`."""
    launches = json.loads((HERE / "launches.json").read_text(encoding="utf-8"))
    liger = json.loads((HERE / "liger.json").read_text(encoding="utf-8"))
    lines = [HEADER.format(target=REFERENCE_TARGET, torch=launches["torch"].partition("+")[0])]
    rows = chosen()
    for file in dict.fromkeys(row.file for row in rows):
        lines += [
            f"## {file}\n",
            f"| {' | '.join(COLUMNS)} |",
            f"|{' --- |' * len(COLUMNS)}",
        ]
        for row in rows:
            if row.file == file:
                torch = launches["launches"].get(f"{file}.{row.id}", {})
                lines.append(_line(row, torch, liger["launches"].get(f"{file}.{row.id}")))
        lines.append("")
    return "\n".join([*lines, *_sources(liger)]) + "\n"


@cache
def chosen() -> tuple[Row, ...]:
    """A row for each function and number of arguments; parameters all of one dtype where they can be."""
    plain: dict[tuple[str, str, int], Row] = {}
    for row in sorted(representatives(), key=lambda row: len(row.single)):
        plain.setdefault((row.file, row.name, len(row.arguments)), row)
    return tuple(row for row in representatives() if row in plain.values())


def lowered(row: Row, *, grad: bool) -> Lowered:
    """The function at the row's large sizes, in bf16; gradients are those of what is not frozen."""
    function: Any = getattr(getattr(tdsl.kernels, row.file), row.name)
    given = specs(row, "bf16", {} if is_image(row) else MORE_ROWS.get(row.file, {}))
    wanted: list[str] | bool = False
    if grad:
        frozen = (*row.frozen, *FROZEN.get(row.name, ()))
        names = [parameter.name for parameter in function.target.signature.parameters]
        floating = [
            names[place]
            for place, spec in enumerate(given)
            if place not in frozen and isinstance(spec, str) and spec.startswith(("bf16", "f32"))
        ]
        wanted = floating
    found: Lowered = function.lower(*given, grad=wanted, **row.static)
    return found


def _line(row: Row, torch: Mapping[str, Any], liger: Any) -> str:
    alone = lowered(row, grad=False)
    cells = [f"`{_name(row)}`", _arguments(row), _ratio(alone)]
    if row.file == "optimizers" or row.name.endswith("_vjp"):
        counts = [str(_launches(alone)["forward"]), *(_plain(torch.get(k)) for k in KINDS)]
        return f"| {' | '.join([*cells, '', *counts, '-'])} |"
    both = lowered(row, grad=True)
    counts = [_sum(_launches(both)), *(_sum(torch.get(kind)) for kind in KINDS), _sum(liger)]
    return f"| {' | '.join([*cells, _ratio(both), *counts])} |"


def _name(row: Row) -> str:
    static = ", ".join(f"{key}={json.dumps(value)}" for key, value in row.static.items())
    return f"{row.name}({static})" if static else row.name


def _arguments(row: Row) -> str:
    given = specs(row, "bf16", {} if is_image(row) else MORE_ROWS.get(row.file, {}))
    texts = [spec for spec in given if isinstance(spec, str)]
    counted = {text: texts.count(text) for text in texts}
    return ", ".join(f"{n} x {text}" if n > 1 else text for text, n in counted.items())


def _ratio(found: Lowered) -> str:
    return f"{found.bytes_moved / found.bytes_compulsory:.3f}"


def _launches(found: Lowered) -> dict[str, Any]:
    """Kernels and library calls, by stage; conditional ones in brackets."""
    counts: dict[str, Any] = {"forward": 0, "backward": 0}
    for report in found.reports:
        calls = sum(isinstance(step, LibraryCall) for step in report.plan.steps)
        always = [kernel for kernel in report.kernels if not kernel.conditional]
        stage = "backward" if report is not found.reports[0] else "forward"
        counts[stage] += calls + len(always)
        if len(always) < len(report.kernels):
            counts["backward"] = f"({len(report.kernels) - len(always)})"
    return counts


def _sum(counts: Mapping[str, Any] | None) -> str:
    return f"{counts['forward']} + {counts['backward']}" if counts else "-"


def _plain(counts: Mapping[str, Any] | None) -> str:
    return str(counts["forward"]) if counts else "-"


def _sources(liger: Mapping[str, Any]) -> Iterator[str]:
    """Where Liger-Kernel's counts come from."""
    yield "## Sources of Liger-Kernel's counts\n"
    yield f"Files under `{liger['folder']}` of `{liger['repository']}`, each at the commit named: they"
    yield "are of different ages, no one release, and none need be the newest.\n"
    for name, one in liger["launches"].items():
        yield f"- `{name.partition('.')[2]}`: `{one['path']}` at `{one['commit'][:12]}`. {one['counted']}"


if __name__ == "__main__":
    print(traffic_page(), end="")
