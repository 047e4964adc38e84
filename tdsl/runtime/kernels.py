"""What a backend makes of a graph for given sizes: kernels with their source and their traffic.

In: flat graphs, sizes, and a target. Out: `KernelReport`s in the order in which the kernels run. Between:
the figures are read off the kernels and schedules that are printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod

from tdsl.backends.c import module as c
from tdsl.backends.c.literals import NoForm
from tdsl.backends.triton import scale_source
from tdsl.backends.triton.ahead import MULTIPROCESSORS
from tdsl.backends.triton.module import PROGRAMS_NAME, print_plan
from tdsl.fusion.groups import Entry
from tdsl.fusion.kernel import Stage
from tdsl.fusion.plan import Plan, make_plan
from tdsl.fusion.schedule import Schedule
from tdsl.fusion.traffic import compulsory, traffic
from tdsl.ir.dtype import item_bytes
from tdsl.ir.function import Function as Graph
from tdsl.ir.size import Size

REFERENCE_TARGET = "sm_90"


Printed = tuple[str, int, list[tuple[str, str, str, Schedule]]]
"""A file, how many programs keep sums, and of each kernel name, text, schedule in words, and schedule."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for beside the graph: gradients, and kernels for a backend and a target."""

    grad: bool | str | Sequence[str] | None = None
    backend: str | None = None
    target: str | None = None

    @property
    def wrt(self) -> tuple[str, ...] | None:
        """The parameters that gradients are asked for; None: all that may have them."""
        if isinstance(self.grad, str):
            return (self.grad,)
        return None if self.grad is True or not self.grad else tuple(self.grad)


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
    graph: Graph, stage: Stage, sizes: Mapping[str, int], wish: Wish, names: Sequence[str] = ()
) -> PlanReport:
    """The plan of a flat graph with what it moves at these sizes.

    Raises TdslError for an operation without a form in the backend's language.
    """
    plan = make_plan(graph, stage, names)
    try:
        source, programs, rows = (_as_c if wish.backend == "c" else _as_triton)(plan, sizes, wish)
    except NoForm as error:
        raise error.within(graph) from None
    size = partial(Size.evaluate, values={**sizes, PROGRAMS_NAME: programs})
    kernels: list[KernelReport] = []
    for kernel, (name, text, described, schedule) in zip(plan.kernels, rows, strict=True):
        moved = traffic(kernel, schedule, size)
        head = name, stage, text, described
        kernels.append(KernelReport(*head, moved.reads, moved.writes, moved.reread))
    return PlanReport(plan, source, tuple(kernels), plan.log, compulsory(graph, size))


def _as_triton(plan: Plan, sizes: Mapping[str, int], wish: Wish) -> Printed:
    module = print_plan(plan, sizes, MULTIPROCESSORS[wish.target or REFERENCE_TARGET])
    rows = [(one.name, one.text, how.describe(), how) for one, how in module.kernels]
    return module.source, module.programs, rows


def _as_c(plan: Plan, sizes: Mapping[str, int], wish: Wish) -> Printed:
    module, programs = c.print_plan(plan, sizes)
    rows = [(one.name, one.text, how.describe(), how.walk()) for one, how in module.kernels]
    return module.source, programs, rows


def with_scale(report: PlanReport, sizes: Mapping[str, int]) -> PlanReport:
    """The plan of a loss and its gradients, and the kernel by which torch's backward pass ends.

    It multiplies each gradient by the loss's cotangent, in place, unless that is 1: see
    `tdsl.backends.triton.scale_source`.
    """
    buffers = {buffer.name: buffer for buffer in report.plan.buffers}
    moved = {
        name: prod(size.evaluate(sizes) for size in buffers[name].shape)
        * item_bytes(buffers[name].dtype)
        for name in report.plan.results
    }
    loss, *gradients = report.plan.results
    writes = {name: moved[name] for name in gradients}
    scale = KernelReport(
        scale_source.NAME, "backward", scale_source.KERNEL, scale_source.SCHEDULE,
        {"ct": moved[loss], **writes}, writes, 0, conditional=True,
    )  # fmt: skip
    return replace(report, kernels=(*report.kernels, scale))
