"""Specs of arguments that are not given: dtypes and shapes that the signature allows.

In: a function, and what is given. Out: what is missing. Between: axes that no given array decides have one
size, such that no array has more than about 16 million elements; dtype variables are f32, or i64 where
they must be integers; a number is 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from tdsl.ir.dtype import F32, I64, Dtype
from tdsl.ir.function import Function as Graph
from tdsl.ir.function import Param
from tdsl.ir.size import Size
from tdsl.ops import dot, numpy_dtype
from tdsl.runtime.arguments import fact_of
from tdsl.runtime.binding import Fact, bind_dtypes, bind_ranks
from tdsl.runtime.function import Function
from tdsl.runtime.pipeline import Choice, compile_function, flatten
from tdsl.runtime.solve import solve

LARGEST = 24
"""Arrays have at most two to this power elements,"""
MOST_PRODUCTS = 30
"""and contractions at most two to this power multiplications."""


def missing(
    function: Function, given: Mapping[str, Any], statics: Mapping[str, Any]
) -> dict[str, Any]:
    """Facts of the tensors that a call needs and that are not given; a number is the array of it.

    Raises TdslError where what is given does not fit the signature, or does not decide its sizes.
    """
    own = function.target.signature.parameters
    tensors = [p for p in own if p.is_tensor]
    is_open = any(not p.is_tensor and p.default is None and p.name not in statics for p in own)
    wanted = [p for p in tensors if p.default is None and p.name not in given]
    facts = {
        p.name: value if isinstance(value := given[p.name], Fact) else fact_of(p.name, value)
        for p in tensors
        if p.name in given
    }
    if not wanted or is_open or {*given} - {*facts}:
        return {}  # the call itself reports what is wrong
    packs = {p.pack: 2 if len(p.items) == 1 else 1 for p in reversed(wanted) if p.pack}
    ranks = {**packs, **bind_ranks(function.target.signature, facts)}
    names = frozenset((*facts, *(p.name for p in wanted)))
    choice = Choice(statics, ranks, names, bind_dtypes(function.target.signature, facts))
    graph = _concrete(function, choice)
    left = [param for param in graph.params if param.name not in facts]
    sizes = _sizes(graph, left, facts)
    return {param.name: _argument(param, sizes) for param in left}


def _concrete(function: Function, choice: Choice) -> Graph:
    """The flat graph with a dtype for each variable."""
    target = function.target
    source, name = target.definition.source, target.definition.name
    graph = compile_function(source, name, target.derivations, choice)
    known = {variable: I64 if kind == "int" else F32 for variable, kind in graph.dtype_vars}
    choice = replace(choice, dtypes={**known, **(choice.dtypes or {})})
    return flatten(compile_function(source, name, target.derivations, choice))


def _sizes(graph: Graph, left: list[Param], facts: Mapping[str, Fact]) -> Mapping[str, int]:
    """What the given arrays decide, and one size for every other axis."""
    given = tuple(param for param in graph.params if param.name in facts)
    shapes = {name: fact.shape for name, fact in facts.items()}
    known = solve(replace(graph, params=given, checks=()), shapes)
    free = {name for param in left for size in param.shape for name in size.names()} - {*known}
    bounds = list(_bounds(graph))
    power = LARGEST
    while power and not all(
        prod(size.evaluate({**dict.fromkeys(free, 2**power), **known}) for size in axes) <= 2**most
        for axes, most in bounds
    ):
        power -= 1
    return {**dict.fromkeys(free, 2**power), **known}


def _bounds(graph: Graph) -> Iterator[tuple[tuple[Size, ...], int]]:
    """The axes of arrays and contractions, each with the power of two that they must not exceed."""
    yield from ((param.shape, LARGEST) for param in graph.params)
    yield from ((result.shape, LARGEST) for result in graph.results)
    for node in graph.nodes():
        if node.op is dot:
            yield (*node.axes, *node["axes"]), MOST_PRODUCTS


def _argument(param: Param, sizes: Mapping[str, int]) -> Any:
    assert isinstance(param.dtype, Dtype)
    if not param.shape:
        return np.ones((), numpy_dtype(param.dtype))
    return Fact(tuple(size.evaluate(sizes) for size in param.shape), param.dtype)
