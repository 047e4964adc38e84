"""Launches of a loaded kernel, as directly as Triton allows.

In: a kernel, its numbers, and where it runs. Out: a function of buffers. Between: `JITFunction.run` looks
at every argument of every call anew; what it finds compiled is kept here, under all that Triton compiles
for, and called as it would call it. On the CPU, on AMD's GPUs and where somebody watches launches,
Triton does it all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from tdsl.backends.triton.printer import Printed
from tdsl.backends.triton.specialise import ALIGNMENT, scalar_class

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A printed kernel as Triton's function. `compiled` has what Triton made of it."""

    printed: Printed
    function: Any
    warps: int
    stages: int
    compiled: dict[object, Any] = field(default_factory=dict)

    def key(self, scalars: Sequence[object], device: torch.device) -> object:
        """What compiled code depends on, but for the buffers' alignment.

        The dtypes of buffers, constants, warps and stages are those of the kernel.
        """
        names = [*(name for name, _ in self.printed.sizes), *self.printed.numbers]
        known = [name not in self.printed.unspecialised for name in names]
        classes = (scalar_class(v, is_known=k) for v, k in zip(scalars, known, strict=True))
        return (device, *classes)


class Launch:
    """A kernel with its numbers on a device; a grid of 0 programs is not launched."""

    def __init__(
        self, loaded: Loaded, scalars: Sequence[object], grid: int, device: torch.device
    ) -> None:
        self.loaded, self.scalars, self.grid = loaded, scalars, grid
        self.buffers = loaded.printed.pointers
        self.index = device.index
        self.is_direct = is_direct(device)
        self.key = loaded.key(scalars, device)
        self.rest = (*scalars, *(value for _, value in loaded.printed.constants))
        self.ready: dict[tuple[bool, ...], tuple[Callable[..., None], Any, Any]] = {}

    def __call__(self, memory: Mapping[str, Tensor]) -> None:
        """Run the kernel on its buffers, by name, on the device's current stream."""
        if not self.grid:
            return
        buffers = [memory[name] for name in self.buffers]
        if not self.is_direct or is_watched():
            self._by_triton(buffers)
            return
        addresses = [buffer.data_ptr() for buffer in buffers]
        alignment = tuple([address % ALIGNMENT == 0 for address in addresses])
        ready = self.ready.get(alignment)
        if ready is None:
            key = (self.key, alignment)
            kernel = self.loaded.compiled.get(key)
            if kernel is None:
                kernel = self._by_triton(buffers)
                if kernel is not None and not hasattr(kernel, "result"):  # else not compiled yet
                    self.loaded.compiled[key] = kernel
                return
            # `run` loads the binary, and `function` is there after that.
            ready = self.ready[alignment] = (kernel.run, kernel.function, kernel.packed_metadata)
        run, function, metadata = ready
        stream = current_stream(self.index)
        run(
            self.grid, 1, 1, stream, function, metadata, None, None, None, *addresses, *self.rest
        )  # fmt: skip

    def _by_triton(self, buffers: Sequence[Tensor]) -> Any:
        loaded = self.loaded
        return loaded.function[(self.grid,)](
            *buffers, *self.scalars, **dict(loaded.printed.constants),
            num_warps=loaded.warps, num_stages=loaded.stages,
            enable_fp_fusion=True,  # the default changes between versions of Triton
        )  # fmt: skip


def is_direct(device: torch.device) -> bool:
    """Whether launches can go past Triton; on AMD's GPUs it looks at the size of buffers, too."""
    return device.type == "cuda" and torch.version.hip is None


def current_stream(index: int) -> int:
    """The handle of torch's current stream."""
    return torch._C._cuda_getCurrentRawStream(index)


def is_watched() -> bool:
    """Whether somebody wants to know of launches: a profiler's hooks, which Triton calls."""
    knobs = _runtime_knobs()
    hooks = (knobs.launch_enter_hook, knobs.launch_exit_hook)
    return any(hook is not None and getattr(hook, "calls", True) for hook in hooks)


@cache
def _runtime_knobs() -> Any:
    from triton import knobs  # when it is needed: what plans kernels does without

    return knobs.runtime
