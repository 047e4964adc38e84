"""Lines that fetch what a later loop will read, or write; `tdsl.backends.c.ahead` says when.

In: reads and stores of a kernel. Out: lines. Between: an address may lie beyond the end of memory, where it
does no harm; what is fetched is never more than what the loop around reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tdsl.backends.c import counters
from tdsl.backends.c.reductions import Reductions
from tdsl.backends.names import written
from tdsl.fusion.kernel import Store, unravelled
from tdsl.fusion.offsets import base_of, is_contiguous, is_read
from tdsl.ir.dtype import item_bytes
from tdsl.ir.node import Node
from tdsl.ir.size import ZERO, Size
from tdsl.ops import take

PART = 512
"""Elements that are fetched at a time: few enough that the core need not wait for room for them."""
CLAIMED = 256
"""Elements that are claimed at a time, so far ahead."""


@dataclass
class Fetches(Reductions):
    """`column_groups` has the columns that one counter counts, outermost first, `column_names` counters."""

    column_groups: tuple[counters.Group, ...] = ()
    column_names: list[str] = field(default_factory=list)

    def next_row(self, node: Node) -> str:
        """Fetches what the next row has from `start` to `end`."""
        return self._fetch(node, "start", "end - start", counters.count(self.column_groups[-1]))

    def next_block(self, node: Node) -> str | None:
        """Fetches what the next block has where this one has `first` to `last`, if it lies in a piece."""
        if not is_read(node, self.kernel) or node.op is take:
            return None
        if not is_contiguous(self.place_of(node, self.where), written(self.column_names[-1])):
            return None
        return self._fetch(node, f"(first - start + {self._next(node)})", "last - first")

    def follows(self, store: Store) -> bool:
        """Whether what the loop stores next follows in memory."""
        return is_contiguous(self.target_of(store, self.where), written(self.column_names[-1]))

    def claim(self, store: Store, start: str, end: str) -> str:
        """Claims what the loop stores in the part after this one."""
        where = {**self.where, **counters.counted(self.column_groups[-1], start)}
        element = self.element(store.buffer, self.target_of(store, where) + CLAIMED)
        return f"claim(&{element}, {item_bytes(store.dtype)} * ({end} - {start}));"

    def _next(self, node: Node) -> str:
        """Where the next block begins, by what counts the innermost columns."""
        if len(self.column_groups) == 1:
            return "end"
        further = dict(unravelled(written(self.column_names[-2]) + 1, self.column_groups[-2]))
        there = self.place_of(node, {**self.where, **further})
        step = self.names.factor(there - self.place_of(node, self.where))
        length = self.names.factor(counters.count(self.column_groups[-1]))
        return f"(end < {length} ? end : {step})"

    def _fetch(self, node: Node, at: str, count: str, further: Size = ZERO) -> str:
        where = {**self.where, **counters.counted(self.column_groups[-1], at)}
        element = self.element(str(base_of(node)["name"]), self.place_of(node, where) + further)
        fetch = "fetch_far" if self.schedule.ahead == "far" else "fetch"
        return f"{fetch}(&{element}, {item_bytes(node.dtype)} * ({count}));"
