"""A function compiled without running: its graphs as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdsl import faults
from tdsl.ir.dtype import DTYPES
from tdsl.ir.function import Function as Graph
from tdsl.ir.text import print_function
from tdsl.ops import numpy_dtype


@dataclass(frozen=True, slots=True)
class Lowered:
    """What `lower` gives: the graph, and the backward if it was asked for."""

    graph: Graph
    backward: Graph | None = None

    @property
    def ir(self) -> str:
        """The graph's text, which `tdsl.ir.parse` reads."""
        return print_function(self.graph)

    @property
    def backward_ir(self) -> str | None:
        """The backward's text; None without `grad`."""
        return print_function(self.backward) if self.backward is not None else None


def spec_of(text: str) -> NDArray[Any]:
    """An array of the spec's dtype and shape that takes no memory. Raises TdslValueError."""
    dtype, shape = parse_spec(text)
    return np.broadcast_to(np.zeros((), numpy_dtype(DTYPES[dtype])), shape)


def parse_spec(text: str) -> tuple[str, tuple[int, ...]]:
    """`f32[4, 8]` as the dtype's name and the shape. Raises TdslValueError."""
    match = re.fullmatch(r"\s*([a-z0-9]+)\s*(?:\[([\d\s,]*)\])?\s*", text)
    if match is None or match.group(1) not in DTYPES:
        raise faults.BAD_SPEC.at(text=text, hint="write `f32[4, 8]`, or `f32` for rank 0")
    inside = [part.strip() for part in (match.group(2) or "").split(",") if part.strip()]
    if not all(part.isdigit() for part in inside):
        raise faults.BAD_SPEC.at(text=text, hint="sizes are integers, parted by commas")
    return match.group(1), tuple(map(int, inside))
