"""Operators of torch's library: what tracers, transforms and dispatch modes see.

In: what is called. Out: an operator `tdsl::NAME_HASH` of tensors alone, with kernel, fake kernel,
autograd (both modes) and vmap. Between: the hash is of everything that its values and derivatives depend
on, since torch keeps compiled code on disk by name. Sizes are never Python numbers: the fake kernel solves
for symbolic ones. Derivatives are operators of derived graphs, so they have derivatives as well.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import torch
from torch._functorch import autograd_function
from torch.autograd import forward_ad

from tdsl import __version__
from tdsl.backends.torch_dtype import torch_dtype
from tdsl.ir.dtype import may_be_float
from tdsl.ir.size import Size
from tdsl.ir.text import print_function
from tdsl.runtime.solve import solve
from tdsl.runtime.torch.kernel import run_kernel
from tdsl.runtime.torch.memory import Callee, Tensor

Operator = torch._ops.OpOverload[..., Any]
Run = Callable[[Callee, Sequence[Any]], list[Tensor]]

_library = torch.library.Library("tdsl", "FRAGMENT")  # type: ignore[no-untyped-call]
_operators: dict[Callee, Operator] = {}
_lock = Lock()


def operator(callee: Callee) -> Operator:
    """The operator, registered when it is first asked for."""
    known = _operators.get(callee)
    if known is None:
        name = operator_name(callee)
        with _lock:
            if not hasattr(torch.ops.tdsl, name):
                _define(name, callee)
        known = _operators[callee] = getattr(torch.ops.tdsl, name).default
    return known


def run_operator(callee: Callee, values: Sequence[Tensor]) -> list[Tensor]:
    """The results of the operator in a row."""
    results = operator(callee)(*values)
    return [results] if isinstance(results, Tensor) else list(results)


def operator_name(callee: Callee) -> str:
    """The function's name, and a hash of its graph, its backward, the mode, and tdsl's version."""
    graph = callee.found.graph
    parts = [__version__, str(callee.mode), print_function(graph)]
    if _is_differentiable(callee):
        parts.append(print_function(callee.pullback(_floating_params(callee)).found.flat))
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', graph.name)}_{digest}"


def _define(name: str, callee: Callee) -> None:
    graph = callee.found.graph
    is_single = len(graph.results) == 1
    params = ", ".join(f"Tensor a{i}" for i in range(len(graph.params)))
    results = "Tensor" if is_single else f"({', '.join(['Tensor'] * len(graph.results))})"
    tags = (torch.Tag.pt2_compliant_tag, torch.Tag.flexible_layout)
    _library.define(f"{name}({params}) -> {results}", tags=tags)  # type: ignore[no-untyped-call]

    def hand_out(items: Sequence[Any]) -> Any:
        return items[0] if is_single else tuple(items)

    def kernel(*tensors: Tensor) -> Any:
        return hand_out(run_kernel(callee, tensors))

    def fake(*tensors: Tensor) -> Any:
        return hand_out(fake_results(callee, tensors))

    def vectorised(_: Any, in_dims: Sequence[int | None], *tensors: Tensor) -> Any:
        results = _run_batched(callee, in_dims, tensors)
        return hand_out(results), hand_out([0] * len(results))

    def recorded(keys: Any, *tensors: Tensor) -> Any:
        below = keys & torch._C._after_autograd_keyset
        if not _is_recording(tensors):
            with torch._C._AutoDispatchBelowAutograd():
                return operator(callee).redispatch(below, *tensors)
        with autograd_function.enable_single_level_autograd_function():  # type: ignore[attr-defined]
            return hand_out(_Recorded.apply(callee, below, *tensors))  # type: ignore[attr-defined]

    for device in ("CPU", "CUDA"):
        _library.impl(name, kernel, device)  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"tdsl::{name}", fake, lib=_library)
    torch.library.register_vmap(f"tdsl::{name}", vectorised, lib=_library)
    if _is_differentiable(callee):
        _library.impl(name, recorded, "Autograd", with_keyset=True)  # type: ignore[no-untyped-call]


def _is_recording(tensors: Sequence[Tensor]) -> bool:
    """Whether a derivative of either mode may be wanted."""
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return True
    return is_transformed() and torch._C._is_fwd_grad_enabled()


def is_transformed() -> bool:
    """Whether a transform of torch.func or forward mode is at work."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


class _Recorded(torch.autograd.function._SingleLevelFunction):
    """The operator's node at one level of differentiation; levels are torch's dispatcher's business."""

    @staticmethod
    def forward(ctx: Any, callee: Callee, keys: Any, *values: Tensor) -> Any:
        ctx.callee = callee
        ctx.save_for_backward(*values)
        ctx.save_for_forward(*values)
        # Another process may find a compiled graph on disk that names the pullback, and trace no more.
        wanted = [
            n for n, needed in zip(callee.params, ctx.needs_input_grad[2:], strict=True) if needed
        ]
        if wanted:
            operator(callee.pullback(wanted))
        # Outer levels record what this one redispatches, though torch turned recording off here.
        with (
            torch.enable_grad(),
            forward_ad._set_fwd_grad_enabled(True),
            torch._C._AutoDispatchBelowAutograd(),
        ):
            found = operator(callee).redispatch(keys, *values)
        results = (found,) if isinstance(found, Tensor) else tuple(found)
        ctx.mark_non_differentiable(*without_derivative(callee, results))
        return results

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        needed = ctx.needs_input_grad[2:]
        shares = gradients(ctx.callee, ctx.saved_tensors, cotangents, needed, run_operator)
        return None, None, *shares

    @staticmethod
    def jvp(ctx: Any, _: None, __: None, *tangents: Tensor | None) -> Any:
        moving = [i for i, tangent in enumerate(tangents) if tangent is not None]
        callee: Callee = ctx.callee
        pushforward = callee.pushforward([callee.params[i] for i in moving])
        values = [*ctx.saved_tensors, *(t for t in tangents if t is not None)]
        found = iter(run_operator(pushforward, values))
        return tuple(next(found) if is_floating else None for is_floating in callee.floating)


def _is_differentiable(callee: Callee) -> bool:
    return bool(_floating_params(callee)) and any(callee.floating)


def _floating_params(callee: Callee) -> list[str]:
    return [param.name for param in callee.found.graph.params if may_be_float(param.dtype)]


def fake_results(callee: Callee, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Results without values, of sizes that may be symbolic. Raises TdslValueError for wrong ones."""
    flat = callee.found.flat
    _unify(callee, tensors)
    sizes = solve(flat, {p: t.shape for p, t in zip(callee.params, tensors, strict=True)})
    return [
        tensors[0].new_empty(
            [size.evaluate(sizes) for size in result.shape],
            dtype=torch_dtype(str(result.node.dtype)),
        )
        for result in flat.results
    ]


def _unify(callee: Callee, tensors: Sequence[Tensor]) -> None:
    """Promise torch that axes of one size agree where it depends on data and is not known yet."""
    first: dict[Size, Any] = {}
    for param, tensor in zip(callee.found.graph.params, tensors, strict=True):
        for size, actual in zip(param.shape, tensor.shape, strict=True):
            known = first.setdefault(size, actual)
            if any(isinstance(n, torch.SymInt) and not n.node.has_hint() for n in (known, actual)):
                torch._check(known == actual)  # type: ignore[no-untyped-call]


def _run_batched(
    callee: Callee, in_dims: Sequence[int | None], tensors: Sequence[Tensor]
) -> list[Tensor]:
    """The results with the batch in front, for tensors of which some have it at `in_dims`."""
    names = [n for n, dim in zip(callee.params, in_dims, strict=True) if dim is not None]
    moved = [
        tensor if dim is None else tensor.movedim(dim, 0)
        for tensor, dim in zip(tensors, in_dims, strict=True)
    ]
    return run_operator(callee.batched(names), moved)


def gradients(
    callee: Callee,
    values: Sequence[Any],
    cotangents: Sequence[Tensor],
    needed: Sequence[bool],
    run: Run,
) -> tuple[Tensor | None, ...]:
    """The gradient of each parameter that needs one, by a kernel that computes these alone."""
    wanted = [i for i, is_needed in enumerate(needed) if is_needed]
    flags = zip(cotangents, callee.floating, strict=True)
    incoming = [cotangent for cotangent, is_floating in flags if is_floating]
    pullback = callee.pullback([callee.params[i] for i in wanted])
    found = dict(zip(wanted, run(pullback, [*values, *incoming]), strict=True))
    return tuple(found.get(i) for i in range(len(values)))


def without_derivative(callee: Callee, results: Sequence[Tensor]) -> list[Tensor]:
    """The results that carry no gradient."""
    return [r for r, is_floating in zip(results, callee.floating, strict=True) if not is_floating]
