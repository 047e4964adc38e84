"""Running a Plan with compiled C: buffers, calls, library calls.

In: the `Texts` of a plan, and sizes. Out: a function from arrays to arrays. Between: kernels get
addresses; how many threads run decides nothing but the time, and none are started where there is too
little work for two.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from math import prod
from operator import itemgetter
from typing import Any

import numpy as np

from tdsl.backends.arrays import Arrays, evaluate
from tdsl.backends.c.chains import Chain
from tdsl.backends.c.compiler import library
from tdsl.backends.c.module import PROGRAMS_NAME, Texts
from tdsl.backends.c.printer import Printed
from tdsl.backends.c.schedule import scattered
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
SCATTERED = 4
"""Elements that are read in order in the time of one that lies anywhere."""


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
        chains = [step for step in module.steps if isinstance(step, Chain)]
        scratch = {name for chain in chains for name in chain.scratch}
        buffers = [buffer for buffer in plan.buffers if buffer.name not in scratch]
        names = [*(param.name for param in plan.params), *(buffer.name for buffer in buffers)]
        self.slots = {name: place for place, name in enumerate(names)}
        self.makers = [
            arrays.maker(tuple(map(self.size, buffer.shape)), buffer.dtype) for buffer in buffers
        ]
        self.loaded = library(module.source) if chains else None
        self.steps = [
            self._launch(step) if isinstance(step, Chain) else partial(self._call, step)
            for step in module.steps
        ]
        self.results = [self.slots[name] for name in plan.results]
        self.gives_all = len(chains) == len(self.steps) and plan.results == tuple(
            buffer.name for buffer in buffers
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

    def _launch(self, chain: Chain) -> Step:
        """The call of kernels. What is passed has its C type, so that it need not be converted."""
        function = getattr(self.loaded, chain.name)
        slots = tuple(self.slots[name] for name in chain.pointers)

        large = [self._is_large(kernel) for _, kernel in chain.kernels]

        @cache
        def scalars(threads: int) -> list[Any]:
            found: list[Any] = []
            for (printed, kernel), is_large in zip(chain.kernels, large, strict=True):
                own = ctypes.c_int(threads if is_large else 1)
                found += [*self._scalars(printed, kernel), own]
            return found

        function.restype = None
        function.argtypes = [*[ctypes.c_void_p] * len(slots), *map(type, scalars(1))]
        pointers = self.arrays.pointers
        taken: Callable[[list[Any]], Sequence[Any]] = (
            itemgetter(*slots) if len(slots) > 1 else lambda values: [values[slots[0]]]
        )
        if not any(large):
            alone = scalars(1)
            return lambda values: function(*pointers(taken(values)), *alone)
        threads = self.arrays.threads
        return lambda values: function(*pointers(taken(values)), *scalars(threads()))

    def _is_large(self, kernel: Kernel) -> bool:
        """Whether a second thread pays."""
        axes = (*kernel.layout.rows, *kernel.layout.columns)
        return prod(map(self.size, axes)) * (SCATTERED if scattered(kernel) else 1) >= SMALL

    def _scalars(self, printed: Printed, kernel: Kernel) -> Iterator[Any]:
        """What a kernel is given beside its buffers and the number of threads."""
        numbers = dict(kernel.numbers)
        for size in printed.sizes:
            yield ctypes.c_int64(self.size(size))
        for name, dtype in printed.numbers:
            yield C_TYPES[str(dtype)](evaluate(numbers[name], self.size))
