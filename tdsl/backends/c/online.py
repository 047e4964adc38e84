"""Sums that join the pass of what their terms refer to: see `tdsl.fusion.online`.

In: sums of a pass, and the reduction that each joins. Out: lines for each block of a row, and after the
last. Between: what joins is added up in a second loop over the block, which is in the cache by then, about
what follows from the blocks so far; it is carried in f64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tdsl.backends.c.fetches import PART, Fetches
from tdsl.backends.c.literals import c_type, spelled, suffix
from tdsl.fusion.online import Joined
from tdsl.ir.node import Node, topological

SIMD = "#pragma omp simd"


@dataclass
class Online(Fetches):
    """`joined` has the sums that join a pass.

    `shifts` has, by power, what was subtracted so far; `seen`, by sum of squares, how many elements there
    were, the first block's mean, and the sum of differences from it, which keeps the squares exact where
    the mean is large beside them. `ahead` has lines that fetch the next block, once for each.
    """

    joined: dict[Node, Joined] = field(default_factory=dict)
    shifts: dict[Node, str] = field(default_factory=dict)
    seen: dict[Node, tuple[str, str, str]] = field(default_factory=dict)
    ahead: list[str] = field(default_factory=list)

    def begin_joined(self, nodes: Iterable[Node]) -> None:
        """What is kept of the sums before the first block: nothing is there, which has no weight."""
        for node in nodes:
            self.begin(node, "double")
            power = self.joined[node].exponential
            if power is None:
                fresh = self.names.fresh
                names = self.seen[node] = fresh("seen"), fresh("pivot"), fresh("total")
                for name in names:
                    self.line(f"double {name} = 0;")
            elif power not in self.shifts:
                name = self.shifts[power] = self.names.fresh("shift")
                self.line(f"{c_type(power.dtype)} {name} = -INFINITY;")

    def join(self, heads: Sequence[Node], parts: dict[Node, str], nodes: Sequence[Node]) -> None:
        """Put a block, of these values, to the sums that join the pass of these reductions."""
        if self.joined:
            self.ahead = [line for node in nodes if (line := self.next_block(node))]
        for head in heads:
            own = {n: one for n, one in self.joined.items() if one.head is head}
            for node, one in own.items():
                if one.exponential is None:
                    self._add_squares(node, one, parts[head])
            for power in dict.fromkeys(one.exponential for one in own.values()):
                if power is not None:
                    sums = [n for n, one in own.items() if one.exponential is power]
                    self._add_powers(power, sums)

    def end_joined(self, node: Node) -> None:
        """What a sum is about the reference that follows from the whole row."""
        one, total, kind = self.joined[node], self.totals[node][0], c_type(node.dtype)
        self._emit_below(one.reference)
        reference = self.text[one.reference]
        if one.exponential is not None:
            whole = f"powers_about_{node.dtype}({total}, {reference})"
        else:
            seen, pivot, apart = self.seen[node]
            arguments = f"{total}, {apart}, {seen}, {pivot}, {reference}"
            whole = f"squares_about_{node.dtype}({arguments})"
        name = self.names.fresh(f"whole_{total}")
        self.line(f"const {kind} {name} = {whole};")
        self.text[node] = name

    def _add_squares(self, node: Node, one: Joined, part: str) -> None:
        """Squares about the block's mean, as near as its sum tells it, and what that is away."""
        a, kind = one.difference.operands[0], c_type(node.dtype)
        count, near = self.names.fresh("count"), self.names.fresh("near")
        self.line(f"const double {count} = end - start;")
        self.line(f"const {kind} {near} = ({kind})({part} / {count});")
        squares, off = self.names.fresh("squares"), self.names.fresh("off")

        def add() -> None:
            self._emit_below(a)
            away = self.names.fresh("away")
            self.line(f"const {kind} {away} = {self.text[a]} - {near};")
            self.line(f"{squares} += {away} * {away};")
            self.line(f"{off} += {away};")

        self._block_loop({squares: kind, off: kind}, add)
        total, (seen, pivot, apart) = self.totals[node][0], self.seen[node]
        mean = self.names.fresh("mean")
        self.line(f"{pivot} = {seen} == 0 ? {near} : {pivot};")
        self.line(f"const double {mean} = {near} - {pivot} + {off} / {count};")
        self.line(f"{total} += squares_within_f64({squares}, {off}, {count});")
        self.line(f"{total} += squares_between_f64({apart}, {seen}, {mean}, {count});")
        self.line(f"{apart} += {mean} * {count};")
        self.line(f"{seen} += {count};")

    def _add_powers(self, power: Node, sums: Sequence[Node]) -> None:
        """Powers about what follows from the head so far."""
        one, shift, known = self.joined[sums[0]], self.shifts[power], dict(self.text)
        self.text[one.head] = self.complete(one.head)
        self._emit_below(one.reference)
        near, scale = self.names.fresh("near"), self.names.fresh("scale")
        kind = c_type(power.dtype)
        self.line(
            f"const {kind} {near} = finite_or_zero_{power.dtype}({self.text[one.reference]});"
        )
        self.text[one.reference] = near
        parts = {node: self.names.fresh("block_sum") for node in sums}

        def add() -> None:
            self._emit_below(*(node.operands[0] for node in sums))
            for node, part in parts.items():
                self.add(node, part)

        types = {part: c_type(node.dtype) for node, part in parts.items()}
        self._block_loop(types, add)
        (exponent,) = power.operands
        moved = f"{shift} - {near}"
        if exponent is not one.difference:
            self._emit_below(exponent.operands[1])
            moved = f"({moved}) * {self.text[exponent.operands[1]]}"
        text = spelled(power).format(moved, s=suffix(power.dtype), t=str(power.dtype))
        self.line(f"const {kind} {scale} = {text};")
        for node, part in parts.items():
            total = self.totals[node][0]
            self.line(f"{total} = {total} * {scale} + {part};")
        head = self.totals[one.head][0]
        self.line(f"{shift} = {head} == -INFINITY ? {head} : {near};")
        self.text = known

    def _block_loop(self, sums: Mapping[str, str], add: Callable[[], None]) -> None:
        """A loop over the block that adds to these sums, of which it has the types."""
        known = dict(self.text)
        for name, kind in sums.items():
            self.line(f"{kind} {name} = 0;")
        begin, end, depth = "start", "end", self.indent
        if self.ahead:
            self.open_parts("first", "last", PART, ("start", "end"))
            begin, end = "first", "last"
            for line in self.ahead:
                self.line(line)
            self.ahead = []
        self.line(f"{SIMD} reduction(+ : {', '.join(sums)})")
        column = self.column_names[-1]
        self.open(f"for (int64_t {column} = {begin}; {column} < {end}; {column}++)")
        add()
        self.close_to(depth)
        self.text = known

    def _emit_below(self, *roots: Node) -> None:
        needed = set(topological(roots, stop=set(self.text)))
        self.emit(node for node in self.nodes if node in needed)
