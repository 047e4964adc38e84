"""Calls of a kernel: its tiles on buffers, by several threads.

In: a `TiledKernel` and buffers. Out: values in the buffers. Between: threads read what they share and
write none of it; each tile writes its own part of the results. A program adds up the parts of its tiles,
in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from tdsl.backends.numpy.kernel import Cut, Sizes, Step, Target, TiledKernel, Values
from tdsl.backends.numpy.pool import share_out
from tdsl.backends.numpy.scratch import SCRATCH
from tdsl.backends.numpy.select import SMALL
from tdsl.backends.numpy.tiles import Lengths, Starts
from tdsl.backends.numpy.views import put
from tdsl.ops import numpy_dtype
from tdsl.ops.base import Array, aligner

Buffers = Mapping[str, Array]
EVERYWHERE = slice(None)
BUFFER = 1024
"""Elements of NumPy's buffers: at most a row of most kernels, and enough for conversions."""


@contextmanager
def short_buffers() -> Iterator[None]:
    """NumPy does not repeat what broadcasts along a row in its buffers, which would take as long again."""
    old = np.setbufsize(BUFFER)
    try:
        yield
    finally:
        np.setbufsize(old)


def run_kernel(kernel: TiledKernel, buffers: Buffers, threads: int) -> None:
    """Compute on these buffers, by name."""
    with np.errstate(all="ignore"):
        call = Call(kernel, buffers)
    tiles, shares = kernel.tiles, kernel.shares

    def work(numbers: Iterator[int]) -> None:
        with np.errstate(all="ignore"), short_buffers():
            worker = Worker(call)
            for number in numbers:
                if shares:
                    worker.program(number, shares[number])
                else:
                    worker.tile(tiles[number], kernel.tiling.lengths(tiles[number]))

    share_out(work, len(shares or tiles), threads)


class Call:
    """What the tiles of one call share: buffers, and values that are the same for all of them."""

    def __init__(self, kernel: TiledKernel, buffers: Buffers) -> None:
        self.kernel, self.buffers = kernel, buffers
        self.values: Values = dict(kernel.numbers)
        self.inputs: list[tuple[Any, Array, Cut]] = []
        for node, name, view in kernel.readers:
            array = view(buffers[name]) if view else buffers[name]
            if node in kernel.cuts:
                self.inputs.append((node, array, kernel.cuts[node]))
            else:
                self.values[node] = array
        compute(kernel.first, self.values, {}, kernel.size)
        self.direct: dict[Any, tuple[Array, Cut]] = {}
        self.stores: list[tuple[Target, Array]] = []
        for one in kernel.targets:
            if not one.store.share:
                self._prepare(one)

    def _prepare(self, one: Target) -> None:
        """Find the place of a store; what is known already is stored."""
        array = self.buffers[one.store.buffer]
        if one.view:
            array = one.view(array)
        if one.node in self.values:
            store(self.kernel, one, array, self.values[one.node], (EVERYWHERE,) * len(one.axes))
        elif one.node in self.kernel.code.direct and one.node not in self.direct:
            self.direct[one.node] = array, one.cut
        else:
            self.stores.append((one, array))


class Worker:
    """A thread's share of a call."""

    def __init__(self, call: Call) -> None:
        self.call, self.kernel = call, call.kernel
        self.values = dict(call.values)
        self.scratch: dict[Lengths, Values] = {}
        self.held: tuple[Lengths, int] | None = None

    def program(self, number: int, tiles: Sequence[Starts]) -> None:
        """Compute the tiles of a program, and the sums of their parts."""
        kernel, tiling = self.kernel, self.kernel.tiling
        none = (0,) * len(tiling.parts)
        shared = [one for one in kernel.targets if one.store.share]
        parts: list[list[Any]] = [[] for _ in shared]
        for starts in tiles or [none]:
            self.tile(starts, tiling.lengths(starts) if tiles else none)
            for one, found in zip(shared, parts, strict=True):
                found.append(self.values[one.node])
        for one, found in zip(shared, parts, strict=True):
            turn = aligner(one.axes, one.store.node.axes)
            joined = np.stack([turn(value) if turn else value for value in found])
            own = self.call.buffers[one.store.buffer][number, ...]
            own = one.view(own) if one.view else own
            own[...] = kernel.joiners[one.store](joined)

    def tile(self, starts: Starts, lengths: Lengths) -> None:
        """Compute the values of a tile, and store those that are not written as they are computed."""
        call, kernel, values = self.call, self.kernel, self.values
        slices = [slice(s, s + n) for s, n in zip(starts, lengths, strict=True)]
        for node, array, cut in call.inputs:
            values[node] = array[_key(cut, slices)]
        for node, number in kernel.starts.items():
            values[node] = np.int64(starts[number])
        key = (lengths, starts[kernel.code.slowest] if starts else 0)
        if kernel.code.held and self.held != key:
            compute(kernel.held[lengths], values, {}, kernel.size)
            self.held = key
        written = self.scratch.get(lengths)
        if written is None:
            written = self.scratch[lengths] = self._scratch(lengths)
        for node, (array, cut) in call.direct.items():
            written[node] = array[_key(cut, slices)]
        size = kernel.sizes_at(lengths, starts) if kernel.code.placed else kernel.size
        compute(kernel.steps[lengths], values, written, size)
        for one, array in call.stores:
            store(kernel, one, array, values[one.node], _key(one.cut, slices))

    def _scratch(self, lengths: Lengths) -> Values:
        """The memory of each value that is told where to write; small ones are not worth it."""
        kernel, size = self.kernel, self.kernel.sizes_at(lengths)
        if prod(map(size, kernel.axes)) < SMALL:
            return {}
        return {
            node: SCRATCH.array(
                memory.number,
                tuple(size(axis) for axis in kernel.order(node.axes)),
                numpy_dtype(node.dtype),
            )
            for node, memory in kernel.code.scratch.items()
        }


def compute(steps: Sequence[Step], values: Values, written: Values, size: Sizes) -> None:
    """Compute values in order; those in `written` are written there."""
    for node, run, operands, turn in steps:
        given = [view(values[o]) if view else values[o] for o, view in operands]
        function = run or node.op.evaluate(node, size)
        out = written.get(node)
        value = function(*given) if out is None else function(*given, out=out)
        values[node] = turn(value) if turn else value


def store(
    kernel: TiledKernel, one: Target, array: Array, value: Any, key: tuple[slice, ...]
) -> None:
    """Store the value of a tile."""
    if one.is_linear:
        array[key] = value
    else:
        put(array, one.store, one.axes, kernel.size, value, key)


def _key(cut: Cut, slices: Sequence[slice]) -> tuple[slice, ...]:
    return tuple(EVERYWHERE if number is None else slices[number] for number in cut)
