"""The door: which way a call with torch tensors goes.

In: what is called, and its arguments. Out: the results. Between: plain tensors go straight to the kernel,
under a light autograd node where a gradient is wanted; whatever transforms, traces or intercepts
operators gets an operator. Derivatives come through this door again, so they have derivatives as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch.autograd.function import _SingleLevelFunction

from tdsl.backends.torch_dtype import torch_dtype
from tdsl.runtime.arguments import PLAIN, dtype_named
from tdsl.runtime.definition import Mode, Run, Specialisation, remember
from tdsl.runtime.torch.kernel import is_compiled, run_kernel, scale_gradients
from tdsl.runtime.torch.memory import (
    Callee,
    Tensor,
    check_places,
    number_of,
)
from tdsl.runtime.torch.native import Layouts, layouts
from tdsl.runtime.torch.operator import gradients, is_transformed, run_operator, without_derivative

unwrap_if_dead = torch._C._functorch.unwrap_if_dead
PLAIN[Tensor] = PLAIN[torch.nn.Parameter] = attrgetter("dtype", "ndim")
_count_modes = torch._C._len_torch_dispatch_stack
_is_included = torch._C._dispatch_tls_is_dispatch_key_included
_EARLY = torch._C.DispatchKey.PreDispatch
"""The key that is on while a mode sees operators before autograd does."""


def torch_runner(found: Specialisation, mode: Mode) -> Run:
    """What runs a specialisation on tensors and arrays of rank 0."""
    return partial(run, Callee(found, mode))


def run(callee: Callee, values: Sequence[Any]) -> list[Tensor]:
    """The results, recorded by whoever records. Raises TdslError for tensors it cannot take."""
    if is_intercepted():
        return _by_operator(callee, values)
    key = layouts(values)
    if key is None:
        values = [unwrap_if_dead(v) if isinstance(v, Tensor) else v for v in values]
        if not all(map(has_memory, values)):
            return _by_operator(callee, values)
    if wants_gradient(values):
        found = _node(callee, values).apply(callee.keeping(), key, *values)
        return [found] if isinstance(found, Tensor) else list(found)
    return run_kernel(callee, values, key)


def _by_operator(callee: Callee, values: Sequence[Any]) -> list[Tensor]:
    check_places(callee, values)
    return run_operator(callee.keeping(), _all_tensors(values))


def _node(callee: Callee, values: Sequence[Any]) -> Any:
    if not is_compiled(callee, values):
        return _Recorded
    return _RecordedLoss if callee.is_loss else _RecordedPasses


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
        is_transformed() or _count_modes() or _is_included(_EARLY) or torch._C._is_tracing()
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
    needed = ctx.needs_input_grad[2:]
    return tuple(n for n, is_needed in zip(callee.params, needed, strict=True) if is_needed)


def _keep(ctx: Any, values: Sequence[Any], saved: Sequence[Tensor] = ()) -> None:
    """Keep the arguments for the backward pass, then what else is saved."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    ctx.constants = None
    if len(tensors) < len(values):
        ctx.constants = [None if isinstance(value, Tensor) else value for value in values]
    ctx.save_for_backward(*tensors, *saved)


def _kept(ctx: Any) -> tuple[Sequence[Any], Sequence[Tensor]]:
    """The arguments that were kept, and what else was saved.

    Saved tensors are asked for once: under `torch.utils.checkpoint` they are computed for one asking.
    """
    tensors = ctx.saved_tensors
    if ctx.constants is None:
        count = len(ctx.callee.params)
        return tensors[:count], tensors[count:]
    stored = iter(tensors)
    return [next(stored) if value is None else value for value in ctx.constants], list(stored)


class _Recorded(_SingleLevelFunction):
    """A call in torch's graph, for plain tensors."""

    @staticmethod
    def forward(ctx: Any, callee: Callee, key: Layouts | None, *values: Any) -> Any:
        ctx.callee = callee
        _keep(ctx, values)
        results = run_kernel(callee, values, key)
        if not all(callee.floating):
            ctx.mark_non_differentiable(*without_derivative(callee, results))
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        values, _ = _kept(ctx)
        needed = ctx.needs_input_grad[2:]
        return None, None, *gradients(ctx.callee, values, cotangents, needed, run)


@dataclass(frozen=True, slots=True)
class _Recording:
    """How a call is recorded in which the same arguments need gradients.

    `saved` has the places of the forward pass's results that the backward pass takes, `kept` those of the
    arguments, `incoming` those of the cotangents.
    """

    forward: Callee
    backward: Callee
    saved: tuple[int, ...]
    kept: tuple[int, ...]
    incoming: tuple[int, ...]


def _recording(ctx: Any, callee: Callee) -> _Recording:
    needed = ctx.needs_input_grad
    known: _Recording | None = callee.recorded.get(needed)
    if known is None:
        passes = callee.found.passes(_wanted(ctx, callee))
        known = _Recording(
            callee.like(passes.forward),
            callee.like(passes.backward),
            tuple(passes.split.saved),
            tuple(callee.params.index(name) for name in passes.split.kept),
            tuple(i for i, is_floating in enumerate(callee.floating) if is_floating),
        )
        remember(callee.recorded, needed, known)
    return known


class _RecordedPasses(_SingleLevelFunction):
    """A call by compiled kernels: the forward pass saves what the backward pass would recompute.

    A derivative of the backward pass is taken from the arguments, which are kept too.
    """

    @staticmethod
    def forward(ctx: Any, callee: Callee, key: Layouts | None, *values: Any) -> Any:
        recording = _recording(ctx, callee)
        found = run_kernel(recording.forward, values, key)
        results = found[: len(callee.floating)]
        ctx.callee, ctx.recording = callee, recording
        _keep(ctx, values, [found[i] for i in recording.saved])
        if len(recording.incoming) < len(results):
            ctx.mark_non_differentiable(*without_derivative(callee, results))
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        recording: _Recording = ctx.recording
        values, saved = _kept(ctx)
        if torch.is_grad_enabled():
            needed = ctx.needs_input_grad[2:]
            return None, None, *gradients(ctx.callee, values, cotangents, needed, run)
        arguments = [values[i] for i in recording.kept]
        arguments += saved
        arguments += [cotangents[i] for i in recording.incoming]
        found = iter(run_kernel(recording.backward, arguments))
        return tuple([next(found) if is_needed else None for is_needed in ctx.needs_input_grad])


class _RecordedLoss(_SingleLevelFunction):
    """A loss by compiled kernels: gradients are computed while the data is on the chip.

    The backward pass multiplies them by its cotangent, in place and once; after that, and where its own
    derivative is wanted, the pullback computes them anew.
    """

    @staticmethod
    def forward(ctx: Any, callee: Callee, key: Layouts | None, *values: Any) -> Any:
        wanted = _wanted(ctx, callee)
        both = callee.like(callee.found.with_gradients(wanted))
        value, *ctx.gradients = run_kernel(both, values, key)
        ctx.callee = callee
        _keep(ctx, values)
        return value

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        values, _ = _kept(ctx)
        needed = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled() or ctx.gradients is None:
            return None, None, *gradients(ctx.callee, values, cotangents, needed, run)
        found, ctx.gradients = ctx.gradients, None
        scale_gradients(ctx.callee, found, cotangents[0])
        shares = iter(found)
        del found
        return None, None, *(next(shares) if is_needed else None for is_needed in needed)
