"""The interpreter: a Function run operation by operation in NumPy. It is the oracle of every backend.

In: a Function with concrete dtypes, and sizes. Out: a `Program`, prepared once and run many times.
Between: each node's closure is resolved for the sizes; a value is dropped after its last use; results
are fresh, contiguous arrays in result order, broadcast along axes that their node lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import Node
from tdsl.ir.size import ONE, Size
from tdsl.ops import input_, numpy_dtype
from tdsl.ops.base import aligner

Array = NDArray[Any]
Observe = Callable[[Node, list[Any], Any], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation: its closure, where operands lie, where the value goes, what is dropped after."""

    node: Node
    kernel: Callable[..., Any]
    operands: tuple[int, ...]
    place: int
    dead: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A Function for given sizes. `run` takes arrays in the order of the parameters."""

    slots: tuple[Any, ...]
    views: tuple[tuple[int, tuple[Any, ...] | None], ...]
    steps: tuple[Step, ...]
    results: tuple[tuple[int, Callable[[Any], Array]], ...]

    def run(self, arrays: Sequence[Array], observe: Observe | None = None) -> list[Array]:
        """The results on arrays of the parameters' shapes; `observe` sees every step."""
        values = list(self.slots)
        for (place, view), array in zip(self.views, arrays, strict=True):
            values[place] = array if view is None else array[view]
        with np.errstate(all="ignore"):
            for step in self.steps:
                operands = [values[i] for i in step.operands]
                value = values[step.place] = step.kernel(*operands)
                if observe is not None:
                    observe(step.node, operands, value)
                for i in step.dead:
                    values[i] = None
            return [finish(values[place]) for place, finish in self.results]


def prepare(function: Function, sizes: Mapping[str, int]) -> Program:
    """The program for these sizes: operations on constants alone are done now."""
    nodes = function.nodes()
    places: dict[Node, int] = {}
    slots: list[Any] = []
    for param in function.params:
        places.setdefault(param.node, len(places))
    slots = [None] * len(places)

    def size(expr: Size) -> int:
        return expr.evaluate(sizes)

    steps: list[Step] = []
    known: set[Node] = set()
    with np.errstate(all="ignore"):
        for node in nodes:
            if node.op is input_:
                continue
            kernel = node.op.evaluate(node, size)
            places[node] = len(slots)
            operands = tuple(places[operand] for operand in node.operands)
            if all(operand in known for operand in node.operands):
                slots.append(kernel(*(slots[i] for i in operands)))
                known.add(node)
            else:
                slots.append(None)
                steps.append(Step(node, kernel, operands, places[node], ()))
    kept = {places[result.node] for result in function.results}
    kept |= {places[node] for node in known}
    return Program(
        tuple(slots),
        tuple((places[param.node], _unit_view(param)) for param in function.params),
        _with_deaths(steps, kept),
        tuple((places[r.node], _finisher(r, size, r.node in known)) for r in function.results),
    )


def _with_deaths(steps: Sequence[Step], kept: set[int]) -> tuple[Step, ...]:
    """The steps, each with the values that nothing needs after it."""
    seen = set(kept)
    ordered: list[Step] = []
    for step in reversed(steps):
        dead = tuple(i for i in dict.fromkeys(step.operands) if i not in seen)
        seen.update(dead)
        ordered.append(Step(step.node, step.kernel, step.operands, step.place, dead))
    return tuple(reversed(ordered))


def _unit_view(param: Param) -> tuple[Any, ...] | None:
    """The index that drops the unit axes of an argument."""
    if ONE not in param.shape:
        return None
    return tuple(0 if size == ONE else slice(None) for size in param.shape)


def _finisher(
    result: Result, size: Callable[[Size], int], is_known: bool
) -> Callable[[Any], Array]:
    """From a node's array to the array handed out: ordered, broadcast, contiguous, fresh."""
    node = result.node
    dtype, shape = numpy_dtype(node.dtype), tuple(map(size, result.shape))
    axes = tuple(s for s in result.shape if s != ONE)
    view = aligner(node.axes, axes)
    plain = axes == result.shape and set(axes) == set(node.axes)
    is_input = node.op is input_ or is_known or node.op.name in _PASSING

    def finish(value: Any) -> Array:
        array = np.asarray(value, dtype)
        if view is not None:
            array = view(array)
        if not plain:
            array = np.broadcast_to(array.reshape(_unit_shape(array, axes, result.shape)), shape)
        if is_input or not array.flags.c_contiguous:
            return array.copy(order="C")
        return array

    return finish


_PASSING = frozenset(("stop_gradient", "checkpoint", "save", "cast", "index"))


def _unit_shape(array: Array, axes: Sequence[Size], shape: Sequence[Size]) -> tuple[int, ...]:
    """The array's shape with leading axes made explicit and unit axes put in."""
    sizes = (1,) * (len(axes) - array.ndim) + array.shape
    rest = iter(sizes)
    return tuple(1 if size == ONE else next(rest) for size in shape)
