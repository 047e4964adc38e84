"""Calls with torch tensors on the CPU, differentiable by torch's autograd to any order.

In: a specialisation, and loaded arguments of which some are tensors. Out: tensors of the same dtypes.
Between: torch only carries results around; every gradient is a derived graph, run through this same
door, so that it can be differentiated again. Tensors are viewed, never copied and never `.numpy()`-ed,
which would freeze their storage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tdsl import faults
from tdsl.ir.dtype import BF16, may_be_float
from tdsl.ops import numpy_dtype
from tdsl.runtime.arguments import Array
from tdsl.runtime.definition import Specialisation

Tensor = torch.Tensor


def run_torch(found: Specialisation, values: Sequence[Any], *, checked: bool) -> list[Tensor]:
    """The results, recorded for autograd where some tensor needs a gradient."""
    if torch.is_grad_enabled() and any(
        isinstance(value, Tensor) and value.requires_grad for value in values
    ):
        _check(found, values)
        return list(_Differentiable.apply(found, checked, *values))  # type: ignore[no-untyped-call]
    return _run(found, values, checked=checked)


def _run(found: Specialisation, values: Sequence[Any], *, checked: bool) -> list[Tensor]:
    _check(found, values)
    arrays = [_array(value) for value in values]
    run = found.runner(tuple(array.shape for array in arrays), checked=checked)
    return [_tensor(array) for array in run(arrays)]


class _Differentiable(torch.autograd.Function):
    """A node of torch's graph that stands for a call."""

    @staticmethod
    def forward(ctx: Any, found: Specialisation, checked: bool, *values: Any) -> Any:
        ctx.found, ctx.checked = found, checked
        ctx.constants = [None if isinstance(value, Tensor) else value for value in values]
        ctx.save_for_backward(*(value for value in values if isinstance(value, Tensor)))
        results = _run(found, values, checked=checked)
        ctx.mark_non_differentiable(*(r for r in results if not r.is_floating_point()))
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        saved = iter(ctx.saved_tensors)
        values = [next(saved) if value is None else value for value in ctx.constants]
        params, results = ctx.found.graph.params, ctx.found.graph.results
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[2:]) if needed]
        incoming = [
            cotangent
            for cotangent, result in zip(cotangents, results, strict=True)
            if may_be_float(result.node.dtype)
        ]
        pullback = ctx.found.pullback(tuple(params[i].name for i in wanted))
        gradients = run_torch(pullback, [*values, *incoming], checked=ctx.checked)
        shares: list[Any] = [None] * (2 + len(values))
        for i, gradient in zip(wanted, gradients, strict=True):
            shares[2 + i] = gradient
        return tuple(shares)


def _check(found: Specialisation, values: Sequence[Any]) -> None:
    """Raise TdslError for tensors that have no memory here: other devices, torch.func, subclasses."""
    for param, value in zip(found.graph.params, values, strict=True):
        if not isinstance(value, Tensor):
            continue
        if value.device.type != "cpu":
            raise faults.CALL_DEVICE.at(name=param.name, device=value.device)
        if type(value) not in (Tensor, torch.nn.Parameter) or _is_transformed(value):
            raise faults.NOT_TENSOR.at(
                name=param.name, found=f"a {type(value).__name__} without memory of its own",
                note="torch.func, torch.export and tensor subclasses come with a later version",
            )  # fmt: skip
        if value.layout != torch.strided:
            found_text = f"a tensor with the layout {value.layout}"
            raise faults.NOT_TENSOR.at(
                name=param.name, found=found_text, hint="write `.to_dense()`"
            )


def _array(value: Any) -> Array:
    """A NumPy view of a tensor; a number was made an array already."""
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


def _is_transformed(value: Tensor) -> bool:
    """Whether a torch.func transform stands behind the tensor."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(value))


def _tensor(array: Array) -> Tensor:
    """A tensor of an array that nobody else holds."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
