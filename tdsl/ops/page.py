"""The page of the documentation that lists the catalogue.

In: the operations. Out: Markdown text, deterministic, with the derivative of each pointwise
operation as its own rule builds it.
"""

from __future__ import annotations

from collections.abc import Mapping

from tdsl.ir.dtype import F64
from tdsl.ir.node import OPS, Node, Op
from tdsl.ops.leaves import constant, input_
from tdsl.ops.pointwise import Pointwise

FAMILIES = {
    "input": "Inputs",
    "constant": "Constants and positions",
    "pointwise": "Pointwise operations",
    "reduction": "Reductions",
    "scan": "Running reductions",
    "contraction": "Contraction",
    "gather": "Gather and scatter",
    "index": "Index maps",
    "call": "Calls",
}

INFIX = {
    "less": ("<", 1), "less_equal": ("<=", 1), "greater": (">", 1), "greater_equal": (">=", 1),
    "equal": ("==", 1), "bitor": ("|", 2), "bitand": ("&", 3), "add": ("+", 4),
    "sub": ("-", 4), "mul": ("*", 5), "div": ("/", 5),
}  # fmt: skip

HEADER = """# Operations

What the graph is made of. A composite such as `mean` or `softmax` is written in the language, in
terms of these. The operations of the language have the same names wherever they exist there.

Below, `g` is the cotangent of the result `out`. An operation without a derivative is piecewise
constant: it passes no gradient. f16 and bf16 are only stored: they are cast to f32 and back, and
moved (`where`, gathers, index maps), and `dot` widens them itself. This page is made from the
catalogue in `tdsl/ops`.
"""


def operations_page() -> str:
    """The text of `docs/operations.md`."""
    sections = [HEADER]
    for family, title in FAMILIES.items():
        ops = sorted((op for op in OPS.values() if op.family == family), key=lambda op: op.name)
        entries = "\n".join(_entry(op) for op in ops)
        sections.append(f"## {title}\n\n{entries}\n")
    return "\n".join(sections)


def _entry(op: Op) -> str:
    lines = [f"- **`{op.name}`**: {op.doc}"]
    if isinstance(op, Pointwise):
        lines.append(f"  - takes {_kinds(op)}")
        lines += [f"  - `{line}`" for line in _derivatives(op)]
    elif op.adjoint is not None:
        lines.append("  - differentiable")
    return "\n".join(lines)


def _kinds(op: Pointwise) -> str:
    """The dtypes that the operation takes, a kind at a time."""
    words = {"bool": "bool", "int": "i8 to i64", "uint": "u8 to u64", "float": "f32, f64"}
    return ", ".join(words[kind] for kind in op.kinds)


def _derivatives(op: Pointwise) -> list[str]:
    """One line for each operand: its share of the cotangent."""
    if op.adjoint is None:
        return []
    (*_, attrs) = op.variants
    node = op.sample(F64, [()], attrs)
    cotangent = input_(name="g", dtype=F64, axes=())
    letters = ("c" if op.domain[0] is None else "") + "xyz"
    names = dict(zip(node.operands, letters, strict=False)) | {node: "out", cotangent: "g"}
    shares = zip(node.operands, op.adjoint(node, cotangent), strict=True)
    return [f"d{names[x]} = {_formula(s, names)[0]}" for x, s in shares if s is not None]


def _formula(node: Node, names: Mapping[Node, str]) -> tuple[str, int]:
    """The expression, and how tightly its outermost operator binds."""
    if node in names:
        return names[node], 9
    if node.op is constant:
        return f"{node['value']:.6g}", 9
    parts = [_formula(operand, names) for operand in node.operands]
    if node.op.name == "neg":
        return f"-{_within(parts[0], 5)}", 4
    if node.op.name in INFIX:
        sign, level = INFIX[node.op.name]
        return f"{_within(parts[0], level)} {sign} {_within(parts[1], level + 1)}", level
    attrs = [f"{key}={value}" for key, value in node.attrs]
    return f"{node.op.name}({', '.join([text for text, _ in parts] + attrs)})", 9


def _within(part: tuple[str, int], level: int) -> str:
    text, binds = part
    return text if binds >= level else f"({text})"
