"""Cheaper forms of operations, for values that are rounded to 16 bits before they are stored.

In: a `Kernel` and the axes that are its columns. Out: the kernel with such values computed in fewer
instructions. Between: a value is only written in another way where every path from it to memory goes
through a rounding to f16 or bf16, and through nothing that jumps; the bounds are those of arithmetic in
f32, and the approximate instructions of a GPU (`ex2.approx`, `rsqrt.approx`) add 2 units each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from tdsl.fusion.kernel import Kernel
from tdsl.ir.dtype import BF16, F16, F32
from tdsl.ir.node import Node
from tdsl.ir.rewrite import keep, moved_origins, rewrite
from tdsl.ir.size import Size
from tdsl.ops import add, cast, constant, div, exp, exp2, mul, rsqrt

JUMPS = frozenset(["ceil", "floor", "floordiv", "fmod", "remainder", "round", "sign", "trunc"])
"""Floating-point operations of which a small change of the operand is no small change of the value."""

Build = Callable[[Node, Sequence[Node], Collection[Size]], Node | None]


@dataclass(frozen=True, slots=True)
class Form:
    """An operation, how it is written, where that holds, and how far it may be off.

    `bound` is in units in the last place of f32. `build` gives the new node for a node, its new operands
    and the columns, or None where the form is for others.
    """

    operation: str
    written: str
    domain: str
    bound: float
    build: Build


def _power(node: Node, operands: Sequence[Node], columns: Collection[Size]) -> Node | None:
    if node.op is not exp:
        return None
    return exp2(mul(operands[0], constant(value=math.log2(math.e), dtype=F32)))


def _by_row(node: Node, operands: Sequence[Node], columns: Collection[Size]) -> Node | None:
    if node.op is not div or not set(columns) & set(node.axes):
        return None
    x, s = operands
    return None if set(columns) & set(s.axes) else mul(x, div(constant(value=1, dtype=F32), s))


def _logistic(node: Node, operands: Sequence[Node], columns: Collection[Size]) -> Node | None:
    if node.op is not div or not _is_above_one(node.operands[1]):
        return None
    x, u = operands
    root = rsqrt(u)
    inverse = mul(root, root)
    return inverse if x.op is constant and x["value"] == 1 else mul(x, inverse)


def _is_above_one(node: Node) -> bool:
    """Whether a value is 1, or more, and a power of e."""
    if node.op is not add:
        return False
    powers = [operand for operand in node.operands if operand.op in (exp, exp2)]
    others = [operand for operand in node.operands if operand.op is constant]
    return len(powers) == len(others) == 1 and bool(others[0]["value"] >= 1)


FORMS = (
    Form(
        "exp(x)",
        "exp2(x * log2(e))",
        "every x; the error grows with the magnitude of x, up to 87",
        128,
        _power,
    ),
    Form(
        "x / s, s one number for a row",
        "x * (1 / s)",
        "s between 2**-126 and 2**126 in magnitude, or 0 or infinite",
        2,
        _by_row,
    ),
    Form("x / (c + exp(y)), c >= 1", "x * rsqrt(c + exp(y)) ** 2", "every x and y", 6, _logistic),
)


def with_forms(kernel: Kernel, columns: Collection[Size]) -> Kernel:
    """The kernel with the cheaper forms, where they may be used."""
    nodes = kernel.nodes()
    chosen = _rounded(kernel, nodes)
    if not chosen:
        return kernel

    def visit(node: Node, operands: tuple[Node, ...]) -> Node:
        if node in chosen:
            for form in FORMS:
                new = form.build(node, operands, columns)
                if new is not None:
                    return new
        return keep(node, operands)

    new = rewrite([*(store.node for store in kernel.stores), *kernel.layout.crossed], visit)
    return replace(
        kernel,
        stores=tuple(replace(store, node=new[store.node]) for store in kernel.stores),
        layout=replace(kernel.layout, crossed=tuple(new[n] for n in kernel.layout.crossed)),
        origins=moved_origins(kernel.origins, new),
    )


def _rounded(kernel: Kernel, nodes: Sequence[Node]) -> set[Node]:
    """The values in f32 of which nothing is used but what is rounded to 16 bits."""
    users: dict[Node, list[Node]] = {node: [] for node in nodes}
    for node in nodes:
        for operand in node.operands:
            if operand in users:
                users[operand].append(node)
    exact = {store.node for store in kernel.stores}
    found: set[Node] = set()
    for node in reversed(nodes):
        own = users[node]
        if node.dtype == F32 and own and node not in exact and all(_keeps(u, found) for u in own):
            found.add(node)
    return found


def _keeps(user: Node, rounded: Collection[Node]) -> bool:
    if user.op is cast and user.dtype in (F16, BF16):
        return True
    return (
        user in rounded
        and user.op.family in ("pointwise", "reduction")
        and user.op.name not in JUMPS
    )


def forms_page() -> str:
    """The text of `docs/approximations.md`."""
    rows = [
        f"| `{form.operation}` | `{form.written}` | {form.domain} | {form.bound:g} |"
        for form in FORMS
    ]
    return "\n".join([HEAD, *rows, ""])


HEAD = """\
# Approximations

Generated kernels for GPUs write some operations in forms that need fewer instructions, where the value is
rounded to f16 or bf16 before it is stored. Values that are stored in f32 or f64, compared, or used as
places never are. Errors are in units in the last place of f32, of which 8192 make one of f16 and 65536
one of bf16; a test measures each bound. The approximate instructions of a GPU add 2 units each. This page
is made from `tdsl/backends/triton/forms.py`.

| operation | written as | holds for | error |
|---|---|---|---|"""
