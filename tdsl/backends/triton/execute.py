"""Running a Plan: buffers, launches, library calls, on torch tensors.

In: a `Plan`, sizes, and the device. Out: a function from tensors to tensors. Between: nothing is read back
from the device; on the CPU the kernels run in Triton's interpreter, if it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from math import prod
from typing import Any

import numpy as np
import torch

from tdsl.backends.triton.library import library_call
from tdsl.backends.triton.module import PROGRAMS_NAME, TritonModule, print_plan
from tdsl.backends.triton.printer import Printed
from tdsl.backends.triton.source import load
from tdsl.fusion.donation import donations
from tdsl.fusion.kernel import Kernel
from tdsl.fusion.plan import Plan
from tdsl.fusion.schedule import Schedule
from tdsl.ir.dtype import AnyDtype
from tdsl.ir.node import Node, topological
from tdsl.ir.size import Size

Tensor = torch.Tensor
TORCH = {"bool": torch.bool, "bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
TORCH |= {"f64": torch.float64}
TORCH |= {f"i{n}": getattr(torch, f"int{n}") for n in (8, 16, 32, 64)}
TORCH |= {f"u{n}": getattr(torch, f"uint{n}") for n in (8, 16, 32, 64)}


def torch_dtype(dtype: AnyDtype) -> torch.dtype:
    """Torch's dtype."""
    return TORCH[str(dtype)]


class Executable:
    """A plan for given sizes on a device, ready to run."""

    def __init__(
        self,
        plan: Plan,
        sizes: Mapping[str, int],
        device: torch.device,
        donated: Sequence[str] = (),
    ) -> None:
        plan.check(lambda size: size.evaluate(sizes))
        self.plan = plan
        self.device = device
        self.module: TritonModule = print_plan(plan, sizes, multiprocessors(device))
        self.sizes = {**sizes, PROGRAMS_NAME: self.module.programs}
        schedules = [schedule for _, schedule in self.module.kernels]
        self.donations = donations(plan, schedules, donated)
        self.launches = [
            self._launch(printed, schedule, kernel)
            for (printed, schedule), kernel in zip(self.module.kernels, plan.kernels, strict=True)
        ]

    def size(self, size: Size) -> int:
        """The value of a size."""
        return size.evaluate(self.sizes)

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The results on these arguments; in the memory of those that are donated, where it fits."""
        memory = {p.name: t for p, t in zip(self.plan.params, tensors, strict=True)}
        for buffer in self.plan.buffers:
            if buffer.name in self.donations:
                memory[buffer.name] = memory[self.donations[buffer.name]]
                continue
            memory[buffer.name] = torch.empty(
                [self.size(s) for s in buffer.shape],
                dtype=torch_dtype(buffer.dtype), device=self.device,
            )  # fmt: skip
        launches = iter(self.launches)
        guard = torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()
        with guard, np.errstate(all="ignore"):  # the interpreter computes lanes that are masked
            for step in self.plan.steps:
                if isinstance(step, Kernel):
                    next(launches)(memory)
                else:
                    library_call(step, memory, self.size)
        return [memory[name] for name in self.plan.results]

    def _launch(
        self, printed: Printed, schedule: Schedule, kernel: Kernel
    ) -> Callable[[Mapping[str, Tensor]], None]:
        function: Any = load(self.module.source, printed.name)
        scalars: list[Any] = [self.size(size) for _, size in printed.sizes]
        values = dict(kernel.numbers)
        scalars += [evaluate(values[name], self.size) for name in printed.numbers]
        constants = dict(printed.constants)
        if not _stores_something(kernel, self.size):
            return lambda memory: None
        grid = (max(self._programs(schedule), 1),)
        names = printed.pointers

        def launch(memory: Mapping[str, Tensor]) -> None:
            pointers = [memory[name] for name in names]
            function[grid](*pointers, *scalars, **constants, num_warps=schedule.warps)

        return launch

    def _programs(self, schedule: Schedule) -> int:
        if schedule.walked:
            tiles = 1
            if schedule.kind == "tiled":
                tiles = -(-prod(map(self.size, schedule.columns)) // schedule.block_columns)
            return self.module.programs * max(tiles, 1)
        return schedule.programs(self.size, multiprocessors(self.device))


def _stores_something(kernel: Kernel, size: Callable[[Size], int]) -> bool:
    """Whether an array that the kernel stores in has elements; its axes may be empty even so."""
    return any(prod(size(s) for s in store.shape) for store in kernel.stores)


def multiprocessors(device: torch.device) -> int:
    """How many multiprocessors the device has; the reference's, where there is none."""
    if device.type != "cuda":
        return 4
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


def evaluate(node: Node, size: Callable[[Size], int]) -> Any:
    """The value of a number that follows from sizes."""
    values: dict[Node, Any] = {}
    with np.errstate(all="ignore"):
        for inner in topological([node]):
            values[inner] = inner.op.evaluate(inner, size)(*(values[o] for o in inner.operands))
    return np.asarray(values[node]).item()
