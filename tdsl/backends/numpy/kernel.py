"""A kernel of a plan, resolved for sizes: what is computed once, what on each tile, and where it lies.

In: a `Kernel`, its `Tiling` and sizes. Out: `TiledKernel`. Between: functions are resolved once for each
shape of a tile, but for index maps that depend on where the tile lies; values have their axes in the
order of memory. What follows from sizes alone is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from operator import itemgetter
from typing import Any

import numpy as np

from tdsl.backends import threads
from tdsl.backends.arrays import evaluate
from tdsl.backends.numpy import select
from tdsl.backends.numpy.cheaper import cheaper
from tdsl.backends.numpy.code import code_of
from tdsl.backends.numpy.functions import copied, function_of, negative_size
from tdsl.backends.numpy.one_hot import is_picked, one_hot, picking
from tdsl.backends.numpy.places import Axes, Cut, Read, Share, Target, Write
from tdsl.backends.numpy.program import Memory, Program, Run, Step, compute, getter, turned
from tdsl.backends.numpy.restrict import Restriction
from tdsl.backends.numpy.sums import summing
from tdsl.backends.numpy.tiles import Lengths, Starts, Tiling
from tdsl.backends.numpy.views import is_linear, reader, writer
from tdsl.fusion.kernel import Kernel, Store
from tdsl.ir.node import Node
from tdsl.ir.size import Size, name
from tdsl.ops import input_, neg, numpy_dtype, where
from tdsl.ops.base import aligner, shape_of

PARTS = name("parts")
RAW: Axes = ()
"""Instead of axes along which a value is viewed: the buffer of which it is a copy."""
KEPT = 1 << 12
"""The most functions of single tiles that are kept: to find one takes longer than to run it."""
Sizes = Callable[[Size], int]


class TiledKernel:
    """A kernel for given sizes."""

    def __init__(
        self, kernel: Kernel, tiling: Tiling, sizes: Mapping[str, int], programs: int
    ) -> None:
        self.kernel, self.tiling, self.sizes = kernel, tiling, sizes
        self.shares = list(tiling.shares(programs)) if tiling.is_walked else []
        self.is_large = prod(map(self.size, tiling.axes)) >= threads.SMALL
        self.divided = {part.tile: number for number, part in enumerate(tiling.parts)}
        own = {part.axis: part.tile for part in tiling.parts}
        self.axes = [own.get(axis, axis) for axis in tiling.axes]
        restricted = Restriction(tiling.parts)
        nodes = [restricted.node(store.node) for store in kernel.stores]
        new = cheaper(nodes)
        pairs = zip(kernel.stores, nodes, strict=True)
        self.targets = [self._target(store, new[node]) for store, node in pairs]
        roots = [target.node for target in self.targets]
        plain = frozenset(t.node for t in self.targets if t.is_linear and not t.store.share)
        self.code = code_of(roots, tiling.parts, plain, self.order)
        tiles = tiling.tiles
        self.tiles = sorted(tiles, key=itemgetter(self.code.slowest)) if self.code.held else tiles
        self._places: dict[tuple[Node, Axes | None], int] = {}
        self.contents: list[Any] = []
        self.once = frozenset(self.code.once)
        self.starts = self._starts()
        self.copies = self._copies()
        self.reads = self._reads()
        self.known: set[int] = set()
        self._resolved: dict[tuple[Node, Lengths, Starts], Run] = {}
        self.first: list[Step] = []
        self._prepare()
        self.programs = {lengths: self._program(lengths) for lengths in self._lengths()}
        self.writes = [Write(one, *self._write(one)) for one in self.targets if not one.store.share]
        self.sums = [self._share(one) for one in self.targets if one.store.share]

    def size(self, size: Size) -> int:
        """The value of a size that is the same for all tiles."""
        return size.evaluate(self.sizes)

    def sizes_at(self, lengths: Lengths, starts: Starts = ()) -> Sizes:
        """The values of sizes on a tile."""
        known = dict(self.sizes)
        for part, length in zip(self.tiling.parts, lengths, strict=False):
            known[part.tile.text] = length
        for part, start in zip(self.tiling.parts, starts, strict=False):
            known[part.start.text] = start
        return lambda size: size.evaluate(known)

    def order(self, axes: Sequence[Size]) -> Axes:
        """The axes as values have them."""
        known = [axis for axis in self.axes if axis in axes]
        return (*known, *(axis for axis in axes if axis not in known))

    def place(self, node: Node, axes: Axes | None = None) -> int:
        """The number of the place of a value, or of its view along the axes."""
        number = self._places.setdefault((node, axes), len(self._places))
        if number == len(self.contents):
            self.contents.append(None)
        return number

    def _cut(self, axes: Sequence[Size]) -> Cut:
        """How a value along these axes is cut."""
        return tuple(self.divided.get(axis) for axis in axes)

    def _target(self, store: Store, node: Node) -> Target:
        axes = self.order(node.axes)
        whole = {part.tile: part.axis for part in self.tiling.parts}
        own = tuple(whole.get(axis, axis) for axis in axes)
        linear = is_linear(store)
        order = store.node.axes if store.share else own
        view = writer(store, order, self.size) if linear else None
        return Target(store, node, own, self._cut(axes), view, linear)

    def _write(self, one: Target) -> tuple[int, bool, bool]:
        is_first = one is next(other for other in self.targets if other.node is one.node)
        is_direct = one.node in self.code.direct and one.is_linear and is_first
        return self.place(one.node), is_direct, one.node in self.once

    def _lengths(self) -> set[Lengths]:
        """The shapes of tiles; a program without tiles has an empty one."""
        none = {(0,) * len(self.divided)} if self.tiling.is_walked else set()
        return {self.tiling.lengths(starts) for starts in self.tiling.tiles} | none

    def _starts(self) -> list[tuple[int, int]]:
        """The places of where the tile begins, with the numbers of the divided axes."""
        starts = {part.start.text: number for number, part in enumerate(self.tiling.parts)}
        given = [n for n in self.code.each if n.op is input_ and n["name"] in starts]
        return [(self.place(node), starts[node["name"]]) for node in given]

    def _reads(self) -> list[Read]:
        """What is read from buffers."""
        shapes = {read.name: read.shape for read in self.kernel.reads}
        found = []
        for nodes, is_cut in ((self.code.once, False), (self.code.each, True)):
            for node in nodes:
                if node.op is input_ and node["name"] in shapes:
                    order = self.order(node.axes)
                    view = reader(shapes[node["name"]], node.axes, order)
                    cut = self._cut(order) if is_cut else None
                    place = self.place(node, RAW if node in self.copies else None)
                    found.append(Read(place, node["name"], view, cut))
        return found

    def _copies(self) -> frozenset[Node]:
        """What is read in parts that are one whole: rows that come whole take much less time than parts."""
        lengths = self.tiling.lengths(self.tiling.tiles[0]) if self.tiling.tiles else ()
        size = self.sizes_at(lengths)

        def count(node: Node) -> int:
            return prod(map(size, node.axes))

        found = (node for node in self.code.parted if count(node) >= select.SMALL)
        parts = self.code.parted
        return frozenset(node for node in found if count(node) <= sum(map(count, parts[node])))

    def _prepare(self) -> None:
        """Find what all tiles share: numbers, and steps for each call."""
        numbers, none = dict(self.kernel.numbers), Program()
        for node in self.code.once:
            if node.op is not input_:
                self._add(node, self.size, none, self.first)
            elif node["name"] in numbers:
                value = evaluate(numbers[node["name"]], self.size)
                self.contents[self.place(node)] = numpy_dtype(node.dtype).type(value)
                self.known.add(self.place(node))

    def _program(self, lengths: Lengths) -> Program:
        """How values are computed on tiles of one shape; scratch memory is not worth it on small ones."""
        size = self.sizes_at(lengths)
        is_small = prod(map(size, self.axes)) < select.SMALL
        program = Program()
        for node, memory in {} if is_small else self.code.scratch.items():
            shape = shape_of(self.order(node.axes), size)
            own = Memory(self.place(node), memory.number, shape, numpy_dtype(node.dtype))
            program.memory[node] = own
        for number, node in enumerate(self.copies, len(self.code.scratch)):
            places = (self.place(node, RAW), self.place(node))
            shape = shape_of(self.order(node.axes), size)
            program.memory[node] = Memory(places[1], number, shape, numpy_dtype(node.dtype))
            program.each.append(Step(copied, places, getter(places), places[1]))
        for nodes, steps in ((self.code.held, program.held), (self.code.each, program.each)):
            for node in nodes:
                if node.op is not input_:
                    self._add(node, size, program, steps)
        return program

    def _add(self, node: Node, size: Sizes, program: Program, steps: list[Step]) -> None:
        """Add the step that computes a value."""
        run, operands = self._function(node, size)
        places = [self._operand(operand, axes, program, steps) for operand, axes in operands]
        place = self.place(node)
        if node in program.memory or node in self.code.direct:
            places.append(place)
        self._put(Step(run, tuple(places), getter(places), place), steps)

    def _operand(self, node: Node, axes: Axes, program: Program, steps: list[Step]) -> int:
        """The place of a value as it lies along the axes, with the step that makes the view."""
        view = aligner(self.order(node.axes), axes)
        if view is None:
            return self.place(node)
        place = self.place(node, axes)
        if place not in program.seen and place not in self.known:
            program.seen.add(place)
            home = program.held if node in self.code.held else steps
            home = program.views if node in program.memory else home
            home = self.first if node in self.once else home
            self._put(Step(view, (self.place(node),), getter([self.place(node)]), place), home)
        return place

    def _put(self, step: Step, steps: list[Step]) -> None:
        """Add a step; one that follows from what is known is done at once."""
        if steps is self.first and self.known.issuperset(step.places):
            with np.errstate(all="ignore"):
                compute([step], self.contents, lambda node: self.resolved(node, self.size))
            self.known.add(step.place)
        else:
            steps.append(step)

    def _function(self, node: Node, size: Sizes) -> tuple[Run | Node, list[tuple[Node, Axes]]]:
        """The function of a value, and its operands, each with the axes along which it is given.

        The node itself where the function depends on where the tile lies.
        """
        if node in self.code.merged:
            return self._merged(node, self.code.merged[node], size)
        order, function = self.order(node.axes), function_of(node)
        if function is not None:
            return function, [(operand, order) for operand in node.operands]
        if is_picked(node, self.order):
            ordered = [(operand, self.order(operand.axes)) for operand in node.operands]
            return picking(shape_of(ordered[0][1], size)), ordered
        operands = [(operand, operand.axes) for operand in node.operands]
        if node in self.code.placed:
            return node, operands
        return self.resolved(node, size), operands

    def resolved(self, node: Node, size: Sizes) -> Run:
        """The operation's function, which takes operands as the node has them."""
        return turned(node.op.evaluate(node, size), aligner(node.axes, self.order(node.axes)))

    def resolved_at(self, node: Node, lengths: Lengths, starts: Starts) -> Run:
        """The same for a function that depends on where the tile lies; those of small values are kept."""
        key = (node, lengths, starts)
        run = self._resolved.get(key)
        if run is None:
            size = self.sizes_at(lengths, starts)
            run = self.resolved(node, size)
            if len(self._resolved) < KEPT and prod(map(size, node.axes)) < select.SMALL:
                self._resolved[key] = run
        return run

    def _merged(
        self, node: Node, given: Sequence[Node], size: Sizes
    ) -> tuple[Run, list[tuple[Node, Axes]]]:
        """A value from what it is computed from."""
        run: Run
        if node.op is neg:
            run, along = negative_size, self.order(node.axes)
        elif node.op is where:
            axes = self.order(node.axes)
            run, along = one_hot(shape_of(axes, size), numpy_dtype(node.dtype)), axes[:-1]
        else:
            along = self.order(node.operands[0].axes)
            run = summing(node, along, size(along[-1]))
        return run, [(operand, along) for operand in given]

    def _share(self, one: Target) -> Share:
        """How the parts of a reduction are added up: by the reduction itself."""
        node = one.store.node
        parts = input_(name="parts", dtype=node.dtype, axes=(PARTS, *node.axes))
        whole = node.op(parts, axes=(PARTS,))
        join = whole.op.evaluate(whole, lambda size: 1 if size is PARTS else self.size(size))
        return Share(one, self.place(one.node), aligner(one.axes, node.axes), join)
