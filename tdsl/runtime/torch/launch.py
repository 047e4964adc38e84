"""Calls whose kernels a device runs: a plan for the sizes and layouts of the arguments, prepared once.

In: a specialisation, and tensors (or arrays, which are viewed as tensors). Out: fresh, contiguous tensors.
Between: a strided or broadcast argument is read where it lies; nothing is copied, nothing falls back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tdsl import faults
from tdsl.backends.torch_dtype import torch_dtype
from tdsl.backends.triton.execute import Executable, Texts
from tdsl.backends.triton.toolchain import is_interpreted, require_triton
from tdsl.fusion.plan import Plan, with_strides
from tdsl.ir.size import Size
from tdsl.runtime.arguments import Array, dtype_named
from tdsl.runtime.definition import Specialisation, remember
from tdsl.runtime.layouts import symbolic_strides
from tdsl.runtime.native import plan_of
from tdsl.runtime.torch.memory import array_of, number_of, tensor_of

Tensor = torch.Tensor
CPU = torch.device("cpu")


def run_tensors(
    found: Specialisation, values: Sequence[Any], donate: tuple[str, ...] = ()
) -> list[Tensor]:
    """The results on plain tensors of one device, and arrays of rank 0."""
    device = next((v.device for v in values if isinstance(v, Tensor)), CPU)
    tensors = [plain(device, value) for value in values]
    key = (
        device,
        donate,
        *[t.shape if t.is_contiguous() else (t.shape, t.stride()) for t in tensors],
    )
    known = found.launched.get(key)
    if known is None:
        known = remember(found.launched, key, _prepare(found, tensors, device, donate))
    if known.donations:
        return _donating(known, tensors)
    results: list[Tensor] = known.run(tensors)
    return results


def _donating(program: Executable, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The results, of which some take arguments' memory: views of it, and autograd is told."""
    results = program.run([tensor.detach() for tensor in tensors])
    given = dict(zip((p.name for p in program.plan.params), tensors, strict=True))
    torch.autograd.graph.increment_version([given[name] for name in program.donations.values()])
    return results


def run_arrays(found: Specialisation, arrays: Sequence[Array]) -> list[Array]:
    """The same for NumPy arrays, on the CPU."""
    return [array_of(tensor) for tensor in run_tensors(found, [plain(CPU, a) for a in arrays])]


def plain(device: torch.device, value: Any) -> Tensor:
    """The value as a tensor whose memory holds it; a number becomes one of rank 0 on the device."""
    if isinstance(value, Tensor):
        return value.detach().resolve_neg() if value.is_neg() else value
    array = np.asarray(value)
    if device.type == "cuda":  # a copy from the host would wait, and no graph would capture it
        dtype = torch_dtype(str(dtype_named(array.dtype)))
        return torch.full((), number_of(array), dtype=dtype, device=device)
    if any(step < 0 for step in array.strides) or not array.flags.writeable:
        array = array.copy()
    return tensor_of(array)


def _prepare(
    found: Specialisation,
    tensors: Sequence[Tensor],
    device: torch.device,
    donate: tuple[str, ...],
) -> Executable:
    """The plan for these layouts, for these sizes. Raises TdslError for wrong sizes, no Triton."""
    check_triton(device)
    names = [param.name for param in found.flat.params]
    layouts = [(n, tuple(t.shape), t.stride()) for n, t in zip(names, tensors, strict=True)]
    strides, values = symbolic_strides(layouts)
    sizes = found.sizes(tuple(shape for _, shape, _ in layouts))
    plan, texts = planned(found, strides)
    return Executable(plan, {**sizes, **values}, device, donate, texts)


def check_triton(device: torch.device) -> None:
    """Raise TdslError where kernels cannot run."""
    require_triton()
    if device.type == "cpu" and not is_interpreted():
        note = "on the CPU it runs in Triton's interpreter only"
        hint = "set TRITON_INTERPRET=1 before Triton is imported"
        raise faults.NO_BACKEND.at(backend="triton", note=note, hint=hint)


def planned(found: Specialisation, strides: Mapping[str, tuple[Size, ...]]) -> tuple[Plan, Texts]:
    """The plan for these classes of layouts, and its texts."""
    key = ("plan", *strides.items())
    return found.prepared(key, lambda: (with_strides(plan_of(found), strides), {}))
