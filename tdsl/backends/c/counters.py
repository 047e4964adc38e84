"""What counts a kernel's axes: neighbours that every access walks as one are counted as one.

In: a `Kernel` and axes in order. Out: groups of axes, each with one counter. Between: no place, offset or
condition of the kernel divides a counter.
"""

from __future__ import annotations

from collections.abc import Mapping

from tdsl.backends.names import Names, written
from tdsl.fusion.kernel import Kernel, offset_of, unravelled
from tdsl.fusion.offsets import located, sites
from tdsl.ir.size import ONE, Size, name
from tdsl.ir.size import index as variable
from tdsl.ops import arange, index

Group = tuple[Size, ...]
_COUNTER = name("counter")


def groups(kernel: Kernel, axes: Group) -> tuple[Group, ...]:
    """The axes in groups of neighbours that can share a counter, outermost first."""
    exprs = _expressions(kernel)
    found: list[Group] = []
    for axis in axes:
        joined = (*found[-1], axis) if found else ()
        if joined and _is_linear(exprs, joined):
            found[-1] = joined
        else:
            found.append((axis,))
    return tuple(found)


def _is_linear(exprs: list[Size], group: Group) -> bool:
    """Whether nothing divides the number that would count the group."""
    where = dict(unravelled(_COUNTER, group))
    return not any(
        atom.kind in ("floordiv", "mod") and any(_COUNTER.atom in arg.atoms() for arg in atom.args)
        for expr in exprs
        for atom in located(expr, where).atoms()
    )


def _expressions(kernel: Kernel) -> list[Size]:
    """Every offset, place and condition of the kernel, by the indices of its axes."""
    found = [offset_of(site.shape, site.places, site.strides) for site in sites(kernel)]
    for node in kernel.nodes():
        if node.op is arange:
            found.append(variable(node["axis"]))
        elif node.op is index:
            for piece in node["map"].pieces:
                found += [expr for _, expr in piece.exprs]
                found += [condition.expr for condition in piece.domain]
        elif node.op.name.startswith("arg"):
            found.append(position(node["axes"]))
    return found


def position(axes: Group) -> Size:
    """The place of an element among these axes, the last counted fastest."""
    order = Size(())
    for axis in axes:
        order = order * axis + variable(axis)
    return order


def count(group: Group) -> Size:
    """The number of elements along a group."""
    total = ONE
    for axis in group:
        total = total * axis
    return total


def named(names: Names, kind: str, found: tuple[Group, ...]) -> list[str]:
    """The name of each group's counter: `row`, or by axes `row_N` where there are several."""
    if len(found) == 1:
        return [kind]
    texts = ["_".join(map(str, group)) for group in found]
    return [
        names.fresh(f"{kind}_{text}" if text.isidentifier() else f"{kind}_{place}")
        for place, text in enumerate(texts)
    ]


def counted(group: Group, counter: str) -> Mapping[Size, Size]:
    """The index along each axis of a group, by its counter."""
    return dict(unravelled(written(counter), group))
