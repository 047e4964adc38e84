"""Calls with torch tensors on the CPU, differentiable by torch's autograd to any order.

In: a compiled function and bound arguments of which some are tensors. Out: tensors of the same dtypes.
Between: torch only carries the results around; every gradient is a derived tdsl function, called through
this same door, so that it can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tdsl import faults
from tdsl.ir.dtype import BF16
from tdsl.ops import numpy_dtype
from tdsl.runtime.binding import Arguments, Array, as_array
from tdsl.runtime.pipeline import Derivation
from tdsl.syntax.elaboration.entry import Static

if TYPE_CHECKING:
    from tdsl.runtime.function import Function, Specialisation

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Call:
    """A function with what selects its specialisation: parameter names and static values."""

    function: Function
    names: tuple[str, ...]
    statics: Mapping[str, Static]

    def specialisation(self, arrays: Sequence[Any]) -> Specialisation:
        """The graph for these arguments."""
        own = dict(zip(self.names, arrays, strict=False))
        return self.function.specialise(own, self.statics)

    def run(self, values: Sequence[Any]) -> list[Tensor]:
        """All results in a row."""
        arrays = [_array(f"argument {i}", value) for i, value in enumerate(values)]
        count = len(self.names)
        own = dict(zip(self.names, arrays, strict=False))
        flat, _ = self.function.resolved(own, self.statics, arrays[count:])
        found = self.specialisation(arrays)
        program, _ = found.program(tuple(array.shape for array in flat))
        return [_tensor(array) for array in program.run(flat)]


class _Differentiable(torch.autograd.Function):
    """A node of torch's graph that stands for a call."""

    @staticmethod
    def forward(ctx: Any, call: Call, *values: Any) -> Any:
        ctx.call = call
        ctx.tensors = [isinstance(value, Tensor) for value in values]
        ctx.others = [None if isinstance(value, Tensor) else value for value in values]
        ctx.save_for_backward(*(value for value in values if isinstance(value, Tensor)))
        results = call.run(values)
        ctx.floating = [result.is_floating_point() for result in results]
        ctx.mark_non_differentiable(*(r for r in results if not r.is_floating_point()))
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        saved = iter(ctx.saved_tensors)
        values = [
            next(saved) if is_tensor else other
            for is_tensor, other in zip(ctx.tensors, ctx.others, strict=True)
        ]
        wanted = [i for i, need in enumerate(ctx.needs_input_grad[1:]) if need]
        incoming = [
            g.contiguous()
            for g, is_floating in zip(cotangents, ctx.floating, strict=True)
            if is_floating
        ]
        call: Call = ctx.call
        found = call.specialisation([_array("", value) for value in values])
        names = tuple(found.names[i] for i in wanted)
        step = Derivation("pullback", names)
        derived = replace(
            call.function, derivations=(*call.function.derivations, step), checked=False,
            _specialisations=_cache(call.function, step), _fast={},
        )  # fmt: skip
        gradients = _apply(Call(derived, call.names, call.statics), [*values, *incoming])
        shares: list[Any] = [None] * (len(values) + 1)
        for i, gradient in zip(wanted, gradients, strict=True):
            shares[i + 1] = gradient
        return tuple(shares)


_caches: dict[tuple[int, tuple[Derivation, ...]], tuple[Function, dict[Any, Any]]] = {}


def _cache(function: Function, step: Derivation) -> dict[Any, Any]:
    """The specialisations of a backward, kept with the source they belong to."""
    key = (id(function.source), (Derivation(function.name, None), *function.derivations, step))
    return _caches.setdefault(key, (function, {}))[1]


def call_torch(function: Function, bound: Arguments, cotangents: Sequence[Any]) -> Any:
    """The results of a call in which tensors take part."""
    for name, value in bound.tensors.items():
        if isinstance(value, np.ndarray):
            raise faults.CALL_MIXED.at(name=name, found="a NumPy array", expected="torch tensors")
    values = [*bound.tensors.values(), *cotangents]
    call = Call(function, tuple(bound.tensors), bound.statics)
    results = _apply(call, values)
    found = call.specialisation([_array("", value) for value in values])
    return function._shaped(results, found)


def _apply(call: Call, values: Sequence[Any]) -> list[Tensor]:
    """The results, recorded for autograd where some tensor needs it."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return list(_Differentiable.apply(call, *values))  # type: ignore[no-untyped-call]
    return call.run(values)


def _array(name: str, value: Any) -> Any:
    """A NumPy view of a tensor; numbers stay as they are."""
    if not isinstance(value, Tensor):
        return as_array(name, value)
    if value.device.type != "cpu":
        raise faults.CALL_DEVICE.at(name=name, device=value.device)
    plain = value.detach()
    if plain.is_conj() or plain.is_neg():
        plain = plain.resolve_conj().resolve_neg()
    if plain.dtype == torch.bfloat16:
        bits: Array = np.from_dlpack(plain.view(torch.int16))
        return bits.view(numpy_dtype(BF16))
    return np.from_dlpack(plain)


def _tensor(array: Array) -> Tensor:
    """A tensor of an array that nobody else holds."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
