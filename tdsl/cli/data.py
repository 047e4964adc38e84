"""Values on the command line: specs as random data, numbers, files, static values.

In: the text of `--arg` and `--static`. Out: arrays, numbers, facts still to be filled with data, and
static values. Between: the same seed gives the same data.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tdsl import faults
from tdsl.errors import TdslError
from tdsl.ir.node import Node
from tdsl.ops import input_, numpy_dtype, scatter, take
from tdsl.runtime.binding import Fact
from tdsl.runtime.function import Function
from tdsl.runtime.lowered import parse_spec

UNINDEXED = 10


def argument(text: str) -> Any:
    """A VALUE: `@file.npy`, a number, or the fact of a spec, still to be filled with data.

    Raises TdslValueError for a file that is none, or a text that is no VALUE.
    """
    if text.startswith("@"):
        try:
            return np.load(Path(text[1:]), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise faults.UNREADABLE.at(
                file=text[1:], reason=reason or "it is no .npy file of numbers"
            ) from None
    number = _number(text)
    return parse_spec(text) if number is None else number


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def static(function: Function, name: str, text: str) -> Any:
    """A static value, by the parameter's type; text that does not fit is left to the call to refuse."""
    kinds = {p.name: p.kind for p in function.target.signature.parameters}
    kind = kinds.get(name)
    if kind == "bool":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if kind == "Axis":
        return _axis(text)
    number = _number(text) if kind in ("int", "float") else None
    return text if number is None else number


def _axis(text: str) -> int | str | tuple[int | str, ...]:
    """A position, a name, or several of these in parentheses."""
    items = [item.strip() for item in text.strip().removeprefix("(").removesuffix(")").split(",")]
    axes = tuple(int(i) if i.lstrip("-").isdecimal() else i for i in items if i)
    return axes[0] if len(axes) == 1 and "(" not in text else axes


def filled(value: Any, generator: np.random.Generator, limit: int | None) -> Any:
    """The value itself; of a fact random data: normal floats, integers below the limit."""
    if not isinstance(value, Fact) or value.dtype is None:
        return value
    dtype = numpy_dtype(value.dtype)
    try:
        if value.dtype.kind == "bool":
            return generator.integers(0, 2, value.shape).astype(dtype)
        if value.dtype.kind in ("int", "uint"):
            high = UNINDEXED if limit is None else max(1, limit)
            return generator.integers(0, high, value.shape).astype(dtype)
        return np.asarray(generator.standard_normal(value.shape)).astype(dtype)
    except (MemoryError, ValueError):
        text = f"{value.dtype}{list(value.shape)}"
        raise faults.BAD_SPEC.at(text=text, note="there is no memory for so many values") from None


def index_limits(
    function: Function, given: Mapping[str, Any], statics: Mapping[str, Any]
) -> dict[str, int]:
    """For each integer parameter the least size of the axes that it indexes, as the graph shows."""
    try:
        lowered = function.lower(**given, **statics)
    except TdslError:
        return {}  # the call itself reports what is wrong
    limits: dict[str, int] = {}
    reaches: dict[Node, set[str]] = {}
    for node in lowered.graph.nodes():
        names = {node["name"]} if node.op is input_ else set()
        reaches[node] = names.union(*(reaches[operand] for operand in node.operands))
        if node.op in (take, scatter):
            size = node["axis"].evaluate(lowered.sizes)
            for name in reaches[node.operands[1]]:
                limits[name] = min(size, limits.get(name, size))
    return limits
