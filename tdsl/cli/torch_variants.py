"""torch as a variant: the same graph as a program of plain torch, run as it is or compiled.

In: a `Subject` and a stage. Out: a `Variant`. Between: torch differentiates the program itself; of what it
runs as it is, every operation that makes new memory counts as a kernel that reads its arguments and
writes its results. What `torch.compile` moves is not known: it counts the least that any program could.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._inductor.utils import run_and_get_code
from torch.utils._python_dispatch import TorchDispatchMode

from tdsl import faults
from tdsl.backends.triton.eager import NAME, torch_text
from tdsl.backends.triton.export_reference import NO_SPELLING
from tdsl.backends.triton.source import load_python
from tdsl.cli.measuring import Action
from tdsl.cli.subject import Subject
from tdsl.cli.variants import Variant, refusing
from tdsl.runtime.torch.memory import tensor_of

Tensor = torch.Tensor
Program = Callable[..., tuple[Tensor, ...]]
_CALL = re.compile(r"^ +(?:\w+_fused\w*(?:\.run)?\(|extern_kernels\.)", re.MULTILINE)
"""A kernel's call in Inductor's code."""


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that make new memory, and the bytes that they read and write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels = self.bytes_moved = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if all(r.alias_info is None for r in func._schema.returns):
            self.kernels += 1
            self.bytes_moved += _bytes([args, kwargs or {}, result])
        return result


def _bytes(values: Any) -> int:
    """The bytes of the tensors in a nest of containers; of a broadcast one those that it has."""
    if isinstance(values, Tensor):
        sides = zip(values.shape, values.stride(), strict=True)
        count = values.element_size()
        for side, step in sides:
            count *= side if step else 1
        return count
    if isinstance(values, dict):
        values = list(values.values())
    return sum(map(_bytes, values)) if isinstance(values, list | tuple) else 0


def torch_variant(subject: Subject, stage: str, name: str, *, is_cuda: bool) -> Variant:
    """A variant by torch: `torch`, or `compile`. Raises TdslError for what torch cannot run."""
    for node in subject.found.flat.nodes():
        if node.op.name in NO_SPELLING:
            raise faults.NO_BACKEND.at(backend=name, note=NO_SPELLING[node.op.name])
    program: Program = load_python(torch_text(subject.found.flat, subject.sizes), NAME)
    with refusing(name, RuntimeError, TypeError):
        return _variant(subject, stage, name, program, is_cuda=is_cuda)


def _variant(
    subject: Subject, stage: str, name: str, program: Program, *, is_cuda: bool
) -> Variant:
    if name == "compile":
        torch._dynamo.reset()
        program = torch.compile(program, dynamic=False)
    prepare = preparation(subject, stage, program, is_cuda=is_cuda)
    if name == "compile":
        kernels = _compiled_kernels(prepare, all_codes=subject.is_loss)
        return Variant(name, stage, prepare, kernels, subject.compulsory(stage))
    action = prepare()
    with Counting() as counting:
        action()
    return Variant(name, stage, prepare, counting.kernels, counting.bytes_moved)


def preparation(
    subject: Subject, stage: str, program: Program, *, is_cuda: bool
) -> Callable[[], Action]:
    """What prepares a stage of a program that takes the graph's tensors in order and gives a tuple."""
    tensors = [tensor_of(array) for array in subject.arrays]
    cotangents = [tensor_of(array) for array in subject.cotangents]
    if is_cuda:
        tensors, cotangents = ([x.cuda() for x in group] for group in (tensors, cotangents))
    if stage == "forward":
        return _forward(program, tensors)
    names = [param.name for param in subject.found.graph.params]
    leaves = {n: tensors[names.index(n)].detach().requires_grad_() for n in subject.wrt}
    arguments = [leaves.get(n, x) for n, x in zip(names, tensors, strict=True)]
    make = _loss if subject.is_loss else _backward
    return make(program, arguments, list(leaves.values()), cotangents)


def _forward(program: Program, arguments: Sequence[Tensor]) -> Callable[[], Action]:
    def action() -> tuple[Tensor, ...]:
        with torch.no_grad():
            return program(*arguments)

    return lambda: action


def _backward(
    program: Program,
    arguments: Sequence[Tensor],
    leaves: Sequence[Tensor],
    cotangents: Sequence[Tensor],
) -> Callable[[], Action]:
    def prepare() -> Action:
        results = [y for y in program(*arguments) if y.is_floating_point()]
        return lambda: _gradients(results, leaves, cotangents)

    return prepare


def _loss(
    program: Program, arguments: Sequence[Tensor], leaves: Sequence[Tensor], _: Sequence[Tensor]
) -> Callable[[], Action]:
    def action() -> list[Tensor]:
        (value,) = program(*arguments)
        return [value.detach(), *_gradients([value], leaves, None)]

    return lambda: action


def _gradients(
    results: Sequence[Tensor], leaves: Sequence[Tensor], cotangents: Sequence[Tensor] | None
) -> list[Tensor]:
    found = torch.autograd.grad(
        results, leaves, cotangents, allow_unused=True, materialize_grads=True
    )
    return list(found)


def _compiled_kernels(prepare: Callable[[], Action], *, all_codes: bool) -> int:
    """How many calls of kernels the code has that Inductor generates: of all graphs, or of the last."""

    def run() -> None:
        prepare()()

    _, codes = run_and_get_code(run)
    return sum(len(_CALL.findall(code)) for code in (codes if all_codes else codes[-1:]))
