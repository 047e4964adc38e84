"""The loops over a kernel's columns: what each computes, and which values wait for a later one.

In: a `Kernel` and a `Schedule`. Out: `Pass`es. Between: a reduction is complete after the pass that has its
operand, or that its terms wait for (`tdsl.fusion.online`); a later pass takes what is costly from scratch
memory (`staged`) and computes the rest anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from tdsl.backends.c.schedule import BLOCK, Choice, Schedule
from tdsl.backends.c.shared import Shared, is_kept, shared_values
from tdsl.backends.c.stages import stages
from tdsl.fusion.kernel import Kernel, Store, used
from tdsl.fusion.layout import PROGRAMS, is_replicated
from tdsl.fusion.online import Joined, Passes, streamed_passes
from tdsl.fusion.passes import pass_numbers
from tdsl.ir.node import Node

WIDEST = 8
"""The bytes of the widest dtype."""
SCRATCH = 1 << 21
"""Bytes of scratch memory that a row, or rows side by side, may have."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One loop over the columns. `before` are the values of the row that it needs first.

    `nodes` are the values along the columns that it computes, operands first; those in `kept` wait for a
    later pass. `crossed` are reductions across rows that it adds to.
    """

    before: tuple[Node, ...]
    nodes: tuple[Node, ...]
    kept: tuple[Node, ...]
    reductions: tuple[Node, ...]
    crossed: tuple[Node, ...]
    stores: tuple[Store, ...]

    @property
    def scans(self) -> list[Node]:
        """The running reductions among its values."""
        return [node for node in self.nodes if node.op.family == "scan"]

    @property
    def adds(self) -> bool:
        """Whether it carries anything from one element to another."""
        return bool(self.reductions or self.crossed or self.scans)


@dataclass(frozen=True, slots=True)
class Row:
    """What happens to a row: passes, then values and stores of the whole row.

    `shared` comes first, once for all rows. `joined` has the reductions that a pass adds up beside the one
    that their terms wait for.
    """

    shared: Shared
    passes: tuple[Pass, ...]
    joined: Mapping[Node, Joined]
    after: tuple[Node, ...]
    stores: tuple[Store, ...]


class Planner:
    """Plans the passes of one kernel."""

    def __init__(self, kernel: Kernel, schedule: Schedule) -> None:
        self.kernel, self.schedule = kernel, schedule
        self.columns = set(schedule.columns)
        self.memory = {read.node for read in kernel.reads}
        self.nodes = kernel.nodes()
        self.crossed = kernel.layout.crossed
        self.shared = (
            shared_values(kernel, schedule.rows, self.columns) if schedule.sharing else Shared()
        )
        self.streams, self.left = self._streams()
        self.depths = self.streams.known

    def is_long(self, node: Node) -> bool:
        """Whether a value varies along the columns."""
        return bool(self.columns & set(node.axes))

    def _streams(self) -> tuple[Passes, Mapping[int, tuple[Node, ...]]]:
        """The passes over a row that leaves the cache between them, or over one that stays in it.

        Beside them what a pass leaves for a later one.
        """
        is_scanned = any(node.op.family == "scan" for node in self.nodes)
        if is_scanned or self.schedule.kind not in ("flat", "rows"):
            return Passes(pass_numbers(self.nodes, self.columns), {}), {}
        if not self.schedule.staged:
            return streamed_passes(self.nodes, self.columns), {}
        found = stages(self.nodes, self.columns, self.shared.nodes)
        return Passes(found.known, {}), found.left

    def run(self) -> Row:
        """The passes, in order."""
        last = max((self.depths[n] for n in self.nodes), default=0)
        roots = [self._roots(number) for number in range(last + 1)]
        needs: list[set[Node]] = []
        staged: set[Node] = set()
        computed: set[Node] = set()
        for values, _, _, _ in roots:
            inside = self._needed(values, computed, staged)
            needs.append(inside)
            computed |= inside
        known: set[Node] = set()
        passes = []
        for number, (_, reductions, crossed, stores) in enumerate(roots):
            before = tuple(n for n in self._short() if self.depths[n] <= number and n not in known)
            if reductions or crossed or stores or number in self.left:
                known |= set(before)
                nodes = tuple(n for n in self.nodes if n in needs[number] - (staged & known))
                kept = tuple(n for n in nodes if n in staged)
                known |= {*kept, *reductions}
                passes.append(Pass(before, nodes, kept, reductions, crossed, stores))
        after = tuple(n for n in self._short() if n not in known)
        own = tuple(s for s in self.kernel.stores if not s.share and not self.is_long(s.node))
        streams = self.streams
        return Row(self.shared, tuple(passes), streams.joined, after, own)

    def _roots(self, number: int) -> tuple[
        list[Node], tuple[Node, ...], tuple[Node, ...], tuple[Store, ...]
    ]:  # fmt: skip
        """What a pass is for: the values that it must have, reductions, and stores."""
        reductions = tuple(
            n for n in self.nodes
            if n.op.family == "reduction" and n not in self.crossed
            and not is_replicated(n, self.nodes) and self.streams.of(n) == number
        )  # fmt: skip
        crossed = tuple(
            n
            for n in self.crossed
            if self.is_long(n.operands[0]) and self._at(n.operands[0], number)
        )
        stores = tuple(
            s for s in self.kernel.stores
            if not s.share and self.is_long(s.node) and self._at(s.node, number)
        )  # fmt: skip
        heads = [n for n in reductions if n not in self.streams.joined]
        values = [*(n.operands[0] for n in (*heads, *crossed)), *(s.node for s in stores)]
        values += self.left.get(number, ())
        return values, reductions, crossed, stores

    def _at(self, node: Node, number: int) -> bool:
        return self.depths[node] == number

    def _needed(self, roots: Iterable[Node], computed: set[Node], staged: set[Node]) -> set[Node]:
        """The values along the columns that a pass has; costly ones of earlier passes are staged."""
        found: set[Node] = set()
        waiting = [node for node in roots if self.is_long(node)]
        while waiting:
            node = waiting.pop()
            if node in found or node in self.shared.kept:
                continue
            found.add(node)
            if node in computed and self.schedule.staged and is_kept(node):
                staged.add(node)
            else:
                waiting += [o for o in used(node, self.memory) if self.is_long(o)]
        return found

    def _short(self) -> Sequence[Node]:
        """The values of a whole row, which its reductions are too; these come with their passes."""
        return [
            n for n in self.nodes
            if not self.is_long(n) and n.op.family != "reduction" and not self._is_part(n)
            and n not in self.shared.alone
        ]  # fmt: skip

    def _is_part(self, node: Node) -> bool:
        """Whether a value along the programs of an earlier kernel belongs to its total."""
        return PROGRAMS in node.axes and PROGRAMS not in (*self.schedule.rows, *self.columns)


def fitted(kernel: Kernel, choices: Iterable[Choice]) -> Iterator[Choice]:
    """The choices, each for rows of which the kept values fit into scratch memory, on a thread's stack.

    Of a flat walk they are those of a block, whatever its length.
    """
    for choice in choices:
        row = plan_row(kernel, choice.schedule)
        kept = [*row.shared.kept]
        kept += [node for one in row.passes for node in one.kept]
        longest = SCRATCH // (len(kept) * choice.schedule.lanes * WIDEST) if kept else inf
        if choice.schedule.kind == "flat":
            longest = inf if longest >= BLOCK else 0
        if kept or not choice.keeping:
            yield choice.up_to(longest)


def plan_row(kernel: Kernel, schedule: Schedule) -> Row:
    """What happens to each row of a kernel under a schedule."""
    return Planner(kernel, schedule).run()
