"""A kernel of a plan, run tile by tile.

In: a `Kernel`, its `Tiling` and sizes. Out: `TiledKernel`, which computes on buffers. Between: functions
are resolved once for each shape of a tile; what several threads share is read by all and written by none,
but for results, of which each tile writes its own part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tdsl.backends.arrays import evaluate
from tdsl.backends.numpy.code import code_of, function_of
from tdsl.backends.numpy.pool import share_out
from tdsl.backends.numpy.restrict import Restriction
from tdsl.backends.numpy.scratch import SCRATCH
from tdsl.backends.numpy.tiles import Lengths, Starts, Tiling
from tdsl.backends.numpy.views import is_linear, put, read, target
from tdsl.fusion.kernel import Kernel, Store
from tdsl.ir.node import Node
from tdsl.ir.size import Size, name
from tdsl.ops import input_, numpy_dtype
from tdsl.ops.base import Aligner, Array, aligner

PARTS = name("parts")
Buffers = Mapping[str, Array]
Values = dict[Node, Any]
Run = Callable[..., Any]


class Step(NamedTuple):
    """The computation of one value. `run` is None where the function depends on where the tile lies."""

    node: Node
    run: Run | None
    operands: tuple[tuple[Node, Aligner | None], ...]
    turn: Aligner | None


class TiledKernel:
    """A kernel for given sizes."""

    def __init__(self, kernel: Kernel, tiling: Tiling, sizes: Mapping[str, int]) -> None:
        self.kernel, self.tiling, self.sizes = kernel, tiling, sizes
        self.tiles = {part.tile: number for number, part in enumerate(tiling.parts)}
        own = {part.axis: part.tile for part in tiling.parts}
        self.axes = [own.get(axis, axis) for axis in tiling.axes]
        restricted = Restriction(tiling.parts)
        self.values = {store: restricted.node(store.node) for store in kernel.stores}
        plain = {v for s, v in self.values.items() if not s.share and is_linear(s)}
        marks = frozenset((*self.tiles, *(part.start for part in tiling.parts)))
        self.code = code_of(list(self.values.values()), marks, frozenset(plain))
        begins = {part.start.text: number for number, part in enumerate(tiling.parts)}
        found = [node for node in self.code.each if node.op is input_]
        self.begins = {n: begins[n["name"]] for n in found if n["name"] in begins}
        self.inputs = [node for node in found if node not in self.begins]
        self.shapes = {read.name: read.shape for read in kernel.reads}
        self.fixed = self._fixed()
        self.steps = {lengths: self._steps(self.code.each, lengths) for lengths in self._lengths()}
        self.first = self._steps(self.code.once, ())
        self.joiners = {store: self._joiner(store) for store in kernel.stores if store.share}

    def size(self, size: Size) -> int:
        """The value of a size that is the same for all tiles."""
        return size.evaluate(self.sizes)

    def order(self, axes: Sequence[Size]) -> tuple[Size, ...]:
        """The axes as values have them."""
        known = [axis for axis in self.axes if axis in axes]
        return (*known, *(axis for axis in axes if axis not in known))

    def env(self, lengths: Lengths, starts: Starts = ()) -> Callable[[Size], int]:
        """The values of sizes on a tile."""
        env = dict(self.sizes)
        for part, length in zip(self.tiling.parts, lengths, strict=False):
            env[part.tile.text] = length
        for part, start in zip(self.tiling.parts, starts, strict=False):
            env[part.start.text] = start
        return lambda size: size.evaluate(env)

    def key(self, axes: Sequence[Size], starts: Starts, lengths: Lengths) -> tuple[slice, ...]:
        """The part of a value along these axes that a tile has."""
        slices = [slice(s, s + n) for s, n in zip(starts, lengths, strict=True)]
        return tuple(
            slices[self.tiles[axis]] if axis in self.tiles else slice(None) for axis in axes
        )

    def _lengths(self) -> set[Lengths]:
        """The shapes of tiles; programs without tiles have an empty one."""
        none = {(0,) * len(self.tiles)} if self.tiling.is_walked else set()
        return {self.tiling.lengths(starts) for starts in self.tiling.tiles} | none

    def _fixed(self) -> Values:
        """The numbers that follow from sizes."""
        numbers = dict(self.kernel.numbers)
        return {
            node: numpy_dtype(node.dtype).type(evaluate(numbers[node["name"]], self.size))
            for node in self.code.once
            if node.op is input_ and node["name"] in numbers
        }

    def _steps(self, nodes: Sequence[Node], lengths: Lengths) -> list[Step]:
        """How these values are computed on tiles of one shape."""
        size = self.env(lengths)
        return [self._step(node, size) for node in nodes if node.op is not input_]

    def _step(self, node: Node, size: Callable[[Size], int]) -> Step:
        order = self.order(node.axes)
        function = function_of(node)
        if function is not None:
            views = [aligner(self.order(o.axes), order) for o in node.operands]
            return Step(node, function, tuple(zip(node.operands, views, strict=True)), None)
        views = [aligner(self.order(o.axes), o.axes) for o in node.operands]
        run = None if node in self.code.placed else node.op.evaluate(node, size)
        operands = tuple(zip(node.operands, views, strict=True))
        return Step(node, run, operands, aligner(node.axes, order))

    def _joiner(self, store: Store) -> Run:
        """What adds up the parts of a reduction: the reduction itself."""
        node = store.node
        parts = input_(name="parts", dtype=node.dtype, axes=(PARTS, *node.axes))
        whole = node.op(parts, axes=(PARTS,))
        return whole.op.evaluate(whole, lambda size: 1 if size is PARTS else self.size(size))

    def run(self, buffers: Buffers, programs: int, threads: int) -> None:
        """Compute on these buffers, by name."""
        with np.errstate(all="ignore"):
            call = Call(self, buffers)
        work = list(self.tiling.shares(programs)) if self.tiling.is_walked else None
        tiles = self.tiling.tiles

        def run(numbers: Iterator[int]) -> None:
            with np.errstate(all="ignore"):
                worker = Worker(call)
                for number in numbers:
                    if work is None:
                        worker.tile(tiles[number])
                    else:
                        worker.program(number, work[number])

        share_out(run, len(tiles) if work is None else len(work), threads)


class Call:
    """What the tiles of one call share: buffers, and values that are the same for all of them."""

    def __init__(self, kernel: TiledKernel, buffers: Buffers) -> None:
        self.kernel, self.buffers = kernel, buffers
        own = kernel.code
        self.values: Values = dict(kernel.fixed)
        for node in (*own.once, *kernel.inputs):
            if node.op is input_ and node not in self.values:
                array, shape = buffers[str(node["name"])], kernel.shapes[str(node["name"])]
                self.values[node] = read(array, shape, node.axes, kernel.order(node.axes))
        compute(kernel.first, self.values, {}, kernel.size)
        self.inputs = {node: self.values.pop(node) for node in kernel.inputs}
        self.targets: dict[Store, Array] = {}
        self.stores: list[Store] = []
        self.direct: dict[Node, Store] = {}
        for store, node in kernel.values.items():
            if not store.share:
                self._prepare(store, node)

    def _prepare(self, store: Store, node: Node) -> None:
        """Find the place of a store; what is known already is stored."""
        kernel, array = self.kernel, self.buffers[store.buffer]
        if is_linear(store):
            order = kernel.order(node.axes)
            tile = {part.tile: part.axis for part in kernel.tiling.parts}
            whole = tuple(tile.get(axis, axis) for axis in order)
            array = self.targets[store] = target(array, store, whole, kernel.size)
        if node in self.values:
            self.store(store, self.values[node], (), ())
        elif node in kernel.code.direct and node not in self.direct:
            self.direct[node] = store
        else:
            self.stores.append(store)

    def store(self, store: Store, value: Any, starts: Starts, lengths: Lengths) -> None:
        """Store the value of a tile."""
        kernel = self.kernel
        axes = kernel.order(kernel.values[store].axes)
        key = kernel.key(axes, starts, lengths)
        if store in self.targets:
            self.targets[store][key] = value
            return
        tile = {part.tile: part.axis for part in kernel.tiling.parts}
        whole = tuple(tile.get(axis, axis) for axis in axes)
        put(self.buffers[store.buffer], store, whole, kernel.size, value, key)


def compute(
    steps: Sequence[Step], values: Values, written: Values, size: Callable[[Size], int]
) -> None:
    """Compute values in order; those in `written` are written there."""
    for node, run, operands, turn in steps:
        given = [view(values[o]) if view else values[o] for o, view in operands]
        function = run or node.op.evaluate(node, size)
        out = written.get(node)
        value = function(*given) if out is None else function(*given, out=out)
        values[node] = turn(value) if turn else value


class Worker:
    """A thread's share of a call."""

    def __init__(self, call: Call) -> None:
        self.call, self.kernel = call, call.kernel
        self.values = dict(call.values)
        self.scratch: dict[Lengths, Values] = {}

    def tile(self, starts: Starts) -> None:
        """Compute one tile."""
        self.part(starts, self.kernel.tiling.lengths(starts))

    def program(self, number: int, tiles: Sequence[Starts]) -> None:
        """Compute the tiles of a program, and the sums of their parts."""
        kernel = self.kernel
        parts: dict[Store, list[Any]] = {store: [] for store in kernel.joiners}
        none = (0,) * len(kernel.tiles)
        for starts in tiles or [none]:
            self.part(starts, kernel.tiling.lengths(starts) if tiles else none)
            for store, found in parts.items():
                found.append(self.values[kernel.values[store]])
        for store, found in parts.items():
            own = self.call.buffers[store.buffer][number, ...]
            order = kernel.order(store.node.axes)
            back = aligner(order, store.node.axes)
            joined = [back(value) if back else value for value in found]
            total = joined[0] if len(joined) == 1 else kernel.joiners[store](np.stack(joined))
            target(own, store, store.node.axes, kernel.size)[...] = total

    def part(self, starts: Starts, lengths: Lengths) -> None:
        """Compute the values of a tile, and store those that are not written as they are computed."""
        call, kernel, values = self.call, self.kernel, self.values
        for node, array in call.inputs.items():
            values[node] = array[kernel.key(kernel.order(node.axes), starts, lengths)]
        for node in kernel.begins:
            values[node] = np.int64(starts[kernel.begins[node]])
        written = self.scratch.get(lengths)
        if written is None:
            written = self.scratch[lengths] = self._scratch(lengths)
        for node, store in call.direct.items():
            key = kernel.key(kernel.order(node.axes), starts, lengths)
            written[node] = call.targets[store][key]
        compute(kernel.steps[lengths], values, written, kernel.env(lengths, starts))
        for store in call.stores:
            call.store(store, values[kernel.values[store]], starts, lengths)

    def _scratch(self, lengths: Lengths) -> Values:
        """The memory of each value that is told where to write."""
        size = self.kernel.env(lengths)
        return {
            node: SCRATCH.array(
                memory.number,
                tuple(size(axis) for axis in self.kernel.order(node.axes)),
                numpy_dtype(node.dtype),
            )
            for node, memory in self.kernel.code.scratch.items()
        }
