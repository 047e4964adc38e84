"""Compiling without running: graphs as text.

In: arrays, specs such as `f32[8, 64]`, or nothing. Out: `Lowered`. Between: specs are facts for binding, as
arguments of a call are, so that `lower` refuses what a call would.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tdsl import faults
from tdsl.ir.dtype import DTYPES
from tdsl.ir.function import Function as Graph
from tdsl.ir.text import print_function
from tdsl.runtime.arguments import as_array, fact_of
from tdsl.runtime.binding import Default, Fact, bind, positional
from tdsl.runtime.call import Target, specialise, static_values
from tdsl.runtime.definition import Specialisation, specialisation
from tdsl.runtime.pipeline import Choice, compile_function, flatten
from tdsl.runtime.solve import solve
from tdsl.transforms.differentiate import vjp


@dataclass(frozen=True, slots=True)
class Lowered:
    """What `lower` gives: the graph, the sizes of its axes, the backward if it was asked for."""

    graph: Graph
    backward: Graph | None
    sizes: Mapping[str, int]

    @property
    def ir(self) -> str:
        """The graph's text, which `tdsl.ir.parse` reads."""
        return print_function(self.graph)

    @property
    def backward_ir(self) -> str | None:
        """The backward's text; None without `grad`."""
        return print_function(self.backward) if self.backward is not None else None


def lower(
    target: Target,
    specs: Sequence[Any],
    keywords: Mapping[str, Any],
    grad: bool | str | Sequence[str] | None,
) -> Lowered:
    """The graph for these arguments; a generic one, if no tensor is among them.

    Raises TdslError as a call would.
    """
    own = positional(target.signature, takes_cotangents=target.takes_cotangents)
    tensors = {p.name for p in target.signature.parameters if p.is_tensor}
    names = [p.name for p in own] + [""] * (len(specs) - len(own))
    given = [*zip(names, specs, strict=False), *keywords.items()]
    values = [
        parse_spec(value) if name in tensors and isinstance(value, str) else value
        for name, value in given
    ]
    sizes: Mapping[str, int] = {}
    if tensors and tensors.isdisjoint(name for name, _ in given):
        names = [name for name, _ in given]
        found = _generic(target, names, values)
    else:
        found, sizes = _specialised(target, values, tuple(keywords))
    if not grad:
        return Lowered(found.flat, None, sizes)
    wrt = None if grad is True else (grad,) if isinstance(grad, str) else tuple(grad)
    return Lowered(found.flat, flatten(vjp(found.graph, wrt)), sizes)


def _generic(target: Target, names: Sequence[str], values: Sequence[Any]) -> Specialisation:
    """The graph with packs opaque and dtype variables open, for static arguments by name."""
    static = tuple(p for p in target.signature.parameters if not p.is_tensor)
    signature = replace(target.signature, parameters=static)
    statics = static_values(signature, bind(signature, values, names), values)
    definition = target.definition
    choice = Choice(statics)
    return specialisation(
        compile_function(definition.source, definition.name, target.derivations, choice)
    )


def _specialised(
    target: Target, values: Sequence[Any], keywords: Sequence[str]
) -> tuple[Specialisation, Mapping[str, int]]:
    bound = bind(target.signature, values, keywords, takes_cotangents=target.takes_cotangents)
    facts = {
        name: _fact(name, place.value if isinstance(place, Default) else values[place])
        for name, place in bound.tensors.items()
    }
    found = specialise(target, facts, static_values(target.signature, bound, values))
    own = replace(found.flat, params=found.flat.params[: len(facts)])
    return found, solve(own, {name: fact.shape for name, fact in facts.items()})


def _fact(name: str, value: Any) -> Fact:
    return value if isinstance(value, Fact) else fact_of(name, as_array(name, value))


def parse_spec(text: str) -> Fact:
    """The dtype and shape that `f32[4, 8]` names. Raises TdslValueError."""
    match = re.fullmatch(r"\s*([a-z0-9]+)\s*(?:\[([\d\s,]*)\])?\s*", text)
    if match is None or match.group(1) not in DTYPES:
        raise faults.BAD_SPEC.at(text=text, hint="write `f32[4, 8]`, or `f32` for rank 0")
    inside = [part.strip() for part in (match.group(2) or "").split(",")]
    sizes = inside if any(inside) else []
    if not all(part.isascii() and part.isdigit() for part in sizes):
        raise faults.BAD_SPEC.at(text=text, hint="sizes are integers, parted by commas")
    return Fact(tuple(map(int, sizes)), DTYPES[match.group(1)])
