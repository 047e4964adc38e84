"""Running a Plan with compiled C: buffers, calls, library calls.

In: the `Texts` of a plan, and sizes. Out: a function from arrays to arrays. Between: kernels get
addresses; how many threads run decides nothing but the time, and none are started where there is too
little work for two.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from operator import itemgetter
from typing import Any

import numpy as np

from tdsl.backends.arrays import Arrays, evaluate
from tdsl.backends.c.compiler import library
from tdsl.backends.c.module import PROGRAMS_NAME, Texts
from tdsl.backends.c.printer import Printed
from tdsl.backends.threads import SMALL
from tdsl.fusion.kernel import Kernel
from tdsl.fusion.plan import LibraryCall
from tdsl.ir.size import Size

C_TYPES: dict[str, Any] = {
    "bool": ctypes.c_bool, "f32": ctypes.c_float, "f64": ctypes.c_double,
    **{f"i{n}": getattr(ctypes, f"c_int{n}") for n in (8, 16, 32, 64)},
    **{f"u{n}": getattr(ctypes, f"c_uint{n}") for n in (8, 16, 32, 64)},
}  # fmt: skip
Step = Callable[[list[Any]], None]


class Executable:
    """A plan for given sizes, ready to run. Raises CompilerError."""

    def __init__(
        self,
        texts: Texts,
        sizes: Mapping[str, int],
        arrays: Arrays,
    ) -> None:
        plan = texts.plan
        plan.check(lambda size: size.evaluate(sizes))
        self.arrays = arrays
        module, programs = texts.at(sizes)
        self.sizes = {**sizes, PROGRAMS_NAME: programs}
        names = [*(param.name for param in plan.params), *(buffer.name for buffer in plan.buffers)]
        self.slots = {name: place for place, name in enumerate(names)}
        self.makers = [
            arrays.maker(tuple(map(self.size, buffer.shape)), buffer.dtype)
            for buffer in plan.buffers
        ]
        printed = iter(module.kernels)
        self.loaded = library(module.source) if module.kernels else None
        self.steps: list[Step] = []
        for step in plan.steps:
            if not isinstance(step, Kernel):
                self.steps.append(partial(self._call, step))
            elif any(prod(map(self.size, store.shape)) for store in step.stores):
                self.steps.append(self._launch(next(printed)[0], step))
            else:
                next(printed)  # nothing to store
        self.results = [self.slots[name] for name in plan.results]
        self.gives_all = len(plan.kernels) == len(plan.steps) and plan.results == tuple(
            buffer.name for buffer in plan.buffers
        )

    def size(self, size: Size) -> int:
        """The value of a size."""
        return size.evaluate(self.sizes)

    def run(self, given: Sequence[Any]) -> list[Any]:
        """The results on these arguments."""
        made = [make() for make in self.makers]
        values = [*given, *made]
        for step in self.steps:
            step(values)
        return made if self.gives_all else [values[i] for i in self.results]

    def _call(self, step: LibraryCall, values: list[Any]) -> None:
        memory = {name: values[place] for name, place in self.slots.items()}
        with np.errstate(all="ignore"):
            self.arrays.call(step, memory, self.size)
        for store in step.stores:
            values[self.slots[store.buffer]] = memory[store.buffer]

    def _launch(self, printed: Printed, kernel: Kernel) -> Step:
        """The call of a kernel. What is passed has its C type, so that it need not be converted."""
        function = getattr(self.loaded, printed.name)
        function.restype = None
        numbers = dict(kernel.numbers)
        scalars = [ctypes.c_int64(self.size(size)) for size in printed.sizes]
        scalars += [
            C_TYPES[str(dtype)](evaluate(numbers[name], self.size))
            for name, dtype in printed.numbers
        ]
        slots = tuple(self.slots[name] for name in printed.pointers)
        function.argtypes = [
            *[ctypes.c_void_p] * len(slots), *map(type, scalars), ctypes.c_int
        ]  # fmt: skip
        work = prod(self.size(axis) for axis in (*kernel.layout.rows, *kernel.layout.columns))
        pointers = self.arrays.pointers
        taken: Callable[[list[Any]], Sequence[Any]] = (
            itemgetter(*slots) if len(slots) > 1 else lambda values: [values[slots[0]]]
        )
        if work < SMALL:
            alone = (*scalars, ctypes.c_int(1))
            return lambda values: function(*pointers(taken(values)), *alone)
        threads = self.arrays.threads
        return lambda values: function(*pointers(taken(values)), *scalars, threads())
