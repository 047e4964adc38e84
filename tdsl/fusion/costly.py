"""Values that are worth their place in memory, because to compute them again costs more than to read them.

In: nodes of a normalised Function. Out: those that are alike for several rows, which fusion would compute
again for each: the angles of positions, alike for all heads. Between: values of whole rows are none of
them, for a row has one of each; nor are those along a single axis, which a kernel may keep itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tdsl.fusion.layout import along
from tdsl.fusion.normalise import is_spread
from tdsl.ir.node import Node
from tdsl.ir.size import Axis

CHEAP = frozenset((
    "add", "sub", "mul", "neg", "abs", "where", "cast", "maximum", "minimum", "clamp", "equal",
    "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan", "isinf", "isfinite",
    "bitand", "bitor", "bitxor", "bitnot", "sign", "floor", "ceil", "trunc",
))  # fmt: skip
"""Operations that are cheaper to repeat than to keep."""


def is_costly(node: Node) -> bool:
    """Whether a value takes longer to compute than to read."""
    return node.op.family == "scan" or (node.op.family == "pointwise" and node.op.name not in CHEAP)


def alike(nodes: Sequence[Node]) -> Mapping[Node, frozenset[Node]]:
    """The values that a kernel would compute again for several of its rows, with those that use them so.

    The nodes come operands first. A row runs along the last axis in memory.
    """
    dear: set[Node] = set()
    last: dict[Node, Axis] = {}
    found: defaultdict[Node, set[Node]] = defaultdict(set)
    for node in nodes:
        axes = along(node)
        if is_spread(node) or not axes:
            continue
        values = [value for value in map(_value, node.operands) if value.axes]
        whole = [value for value in values if {*value.axes} == {*axes}]
        last[node] = last[whole[0]] if whole else axes[-1]
        if is_costly(node) or any(
            {*value.axes} == {*node.axes} for value in dear.intersection(values)
        ):
            dear.add(node)
        for value in dear.intersection(values):
            if len(value.axes) > 1 and {*value.axes} < {*axes} and last[node] in value.axes:
                found[value].add(node)
    return {value: frozenset(users) for value, users in found.items()}


def _value(node: Node) -> Node:
    """The value that a node has along further axes."""
    while is_spread(node):
        (node,) = node.operands
    return node
