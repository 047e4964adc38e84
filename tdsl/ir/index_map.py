"""The one index map: slice, stride, pad, flip, window, concat, unflatten, flatten, roll.

An index node has operands x_1 ... x_n and an `IndexMap` with one `Piece` for each:

    out[o] = x_k[..., a <- expr_a(o), ...]   where o lies in piece k's domain, else fill

A piece lists an expression (a `Size` over `index` atoms of output axes) for each axis of its operand
that changes; an operand axis that is not listed is read at the index of the output axis of the same
name. Domains of different pieces are disjoint. Within its domain every expression lies in its axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tdsl.ir.size import Axis, Size


@dataclass(frozen=True, slots=True)
class InRange:
    """The condition `0 <= expr < size`."""

    expr: Size
    size: Size

    def __str__(self) -> str:
        return f"0 <= {self.expr} < {self.size}"


@dataclass(frozen=True, slots=True)
class Divides:
    """The condition `expr % divisor == 0`."""

    expr: Size
    divisor: Size

    def __str__(self) -> str:
        return f"{self.divisor} divides {self.expr}"


Condition = InRange | Divides


@dataclass(frozen=True, slots=True)
class Piece:
    """Where one operand is read: expressions by operand axis, and the domain (empty: everywhere)."""

    exprs: tuple[tuple[Axis, Size], ...]
    domain: tuple[Condition, ...] = ()

    def map_sizes(self, change: Callable[[Size], Size]) -> Piece:
        """The piece with `change` applied to every size in it."""
        return Piece(
            tuple((change(a), change(e)) for a, e in self.exprs),
            tuple(
                InRange(change(c.expr), change(c.size))
                if isinstance(c, InRange)
                else Divides(change(c.expr), change(c.divisor))
                for c in self.domain
            ),
        )


@dataclass(frozen=True, slots=True)
class IndexMap:
    """The attribute of an index node: `axes` are the output axes that the pieces' expressions use.

    The node's axes are, for its operands in order, each operand's axes with the listed ones replaced
    (at the place of the first of them) by `axes`. `fill` is the value outside all domains.
    """

    axes: tuple[Axis, ...]
    pieces: tuple[Piece, ...]
    fill: int | float | bool = field(default=0, compare=False)
    _exact_fill: str = field(init=False, repr=False, default="0")

    def __post_init__(self) -> None:
        # 0, 0.0, -0.0 and False are different fills, and nan is equal to itself.
        object.__setattr__(self, "_exact_fill", repr(self.fill))

    def map_sizes(self, change: Callable[[Size], Size]) -> IndexMap:
        """The map with `change` applied to every size in it."""
        return IndexMap(
            tuple(map(change, self.axes)),
            tuple(piece.map_sizes(change) for piece in self.pieces),
            self.fill,
        )

    @property
    def is_total(self) -> bool:
        """Whether a single operand is read everywhere, so that `fill` never shows."""
        return len(self.pieces) == 1 and not self.pieces[0].domain
