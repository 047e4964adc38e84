"""Kernels on memory that torch owns.

In: a specialisation, and plain tensors on the CPU. Out: fresh tensors. Between: tensors are viewed, never
copied and never `.numpy()`-ed, which would freeze their storage, so that FSDP could not resize it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from tdsl import faults
from tdsl.ir.dtype import BF16, may_be_float
from tdsl.ops import numpy_dtype
from tdsl.runtime.arguments import Array
from tdsl.runtime.backends import is_native
from tdsl.runtime.definition import Mode, Run, Specialisation, remember

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Callee:
    """What is called: a specialisation, and how it runs.

    `native` says whether compiled code runs it where tensors lie on the processor, `is_loss` whether
    gradients come with the value, `floating` of each result whether it has a derivative; `params` are the
    names of the parameters. `prepared` has what runs on the processor, by the layouts of the arguments,
    `recorded` how calls are recorded, by which arguments need gradients.
    """

    found: Specialisation
    mode: Mode
    native: bool = field(init=False, compare=False, repr=False)
    is_loss: bool = field(init=False, compare=False, repr=False)
    params: tuple[str, ...] = field(init=False, compare=False, repr=False)
    floating: tuple[bool, ...] = field(init=False, compare=False, repr=False)
    prepared: dict[object, Run] = field(init=False, compare=False, repr=False, default_factory=dict)
    recorded: dict[object, Any] = field(init=False, compare=False, repr=False, default_factory=dict)
    _derived: dict[object, Callee] = field(
        init=False, compare=False, repr=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        graph = self.found.graph
        floating = tuple(may_be_float(result.node.dtype) for result in graph.results)
        object.__setattr__(self, "native", is_native(self.mode))
        object.__setattr__(self, "is_loss", self.found.is_loss)
        object.__setattr__(self, "params", tuple(param.name for param in graph.params))
        object.__setattr__(self, "floating", floating)

    def keeping(self) -> Callee:
        """The same without donations: arguments are needed again, or seen by others."""
        return Callee(self.found, replace(self.mode, donate=())) if self.mode.donate else self

    def like(self, found: Specialisation) -> Callee:
        """Another specialisation, run like this one."""
        known = self._derived.get(found)
        if known is None:
            known = remember(self._derived, found, Callee(found, self.mode))
        return known

    def pullback(self, wrt: Sequence[str]) -> Callee:
        """The vector-Jacobian product."""
        return self.like(self.found.pullback(tuple(wrt)))

    def pushforward(self, wrt: Sequence[str]) -> Callee:
        """The Jacobian-vector product."""
        return self.like(self.found.pushforward(tuple(wrt)))

    def batched(self, names: Sequence[str]) -> Callee:
        """The same over a leading axis."""
        return self.like(self.found.batched(tuple(names)))


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
