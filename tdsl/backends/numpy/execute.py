"""Running a Plan with NumPy, tile by tile.

In: a `Plan` and sizes. Out: a function from arrays to arrays. Between: kernels see every buffer as a NumPy
array, where it lies; how many threads run decides nothing but the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tdsl.backends.arrays import Arrays
from tdsl.backends.c.module import PROGRAMS_NAME
from tdsl.backends.numpy.kernel import TiledKernel
from tdsl.backends.numpy.run import quiet, run_kernel
from tdsl.backends.numpy.tiles import MOST_PROGRAMS, Tiling, tiling
from tdsl.fusion.kernel import Kernel
from tdsl.fusion.plan import Plan, Step
from tdsl.ir.size import Size


class Executable:
    """A plan for given sizes, ready to run."""

    def __init__(self, plan: Plan, sizes: Mapping[str, int], arrays: Arrays) -> None:
        plan.check(lambda size: size.evaluate(sizes))
        self.plan, self.arrays = plan, arrays
        self.sizes = {**sizes, PROGRAMS_NAME: 1}
        walked = [found for kernel in plan.kernels if (found := self._tiling(kernel)).is_walked]
        self.programs = min(MOST_PROGRAMS, max((len(one.tiles) for one in walked), default=1))
        self.sizes[PROGRAMS_NAME] = self.programs
        self.makers = [
            (b.name, arrays.maker(tuple(map(self.size, b.shape)), b.dtype)) for b in plan.buffers
        ]
        self.names = [param.name for param in plan.params]
        self.steps = [self._step(step) for step in plan.steps]
        self.is_large = any(isinstance(s, TiledKernel) and s.is_large for s in self.steps)

    def size(self, size: Size) -> int:
        """The value of a size."""
        return size.evaluate(self.sizes)

    def run(self, given: Sequence[Any]) -> list[Any]:
        """The results on these arguments."""
        memory = dict(zip(self.names, given, strict=True))
        for name, make in self.makers:
            memory[name] = make()
        with quiet() if self.is_large else np.errstate(all="ignore"):
            self._compute(memory)
        return [memory[name] for name in self.plan.results]

    def _compute(self, memory: dict[str, Any]) -> None:
        views = {name: self.arrays.view(array) for name, array in memory.items()}
        for step in self.steps:
            if isinstance(step, TiledKernel):
                run_kernel(step, views, self.arrays.threads() if step.is_large else 1)
            else:
                self.arrays.call(step, memory, self.size)
                views |= {s.buffer: self.arrays.view(memory[s.buffer]) for s in step.stores}

    def _tiling(self, kernel: Kernel) -> Tiling:
        return tiling(kernel, self.size)

    def _step(self, step: Step) -> Any:
        if not isinstance(step, Kernel):
            return step
        return TiledKernel(step, self._tiling(step), self.sizes, self.programs)
