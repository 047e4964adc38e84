"""How many warps a kernel has, measured: asked for by `TDSL_TUNE=1`, and never done otherwise.

In: a loaded kernel, and what launches it. Out: the kernel with the best of at most three numbers of warps:
that of the formula, half and twice as many. Between: what was measured is kept in the cache for the
kernel's text, the device's name and Triton's version, so that it is measured once on a kind of device.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from tdsl.backends.cache import made
from tdsl.backends.triton.launch import Loaded

ROUNDS = 7
MOST_WARPS = 32
Measure = Callable[[Loaded], float]


def is_wanted(device: torch.device) -> bool:
    """Whether kernels are to be tuned on this device."""
    return device.type == "cuda" and os.environ.get("TDSL_TUNE", "0") not in ("", "0")


def neighbours(warps: int) -> list[int]:
    """The numbers of warps to try, that of the formula first."""
    return [w for w in (warps, warps // 2, warps * 2) if 1 <= w <= MOST_WARPS]


def tuned(loaded: Loaded, device: str, measure: Measure) -> Loaded:
    """The kernel with the number of warps that takes the least time on such a device.

    `measure` gives the time of a launch. A damaged record is measured anew.
    """
    import triton

    told = f"{loaded.printed.text}\n{loaded.warps}\n{device}\n{triton.__version__}"
    name = f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.json"

    def choose(target: Path) -> None:
        times = {warps: measure(with_warps(loaded, warps)) for warps in neighbours(loaded.warps)}
        best = min(times, key=lambda warps: times[warps])
        target.write_text(json.dumps({"device": device, "warps": best, "times": times}))

    return with_warps(loaded, int(json.loads(made("tuned", name, choose).read_text())["warps"]))


def with_warps(loaded: Loaded, warps: int) -> Loaded:
    """The same kernel with so many warps; nothing of it is compiled yet."""
    return loaded if warps == loaded.warps else replace(loaded, warps=warps, compiled={})


def milliseconds(launch: Callable[[], None]) -> float:
    """The median time of a launch on the current device, after one that compiles."""
    launch()
    found = []
    for _ in range(ROUNDS):
        begin, end = _event(), _event()
        begin.record()
        launch()
        end.record()
        end.synchronize()
        found.append(float(begin.elapsed_time(end)))
    return median(found)


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
