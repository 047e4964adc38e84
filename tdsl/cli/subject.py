"""What a benchmark runs: a function for given data, and the graphs of its two stages.

In: a function, its arguments, and what is wanted of it. Out: a `Subject`. Between: the same seed gives the
same data, cotangents included.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tdsl.cli.data import filled, index_limits
from tdsl.cli.defaults import missing
from tdsl.fusion.traffic import compulsory
from tdsl.ir.dtype import Dtype, may_be_float
from tdsl.ops import numpy_dtype
from tdsl.runtime.binding import Default, Fact
from tdsl.runtime.call import bound_call
from tdsl.runtime.definition import Passes, Specialisation
from tdsl.runtime.function import Function


@dataclass(frozen=True)
class Subject:
    """A function's graph for given dtypes and ranks, data for it, and cotangents of its results."""

    found: Specialisation
    arrays: tuple[Any, ...]
    cotangents: tuple[Any, ...]
    wrt: tuple[str, ...]
    sizes: Mapping[str, int]

    @property
    def is_loss(self) -> bool:
        """Whether gradients come with the value in one pass."""
        results = self.found.graph.results
        return len(results) == 1 and not results[0].shape and may_be_float(results[0].node.dtype)

    @property
    def passes(self) -> Passes:
        """The two passes of a function that is no loss."""
        return self.found.passes(self.wrt)

    @property
    def loss(self) -> Specialisation:
        """The value of a loss and its gradients."""
        return self.found.with_gradients(self.wrt)

    def stage(self, stage: str) -> Specialisation:
        """What runs a stage, of the backward pass from what was saved."""
        if stage == "forward":
            return self.found
        return self.loss if self.is_loss else self.passes.backward

    def compulsory(self, stage: str) -> int:
        """The least bytes that a stage moves."""
        graph = self.found.flat
        if stage == "backward":
            graph = (self.loss if self.is_loss else self.found.pullback(self.wrt)).flat
        return compulsory(graph, lambda size: size.evaluate(self.sizes))

    @property
    def names(self) -> dict[str, list[str]]:
        """What the results of each stage are called."""
        count = len(self.found.graph.results)
        results = ["the result"] if count == 1 else [f"result{i}" for i in range(count)]
        gradients = [f"grad.{name}" for name in self.wrt]
        return {
            "forward": results,
            "backward": [*results, *gradients] if self.is_loss else gradients,
        }


def subject_of(
    function: Function, given: Mapping[str, Any], statics: Mapping[str, Any], options: Namespace
) -> Subject:
    """The function with data. `given` are facts and values by name; others have default specs.

    Raises TdslError as a call would.
    """
    arguments = {**given, **missing(function, given, statics)}
    generator = np.random.default_rng(options.seed)
    limits = index_limits(function, arguments, statics)
    arrays = {n: filled(v, generator, limits.get(n)) for n, v in arguments.items()}
    values = [*arrays.values(), *statics.values()]
    found, bound = bound_call(function.target, values, (*arrays, *statics))
    loaded = tuple(
        np.asarray(_value(a.place, values), numpy_dtype(param.dtype))
        for a, param in zip(bound, found.graph.params, strict=True)
    )
    sizes = found.sizes(tuple(array.shape for array in loaded))
    floating = [p.name for p in found.graph.params if may_be_float(p.dtype)]
    wanted = tuple(n.strip() for n in options.grad.split(",")) if options.grad else tuple(floating)
    if options.grad:
        function.derive("vjp", wanted)  # refuses names that are none
    cotangents = tuple(
        filled(Fact(tuple(s.evaluate(sizes) for s in r.shape), _own(r.node.dtype)), generator, None)
        for r in found.graph.results
        if may_be_float(r.node.dtype)
    )
    return Subject(found, loaded, cotangents, wanted, sizes)


def _value(place: int | Default, values: list[Any]) -> Any:
    return place.value if isinstance(place, Default) else values[place]


def _own(dtype: object) -> Dtype:
    assert isinstance(dtype, Dtype)
    return dtype
