"""Tiles of a pointwise kernel of which some memory lies along its rows, and some along its columns.

In: a kernel under the schedule "tiles". Out: the lines of one tile. Between: what lies along the rows goes
by way of a square in the cache, so that every access to memory takes whole lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tdsl.backends.c.literals import loaded, memory_type
from tdsl.backends.c.loops import Loops
from tdsl.backends.c.online import SIMD
from tdsl.backends.c.schedule import TILE, turned
from tdsl.ir.node import Node

Range = tuple[str, str, str]
"""A counter, where it begins, and where it ends."""


@dataclass
class Tiles(Loops):
    """The unit of a kernel: a tile, or what `Loops` makes of it."""

    def row(self) -> None:
        """Everything that happens to a unit."""
        if self.schedule.kind == "tiles":
            self._tile()
        else:
            super().row()

    def _tile(self) -> None:
        (one,) = self.passes.passes
        rows, columns = (
            (self.row_names[-1], "start", "end"),
            (self.column_names[-1], "first", "last"),
        )
        reads, stores = turned(self.kernel, self.row_groups[-1], self.column_groups[-1])
        known = dict(self.text)
        for node in reads:
            place = self._square(node)
            self._open(columns, rows)
            self.emit([node])
            self.line(f"{place} = {self.text[node]};")
            self._end()
            known[node] = loaded(place, node.dtype)
            self.text = dict(known)
        squares = [(store, self._square(store.node)) for store in stores]
        self._open(rows, columns, one.before)
        self.emit(one.nodes)
        for store, place in squares:
            self.line(f"{place} = {self.text[store.node]};")
        self.stores(store for store in one.stores if store not in stores)
        self._end()
        for store, place in squares:
            self._open(columns, rows)
            self.line(f"{self.target(store)} = {place};")
            self._end()

    def _square(self, node: Node) -> str:
        """The place of an element in a new square, whose columns are not all in one set of the cache."""
        name, line = self.names.fresh("square"), TILE + 1
        self.line(f"{memory_type(node.dtype)} {name}[{TILE} * {line}];")
        row, column = f"({self.row_names[-1]} - start)", f"({self.column_names[-1]} - first)"
        return f"{name}[{row} * {line} + {column}]"

    def _open(self, outer: Range, inner: Range, between: Sequence[Node] = ()) -> None:
        """Open two loops; the inner one lies along vectors."""
        name, first, last = outer
        self.open(f"for (int64_t {name} = {first}; {name} < {last}; {name}++)")
        self.emit(between)
        self.line(SIMD)
        name, first, last = inner
        self.open(f"for (int64_t {name} = {first}; {name} < {last}; {name}++)")

    def _end(self) -> None:
        self.close()
        self.close()
