"""What a call costs besides its work: `python -m benchmarks.overhead [--out FILE]`.

Calls on 8 floats, so that the work is nothing: NumPy arrays, torch tensors without and with gradients, and
the registered operator, which tracers see; beside them the same function of C called by hand, an eager
torch operation, and a `torch.autograd.Function` that does nothing but allocate. Every variant runs in every
round, each round begins with another one, and the figure is the median over the rounds. On a machine with
a GPU the torch variants are measured there as well: what the host spends until the launch is queued.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.goals import call_goals, told
from benchmarks.machine import keep
from tdsl.backends.c.compiler import library
from tdsl.kernels import activations

Action = Callable[[], Any]
SOURCE = """#include <stdint.h>

void relu(const float *x, float *out, int64_t count) {
    for (int64_t i = 0; i < count; i++) out[i] = x[i] > 0 ? x[i] : 0;
}
"""
CALLS = 500
ROUNDS = 41


class Nothing(torch.autograd.Function):
    """The least that an own function costs."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> Any:
        """The memory of a result."""
        ctx.save_for_backward(x)
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        """The memory of a gradient."""
        (x,) = ctx.saved_tensors
        return torch.empty_like(x)


def variants(device: str) -> Mapping[str, Action]:
    """What is measured: without a gradient, recorded, and with the backward pass."""
    f: Any = activations.relu
    x = torch.ones(8, device=device)
    leaf = torch.ones(8, device=device, requires_grad=True)
    ct = torch.ones(8, device=device)
    found: dict[str, Action] = {}
    for name, call in (("tdsl", f), ("eager", torch.relu), ("autograd.Function", Nothing.apply)):
        found |= called(name, call, x, leaf, ct)
    with _Seen() as seen:
        f(x)
    (operator,) = seen.found
    found["tdsl, the operator"] = lambda: operator(x)
    found["tdsl, the operator, recorded"] = lambda: operator(leaf)
    return found


def called(name: str, call: Callable[..., Any], x: Any, leaf: Any, ct: Any) -> dict[str, Action]:
    """A function of one tensor: without a gradient, recorded, and with the backward pass."""
    return {
        f"{name}, no gradient": lambda: call(x),
        f"{name}, recorded": lambda: call(leaf),
        f"{name}, backward too": lambda: torch.autograd.grad(call(leaf), leaf, ct),
    }


class _Seen(torch.utils._python_dispatch.TorchDispatchMode):
    """Which operators of ours are called."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Any] = []

    def __torch_dispatch__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function.namespace == "tdsl":
            self.found.append(function)
        return function(*args, **(kwargs or {}))


def arrays() -> Mapping[str, Action]:
    """The same on arrays, beside the C function by hand, and NumPy's own function."""
    x = np.ones(8, np.float32)
    zero = np.float32(0)
    f: Any = activations.relu
    return {
        "tdsl, NumPy": lambda: f(x),
        "C by hand, NumPy": by_hand(x),
        "NumPy": lambda: np.maximum(x, zero),
    }


def by_hand(x: Any) -> Action:
    """A function of C on an array and a fresh one, with the least that ctypes needs."""
    function: Any = library(SOURCE).relu
    function.argtypes = None
    function.restype = None
    memory, at, empty = ctypes.c_char, ctypes.addressof, np.empty_like
    pointer, count = ctypes.c_void_p, ctypes.c_int64(x.size)

    def call() -> Any:
        out = empty(x)
        given, taken = at(memory.from_buffer(x)), at(memory.from_buffer(out))
        function(pointer(given), pointer(taken), count)
        return out

    return call


def measured(actions: Mapping[str, Action], calls: int, rounds: int) -> dict[str, float]:
    """Microseconds of each action: medians over rounds, in each of which all are timed in turn."""
    names = list(actions)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            action = actions[name]
            start = time.perf_counter()
            for _ in range(calls):
                action()
            times[name].append((time.perf_counter() - start) / calls * 1e6)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
    return {name: median(found[1:]) for name, found in times.items()}  # the first warms up


def main() -> int:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    actions = {f"cpu: {n}": action for n, action in (*arrays().items(), *variants("cpu").items())}
    if torch.cuda.is_available():
        actions |= {f"cuda: {n}": action for n, action in variants("cuda").items()}
    found = measured(actions, options.calls, options.rounds)
    rows = [{"what": name, "value": value, "unit": "us"} for name, value in found.items()]
    for name, microseconds in found.items():
        print(f"{name:40} {microseconds:8.2f} us")
    print("\n".join(told(call_goals(rows))))
    if options.out:
        keep(options.out, "overhead", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
