"""What `tdsl show --stage kernels` prints: the kernels, their traffic, and the fuser's log.

In: a lowered function. Out: text for people, or the document that other programs read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tdsl.fusion.groups import Entry
from tdsl.fusion.kernel import Kernel
from tdsl.fusion.text import plan_head, step_text
from tdsl.runtime.kernels import KernelReport, PlanReport
from tdsl.runtime.lowered import Lowered


def kernels_document(lowered: Lowered) -> dict[str, object]:
    """The document of `--json`."""
    return {
        "function": lowered.graph.name,
        "backend": lowered.wish.backend or "triton",
        "bytes_moved": lowered.bytes_moved,
        "bytes_compulsory": lowered.bytes_compulsory,
        "kernels": [
            {
                "name": k.name, "stage": k.stage, "schedule": k.schedule,
                "bytes_read": k.bytes_read, "bytes_written": k.bytes_written,
                "bytes_reread": k.bytes_reread, "conditional": k.conditional,
                "reads": list(k.reads), "writes": list(k.writes), "source": k.source,
            }
            for k in lowered.kernels
        ],
    }  # fmt: skip


def kernels_text(lowered: Lowered) -> str:
    """Each plan in its text form, with what its kernels move, then its merges; at last the totals."""
    lines = [line for one in lowered.reports for line in _plan(one)]
    moved, least = lowered.bytes_moved, lowered.bytes_compulsory
    ratio = f" ({moved / least:.3f} x)" if least else ""
    lines.append(f"bytes moved {moved:,}, compulsory {least:,}{ratio}")
    return "\n".join(lines)


def _plan(report: PlanReport) -> Iterator[str]:
    reports = {kernel.name: kernel for kernel in report.kernels}
    yield plan_head(report.plan)
    yield ""
    for step in report.plan.steps:
        yield step_text(step)
        if isinstance(step, Kernel):
            yield from _figures(reports[step.name])
        yield ""
    for kernel in report.kernels:
        if kernel.conditional:
            yield f"kernel {kernel.name} {kernel.stage}, which may end at once and is not counted"
            yield from _figures(kernel)
            yield ""
    if report.log:
        yield "merges, in the order in which they were decided; bytes at 4096 for every size:"
        yield from map(_entry, report.log)
        yield ""


def _figures(kernel: KernelReport) -> Iterator[str]:
    yield f"- {kernel.schedule}"
    yield f"- bytes read: {_buffers(kernel.reads)}"
    if kernel.bytes_reread:
        yield f"- of these are read again: {kernel.bytes_reread:,}"
    yield f"- bytes written: {_buffers(kernel.writes)}"


def _buffers(sizes: Mapping[str, int]) -> str:
    items = sizes.items()
    return ", ".join(f"{name} {count:,}" for name, count in items) or "nothing"


def _entry(entry: Entry) -> str:
    what = f"  {entry.first} with {entry.second}: {entry.before:,} -> {entry.after:,}"
    return f"{what}, not merged: {entry.refusal}" if entry.refusal else f"{what}, merged"
