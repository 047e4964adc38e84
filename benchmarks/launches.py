"""How often torch launches kernels for the library's functions: `python -m benchmarks.launches --out FILE`.

In: torch's expression for each function, from `tests/kernels/reference.py`, in f32 on the CPU. Out: JSON,
by function, of launches forward and backward: of eager torch, the operations of aten that are no views and
no mere allocations (each launches at least one kernel); of torch.compile, the groups of loops and the calls
that Inductor's scheduler leaves after fusion. No kernel is compiled or run for the latter: it is only
planned, for the CPU. A row that torch.compile cannot take has null there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch._inductor.async_compile import AsyncCompile
from torch._inductor.scheduler import NopKernelSchedulerNode, Scheduler
from torch._inductor.virtualized import V
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.traffic import chosen
from tests.kernels.reference import Row
from tests.kernels.test_kernels import arguments, flat
from tests.triton.large import specs

Launches = dict[str, int]
NO_KERNEL = (
    "empty",
    "new_empty",
    "detach",
    "alias",
    "lift_fresh",
    "_unsafe_view",
    "_reshape_alias",
)


SIZES: Mapping[str, Mapping[int, int]] = {
    "attention": {4: 64, 5: 128}, "linear": {3: 64}, "losses": {3: 64, 4: 64, 5: 1024, 7: 1024},
    "norms": {3: 64, 5: 1024},
}  # fmt: skip
USUAL = {3: 64, 5: 1024}
"""Sizes in place of the tables' small ones: what Inductor fuses depends on the lengths of loops."""


def tensors(row: Row) -> list[Any]:
    """Arguments of the row: random, labels all 0."""
    if row.name.endswith("_packed"):  # torch's expression has the small sizes in it
        return arguments(row, "f32", grad=True)
    made: list[Any] = []
    for place, spec in enumerate(specs(row, "f32", SIZES.get(row.file, USUAL))):
        if not isinstance(spec, str):
            made.append(spec)
            continue
        dtype, _, sizes = spec.rstrip("]").partition("[")
        shape = [int(size) for size in sizes.split(",") if size]
        if dtype == "f32":
            made.append(torch.rand(shape).requires_grad_(place not in row.frozen))
        else:
            made.append(torch.zeros(shape, dtype=torch.int64 if dtype == "i64" else torch.bool))
    return made


class Counting(TorchDispatchMode):
    """Counts the operations of aten that launch something."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if not func.is_view and not name.startswith(NO_KERNEL):
            self.count += 1
        return func(*args, **(kwargs or {}))


def eager(row: Row) -> Launches:
    """What eager torch launches."""
    given = tensors(row)
    with Counting() as forward:
        results = row.torch(*given)
    pull = pullback(results, given)
    with Counting() as backward:
        pull()
    return {"forward": forward.count, "backward": backward.count}


def pullback(results: Any, given: list[Any]) -> Callable[[], Any]:
    """A function that differentiates the results, for cotangents that are there already."""
    outputs = [r for r in flat(results) if r.requires_grad]
    inputs = [a for a in given if isinstance(a, torch.Tensor) and a.requires_grad]
    cotangents = [torch.ones_like(output) for output in outputs]
    if not outputs:
        return lambda: None
    return lambda: torch.autograd.grad(outputs, inputs, cotangents, allow_unused=True)


@contextmanager
def planned() -> Iterator[Launches]:
    """Counts what Inductor plans while the block runs; kernels do nothing."""
    found = {"forward": 0, "backward": 0}
    codegen = Scheduler.codegen

    def counting(self: Scheduler) -> None:
        own = [node for node in self.nodes if not isinstance(node, NopKernelSchedulerNode)]
        found["backward" if V.graph.is_backward else "forward"] += len(own)
        codegen(self)

    def nothing(self: AsyncCompile, *args: Any, **kwargs: Any) -> Callable[..., None]:
        return lambda *operands: None

    with (
        patch.object(Scheduler, "codegen", counting),
        patch.object(AsyncCompile, "cpp_pybinding", nothing),
        torch._inductor.config.patch(fx_graph_cache=False),
    ):
        yield found


def compiled(row: Row) -> Launches | None:
    """What torch.compile would launch."""
    torch._dynamo.reset()
    given = tensors(row)
    try:
        with planned() as found:
            pullback(torch.compile(row.torch, fullgraph=True, dynamic=False)(*given), given)()
    except torch._dynamo.exc.TorchDynamoException as error:
        print(f"{row.id}: {type(error).__name__}", file=sys.stderr)
        return None
    return found


def main() -> None:
    """Measure every row, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="functions whose names begin so")
    options = parser.parse_args()
    rows = [row for row in chosen() if row.name.startswith(options.only)]
    found = {f"{r.file}.{r.id}": {"eager": eager(r), "compile": compiled(r)} for r in rows}
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(found[key])}" for key in sorted(found))
    text = f'{{"torch": "{torch.__version__}", "launches": {{\n{lines}\n}}}}\n'
    options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
