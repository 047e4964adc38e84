"""Calls of a kernel: its tiles on buffers, by several threads.

In: a `TiledKernel` and buffers. Out: values in the buffers. Between: threads read what they share and
write none of it; each tile writes its own part of the results. A program adds up the parts of its tiles,
in order. Whoever calls is `quiet`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tdsl.backends.numpy.kernel import TiledKernel
from tdsl.backends.numpy.places import Cut, Target
from tdsl.backends.numpy.pool import share_out
from tdsl.backends.numpy.program import Run, compute
from tdsl.backends.numpy.scratch import SCRATCH
from tdsl.backends.numpy.tiles import Lengths, Starts
from tdsl.backends.numpy.views import put
from tdsl.ir.node import Node
from tdsl.ops.base import Array

Buffers = Mapping[str, Array]
EVERYWHERE = slice(None)
BUFFER = 1024
"""Elements of NumPy's buffers: at most a row of most kernels, and enough for conversions."""


@contextmanager
def quiet() -> Iterator[None]:
    """NumPy warns of nothing, and does not repeat in its buffers what broadcasts along a row.

    That would take as long again as the operation.
    """
    with np.errstate(all="ignore"):
        old = np.setbufsize(BUFFER)
        try:
            yield
        finally:
            np.setbufsize(old)


def run_kernel(kernel: TiledKernel, buffers: Buffers, threads: int) -> None:
    """Compute on these buffers, by name."""
    call = Call(kernel, buffers)
    if not kernel.code.each and not kernel.shares:
        return
    tiles, shares = kernel.tiles, kernel.shares

    def work(numbers: Iterator[int]) -> None:
        worker = Worker(call)
        for number in numbers:
            if shares:
                worker.program(number, shares[number])
            else:
                worker.tile(tiles[number], kernel.tiling.lengths(tiles[number]))

    def quiet_work(numbers: Iterator[int]) -> None:
        with quiet():
            work(numbers)

    share_out(work if threads == 1 else quiet_work, len(shares or tiles), threads)


class Call:
    """What the tiles of one call share: buffers, and values that are the same for all of them."""

    def __init__(self, kernel: TiledKernel, buffers: Buffers) -> None:
        self.kernel, self.buffers = kernel, buffers
        contents = self.contents = kernel.contents.copy()
        self.cuts: list[tuple[int, Array, Cut]] = []
        for place, name, view, cut in kernel.reads:
            array = view(buffers[name]) if view else buffers[name]
            if cut is None:
                contents[place] = array
            else:
                self.cuts.append((place, array, cut))
        compute(kernel.first, contents, self.resolved)
        self.stores: list[tuple[Target, Array, int]] = []
        for one, place, is_direct, is_once in kernel.writes:
            array = buffers[one.store.buffer]
            array = one.view(array) if one.view else array
            if is_direct:
                self.cuts.append((place, array, one.cut))
            elif is_once:
                store(kernel, one, array, contents[place], (EVERYWHERE,) * len(one.axes))
            else:
                self.stores.append((one, array, place))

    def resolved(self, node: Node) -> Run:
        """The function of a value that is the same for all tiles."""
        return self.kernel.resolved(node, self.kernel.size)


class Worker:
    """A thread's share of a call."""

    def __init__(self, call: Call) -> None:
        self.call, self.kernel = call, call.kernel
        self.contents = call.contents.copy()
        self.bound: Lengths | None = None
        self.held: int | None = None

    def program(self, number: int, tiles: Sequence[Starts]) -> None:
        """Compute the tiles of a program, and the sums of their parts."""
        tiling, sums = self.kernel.tiling, self.kernel.sums
        none = (0,) * len(tiling.parts)
        parts: list[list[Array]] = [[] for _ in sums]
        for starts in tiles or [none]:
            self.tile(starts, tiling.lengths(starts) if tiles else none)
            for one, found in zip(sums, parts, strict=True):
                value = self.contents[one.place]
                found.append(one.turn(value) if one.turn else value)
        for one, found in zip(sums, parts, strict=True):
            own = self.call.buffers[one.target.store.buffer][number, ...]
            own = one.target.view(own) if one.target.view else own
            own[...] = found[0] if len(found) == 1 else one.join(np.stack(found))

    def tile(self, starts: Starts, lengths: Lengths) -> None:
        """Compute the values of a tile, and store those that are not written as they are computed."""
        call, kernel, contents = self.call, self.kernel, self.contents
        slices = [slice(s, s + n) for s, n in zip(starts, lengths, strict=True)]
        for place, array, cut in call.cuts:
            contents[place] = array[_key(cut, slices)]
        for place, number in kernel.starts:
            contents[place] = np.int64(starts[number])
        program = kernel.programs[lengths]

        def resolved(node: Node) -> Run:
            return kernel.resolved_at(node, lengths, starts)

        if self.bound != lengths:
            self.bound, self.held = lengths, None
            for memory in program.memory.values():
                contents[memory.place] = SCRATCH.array(memory.number, memory.shape, memory.dtype)
            compute(program.views, contents, resolved)
        if program.held and self.held != starts[kernel.code.slowest]:
            self.held = starts[kernel.code.slowest]
            compute(program.held, contents, resolved)
        compute(program.each, contents, resolved)
        for one, array, place in call.stores:
            store(kernel, one, array, contents[place], _key(one.cut, slices))


def store(
    kernel: TiledKernel, one: Target, array: Array, value: Any, key: tuple[slice, ...]
) -> None:
    """Store the value of a tile."""
    if one.is_linear:
        array[key] = value
    else:
        put(array, one.store, one.axes, kernel.size, value, key)


def _key(cut: Cut, slices: Sequence[slice]) -> tuple[slice, ...]:
    return tuple([EVERYWHERE if number is None else slices[number] for number in cut])
