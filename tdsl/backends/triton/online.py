"""Sums that join the pass of what their terms refer to: see `tdsl.fusion.online`.

In: sums of a pass, and the reduction that each joins. Out: lines for each block of a row, and after the
last. Between: a sum so far is one number for each row, about what follows from the blocks so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tdsl.backends.triton.literals import bare, reduced, spelled, triton_dtype
from tdsl.backends.triton.values import Values
from tdsl.fusion.online import Joined, Passes
from tdsl.ir.node import Node, topological


@dataclass
class Online(Values):
    """`carries` has the names of what is kept of a reduction, `shifts` of what is subtracted so far.

    `pivots` has those of the first block's mean and of the sum of differences from it, which keep the
    squares exact where the mean is large beside them.
    """

    carries: dict[Node, str] = field(default_factory=dict)
    shifts: dict[Node, str] = field(default_factory=dict)
    pivots: dict[Node, tuple[str, str]] = field(default_factory=dict)
    passes: Passes = field(default_factory=lambda: Passes({}, {}))

    def of_row(self) -> str:
        """The shape of a number for each row."""
        return "[BLOCK_ROWS, 1]" if self.by_rows else "[]"

    def reduced(self, node: Node, value: str) -> str:
        """The reduction of a block of the row."""
        return reduced(node, value, "1" if self.by_rows else "0", keep=self.by_rows)

    def joining(self, head: Node) -> dict[Node, Joined]:
        """The sums that join the pass of a reduction."""
        return {n: one for n, one in self.passes.joined.items() if one.head is head}

    def begin_joined(self, nodes: Iterable[Node]) -> None:
        """What is kept beside the sums, before the first block: nothing is there, which has no weight."""
        for node in nodes:
            power, kind = self.passes.joined[node].exponential, triton_dtype(node.dtype)
            if power is None:
                names = self.pivots[node] = self.names.fresh("pivot"), self.names.fresh("off")
                for name in names:
                    self.line(f"{name} = tl.full({self.of_row()}, 0.0, {kind})")
            elif power not in self.shifts:
                name = self.shifts[power] = self.names.fresh("shift")
                self.line(f'{name} = tl.full({self.of_row()}, float("-inf"), {kind})')

    def add_squares(self, head: Node, block_sum: str, *, reverse: bool) -> None:
        """Put a block's squares to those so far; `block_sum` is what the block adds to the head."""
        for node, one in self.joining(head).items():
            if one.exponential is not None:
                continue
            place, end = "first" if reverse else "start", self.names.count(self.schedule.columns)
            count = (
                f"tl.cast(tl.minimum({end} - {place}, BLOCK_COLUMNS), {triton_dtype(node.dtype)})"
            )
            count = self.assign(node, count, "count")
            seen = f"({end} - {place} - {count})" if reverse else place
            pivot, off = self.pivots[node]
            self.line(f"{pivot} = tl.where({seen} == 0, {block_sum} / {count}, {pivot})")
            a = one.difference.operands[0]
            own = f"tl.where(column_mask, {self.block(a, self.lanes_of(a))} - {pivot}, 0.0)"
            own = self.assign(node, own, "own")
            new = self.assign(node, self.reduced(node, own), "new")
            apart = f"tl.where(column_mask, {own} - {new} / {count}, 0.0)"
            apart = self.assign(node, apart, "apart")
            squares, name = self.reduced(node, f"{apart} * {apart}"), self.carries[node]
            both = f"{name}, {off}, {seen}, {squares}, {new}, {count}"
            self.line(f"{name} = squares_of_both({both})")
            self.line(f"{off} = {off} + {new}")

    def add_powers(self, head: Node) -> None:
        """Put a block's powers to those so far, all about what follows from the head so far."""
        powers = {one.exponential: one for one in self.joining(head).values() if one.exponential}
        for power, one in powers.items():
            reference, shift = one.reference, self.shifts[power]
            self._emit_below(reference)
            exact = self.text[reference]
            near = self.text[reference] = self.assign(power, f"finite_or_zero({exact})", "near")
            sums = [n for n, other in self.joining(head).items() if other.exponential is power]
            self._emit_below(*(node.operands[0] for node in sums))
            self.text[reference] = exact
            (exponent,) = power.operands
            moved = f"{shift} - {near}"
            if exponent is not one.difference:
                moved = f"({moved}) * {self.text[exponent.operands[1]]}"
            scale = self.assign(power, spelled(power).format(moved), "scale")
            for node in sums:
                value = self.reduced(node, self.masked(node, node.operands[0], {"column"}))
                self.line(f"{self.carries[node]} = {self.carries[node]} * {scale} + {value}")
            lowest = bare(float("-inf"), head.dtype)
            total = self.carries[head]
            self.line(f"{shift} = tl.where({total} == {lowest}, {total}, {near})")

    def end_joined(self, node: Node) -> None:
        """What a sum is about the reference that follows from the whole row."""
        one, name = self.passes.joined[node], self.carries[node]
        self._emit_below(one.reference)
        reference = self.text[one.reference]
        if one.exponential is not None:
            self.line(f"{name} = powers_about({name}, {reference})")
        else:
            (pivot, off), count = self.pivots[node], self.names.count(self.schedule.columns)
            self.line(f"{name} = squares_about({name}, {off}, {count}, {reference} - {pivot})")

    def _emit_below(self, *roots: Node) -> None:
        needed = set(topological(roots, stop=set(self.text)))
        self.emit(node for node in self.nodes if node in needed)
