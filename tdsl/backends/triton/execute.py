"""Running a Plan: buffers, launches, library calls, on torch tensors.

In: a `Plan`, sizes, and the device. Out: a function from tensors to tensors. Between: what depends on the
sizes' class is made once for each class, what depends on the sizes once for these, and nothing is read back
from the device; on the CPU the kernels run in Triton's interpreter, if it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch

from tdsl.backends.arrays import evaluate
from tdsl.backends.torch_dtype import torch_dtype
from tdsl.backends.triton import tuning
from tdsl.backends.triton.launch import Launch, Loaded
from tdsl.backends.triton.library import library_call
from tdsl.backends.triton.module import PROGRAMS_NAME, Form, form_of, print_form
from tdsl.backends.triton.source import load
from tdsl.fusion.donation import donations
from tdsl.fusion.kernel import Kernel
from tdsl.fusion.plan import LibraryCall, Plan
from tdsl.fusion.schedule import Schedule
from tdsl.ir.size import Size

Tensor = torch.Tensor
Step = Callable[[dict[str, Tensor]], None]


@dataclass(frozen=True, slots=True)
class Text:
    """The file of a plan in one form, loaded: one kernel for each of the plan's, tuned if asked for."""

    source: str
    kernels: tuple[Loaded, ...]
    is_tuned: bool = False


Texts = dict[Form, Text]


def text_of(plan: Plan, form: Form, texts: Texts) -> Text:
    """The plan in this form, printed and loaded when it is first asked for."""
    known = texts.get(form)
    if known is None:
        source, kernels = print_form(plan, form)
        loaded = (
            Loaded(printed, load(source, printed.name), schedule.warps, schedule.stages)
            for printed, schedule in zip(kernels, form.schedules, strict=True)
        )
        known = texts.setdefault(form, Text(source, tuple(loaded)))
    return known


class Executable:
    """A plan for given sizes on a device, ready to run. `texts` are those of the plan so far."""

    def __init__(
        self,
        plan: Plan,
        sizes: Mapping[str, int],
        device: torch.device,
        donated: Sequence[str] = (),
        texts: Texts | None = None,
    ) -> None:
        plan.check(lambda size: size.evaluate(sizes))
        self.plan = plan
        self.device = device
        form, self.programs = form_of(plan, sizes, multiprocessors(device))
        self.sizes = {**sizes, PROGRAMS_NAME: self.programs}
        self.form, self.texts = form, {} if texts is None else texts
        self.text = text_of(plan, form, self.texts)
        self.donations = donations(plan, form.schedules, donated)
        self.buffers = [
            (buffer.name, [self.size(s) for s in buffer.shape], torch_dtype(buffer.dtype))
            for buffer in plan.buffers
        ]
        self._prepare()
        # What is measured runs several times, so that it must not write what it reads.
        self.is_final = bool(donated) or self.text.is_tuned or not tuning.is_wanted(device)

    def size(self, size: Size) -> int:
        """The value of a size."""
        return size.evaluate(self.sizes)

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The results on these arguments; in the memory of those that are donated, where it fits."""
        memory = {p.name: t for p, t in zip(self.plan.params, tensors, strict=True)}
        device = self.device
        for name, shape, dtype in self.buffers:
            given = self.donations.get(name)
            if given is None:
                memory[name] = torch.empty(shape, dtype=dtype, device=device)
            else:
                memory[name] = memory[given]
        with on(device):
            if not self.is_final:
                self._tune(memory)
            for step in self.steps:
                step(memory)
        return [memory[name] for name in self.plan.results]

    def _prepare(self) -> None:
        """The steps with the kernels of the text."""
        pairs = zip(self.plan.kernels, self.text.kernels, self.form.schedules, strict=True)
        self.launches = [self._launch(*each) for each in pairs]
        launches = iter(self.launches)
        self.steps: list[Step] = [
            next(launches) if isinstance(step, Kernel) else partial(self._call, step)
            for step in self.plan.steps
        ]

    def _tune(self, memory: dict[str, Tensor]) -> None:
        """Choose each kernel's warps on these very buffers, step by step, for all sizes of this form."""
        device, found = torch.cuda.get_device_name(self.device), []
        kernels = zip(self.plan.kernels, self.text.kernels, self.form.schedules, strict=True)
        for step in self.steps:
            step(memory)
            if isinstance(step, Launch):
                kernel, loaded, schedule = next(kernels)

                def measure(one: Loaded) -> float:
                    launch = self._launch(kernel, one, schedule)  # noqa: B023
                    return tuning.milliseconds(partial(launch, memory))

                found.append(tuning.tuned(loaded, device, measure) if step.grid else loaded)
        self.text = replace(self.text, kernels=tuple(found), is_tuned=True)
        self.texts[self.form] = self.text
        self._prepare()
        self.is_final = True

    def _call(self, step: LibraryCall, memory: dict[str, Tensor]) -> None:
        library_call(step, memory, self.size)

    def _launch(self, kernel: Kernel, loaded: Loaded, schedule: Schedule) -> Launch:
        values = dict(kernel.numbers)
        scalars: list[Any] = [self.size(size) for _, size in loaded.printed.sizes]
        scalars += [evaluate(values[name], self.size) for name in loaded.printed.numbers]
        programs = max(self._programs(schedule), 1) if _stores_something(kernel, self.size) else 0
        return Launch(loaded, scalars, programs, self.device)

    def _programs(self, schedule: Schedule) -> int:
        if schedule.walked:
            tiles = 1
            if schedule.kind == "tiled":
                tiles = -(-prod(map(self.size, schedule.columns)) // schedule.block_columns)
            return self.programs * max(tiles, 1)
        return schedule.programs(self.size, multiprocessors(self.device))


@contextmanager
def on(device: torch.device) -> Iterator[None]:
    """Launches go to the device; in the interpreter lanes that are masked may overflow."""
    if device.type != "cuda":
        with np.errstate(all="ignore"):
            yield
    elif torch.cuda.current_device() == device.index:
        yield
    else:
        with torch.cuda.device(device):
            yield


def _stores_something(kernel: Kernel, size: Callable[[Size], int]) -> bool:
    """Whether an array that the kernel stores in has elements; its axes may be empty even so."""
    return any(prod(size(s) for s in store.shape) for store in kernel.stores)


def multiprocessors(device: torch.device) -> int:
    """How many multiprocessors the device has; the reference's, where there is none."""
    if device.type != "cuda":
        return 4
    return int(torch.cuda.get_device_properties(device).multi_processor_count)
