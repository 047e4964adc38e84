"""What `torch.compile` reads of a call: one operator, on tensors.

In: arguments as the tracer has them. Out: the results. Between: a `Plan` is found for dtypes, ranks and
static values alone, and is a constant to the tracer; a number for a rank-0 parameter goes into the graph
as a tensor, so that another number is no other graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.fx.experimental.symbolic_shapes import guard_scalar

from tdsl.backends.torch_dtype import torch_dtype
from tdsl.ir.function import Param
from tdsl.runtime.binding import Default, Number
from tdsl.runtime.call import Argument, Target, bound_call
from tdsl.runtime.results import Arrange, arrangement
from tdsl.runtime.torch.memory import Callee, Tensor
from tdsl.runtime.torch.operator import Operator, operator

if TYPE_CHECKING:
    from tdsl.runtime.function import Function


@dataclass(frozen=True, slots=True)
class Source:
    """Where a parameter's tensor comes from: an argument, or a default; a number gets the dtype."""

    place: int
    default: Number | None
    dtype: torch.dtype | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A call as the tracer records it: a constant, but for its name."""

    operator: Operator
    sources: tuple[Source, ...]
    arrange: Arrange


class _Plans:
    """Every plan that was made, as an attribute: where the tracer can find it again."""


_PLANS = _Plans()
_numbers = count()


def traced(function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The results of a call, by operations that `torch.compile` puts into its graph."""
    places: list[int | str] = [*range(len(args)), *kwargs]
    arguments = [*args, *kwargs.values()]
    is_numpy = any(isinstance(value, np.ndarray) for value in arguments)
    values = [torch.from_numpy(v) if isinstance(v, np.ndarray) else v for v in arguments]
    given = [
        _static(value) if function.is_static(place) else _outside(value)
        for place, value in zip(places, values, strict=True)
    ]
    # The tracer takes the name for a constant; `id` makes it look whether the function is the same.
    plan: Plan = getattr(_PLANS, function.plan(id(function), tuple(given), tuple(kwargs)))
    device = next((value.device for value in values if isinstance(value, Tensor)), None)
    results = plan.operator(*[_tensor(source, values, device) for source in plan.sources])
    row = [results] if isinstance(results, Tensor) else list(results)
    return plan.arrange([result.numpy() for result in row] if is_numpy else row)


def make_plan(target: Target, given: Sequence[Any], keywords: Sequence[str]) -> str:
    """The name of the plan for arguments of these dtypes and ranks. Raises TdslError as a call does."""
    found, arguments = bound_call(target, [_stand_in(item) for item in given], keywords)
    params = found.graph.params
    sources = tuple(_source(a, p) for a, p in zip(arguments, params, strict=True))
    arrange = arrangement(target.derivations, found.graph)
    plan = Plan(operator(Callee(found, target.mode).keeping()), sources, arrange)
    name = f"plan_{next(_numbers)}"
    setattr(_PLANS, name, plan)
    return name


def _source(argument: Argument, param: Param) -> Source:
    argument.load(param)
    dtype = torch_dtype(str(param.dtype)) if argument.fact.number is not None else None
    if isinstance(argument.place, Default):
        return Source(-1, argument.place.value, dtype)
    return Source(argument.place, None, dtype)


def _static(value: Any) -> Any:
    """A number that the tracer made symbolic is this very number to a static parameter."""
    return guard_scalar(value) if isinstance(value, int | float) else value


def _outside(value: Any) -> Any:
    """What a plan depends on: dtype and rank of a tensor, the kind of a number."""
    if isinstance(value, Tensor):
        return (value.dtype, value.ndim)
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return 0
    return 0.0 if isinstance(value, float) else value


def _stand_in(item: Any) -> Any:
    """A tensor without memory where there was one."""
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], torch.dtype):
        return torch.empty((1,) * item[1], dtype=item[0], device="meta")
    return item


def _tensor(source: Source, values: Sequence[Any], device: torch.device | None) -> Tensor:
    value: Any = values[source.place] if source.default is None else source.default
    if source.dtype is None:
        return value  # type: ignore[no-any-return]
    return torch.full((), value, dtype=source.dtype, device=device)
