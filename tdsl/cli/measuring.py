"""Measuring: actions timed in turn, results compared before, and a copy to measure by.

In: ways of computing the same. Out: milliseconds of each. Between: whoever is timed has been run directly
before; in every round each is timed once, so that whatever slows the machine down slows all of them;
results are fresh each time and dropped after the clock has stopped.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from tdsl.backends.c.compiler import CompilerError, library

Action = Callable[[], Any]
Prepare = Callable[[], Action]
Clock = Callable[[Prepare], float]
COPY = """#include <stdint.h>

void copy(char *restrict to, const char *restrict from, int64_t count) {
    #pragma omp parallel for simd schedule(static) if (count >= 1 << 18)
    for (int64_t i = 0; i < count; i++) to[i] = from[i];
}
"""
FEWEST, MOST = 5, 100
SECONDS = 3.0
"""How long the rounds of one comparison may take, beyond the fewest."""
REST = 0.02
"""Seconds after which OpenMP's threads no longer wait by spinning, on a core that the next one needs."""
LARGE = 4 << 20
"""Bytes from which an array has pages of its own; NumPy asks for huge ones."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of `mallopt`: after how many free bytes memory goes back, and which blocks have own pages."""
LIMITS = {"float64": 1e-11, "float32": 2e-4, "float16": 8e-3, "bfloat16": 6e-2}
"""How far results may be apart, relative to the largest value: roundings, and sums in other orders."""


@dataclass(frozen=True, slots=True)
class Times:
    """The milliseconds of each round."""

    rounds: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.rounds)


class _Heap(ctypes.Structure):
    """What `mallinfo2` of glibc tells."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
                     "uordblks", "fordblks", "keepcost")
    )  # fmt: skip


def fresh_pages() -> None:
    """Have the C library give every large array of the process fresh pages, whoever makes it.

    By itself glibc keeps blocks of up to 32 MB that were freed, and the next who asks writes warm memory.
    Those that it has already are taken, and stay so.
    """
    own = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(own, "mallinfo2"):
        return
    heap: Any = own
    heap.mallinfo2.restype, heap.malloc.restype = _Heap, ctypes.c_void_p
    heap.malloc.argtypes, heap.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
    heap.mallopt(M_TRIM_THRESHOLD, LARGE // 32)
    heap.mallopt(M_MMAP_THRESHOLD, LARGE)
    known, block = heap.mallinfo2().arena, heap.malloc(LARGE // 2)
    while block and heap.mallinfo2().arena <= known:
        block = heap.malloc(LARGE // 2)
    heap.free(block)


def seconds_of(prepare: Prepare) -> float:
    """Seconds that an action takes on the processor; its result is dropped outside of them.

    It is run once before, so that its own threads are awake, and those of others no longer. Nobody sleeps:
    after that a system may wake two threads on one core, where they wait for each other for milliseconds.
    """
    awake = time.perf_counter() + REST
    while time.perf_counter() < awake:
        pass
    prepare()()
    action = prepare()
    start = time.perf_counter()
    result = action()
    end = time.perf_counter()
    del result
    return end - start


def device_seconds_of(prepare: Prepare) -> float:
    """Seconds that an action takes on a CUDA device, by its events."""
    import torch

    event: Any = torch.cuda.Event
    action, start, end = prepare(), event(enable_timing=True), event(enable_timing=True)
    start.record()
    result = action()
    end.record()
    end.synchronize()
    del result
    return float(start.elapsed_time(end)) / 1e3


def in_turn(
    prepared: Mapping[str, Prepare],
    clock: Clock,
    title: str,
    seconds: float = SECONDS,
    fewest: int = FEWEST,
) -> dict[str, Times]:
    """Times of all, in rounds: A B C, A B C, ... What prepares an action is not timed.

    The first round warms up and tells how many fit into the seconds; there are so many at the fewest.
    """
    start = time.perf_counter()
    for prepare in prepared.values():
        clock(prepare)
    each = max(time.perf_counter() - start, 1e-9)
    rounds = min(MOST, max(fewest, int(seconds / each)))
    found: dict[str, list[float]] = {name: [] for name in prepared}
    for _ in progress(range(rounds), title):
        for name, prepare in prepared.items():
            found[name].append(1e3 * clock(prepare))
    return {name: Times(tuple(times)) for name, times in found.items()}


def progress(rounds: Sequence[int], title: str) -> Iterator[int]:
    """The rounds, told on one line of a terminal; silently where standard error is none."""
    shown = sys.stderr.isatty()
    for i in rounds:
        if shown:
            print(f"\r{title}: round {i + 1} of {len(rounds)}", end="", file=sys.stderr, flush=True)
        yield i
    if shown:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def copying(count: int) -> tuple[str, Prepare]:
    """What moves so many bytes, half of them read, half written into a fresh array; and its name."""
    source = np.ones(max(count // 2, 1), np.uint8)
    try:
        function = library(COPY).copy
    except CompilerError:
        return "a copy by NumPy, for want of a C compiler", lambda: source.copy
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    function.restype = None

    def copy() -> Any:
        target = np.empty_like(source)
        function(target.ctypes.data, source.ctypes.data, source.size)
        return target

    return "a copy in C by all threads into a fresh array", lambda: copy


def device_copying(count: int) -> tuple[str, Prepare]:
    """The same on a CUDA device."""
    import torch

    source = torch.ones(max(count // 2, 1), dtype=torch.uint8, device="cuda")
    return "a copy by torch into a fresh tensor", lambda: source.clone


def difference(found: Any, wanted: Any) -> float:
    """The largest difference of two arrays, relative to the largest value; 0 where both are NaN."""
    a, b = (np.asarray(x).astype(np.float64) for x in (found, wanted))
    if a.shape != b.shape:
        return float("inf")
    if not a.size:
        return 0.0
    with np.errstate(all="ignore"):
        scale = max(float(np.abs(b[np.isfinite(b)]).max(initial=0.0)), 1e-3)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        apart = np.where(same, 0.0, np.abs(a - b) / scale)
    return float(np.nan_to_num(apart, nan=np.inf).max())


def limit_of(dtype: object) -> float:
    """How far results of a dtype may be apart; integers and bools not at all."""
    return LIMITS.get(str(dtype), 0.0)
