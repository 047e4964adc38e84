"""The interpreter: a Function run operation by operation in NumPy. It is the oracle of every backend.

In: a Function with concrete dtypes, and sizes. Out: a `Program`, prepared once and run many times.
Between: each node's closure is resolved for the sizes; a value is dropped after its last use; results
are fresh, contiguous arrays in result order, broadcast along axes that their node lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import Node
from tdsl.ir.size import ONE, Size
from tdsl.ops import input_, numpy_dtype
from tdsl.ops.base import aligner

Array = NDArray[Any]
Code = tuple[Callable[..., Any], Callable[[list[Any]], Any] | None, int, int, tuple[int, ...]]
Observe = Callable[[Node, list[Any], Any], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation: its closure, where operands lie, where the value goes, what is dropped after."""

    node: Node
    kernel: Callable[..., Any]
    operands: tuple[int, ...]
    place: int
    dead: tuple[int, ...]

    @property
    def code(self) -> Code:
        """What running it takes, in the cheapest form to run."""
        gather = itemgetter(*self.operands) if len(self.operands) > 1 else None
        return self.kernel, gather, self.operands[0], self.place, self.dead


@dataclass(frozen=True, slots=True)
class Program:
    """A Function for given sizes. `run` takes arrays in the order of the parameters."""

    slots: tuple[Any, ...]
    views: tuple[tuple[int, tuple[Any, ...] | None], ...]
    steps: tuple[Step, ...]
    code: tuple[Code, ...]
    results: tuple[tuple[int, Callable[[Any], Array]], ...]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The results on arrays of the parameters' shapes."""
        values = self._loaded(arrays)
        with np.errstate(all="ignore"):
            for kernel, gather, operand, place, dead in self.code:
                values[place] = kernel(*gather(values)) if gather else kernel(values[operand])
                for i in dead:
                    values[i] = None
            return [finish(values[place]) for place, finish in self.results]

    def run_observed(self, arrays: Sequence[Array], observe: Observe) -> list[Array]:
        """The same; `observe` sees every step."""
        values = self._loaded(arrays)
        with np.errstate(all="ignore"):
            for step in self.steps:
                operands = [values[i] for i in step.operands]
                values[step.place] = step.kernel(*operands)
                observe(step.node, operands, values[step.place])
            return [finish(values[place]) for place, finish in self.results]

    def _loaded(self, arrays: Sequence[Array]) -> list[Any]:
        """The arrays without their unit axes, and everything that is known already."""
        values = list(self.slots)
        for (place, view), array in zip(self.views, arrays, strict=True):
            values[place] = array if view is None else array[view]
        return values


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
    handed_out = [result.node for result in function.results]
    shared = known | {node for node in handed_out if handed_out.count(node) > 1}
    kept = {places[node] for node in handed_out}
    kept |= {places[node] for node in known}
    ordered = _with_deaths(steps, kept)
    return Program(
        tuple(slots),
        tuple((places[param.node], _unit_view(param)) for param in function.params),
        ordered,
        tuple(step.code for step in ordered),
        tuple((places[r.node], _finisher(r, size, r.node in shared)) for r in function.results),
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
    result: Result, size: Callable[[Size], int], is_shared: bool
) -> Callable[[Any], Array]:
    """From a node's array to the array handed out: ordered, broadcast, contiguous, fresh."""
    node = result.node
    dtype, shape = numpy_dtype(node.dtype), tuple(map(size, result.shape))
    axes = tuple(s for s in result.shape if s != ONE)
    view = aligner(node.axes, axes)
    plain = axes == result.shape and set(axes) == set(node.axes)
    is_shared = is_shared or node.op is input_ or node.op.is_view

    def finish(value: Any) -> Array:
        array = np.asarray(value, dtype)
        if view is not None:
            array = view(array)
        if not plain:
            array = np.broadcast_to(array.reshape(_unit_shape(array, axes, result.shape)), shape)
        flags = array.flags
        if is_shared or not flags.c_contiguous or not flags.writeable:
            return array.copy(order="C")
        return array

    def finish_plain(value: Any) -> Array:
        is_done = type(value) is np.ndarray and value.flags.c_contiguous
        return value if is_done else finish(value)

    return finish_plain if plain and view is None and not is_shared else finish


def _unit_shape(array: Array, axes: Sequence[Size], shape: Sequence[Size]) -> tuple[int, ...]:
    """The array's shape with leading axes made explicit and unit axes put in."""
    sizes = (1,) * (len(axes) - array.ndim) + array.shape
    rest = iter(sizes)
    return tuple(1 if size == ONE else next(rest) for size in shape)
