"""One function called on many tensors: as many of the calls as can in one launch.

In: calls. Out: the results of each. Between: a launch serves calls on plain tensors of a device whose plans
are one pointwise kernel; all others go one by one, through the door that single calls take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from tdsl.backends.torch_dtype import torch_dtype
from tdsl.backends.triton.foreach import Elementwise, Foreach, elementwise
from tdsl.fusion.donation import donations
from tdsl.runtime.definition import Mode, Specialisation, remember
from tdsl.runtime.torch.dispatch import has_memory, is_intercepted, run, wants_gradient
from tdsl.runtime.torch.kernel import is_launched
from tdsl.runtime.torch.launch import check_triton, planned
from tdsl.runtime.torch.memory import Callee, Tensor

_launches: dict[object, Foreach] = {}


@dataclass(frozen=True, slots=True)
class Member:
    """A call that a launch can serve, for given shapes: its plan, and what its results are made in."""

    kind: Elementwise
    launch: Foreach
    device: torch.device
    count: int
    shapes: dict[str, tuple[int, ...]]
    donations: dict[str, str]


Memory = dict[str, Any]
Call = tuple[Specialisation, Sequence[Any]]


def run_many(calls: Sequence[Call], mode: Mode) -> list[list[Tensor]]:
    """The results of every call. Raises TdslError as the calls would."""
    members = [_member(found, values, mode) for found, values in calls]
    if _overlap(members, calls):
        members = [None for _ in calls]
    memories = [
        _memory(member, call) if member else {} for member, call in zip(members, calls, strict=True)
    ]
    groups: dict[Foreach, list[tuple[Member, Memory]]] = {}
    for member, memory in zip(members, memories, strict=True):
        if member is not None:
            groups.setdefault(member.launch, []).append((member, memory))
    for launch, group in groups.items():
        launch(
            [(member.count, [memory[n] for n in launch.pointers]) for member, memory in group],
            group[0][0].device,
        )
    return [
        run(Callee(found, mode), values)
        if member is None
        else [memory[n] for n in member.kind.plan.results]
        for member, memory, (found, values) in zip(members, memories, calls, strict=True)
    ]


def _member(found: Specialisation, values: Sequence[Any], mode: Mode) -> Member | None:
    """What serves the call; None, if it goes alone. Raises TdslError for wrong sizes."""
    if mode.checked or is_intercepted() or not all(map(has_memory, values)):
        return None
    if wants_gradient(values) or not is_launched(Callee(found, mode), values):
        return None
    tensors = [value for value in values if isinstance(value, Tensor)]
    device = tensors[0].device
    if not all(t.device == device and t.is_contiguous() and not t.is_neg() for t in tensors):
        return None
    key = ("foreach", device, mode.donate, *[value.shape for value in values])
    if key not in found.launched:
        remember(found.launched, key, _prepared(found, values, device, mode.donate))
    known: Member | None = found.launched[key]
    return known


def _prepared(
    found: Specialisation, values: Sequence[Any], device: torch.device, donate: tuple[str, ...]
) -> Member | None:
    sizes = found.sizes(tuple(tuple(value.shape) for value in values))
    plan, _ = planned(found, {})
    kind = elementwise(plan, sizes)
    if kind is None:
        return None
    check_triton(device)
    launch = _launches.get(kind.form) or remember(_launches, kind.form, Foreach(kind, sizes))
    results = {b.name: tuple(s.evaluate(sizes) for s in b.shape) for b in plan.buffers}
    count = prod(results[plan.results[0]])
    return Member(kind, launch, device, count, results, donations(plan, [kind.schedule], donate))


def _overlap(members: Sequence[Member | None], calls: Sequence[Call]) -> bool:
    """Whether two calls write in the same memory: then one must come after the other."""
    given = [
        tensor.data_ptr()
        for member, call in zip(members, calls, strict=True)
        if member is not None and member.count
        for tensor in _given(member, call)
    ]
    return len(set(given)) < len(given)


def _given(member: Member, call: Call) -> list[Tensor]:
    """The arguments whose memory results take."""
    found, values = call
    named = dict(zip((p.name for p in found.flat.params), values, strict=True))
    return [named[name] for name in member.donations.values()]


def _memory(member: Member, call: Call) -> Memory:
    """The arguments by name, and what the results are made in; autograd is told of what is given."""
    found, values = call
    memory = {p.name: value for p, value in zip(found.flat.params, values, strict=True)}
    for name, shape in member.shapes.items():
        dtype = torch_dtype(member.kind.dtypes[name])
        given = member.donations.get(name)
        if given is None:
            memory[name] = torch.empty(shape, dtype=dtype, device=member.device)
        else:
            memory[name] = memory[given].detach()
    if member.donations:
        torch.autograd.graph.increment_version(_given(member, call))
    return memory
