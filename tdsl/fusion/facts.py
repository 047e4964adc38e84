"""What is asserted of sizes simplifies the graph: where `C % 3 == 0`, 3 times C // 3 is C.

In: a flat Function. Out: an equal one, wherever its checks hold. Between: each remainder that a check says
is 0 is 0 in every size; conditions of reads that then always hold are gone, and so are reads of
everything at its own place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tdsl.ir.function import Function, Param, Result
from tdsl.ir.index_map import IndexMap
from tdsl.ir.node import Attrs, Node, remake
from tdsl.ir.rewrite import moved_origins, rewrite
from tdsl.ir.size import ZERO, Atom, Size
from tdsl.ops import index
from tdsl.ops.index_map import read, tidied

Change = Callable[[Size], Size]


def facts_of(function: Function) -> Mapping[Atom, Size]:
    """The remainders that the Function's checks say are 0."""
    return {
        atom: ZERO
        for check in function.checks
        if check.relation == "==" and check.right == ZERO
        if (atom := _remainder(check.left)) is not None
    }


def with_facts(function: Function) -> Function:
    """The Function with the remainders that its checks say are 0 left out."""
    zero = facts_of(function)
    if not zero:
        return function

    def change(size: Size) -> Size:
        return size.substitute(zero)

    def visit(node: Node, operands: tuple[Node, ...]) -> Node:
        attrs = Attrs((key, _changed(value, change)) for key, value in node.attrs)
        new = remake(node.op, operands, attrs)
        if new.op is index and len(operands) == 1:
            return read(operands[0], tidied(new["map"]))
        return new

    roots = [*(p.node for p in function.params), *(r.node for r in function.results)]
    new = rewrite(roots, visit)

    def shape(sizes: tuple[Size, ...]) -> tuple[Size, ...]:
        return tuple(map(change, sizes))

    return replace(
        function,
        params=tuple(Param(p.name, shape(p.shape), new[p.node]) for p in function.params),
        results=tuple(Result(shape(r.shape), new[r.node]) for r in function.results),
        origins=moved_origins(function.origins, new),
    )


def _remainder(size: Size) -> Atom | None:
    atom = size.atom
    return atom if atom is not None and atom.kind == "mod" else None


def _changed(value: Any, change: Change) -> Any:
    """An attribute with every size in it changed."""
    if isinstance(value, Size):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_changed(part, change) for part in value)
    return value.map_sizes(change) if isinstance(value, IndexMap) else value
