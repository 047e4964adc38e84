"""From one call to what runs every call like it.

In: a definition, derivatives taken of it, and the arguments in a row, those by keyword last. Out: a
closure from such a row to the results. Between: all checks are made here, once; two calls are alike if
their arguments have the same dtypes and shapes (of torch tensors, whose sizes may be symbolic: ranks),
and equal static values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from tdsl import faults
from tdsl.ir.dtype import Dtype
from tdsl.ir.function import Param
from tdsl.runtime.arguments import (
    as_array,
    converter,
    exact,
    fact_of,
    is_number,
    is_tensor,
    static_value,
)
from tdsl.runtime.backends import is_native
from tdsl.runtime.binding import (
    Bound,
    Default,
    Fact,
    bind,
    bind_dtypes,
    bind_ranks,
    positional,
    wrong_dtype,
    wrong_rank,
)
from tdsl.runtime.definition import PLAIN, Definition, Mode, Run, Shapes, Specialisation
from tdsl.runtime.pipeline import Choice, Derivation
from tdsl.runtime.results import arrangement
from tdsl.syntax.elaboration.entry import Signature, Static

Call = Callable[[Sequence[Any]], Any]
Load = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What is called: a function, or a derivative of one, and how."""

    definition: Definition
    derivations: tuple[Derivation, ...] = ()
    mode: Mode = PLAIN

    @property
    def signature(self) -> Signature:
        """The parameters of the function."""
        return self.definition.signature

    @property
    def takes_cotangents(self) -> bool:
        """Whether cotangents stand after the tensors, so that static arguments go by keyword."""
        return any(derivation.kind == "vjp" for derivation in self.derivations)

    @property
    def static_places(self) -> frozenset[int | str]:
        """The names of static parameters, and the positions at which they are taken."""
        own = positional(self.signature, takes_cotangents=self.takes_cotangents)
        names = {p.name for p in self.signature.parameters if not p.is_tensor}
        return frozenset((*names, *(i for i, p in enumerate(own) if not p.is_tensor)))


@dataclass(frozen=True, slots=True)
class Argument:
    """A tensor argument: its place in the row, the array that it is, and what binding sees of it.

    `is_plain` says that it goes into the graph as it comes.
    """

    name: str
    place: int | Default
    value: Any
    fact: Fact
    is_plain: bool

    def load(self, param: Param) -> Load:
        """From the row of a call to the array for the parameter."""
        fact, name, place = self.fact, self.name, self.place
        if fact.number is None and fact.dtype != param.dtype:
            raise wrong_dtype(name, param.dtype, fact)
        if len(fact.shape) != len(param.shape):
            type_ = f"{param.dtype}[{', '.join(map(str, param.shape))}]"
            raise wrong_rank(name, type_, fact)
        if fact.number is not None and isinstance(param.dtype, Dtype):
            convert = converter(name, param.dtype, fact)
            if isinstance(place, int):
                return lambda values: convert(values[place])
            array = convert(place.value)
            return lambda _: array
        if self.is_plain or isinstance(place, Default):
            return itemgetter(place)
        return lambda values: as_array(name, values[place])


def compile_call(target: Target, values: Sequence[Any], keywords: Sequence[str]) -> Call:
    """The closure for calls like this one.

    Raises TdslTypeError for wrong dtypes and kinds, TdslValueError for wrong ranks and sizes.
    """
    found, arguments = bound_call(target, values, keywords)
    loads = [a.load(param) for a, param in zip(arguments, found.graph.params, strict=True)]
    run = _runner(target, found, arguments)
    arrange = arrangement(target.derivations, found.graph)
    if [a.place if a.is_plain else None for a in arguments] == [*range(len(values))]:
        return lambda values: arrange(run(values))
    return lambda values: arrange(run([load(values) for load in loads]))


def bound_call(
    target: Target, values: Sequence[Any], keywords: Sequence[str]
) -> tuple[Specialisation, list[Argument]]:
    """What such a call runs, and the argument for each parameter of the graph."""
    bound = bind(target.signature, values, keywords, takes_cotangents=target.takes_cotangents)
    arguments = [_argument(name, place, values) for name, place in bound.tensors.items()]
    _one_library(arguments)
    statics = static_values(target.signature, bound, values)
    found = specialise(target, {a.name: a.fact for a in arguments}, statics)
    return found, arguments + _cotangents(found, len(arguments), bound, values)


def specialise(
    target: Target, facts: Mapping[str, Fact], statics: Mapping[str, Static]
) -> Specialisation:
    """The graph for arguments of these dtypes and ranks, and these static values."""
    ranks, dtypes = bind_ranks(target.signature, facts), bind_dtypes(target.signature, facts)
    choice = Choice(statics, ranks, frozenset(facts), dtypes)
    key = tuple((name, exact(value)) for name, value in statics.items())
    return target.definition.specialise(target.derivations, choice, key)


def static_values(signature: Signature, bound: Bound, values: Sequence[Any]) -> dict[str, Static]:
    """The values of static parameters. Raises TdslTypeError for what is none."""
    parameters = {p.name: p for p in signature.parameters}
    return {name: static_value(parameters[name], values[i]) for name, i in bound.statics.items()}


def _argument(name: str, place: int | Default, values: Sequence[Any]) -> Argument:
    if isinstance(place, Default):
        return Argument(name, place, place.value, fact_of(name, place.value), is_plain=False)
    value = as_array(name, values[place])
    is_plain = value is values[place] and not is_number(value)
    return Argument(name, place, value, fact_of(name, value), is_plain)


def _cotangents(
    found: Specialisation, count: int, bound: Bound, values: Sequence[Any]
) -> list[Argument]:
    """The arguments after the tensor parameters, in the graph's order and by its names."""
    names = [param.name for param in found.graph.params[count:]]
    given = {**dict(zip(names, bound.extra, strict=False)), **bound.named}
    if len(bound.extra) + len(bound.named) != len(names) or given.keys() != {*names}:
        found_names = len(bound.extra) + len(bound.named)
        hint = f"they are {', '.join(f'`{name}`' for name in names)}" if names else ""
        raise faults.WRONG_COTANGENTS.at(expected=len(names), found=found_names, hint=hint)
    return [_argument(name, given[name], values) for name in names]


def _one_library(arguments: Sequence[Argument]) -> bool:
    """Whether torch tensors take part; then there must be no NumPy arrays. Raises TdslTypeError."""
    if not any(is_tensor(argument.value) for argument in arguments):
        return False
    for argument in arguments:
        if isinstance(argument.value, np.ndarray):
            raise faults.CALL_MIXED.at(
                name=argument.name, found="a NumPy array", expected="torch tensors"
            )
    return True


def _runner(target: Target, found: Specialisation, arguments: Sequence[Argument]) -> Run:
    """What runs the graph on loaded arguments."""
    if _one_library(arguments):
        from tdsl.runtime.torch.dispatch import torch_runner

        return torch_runner(found, target.mode)
    return array_runner(found, tuple(a.fact.shape for a in arguments), target.mode)


def array_runner(found: Specialisation, shapes: Shapes, mode: Mode) -> Run:
    """What runs the graph on NumPy arrays of these shapes. Raises TdslError for wrong sizes."""
    if mode.backend == "triton":
        from tdsl.runtime.torch.launch import run_arrays

        return lambda arrays: run_arrays(found, arrays)
    if is_native(mode):
        from tdsl.runtime.native import native_runner

        return native_runner(found, shapes, mode)
    return found.runner(shapes, mode)
