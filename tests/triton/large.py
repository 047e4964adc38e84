"""The library's functions at the sizes that a GPU is for: specs, plans, and requests to compile them.

The rows of `tests.kernels.reference` say what a function's arguments look like in small; each of their
sizes stands for a large one that divides by 16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal
from zlib import crc32

import numpy as np

import tdsl
from tdsl.backends.triton.ahead import multiprocessors, requests
from tdsl.backends.triton.aot import Request
from tdsl.backends.triton.module import print_plan
from tdsl.fusion.kernel import Kernel
from tdsl.fusion.plan import Plan
from tdsl.fusion.schedule import Schedule
from tests.kernels.reference import ROWS, Row

LARGE: Mapping[str, Mapping[int, int]] = {
    "activations": {2: 32, 3: 2048, 5: 4096, 10: 8192},
    "attention": {2: 4, 3: 16, 4: 1024, 5: 2048, 6: 32, 7: 64, 8: 128},
    "linear": {2: 16, 3: 2048, 4: 1024, 5: 4096, 6: 4096},
    "losses": {2: 4, 3: 8192, 4: 8192, 5: 4096, 7: 32768},
    "norms": {2: 4, 3: 2048, 5: 4096},
    "optimizers": {3: 8192, 5: 4096},
    "rope": {2: 64, 3: 2048, 4: 64, 8: 128},
    "softmax": {3: 8192, 5: 4096},
}
IMAGES = {2: 32, 6: 96, 3: 16, 4: 16}
TARGETS = ("sm_80", "sm_100", "gfx942")
Work = Literal["forward", "training"]
WORKS: tuple[Work, ...] = ("forward", "training")
"""A call without gradients, and one with them: what it saves, or a loss's gradients, and its backward."""


@dataclass(frozen=True, slots=True)
class Case:
    """One function, one way: `variant` is a target, or `f32` or `unaligned` for sm_90."""

    row: Row
    work: Work
    variant: str = "sm_90"

    @property
    def id(self) -> str:
        return f"{self.row.id}-{self.work}-{self.variant}"

    @property
    def target(self) -> str:
        return self.variant if self.variant in TARGETS else "sm_90"


@dataclass(frozen=True, slots=True)
class Made:
    """A kernel of the library, its schedule, and the request to compile it."""

    id: str
    kernel: Kernel
    schedule: Schedule
    request: Request
    sizes: Mapping[str, int]
    aligned: bool


def representatives() -> list[Row]:
    """One row for each function and number of arguments, of a loss with rows and as a number."""
    found: dict[Any, Row] = {}
    for row in ROWS:
        is_reduced = row.static.get("reduction", "none") != "none"
        key = (row.file, row.name, len(row.arguments), row.single, is_reduced)
        found.setdefault(key, row)
    return list(found.values())


def cases(rows: Sequence[Row], variant: str = "sm_90") -> list[Case]:
    """Each row with and without gradients, compiled one way."""
    return [Case(row, work, variant) for row in rows for work in WORKS]


def others(day: int = 0, days: int = 1) -> list[Case]:
    """All rows in all ways but the representatives for sm_90, parted among so many days by their names."""
    done = cases(representatives())
    every = [case for variant in ("sm_90", *VARIANTS) for case in cases(ROWS, variant)]
    rest = [case for case in every if case not in done]
    return [case for case in rest if (crc32(case.id.encode()) + day) % days == 0]


VARIANTS = (*TARGETS, "f32", "unaligned")


def specs(row: Row, dtype: str, sizes: Mapping[int, int] | None = None) -> list[Any]:
    """The row's arguments as specs; `sizes` gives other large sizes for small ones."""
    generator = np.random.default_rng(0)
    made: list[Any] = []
    for place, argument in enumerate(row.arguments):
        value: Any = argument(generator) if callable(argument) else np.zeros(argument)
        if isinstance(value, np.ndarray):
            float_dtype = "f32" if place in row.single else dtype
            kind = {"f": float_dtype, "i": "i64", "b": "bool"}[value.dtype.kind]
            table = {**(IMAGES if is_image(row) else LARGE[row.file]), **(sizes or {})}
            value = f"{kind}{[table[n] for n in value.shape]}" if value.shape else kind
        made.append(value)
    return made


def is_image(row: Row) -> bool:
    """Whether the function is of images or volumes, not of rows."""
    first = row.arguments[0]
    return row.file == "norms" and isinstance(first, tuple) and len(first) == 4


@cache
def _lowered(row: int, dtype: str, sizes: tuple[tuple[int, int], ...], *, grad: bool) -> Any:
    function = getattr(getattr(tdsl.kernels, ROWS[row].file), ROWS[row].name)
    given = specs(ROWS[row], dtype, dict(sizes))
    return function.lower(*given, grad=grad, **ROWS[row].static)


def planned(
    row: Row, work: Work, dtype: str = "bf16", sizes: Mapping[int, int] | None = None
) -> tuple[list[Plan], Mapping[str, int]]:
    """The plans that a call runs, in order, and the sizes."""
    given = tuple((sizes or {}).items())
    lowered = _lowered(ROWS.index(row), dtype, given, grad=work == "training")
    return [one.plan for one in lowered.reports], lowered.sizes


def kernels(case: Case, sizes: Mapping[int, int] | None = None) -> list[Made]:
    """The kernels of a case, in order."""
    dtype, aligned = "f32" if case.variant == "f32" else "bf16", case.variant != "unaligned"
    plans, known = planned(case.row, case.work, dtype, sizes)
    found: list[Made] = []
    for plan in plans:
        schedules = [
            how for _, how in print_plan(plan, known, multiprocessors(case.target)).kernels
        ]
        asked = requests(plan, known, case.target, aligned=aligned)
        for kernel, how, request in zip(plan.kernels, schedules, asked, strict=True):
            found.append(Made(f"{case.id}-{len(found)}", kernel, how, request, known, aligned))
    return found
