"""The calls of mathematical functions that a stage makes, and the time that they take by themselves.

In: a `Subject` and a stage. Out: how many calls its kernels make, counted in the kernels' own graphs, and
an action that makes as many in a bare loop by all threads. Between: the loop is the generated kernel of
that one operation, run over and over on a block that stays in the nearest caches; a call that a kernel
repeats in a second pass counts once; divisions and square roots are no calls.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from math import prod
from typing import Any

import numpy as np

import tdsl
from tdsl.backends.c.compiler import library
from tdsl.backends.c.helpers import BINARY, MATH
from tdsl.backends.c.module import PROGRAMS_NAME, print_plan
from tdsl.backends.threads import SMALL, THREADS
from tdsl.cli.measuring import Prepare
from tdsl.cli.subject import Subject
from tdsl.ir.dtype import DTYPES
from tdsl.ops import numpy_dtype
from tdsl.runtime.native import plan_of

Calls = Mapping[tuple[str, str], int]
"""How often a function, by name and dtype, is called."""
FEW = 2
"""Calls for each element up to which a stage counts as bound by memory."""
BLOCK = 2048
LOOP = """
int omp_get_thread_num(void);
void repeated(const {T} *x, {T} *out, int64_t blocks, int threads) {{
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t block = 0; block < blocks; block++)
        {name}({operands}, out + {block} * omp_get_thread_num(), {block}, 1);
}}
"""


def calls_of(subject: Subject, stage: str) -> Calls:
    """How often the kernels of a stage call each function."""
    plan = plan_of(subject.stage(stage))
    _, programs = print_plan(plan, subject.sizes)
    sizes = {**subject.sizes, PROGRAMS_NAME: programs}
    found: Counter[tuple[str, str]] = Counter()
    for kernel in plan.kernels:
        for node in kernel.nodes():
            if node.op.name in MATH and str(node.dtype) in ("f32", "f64"):
                count = prod(axis.evaluate(sizes) for axis in node.axes)
                found[node.op.name, str(node.dtype)] += count
    return found


def per_element(subject: Subject, calls: Calls) -> float:
    """Calls for each element of the largest array."""
    shapes = [array.shape for array in (*subject.arrays, *subject.cotangents)]
    largest: int = max(prod(shape) for shape in shapes)
    return sum(calls.values()) / largest


def calling(calls: Calls) -> Prepare:
    """What prepares as many calls, rounded up to whole blocks. Raises CompilerError."""
    loops = [
        (_loop(*which), -(-count // BLOCK), THREADS.count if count >= SMALL else 1)
        for which, count in calls.items()
    ]

    def action() -> None:
        for loop, blocks, threads in loops:
            loop(blocks, threads)

    return lambda: action


@cache
def _loop(name: str, dtype: str) -> Callable[[int, int], None]:
    """What calls a function for so many blocks, by so many threads."""
    count = 2 if name in BINARY else 1
    inputs = ", ".join(f"x{i}: {dtype}[N]" for i in range(count))
    operands = ", ".join(f"x{i}" for i in range(count))
    function: Any = tdsl.compile(f"def f({inputs}) -> {dtype}[N]:\n    return {name}({operands})\n")
    plan = function.lower(*[f"{dtype}[{BLOCK}]"] * count).reports[0].plan
    module, _ = print_plan(plan, {"N": BLOCK})
    ((printed, _),) = module.kernels
    loop = LOOP.format(
        T={"f32": "float", "f64": "double"}[dtype],
        name=printed.name, operands=", ".join(["x"] * count), block=BLOCK,
    )  # fmt: skip
    # A parallel region inside of another costs as much as a thousand calls, even for one thread.
    lines = [line for line in module.source.splitlines() if "omp parallel" not in line]
    repeated = library("\n".join(lines) + loop).repeated
    repeated.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
    repeated.restype = None
    own = numpy_dtype(DTYPES[dtype])
    x = np.random.default_rng(0).uniform(0.1, 0.9, BLOCK).astype(own)
    out = np.empty((THREADS.count, BLOCK), own)
    return lambda blocks, threads: repeated(x.ctypes.data, out.ctypes.data, blocks, threads)
