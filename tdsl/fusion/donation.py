"""Results in the memory of arguments that the caller gives away.

In: a plan, the schedules of its kernels, and names of arguments. Out: for results the argument whose memory
they take. Between: a result takes an argument's memory only if the kernel that stores it is the last step
that reads the argument, reads it at the very places that it stores, and reads them once, each by the lane
that stores it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tdsl.fusion.kernel import Kernel, Store
from tdsl.fusion.plan import Plan
from tdsl.fusion.schedule import Schedule
from tdsl.ir.function import Param
from tdsl.ir.size import index as variable
from tdsl.ops import index, take


def donations(plan: Plan, schedules: Sequence[Schedule], names: Collection[str]) -> dict[str, str]:
    """The argument for each result that takes the memory of one."""
    found: dict[str, str] = {}
    by_kernel = dict(zip((kernel.name for kernel in plan.kernels), schedules, strict=True))
    for place, step in enumerate(plan.steps):
        if not isinstance(step, Kernel) or by_kernel[step.name].kind == "looped":
            continue
        later = {read.name for other in plan.steps[place + 1 :] for read in other.reads}
        for store in step.stores:
            if store.buffer not in plan.results or not _is_only(step, store):
                continue
            for read in step.reads:
                free = read.name in names and read.name not in {*later, *found.values()}
                if free and _fits(step, store, read):
                    found[store.buffer] = read.name
                    break
    return found


def _is_only(kernel: Kernel, store: Store) -> bool:
    """Whether nothing else is stored in the buffer."""
    return not store.share and sum(s.buffer == store.buffer for s in kernel.stores) == 1


def _fits(kernel: Kernel, store: Store, read: Param) -> bool:
    """Whether the argument is read where and by what the result is stored, and nowhere else."""
    moved = any(
        node.op in (index, take) and read.node in node.operands[:1] for node in kernel.nodes()
    )
    same = read.shape == store.shape and read.dtype == store.dtype
    same = same and store.places == tuple(map(variable, store.shape))
    own = set(kernel.layout.columns) <= set(store.node.axes)
    return same and own and not moved and read.name not in kernel.strides
