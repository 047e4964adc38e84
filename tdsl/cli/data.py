"""Values on the command line: specs as random data, numbers, files, static values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tdsl import faults
from tdsl.errors import TdslError
from tdsl.ir.dtype import DTYPES
from tdsl.ops import numpy_dtype, scatter, take
from tdsl.runtime.binding import solve
from tdsl.runtime.function import Function
from tdsl.runtime.lowered import parse_spec, spec_of


def argument(name: str, text: str) -> Any:
    """A VALUE: `@file.npy`, a number, or a spec (still to be filled with data)."""
    if text.startswith("@"):
        try:
            return np.load(Path(text[1:]), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise faults.UNREADABLE.at(
                file=text[1:], reason=str(error) or "it is no .npy file"
            ) from None
    number = _number(text)
    if number is not None:
        return number
    parse_spec(text)
    return text


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def static(function: Function, name: str, text: str) -> Any:
    """A static value, by the parameter's type."""
    kinds = {p.name: p.kind for p in function._signature.parameters}
    if kinds.get(name) in ("str", "DType"):
        return text
    if kinds.get(name) == "bool" or text in ("True", "False", "true", "false"):
        return text in ("True", "true", "1")
    number = _number(text)
    return text if number is None else number


def made_arguments(
    function: Function, given: Mapping[str, Any], seed: int, statics: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments with data in place of specs: normal floats, integers uniform over what they index."""
    generator = np.random.default_rng(seed)
    specs = {k: spec_of(v) if isinstance(v, str) else v for k, v in given.items()}
    limits = _index_limits(function, specs, statics)
    ordered = [p.name for p in function._signature.parameters if p.name in given]
    return {
        name: _filled(given[name], generator, limits.get(name, 10))
        if isinstance(given[name], str)
        else given[name]
        for name in (*ordered, *(n for n in given if n not in ordered))
    }


def _filled(spec: str, generator: np.random.Generator, limit: int) -> Any:
    dtype_name, shape = parse_spec(spec)
    dtype = DTYPES[dtype_name]
    if dtype.kind == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    if dtype.kind in ("int", "uint"):
        return generator.integers(0, max(1, limit), shape).astype(numpy_dtype(dtype))
    return np.asarray(generator.standard_normal(shape)).astype(numpy_dtype(dtype))


def _index_limits(
    function: Function, specs: Mapping[str, Any], statics: Mapping[str, Any]
) -> dict[str, int]:
    """The size of the axis that each integer parameter indexes, seen in the graph."""
    try:
        found = function.lower(**specs, **statics)
        bound, _ = function._bound((), {**specs, **statics})
        shapes = {k: np.shape(v) for k, v in bound.tensors.items()}
        sizes = solve(found.graph, shapes)
    except TdslError:
        return {}
    limits: dict[str, int] = {}
    reaches: dict[Any, set[str]] = {}
    for node in found.graph.nodes():
        names = {node["name"]} if node.op.family == "input" else set()
        reaches[node] = names.union(*(reaches[o] for o in node.operands))
        if node.op in (take, scatter):
            for name in reaches[node.operands[1]]:
                limits[name] = node["axis"].evaluate(sizes)
    return limits
