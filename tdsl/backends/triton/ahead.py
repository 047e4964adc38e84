"""The kernels of a Plan as requests to compile them ahead of time.

In: a `Plan`, sizes and a target. Out: a `Request` for each kernel, in order. Between: what is promised to
Triton (types of sizes, divisibility by 16) is what a launch with these sizes and aligned buffers keeps.
"""

from __future__ import annotations

from collections.abc import Mapping

from tdsl.backends.triton.aot import Request
from tdsl.backends.triton.module import PROGRAMS_NAME, print_plan
from tdsl.backends.triton.printer import Printed
from tdsl.backends.triton.specialise import ALIGNMENT
from tdsl.fusion.kernel import Kernel
from tdsl.fusion.plan import Plan
from tdsl.fusion.schedule import Schedule
from tdsl.ir.dtype import BOOL, AnyDtype

# Streaming multiprocessors or compute units of an A100, H100, B200 and MI300X.
MULTIPROCESSORS: Mapping[str, int] = {"sm_80": 108, "sm_90": 132, "sm_100": 148, "gfx942": 304}


def multiprocessors(target: str) -> int:
    """How many multiprocessors the usual machine of a target has. KeyError: an unknown target."""
    return MULTIPROCESSORS[target]


def requests(
    plan: Plan, sizes: Mapping[str, int], target: str, *, aligned: bool = True
) -> list[Request]:
    """A request for each kernel of the plan at these sizes.

    `aligned`: every buffer begins at a multiple of 16 bytes, and sizes that divide by 16 are known to.
    """
    module = print_plan(plan, sizes, multiprocessors(target))
    known = {**sizes, PROGRAMS_NAME: module.programs}
    return [
        _request(module.source, kernel, printed, schedule, known, target, aligned)
        for kernel, (printed, schedule) in zip(plan.kernels, module.kernels, strict=True)
    ]


def _request(
    source: str,
    kernel: Kernel,
    printed: Printed,
    schedule: Schedule,
    known: Mapping[str, int],
    target: str,
    aligned: bool,
) -> Request:
    dtypes = {store.buffer: store.dtype for store in kernel.stores}
    dtypes |= {read.name: read.node.dtype for read in kernel.reads}
    pointers = {f"{name}_ptr": f"*{_type(dtypes[name])}" for name in printed.pointers}
    values = {name: size.evaluate(known) for name, size in printed.sizes}
    sizes = {name: "i64" if value >= 2**31 else "i32" for name, value in values.items()}
    nodes = dict(kernel.numbers)
    numbers = {name: _type(nodes[name].dtype) for name in printed.numbers}
    promised = [*pointers]
    promised += [
        name for name, value in values.items()
        if value % ALIGNMENT == 0 and name not in printed.unspecialised
    ]  # fmt: skip
    return Request(
        source, printed.name, {**pointers, **sizes, **numbers}, target, dict(printed.constants),
        promised if aligned else (), schedule.warps, schedule.stages,
    )  # fmt: skip


def _type(dtype: AnyDtype) -> str:
    """Triton's name of a dtype in a signature."""
    if dtype == BOOL:
        return "i1"
    name = str(dtype)
    return f"fp{name[1:]}" if name[0] == "f" else name
