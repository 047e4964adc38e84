"""A kernel of a plan, resolved for sizes: what is computed once, what on each tile, and where it lies.

In: a `Kernel`, its `Tiling` and sizes. Out: `TiledKernel`. Between: functions are resolved once for each
shape of a tile, but for index maps that depend on where the tile lies; values have their axes in the
order of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from tdsl.backends.arrays import evaluate
from tdsl.backends.numpy.cheaper import cheaper
from tdsl.backends.numpy.code import code_of
from tdsl.backends.numpy.functions import function_of
from tdsl.backends.numpy.one_hot import one_hot
from tdsl.backends.numpy.restrict import Restriction
from tdsl.backends.numpy.sums import summing
from tdsl.backends.numpy.tiles import Lengths, Starts, Tiling
from tdsl.backends.numpy.views import is_linear, reader, writer
from tdsl.fusion.kernel import Kernel, Store
from tdsl.ir.node import Node
from tdsl.ir.size import Size, name
from tdsl.ops import input_, numpy_dtype, where
from tdsl.ops.base import Aligner, aligner, shape_of

PARTS = name("parts")
Values = dict[Node, Any]
Sizes = Callable[[Size], int]
Run = Callable[..., Any]
Cut = tuple[int | None, ...]
"""For each axis of a value its number among the divided ones."""


class Step(NamedTuple):
    """The computation of one value. `run` is None where the function depends on where the tile lies."""

    node: Node
    run: Run | None
    operands: tuple[tuple[Node, Aligner | None], ...]
    turn: Aligner | None


class Target(NamedTuple):
    """A store, the value on a tile, its axes in the order of memory, how it is cut, and where it goes."""

    store: Store
    node: Node
    axes: tuple[Size, ...]
    cut: Cut
    view: Aligner | None
    is_linear: bool


class TiledKernel:
    """A kernel for given sizes."""

    def __init__(
        self, kernel: Kernel, tiling: Tiling, sizes: Mapping[str, int], programs: int
    ) -> None:
        self.kernel, self.tiling, self.sizes = kernel, tiling, sizes
        self.shares = list(tiling.shares(programs)) if tiling.is_walked else []
        self.places = {part.tile: number for number, part in enumerate(tiling.parts)}
        own = {part.axis: part.tile for part in tiling.parts}
        self.axes = [own.get(axis, axis) for axis in tiling.axes]
        restricted = Restriction(tiling.parts)
        nodes = [restricted.node(store.node) for store in kernel.stores]
        new = cheaper(nodes)
        pairs = zip(kernel.stores, nodes, strict=True)
        self.targets = [self._target(store, new[node]) for store, node in pairs]
        roots = [target.node for target in self.targets]
        plain = frozenset(t.node for t in self.targets if t.is_linear and not t.store.share)
        starts = {part.start.text: number for number, part in enumerate(tiling.parts)}
        self.code = code_of(roots, tiling.parts, plain, self.order)
        tiles = tiling.tiles
        self.tiles = sorted(tiles, key=itemgetter(self.code.slowest)) if self.code.held else tiles
        self.joiners = {store: self._joiner(store) for store in kernel.stores if store.share}
        self.numbers = self._numbers()
        given = [node for node in self.code.each if node.op is input_]
        self.starts = {n: starts[n["name"]] for n in given if n["name"] in starts}
        self.cuts = {n: self.cut(self.order(n.axes)) for n in given if n not in self.starts}
        self.readers = self._readers()
        self.first = self._steps(self.code.once, ())
        shapes = self._lengths()
        self.held = {lengths: self._steps(self.code.held, lengths) for lengths in shapes}
        self.steps = {lengths: self._steps(self.code.each, lengths) for lengths in shapes}

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

    def order(self, axes: Sequence[Size]) -> tuple[Size, ...]:
        """The axes as values have them."""
        known = [axis for axis in self.axes if axis in axes]
        return (*known, *(axis for axis in axes if axis not in known))

    def cut(self, axes: Sequence[Size]) -> Cut:
        """How a value along these axes is cut."""
        return tuple(self.places.get(axis) for axis in axes)

    def _target(self, store: Store, node: Node) -> Target:
        axes = self.order(node.axes)
        whole = {part.tile: part.axis for part in self.tiling.parts}
        own = tuple(whole.get(axis, axis) for axis in axes)
        linear = is_linear(store)
        order = store.node.axes if store.share else own
        view = writer(store, order, self.size) if linear else None
        return Target(store, node, own, self.cut(axes), view, linear)

    def _lengths(self) -> set[Lengths]:
        """The shapes of tiles; a program without tiles has an empty one."""
        none = {(0,) * len(self.places)} if self.tiling.is_walked else set()
        return {self.tiling.lengths(starts) for starts in self.tiling.tiles} | none

    def _numbers(self) -> Values:
        """The numbers that follow from sizes."""
        numbers = dict(self.kernel.numbers)
        return {
            node: numpy_dtype(node.dtype).type(evaluate(numbers[node["name"]], self.size))
            for node in self.code.once
            if node.op is input_ and node["name"] in numbers
        }

    def _readers(self) -> list[tuple[Node, str, Aligner | None]]:
        """The values that are read from buffers, with the view of each."""
        shapes = {read.name: read.shape for read in self.kernel.reads}
        return [
            (node, node["name"], reader(shapes[node["name"]], node.axes, self.order(node.axes)))
            for node in (*self.code.once, *self.cuts)
            if node.op is input_ and node not in self.numbers
        ]

    def _steps(self, nodes: Sequence[Node], lengths: Lengths) -> list[Step]:
        """How these values are computed on tiles of one shape."""
        size = self.sizes_at(lengths)
        return [self._step(node, size) for node in nodes if node.op is not input_]

    def _step(self, node: Node, size: Sizes) -> Step:
        if node in self.code.merged:
            return self._merged(node, self.code.merged[node], size)
        order, function, turn = self.order(node.axes), function_of(node), None
        found = [self.order(operand.axes) for operand in node.operands]
        if function is not None:
            views = [aligner(own, order) for own in found]
        else:
            views = [aligner(own, o.axes) for own, o in zip(found, node.operands, strict=True)]
            turn = aligner(node.axes, order)
            function = None if node in self.code.placed else node.op.evaluate(node, size)
        return Step(node, function, tuple(zip(node.operands, views, strict=True)), turn)

    def _merged(self, node: Node, given: Sequence[Node], size: Sizes) -> Step:
        """A sum or a one-hot row from what it is computed from."""
        if node.op is where:
            axes = self.order(node.axes)
            run, along = one_hot(shape_of(axes, size), numpy_dtype(node.dtype)), axes[:-1]
        else:
            along = self.order(node.operands[0].axes)
            run = summing(node, along, size(along[-1]))
        views = [aligner(self.order(operand.axes), along) for operand in given]
        return Step(node, run, tuple(zip(given, views, strict=True)), None)

    def _joiner(self, store: Store) -> Run:
        """What adds up the parts of a reduction: the reduction itself."""
        node = store.node
        parts = input_(name="parts", dtype=node.dtype, axes=(PARTS, *node.axes))
        whole = node.op(parts, axes=(PARTS,))
        return whole.op.evaluate(whole, lambda size: 1 if size is PARTS else self.size(size))
