"""Which values are worth their place in memory while they wait for a later pass over the row.

In: a kernel and its columns. Out: which of its values are costly to compute, and whether one waits.
"""

from __future__ import annotations

from tdsl.fusion.kernel import Kernel, used
from tdsl.fusion.passes import pass_numbers
from tdsl.ir.node import Node, topological
from tdsl.ir.size import Size
from tdsl.ops import take

CHEAP = frozenset(
    [
        "add",
        "sub",
        "mul",
        "neg",
        "abs",
        "where",
        "cast",
        "maximum",
        "minimum",
        "clamp",
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "isnan",
        "isinf",
        "isfinite",
        "bitand",
        "bitor",
        "bitxor",
        "bitnot",
        "sign",
        "floor",
        "ceil",
        "trunc",
    ]
)
"""Operations that are cheaper to repeat than to keep."""


def is_costly(node: Node) -> bool:
    """Whether a value is worth its place in memory."""
    if node.op.family == "scan" or node.op is take:
        return True
    return node.op.family == "pointwise" and node.op.name not in CHEAP


def has_waiting(kernel: Kernel, columns: tuple[Size, ...]) -> bool:
    """Whether something costly along the columns is used before a reduction and after it."""
    nodes, memory = kernel.nodes(), {read.node for read in kernel.reads}
    number = pass_numbers(nodes, set(columns))
    early = [
        operand
        for node in nodes
        if node.op.family != "reduction"
        for operand in used(node, memory)
        if number[operand] < number[node]
    ]
    return any(is_costly(n) and set(columns) & set(n.axes) for n in topological(early, stop=memory))
