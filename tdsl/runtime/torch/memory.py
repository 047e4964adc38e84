"""Kernels on memory that torch owns.

In: a specialisation, and plain tensors on the CPU. Out: fresh tensors. Between: tensors are viewed, never
copied and never `.numpy()`-ed, which would freeze their storage, so that FSDP could not resize it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from tdsl import faults
from tdsl.ir.dtype import BF16, may_be_float
from tdsl.ops import numpy_dtype
from tdsl.runtime.arguments import Array
from tdsl.runtime.definition import Mode, Specialisation

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Callee:
    """What is called: a specialisation, and how it runs."""

    found: Specialisation
    mode: Mode

    def keeping(self) -> Callee:
        """The same without donations: arguments are needed again, or seen by others."""
        return Callee(self.found, replace(self.mode, donate=())) if self.mode.donate else self

    def pullback(self, wrt: Sequence[str]) -> Callee:
        """The vector-Jacobian product."""
        return Callee(self.found.pullback(tuple(wrt)), self.mode)

    def pushforward(self, wrt: Sequence[str]) -> Callee:
        """The Jacobian-vector product."""
        return Callee(self.found.pushforward(tuple(wrt)), self.mode)

    def batched(self, names: Sequence[str]) -> Callee:
        """The same over a leading axis."""
        return Callee(self.found.batched(tuple(names)), self.mode)

    @property
    def params(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return tuple(param.name for param in self.found.graph.params)

    @property
    def floating(self) -> tuple[bool, ...]:
        """For each result, whether it has a derivative."""
        return tuple(may_be_float(result.node.dtype) for result in self.found.graph.results)


def check_places(callee: Callee, values: Sequence[Any]) -> None:
    """Raise TdslError for tensors of several devices, of one without a backend, or not strided."""
    devices = {value.device.type for value in values if isinstance(value, Tensor)}
    for name, value in zip(callee.params, values, strict=True):
        if not isinstance(value, Tensor):
            continue
        if value.device.type not in ("cpu", "cuda") and devices != {"meta"}:
            raise faults.CALL_DEVICE.at(name=name, device=value.device)
        if value.layout != torch.strided:
            found = f"a tensor with the layout {value.layout}"
            raise faults.NOT_TENSOR.at(name=name, found=found, hint="write `.to_dense()`")


def array_of(value: Any) -> Array:
    """A NumPy view of a tensor; a number was made an array already. Strides are never negative."""
    if not isinstance(value, Tensor):
        array: Array = value
        return array
    plain = value.detach()
    if plain.is_neg():
        plain = plain.resolve_neg()
    if plain.dtype == torch.bfloat16:
        bits: Array = np.from_dlpack(plain.view(torch.int16))
        return bits.view(numpy_dtype(BF16))
    return np.from_dlpack(plain)


def tensor_of(array: Array) -> Tensor:
    """A tensor of an array that nobody else holds."""
    if _is_bfloat16(array):
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def number_of(array: Array) -> bool | int | float:
    """The number in an array of rank 0."""
    value: bool | int | float = float(array) if _is_bfloat16(array) else array.item()
    return value


def _is_bfloat16(array: Array) -> bool:
    """Whether the dtype is the only one that NumPy itself has not."""
    return array.dtype.kind == "V"


def torch_dtype(name: str) -> torch.dtype:
    """Torch's dtype for one of ours, by its text."""
    kinds = {"i": "int", "u": "uint", "f": "float"}
    known = {"bool": torch.bool, "bf16": torch.bfloat16}
    found: torch.dtype = known.get(name) or getattr(torch, kinds[name[0]] + name[1:])
    return found
