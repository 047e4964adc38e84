"""What a backend makes of a graph for given sizes: kernels with their source and their traffic.

In: flat graphs, sizes, and a target. Out: `KernelReport`s in the order in which the kernels run. Between:
the figures are read off the kernels and schedules that are printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod

from tdsl.backends.triton import scale_source
from tdsl.backends.triton.ahead import MULTIPROCESSORS
from tdsl.backends.triton.module import PROGRAMS_NAME, print_plan
from tdsl.fusion.groups import Entry
from tdsl.fusion.kernel import Stage
from tdsl.fusion.offsets import bytes_of
from tdsl.fusion.plan import Plan, make_plan
from tdsl.fusion.traffic import compulsory, traffic
from tdsl.ir.function import Function as Graph
from tdsl.ir.size import Size

REFERENCE_TARGET = "sm_90"


@dataclass(frozen=True, slots=True)
class KernelReport:
    """One kernel: its source, its schedule in words, and the bytes that it moves.

    `reads` and `writes` are bytes by buffer. A conditional kernel may end without touching anything.
    """

    name: str
    stage: Stage
    source: str
    schedule: str
    reads: Mapping[str, int]
    writes: Mapping[str, int]
    bytes_reread: int
    conditional: bool = False

    @property
    def bytes_read(self) -> int:
        """Bytes read from memory."""
        return sum(self.reads.values())

    @property
    def bytes_written(self) -> int:
        """Bytes written to memory."""
        return sum(self.writes.values())


@dataclass(frozen=True, slots=True)
class PlanReport:
    """A plan's kernels, their file, and the fuser's log."""

    plan: Plan
    source: str
    kernels: tuple[KernelReport, ...]
    log: tuple[Entry, ...]
    compulsory: int


def report(
    graph: Graph,
    stage: Stage,
    sizes: Mapping[str, int],
    target: str | None,
    names: Sequence[str] = (),
) -> PlanReport:
    """The plan of a flat graph with what it moves at these sizes."""
    plan = make_plan(graph, stage, names)
    module = print_plan(plan, sizes, MULTIPROCESSORS[target or REFERENCE_TARGET])
    size = partial(Size.evaluate, values={**sizes, PROGRAMS_NAME: module.programs})
    kernels: list[KernelReport] = []
    for kernel, (printed, schedule) in zip(plan.kernels, module.kernels, strict=True):
        moved = traffic(kernel, schedule, size)
        described = printed.name, stage, printed.text, schedule.describe()
        kernels.append(KernelReport(*described, moved.reads, moved.writes, moved.reread))
    return PlanReport(plan, module.source, tuple(kernels), plan.log, compulsory(graph, size))


def with_scale(report: PlanReport, sizes: Mapping[str, int]) -> PlanReport:
    """The plan of a loss and its gradients, and the kernel by which torch's backward pass ends.

    It multiplies each gradient by the loss's cotangent, in place, unless that is 1: see
    `tdsl.backends.triton.scale_source`.
    """
    buffers = {buffer.name: buffer for buffer in report.plan.buffers}
    moved = {
        name: prod(size.evaluate(sizes) for size in buffers[name].shape)
        * bytes_of(buffers[name].dtype)
        for name in report.plan.results
    }
    loss, *gradients = report.plan.results
    writes = {name: moved[name] for name in gradients}
    scale = KernelReport(
        scale_source.NAME, "backward", scale_source.KERNEL, scale_source.SCHEDULE,
        {"ct": moved[loss], **writes}, writes, 0, conditional=True,
    )  # fmt: skip
    return replace(report, kernels=(*report.kernels, scale))
