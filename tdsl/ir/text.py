"""The text form of a Function: what `tdsl show --stage ir` prints.

In: a Function. Out: text, one line for each node, deterministic. Between: a node has the source's name for
it where it has one, else a number; sub-Functions stand before the function that owns them.
"""

from __future__ import annotations

from tdsl.ir.dtype import AnyDtype
from tdsl.ir.function import Function, Shape
from tdsl.ir.index_map import IndexMap, Piece
from tdsl.ir.node import Node
from tdsl.ir.size import Size


def print_function(function: Function) -> str:
    """The text of the function, its sub-Functions first."""
    printed: dict[Function, str] = {}
    blocks: list[str] = []
    _print(function, printed, blocks)
    return "\n\n".join(blocks)


def _print(function: Function, printed: dict[Function, str], blocks: list[str]) -> None:
    """Append the blocks of the function and of those it owns."""
    nodes = function.nodes()
    for node in nodes:
        if node.op.family == "call":
            for inner in node["functions"]:
                if inner not in printed:
                    _print(inner, printed, blocks)
    label = function.name
    while label in printed.values():
        label += "_"
    printed[function] = label
    blocks.append("\n".join(_lines(function, label, nodes, printed)))


def _lines(
    function: Function, label: str, nodes: list[Node], printed: dict[Function, str]
) -> list[str]:
    names = _names(function, nodes)
    params = ", ".join(f"{p.name}: {_typed(p.dtype, p.shape)}" for p in function.params)
    results = ", ".join(_typed(r.node.dtype, r.shape) for r in function.results)
    lines = [f"function {label}({params}) -> {results}"]
    if function.dtype_vars:
        kinds = ", ".join(f"{name}: {kind}" for name, kind in function.dtype_vars)
        lines.append(f"  where {kinds}")
    lines += [f"  check {c.left} {c.relation} {c.right}: {c.message!r}" for c in function.checks]
    lines += [
        f"  {names[node]} = {_call(node, names, printed)} : {_type(node)}"
        for node in nodes
        if node.op.family != "input"
    ]
    lines.append(f"  return {', '.join(names[r.node] for r in function.results)}")
    return lines


def _names(function: Function, nodes: list[Node]) -> dict[Node, str]:
    """A name for each node: of parameters their own, of others the source's or a number."""
    names = {param.node: param.name for param in function.params}
    taken = set(names.values())
    number = 0
    for node in nodes:
        if node in names:
            continue
        origin = function.origins.get(node)
        if origin is not None and origin.name not in taken:
            names[node] = origin.name
            taken.add(origin.name)
        else:
            names[node] = f"%{number}"
            number += 1
    return names


def _call(node: Node, names: dict[Node, str], printed: dict[Function, str]) -> str:
    parts = [names[operand] for operand in node.operands]
    parts += [f"{key}={_attr(value, printed)}" for key, value in node.attrs]
    return f"{node.op.name}({', '.join(parts)})"


def _attr(value: object, printed: dict[Function, str]) -> str:
    match value:
        case Function():
            return f"@{printed[value]}"
        case IndexMap():
            return _map_text(value)
        case Size():
            return value.text
        case tuple():
            return f"[{', '.join(_attr(item, printed) for item in value)}]"
        case str():
            return repr(value)
    return str(value)


def _map_text(mapping: IndexMap) -> str:
    pieces = " | ".join(map(_piece_text, mapping.pieces))
    axes = ", ".join(axis.text for axis in mapping.axes)
    fill = "" if mapping.is_total else f" else {mapping.fill!r}"
    return f"{{[{axes}] {pieces}{fill}}}"


def _piece_text(piece: Piece) -> str:
    reads = ", ".join(f"{axis} <- {expr}" for axis, expr in piece.exprs)
    return reads + (f" where {' and '.join(map(str, piece.domain))}" if piece.domain else "")


def _type(node: Node) -> str:
    return _typed(node.dtype, node.axes)


def _typed(dtype: AnyDtype, shape: Shape) -> str:
    return f"{dtype}[{', '.join(size.text for size in shape)}]" if shape else str(dtype)
