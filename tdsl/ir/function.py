"""Functions: graphs with a boundary.

In: parameters and result nodes. Out: a `Function`, the unit that every pass takes and gives back.
Between: every `input` node reachable from the results belongs to a parameter; orders of axes and unit
axes exist only here, at the boundary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tdsl.errors import Span
from tdsl.ir.dtype import AnyDtype
from tdsl.ir.node import Node, topological
from tdsl.ir.size import Axis, Size

Shape = tuple[Size, ...]
DtypeKind = Literal["any", "number", "real", "int", "float"]
Relation = Literal["==", "<=", "<", "!="]


@dataclass(frozen=True, slots=True)
class Param:
    """A tensor parameter: its input node, and its shape in the caller's order, unit axes included."""

    name: str
    shape: Shape
    node: Node

    @property
    def dtype(self) -> AnyDtype:
        """The dtype at the boundary."""
        return self.node.dtype


@dataclass(frozen=True, slots=True)
class Result:
    """A result: its node, and the shape in which it is handed out, unit axes included."""

    shape: Shape
    node: Node


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on sizes that the call decides: `left relation right`, or the error with `message`.

    `span` is where it stands, and `source` the text of that line.
    """

    left: Size
    relation: Relation
    right: Size
    message: str
    span: Span | None = field(default=None, compare=False)
    source: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a node comes from: the source's name for it, if it has one, and the place."""

    name: str
    span: Span | None


@dataclass(frozen=True, slots=True)
class Function:
    """A graph with parameters and results, immutable.

    `dtype_vars` maps each dtype variable left open to what it may be; `checks` are decided at the call;
    `origins` (not part of equality) says where nodes come from.
    """

    name: str
    params: tuple[Param, ...]
    results: tuple[Result, ...]
    dtype_vars: tuple[tuple[str, DtypeKind], ...] = ()
    checks: tuple[Check, ...] = ()
    origins: Mapping[Node, Origin] = field(default_factory=dict, compare=False, repr=False)

    def nodes(self) -> list[Node]:
        """Every node the results need, operands before users; sub-Functions are not entered."""
        return topological(result.node for result in self.results)


def unit_free(shape: Shape) -> tuple[Axis, ...]:
    """The axes that a value of this shape has: units have no existence in the graph."""
    return tuple(size for size in shape if size.constant != 1)
