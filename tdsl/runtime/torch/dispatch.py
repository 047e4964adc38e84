"""The door: which way a call with torch tensors goes.

In: what is called, and its arguments. Out: the results. Between: plain tensors go straight to the kernel,
under a light autograd node where a gradient is wanted; whatever transforms, traces or intercepts
operators gets an operator. Derivatives come through this door again, so they have derivatives as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from tdsl.backends.torch_dtype import torch_dtype
from tdsl.runtime.arguments import dtype_named
from tdsl.runtime.definition import Mode, Run, Specialisation
from tdsl.runtime.torch.kernel import is_compiled, run_kernel, scale_gradients
from tdsl.runtime.torch.memory import (
    Callee,
    Tensor,
    check_places,
    number_of,
)
from tdsl.runtime.torch.operator import gradients, is_transformed, run_operator, without_derivative


def torch_runner(found: Specialisation, mode: Mode) -> Run:
    """What runs a specialisation on tensors and arrays of rank 0."""
    return partial(run, Callee(found, mode))


def run(callee: Callee, values: Sequence[Any]) -> list[Tensor]:
    """The results, recorded by whoever records. Raises TdslError for tensors it cannot take."""
    if is_intercepted() or not all(map(has_memory, values)):
        check_places(callee, values)
        return run_operator(callee.keeping(), _all_tensors(values))
    if wants_gradient(values):
        found = _node(callee, values).apply(callee.keeping(), *values)  # type: ignore[no-untyped-call]
        return [found] if isinstance(found, Tensor) else list(found)
    return run_kernel(callee, values)


def _node(callee: Callee, values: Sequence[Any]) -> type[torch.autograd.Function]:
    if not is_compiled(callee, values):
        return _Recorded
    return _RecordedLoss if callee.found.is_loss else _RecordedPasses


def wants_gradient(values: Sequence[Any]) -> bool:
    """Whether autograd records the call."""
    if torch.is_grad_enabled():
        for value in values:
            if isinstance(value, Tensor) and value.requires_grad:
                return True
    return False


def is_intercepted() -> bool:
    """Whether something wants to see operators: a transform, forward mode, a dispatch mode, a tracer."""
    return bool(
        is_transformed()
        or torch._C._len_torch_dispatch_stack()
        or torch._ops._len_torch_dispatch_stack_pre_dispatch()  # type: ignore[no-untyped-call]
        or torch._C._is_tracing()
    )


def has_memory(value: Any) -> bool:
    """Whether a value is a plain tensor or an array; anything else never reaches a kernel."""
    kind = type(value)
    if kind is Tensor or kind is torch.nn.Parameter:
        return (value.is_cpu or value.is_cuda) and value.layout is torch.strided
    return not isinstance(value, Tensor)


def _all_tensors(values: Sequence[Any]) -> list[Tensor]:
    """The values with arrays of rank 0 as tensors, made by the others so that they are of one kind."""
    like = next(value for value in values if isinstance(value, Tensor))
    return [
        value
        if isinstance(value, Tensor)
        else like.new_full((), number_of(value), dtype=torch_dtype(str(dtype_named(value.dtype))))
        for value in values
    ]


def _wanted(ctx: Any, callee: Callee) -> tuple[str, ...]:
    """The parameters that need a gradient."""
    needed = ctx.needs_input_grad[1:]
    return tuple(n for n, is_needed in zip(callee.params, needed, strict=True) if is_needed)


def _keep(ctx: Any, values: Sequence[Any], saved: Sequence[Tensor] = ()) -> None:
    """Keep the arguments for the backward pass, then what else is saved."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    ctx.constants = [None if isinstance(value, Tensor) else value for value in values]
    ctx.save_for_backward(*tensors, *saved)


def _kept(ctx: Any) -> tuple[list[Any], list[Tensor]]:
    """The arguments that were kept, and what else was saved.

    Saved tensors are asked for once: under `torch.utils.checkpoint` they are computed for one asking.
    """
    stored = iter(ctx.saved_tensors)
    return [next(stored) if value is None else value for value in ctx.constants], list(stored)


class _Recorded(torch.autograd.Function):
    """A call in torch's graph, for plain tensors."""

    @staticmethod
    def forward(ctx: Any, callee: Callee, *values: Any) -> Any:
        ctx.callee = callee
        _keep(ctx, values)
        results = run_kernel(callee, values)
        if not all(callee.floating):
            ctx.mark_non_differentiable(*without_derivative(callee, results))
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        values, _ = _kept(ctx)
        needed = ctx.needs_input_grad[1:]
        return None, *gradients(ctx.callee, values, cotangents, needed, run)


class _RecordedPasses(torch.autograd.Function):
    """A call by compiled kernels: the forward pass saves what the backward pass would recompute.

    A derivative of the backward pass is taken from the arguments, which are kept too.
    """

    @staticmethod
    def forward(ctx: Any, callee: Callee, *values: Any) -> Any:
        wanted = _wanted(ctx, callee)
        passes = callee.found.passes(wanted)
        found = run_kernel(callee.like(passes.forward), values)
        results = found[: len(callee.floating)]
        ctx.callee, ctx.passes = callee, passes
        _keep(ctx, values, [found[i] for i in passes.split.saved])
        if not all(callee.floating):
            ctx.mark_non_differentiable(*without_derivative(callee, results))
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        callee: Callee = ctx.callee
        values, saved = _kept(ctx)
        needed = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():
            return None, *gradients(callee, values, cotangents, needed, run)
        own = dict(zip(callee.params, values, strict=True))
        flags = zip(cotangents, callee.floating, strict=True)
        incoming = [cotangent for cotangent, is_floating in flags if is_floating]
        kept = [own[name] for name in ctx.passes.split.kept]
        arguments = [*kept, *saved, *incoming]
        found = iter(run_kernel(callee.like(ctx.passes.backward), arguments))
        return None, *(next(found) if is_needed else None for is_needed in needed)


class _RecordedLoss(torch.autograd.Function):
    """A loss by compiled kernels: gradients are computed while the data is on the chip.

    The backward pass multiplies them by its cotangent, in place and once; after that, and where its own
    derivative is wanted, the pullback computes them anew.
    """

    @staticmethod
    def forward(ctx: Any, callee: Callee, *values: Any) -> Any:
        wanted = _wanted(ctx, callee)
        both = callee.like(callee.found.with_gradients(wanted))
        value, *ctx.gradients = run_kernel(both, values)
        ctx.callee = callee
        _keep(ctx, values)
        return value

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        values, _ = _kept(ctx)
        needed = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or ctx.gradients is None:
            return None, *gradients(ctx.callee, values, cotangents, needed, run)
        found, ctx.gradients = ctx.gradients, None
        scale_gradients(ctx.callee, found, cotangents[0])
        shares = iter(found)
        del found
        return None, *(next(shares) if is_needed else None for is_needed in needed)
