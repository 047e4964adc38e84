"""A function of a program, with everything that was compiled from it.

In: a name, and how to read the program. Out: specialisations and their programs, each made once.
Between: all Functions made from one definition (derivatives, pinned ones) share it, so `tdsl.grad(f)` in
a loop compiles once. Look-ups are safe from several threads: two may compile the same thing, one stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import RLock
from typing import Any, TypeVar

from tdsl.ir.dtype import BF16, F32
from tdsl.ir.function import Function as Graph
from tdsl.runtime.checked import run_checked
from tdsl.runtime.interpreter import Program
from tdsl.runtime.pipeline import Choice, Derivation, compile_function, executable, flatten
from tdsl.runtime.solve import solve
from tdsl.syntax.elaboration.entry import Signature, signature
from tdsl.syntax.elaboration.program import Program as Source
from tdsl.transforms.differentiate import pullback, value_and_pullback
from tdsl.transforms.partition import Split, partition
from tdsl.transforms.pushforward import pushforward
from tdsl.transforms.vmap import fresh_axis, vmap

T = TypeVar("T")
Run = Callable[[Sequence[Any]], list[Any]]
Shapes = tuple[tuple[int, ...], ...]
MAX_REMEMBERED = 1024


def remember(cache: dict[Any, T], key: object, value: T) -> T:
    """The value that the cache holds for the key from now on; a full cache starts anew."""
    if len(cache) >= MAX_REMEMBERED:
        cache.clear()
    return cache.setdefault(key, value)


@dataclass(frozen=True, slots=True)
class Mode:
    """How calls run: in the checked mode or not, by which backend (None: what is at hand).

    Results may take the memory of the arguments in `donate`.
    """

    checked: bool = False
    backend: str | None = None
    donate: tuple[str, ...] = ()


PLAIN = Mode()


@dataclass(frozen=True, slots=True, eq=False)
class Specialisation:
    """A graph for given dtypes, ranks and static values; `flat` is what runs, `then` what follows."""

    graph: Graph
    flat: Graph
    then: Specialisation | None = None
    _programs: dict[Shapes, Program] = field(default_factory=dict)
    _sizes: dict[Shapes, Mapping[str, int]] = field(default_factory=dict)
    _derived: dict[tuple[str, tuple[str, ...]], Specialisation] = field(default_factory=dict)
    _passes: dict[tuple[str, ...], Passes] = field(default_factory=dict)
    launched: dict[object, Any] = field(default_factory=dict)
    """What backends for devices prepared, by shapes, layouts and device."""

    def runner(self, shapes: Shapes, mode: Mode) -> Run:
        """What runs the graph on arrays of these shapes. Raises TdslValueError for wrong sizes."""
        if mode.checked:
            sizes = self.sizes(shapes)
            return lambda arrays: run_checked(self.flat, sizes, arrays)
        known = self._programs.get(shapes)
        if known is None:
            known = remember(self._programs, shapes, executable(self.flat, self.sizes(shapes)))
        return known.run

    def prepared(self, key: object, make: Callable[[], T]) -> T:
        """What a backend makes for the key: of several that are made at once, the first stays."""
        known: T | None = self.launched.get(key)
        return self.launched.setdefault(key, make()) if known is None else known

    def sizes(self, shapes: Shapes) -> Mapping[str, int]:
        """The sizes of the axes for arguments of these shapes. Raises TdslValueError."""
        known = self._sizes.get(shapes)
        if known is None:
            names = (param.name for param in self.graph.params)
            sizes = solve(self.flat, dict(zip(names, shapes, strict=True)))
            known = remember(self._sizes, shapes, sizes)
        return known

    def pullback(self, wrt: tuple[str, ...]) -> Specialisation:
        """The vector-Jacobian product; a parameter without a path has zeros."""
        return self._derive("pullback", wrt, lambda: pullback(self.graph, wrt))

    def passes(self, wrt: tuple[str, ...]) -> Passes:
        """The forward pass that saves, and the backward pass that takes what was saved."""
        known = self._passes.get(wrt)
        if known is None:
            split = partition(self.flat, self.pullback(wrt).flat)
            backward = Specialisation(split.backward, split.backward)
            forward = Specialisation(split.forward, split.forward, backward)
            known = self._passes.setdefault(wrt, Passes(split, forward, backward))
        return known

    @property
    def is_loss(self) -> bool:
        """Whether gradients may be computed with the value: of one number that f16 does not hold."""
        results = self.graph.results
        return len(results) == 1 and not results[0].shape and results[0].node.dtype in (BF16, F32)

    def with_gradients(self, wrt: tuple[str, ...]) -> Specialisation:
        """The value of a loss and its gradients for the cotangent 1."""
        return self._derive("loss", wrt, lambda: value_and_pullback(self.graph, wrt))

    def recorded(self, wrt: tuple[str, ...]) -> list[Specialisation]:
        """What generated kernels run, in order, where torch's autograd records a call."""
        if self.is_loss:
            return [self.with_gradients(wrt)]
        passes = self.passes(wrt)
        return [passes.forward, passes.backward]

    def pushforward(self, wrt: tuple[str, ...]) -> Specialisation:
        """The tangents of the floating results, from those of the parameters in `wrt`."""
        return self._derive("pushforward", wrt, lambda: pushforward(self.graph, wrt))

    def batched(self, names: tuple[str, ...]) -> Specialisation:
        """The function with one more leading axis on these parameters and on all results."""
        return self._derive("vmap", names, lambda: vmap(self.graph, names, fresh_axis(self.graph)))

    def _derive(
        self, kind: str, names: tuple[str, ...], make: Callable[[], Graph]
    ) -> Specialisation:
        known = self._derived.get((kind, names))
        if known is None:
            known = self._derived.setdefault((kind, names), specialisation(make()))
        return known


@dataclass(frozen=True, slots=True)
class Passes:
    """A `Split`, and what runs its two passes."""

    split: Split
    forward: Specialisation
    backward: Specialisation


def specialisation(graph: Graph) -> Specialisation:
    """The specialisation that runs a graph."""
    return Specialisation(graph, flatten(graph))


class Definition:
    """A function of a program that is read when it is first needed."""

    def __init__(self, name: str, read: Callable[[], Source]) -> None:
        self.name = name
        self._read = read
        self._lock = RLock()
        self._source: Source | None = None
        self._specialisations: dict[object, Specialisation] = {}

    @property
    def source(self) -> Source:
        """The program. Raises TdslError for its faults, where it is read on first use."""
        if self._source is None:
            with self._lock:
                if self._source is None:
                    self._source = self._read()
        return self._source

    @cached_property
    def signature(self) -> Signature:
        """The parameters."""
        return signature(self.source, self.name)

    def specialise(
        self, derivations: tuple[Derivation, ...], choice: Choice, statics_key: object
    ) -> Specialisation:
        """The specialisation for these derivations, dtypes, ranks, and static values."""
        key = (
            derivations, statics_key, choice.given,
            tuple((choice.ranks or {}).items()), tuple((choice.dtypes or {}).items()),
        )  # fmt: skip
        known = self._specialisations.get(key)
        if known is None:
            graph = compile_function(self.source, self.name, derivations, choice)
            known = remember(self._specialisations, key, specialisation(graph))
        return known
