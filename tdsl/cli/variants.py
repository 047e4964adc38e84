"""The variants that `tdsl bench` compares: each a way of computing the stages of a subject.

In: a `Subject`, a stage, a mode. Out: a `Variant`: what prepares it, how many kernels it launches, the
bytes that these move. Between: the backward stage starts from what the forward pass saved, which is made
anew outside of the time; of a loss it is the value and its gradients together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from math import prod
from typing import Any

import numpy as np

from tdsl import faults
from tdsl.backends.c.module import PROGRAMS_NAME
from tdsl.backends.c.module import print_plan as print_c
from tdsl.backends.triton.module import form_of
from tdsl.cli.measuring import Action, Prepare
from tdsl.cli.subject import Subject
from tdsl.errors import TdslError
from tdsl.fusion.kernel import Kernel
from tdsl.fusion.plan import Plan
from tdsl.fusion.schedule import Schedule
from tdsl.fusion.traffic import traffic
from tdsl.ir.dtype import item_bytes
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.runtime.backends import is_native
from tdsl.runtime.call import array_runner
from tdsl.runtime.definition import Mode, Run, Specialisation
from tdsl.runtime.native import plan_of, unfused
from tdsl.runtime.pipeline import executable

STAGES = ("forward", "backward")


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of computing a stage. `prepare` is not timed, and gives what is."""

    name: str
    stage: str
    prepare: Prepare
    kernels: int
    bytes_moved: int


@contextmanager
def refusing(name: str, *kinds: type[Exception]) -> Iterator[None]:
    """Raise TdslError, that the variant is not available, where its library raises one of these kinds."""
    try:
        yield
    except TdslError:
        raise
    except kinds as error:
        note = str(error).strip().partition("\n")[0] or type(error).__name__
        raise faults.NO_BACKEND.at(backend=name, note=note) from error


@dataclass(frozen=True, slots=True)
class Setting:
    """How the variants of tdsl itself run: the mode of the fused one, and whether on a CUDA device."""

    mode: Mode
    is_cuda: bool

    @property
    def runs_kernels(self) -> bool:
        """Whether generated kernels run, which may be fused or not."""
        return self.is_cuda or self.mode.backend == "triton" or is_native(self.mode)


def own_variant(
    subject: Subject, stage: str, name: str, setting: Setting, *, fused: bool = True
) -> Variant:
    """A variant that tdsl runs itself: by kernels, fused or not, or operation by operation."""

    @cache
    def changed(found: Specialisation) -> Specialisation:
        return found if fused else unfused(found)

    def runner(found: Specialisation, arrays: Sequence[Any]) -> Run:
        return _runner(changed(found), arrays, setting)

    arrays, cotangents = _placed(subject.arrays, setting), _placed(subject.cotangents, setting)
    prepare = preparation(subject, stage, runner, arrays, cotangents)
    own = figures(changed(subject.stage(stage)), subject, setting)
    return Variant(name, stage, prepare, *own)


def preparation(
    subject: Subject,
    stage: str,
    runner: Callable[[Specialisation, Sequence[Any]], Run],
    arrays: Sequence[Any],
    cotangents: Sequence[Any],
) -> Prepare:
    """What prepares a stage on these arrays, where `runner` gives what runs a graph on some."""
    if stage == "forward" or subject.is_loss:
        action = partial(runner(subject.stage(stage), arrays), arrays)
        return lambda: action
    passes = subject.passes
    run = runner(passes.forward, arrays)
    names = [param.name for param in subject.found.graph.params]
    kept = [arrays[names.index(name)] for name in passes.split.kept]

    def arguments(results: Sequence[Any]) -> list[Any]:
        return [*kept, *(results[i] for i in passes.split.saved), *cotangents]

    run_back = runner(passes.backward, arguments(run(arrays)))

    def prepare() -> Action:
        results = run(arrays)  # which live as long as a caller's would
        return lambda: run_back(arguments(results))

    return prepare


def _placed(arrays: Sequence[Any], setting: Setting) -> list[Any]:
    """The arrays where they are computed with."""
    if not setting.is_cuda:
        return list(arrays)
    from tdsl.runtime.torch.memory import tensor_of

    return [tensor_of(np.ascontiguousarray(array)).cuda() for array in arrays]


def _runner(found: Specialisation, arrays: Sequence[Any], setting: Setting) -> Run:
    if setting.is_cuda:
        from tdsl.runtime.torch.dispatch import torch_runner

        return torch_runner(found, setting.mode)
    return array_runner(found, tuple(array.shape for array in arrays), setting.mode)


def figures(found: Specialisation, subject: Subject, setting: Setting) -> tuple[int, int]:
    """How many kernels, library calls included, run a graph, and the bytes that they move."""
    if setting.runs_kernels:
        plan = plan_of(found)
        schedules, programs = _scheduled(plan, subject.sizes, setting)
        sizes = {**subject.sizes, PROGRAMS_NAME: programs}
        return len(plan.steps), plan_bytes(plan, schedules, lambda size: size.evaluate(sizes))

    def count(node: Node) -> int:
        return prod(axis.evaluate(subject.sizes) for axis in node.axes) * item_bytes(node.dtype)

    steps = executable(found.flat, subject.sizes).steps
    nodes = [s.node for s in steps if not (s.node.op.is_view or s.node.op.family == "index")]
    return len(nodes), sum(count(node) + sum(map(count, node.operands)) for node in nodes)


def _scheduled(
    plan: Plan, sizes: Mapping[str, int], setting: Setting
) -> tuple[Sequence[Schedule], int]:
    """The schedules by which kernels move their bytes, and how many programs keep parts of sums."""
    if not setting.is_cuda and setting.mode.backend != "triton":
        module, programs = print_c(plan, sizes)
        return [how.walk() for _, how in module.kernels], programs
    import torch

    from tdsl.backends.triton.execute import multiprocessors

    device = torch.device("cuda" if setting.is_cuda else "cpu")
    form, programs = form_of(plan, sizes, multiprocessors(device))
    return form.schedules, programs


def plan_bytes(plan: Plan, schedules: Sequence[Schedule], size: Callable[[Size], int]) -> int:
    """The bytes that the steps of a plan move, each kernel by its schedule."""
    total, scheduled = 0, iter(schedules)
    for step in plan.steps:
        if isinstance(step, Kernel):
            total += traffic(step, next(scheduled), size).moved
            continue
        arrays = [(read.shape, read.node) for read in step.reads]
        arrays += [(store.shape, store.node) for store in step.stores]
        total += sum(prod(map(size, shape)) * item_bytes(node.dtype) for shape, node in arrays)
    return total
