"""The text form of a Function: what `tdsl show --stage ir` prints and `tdsl.ir.parse` reads.

In: a Function. Out: text, one line for each node, deterministic. Between: a node has the source's name for
it where it has one, else a number; sub-Functions stand before the function that owns them. Everything
that makes two Functions equal is in the text, and exact.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from tdsl.ir.dtype import AnyDtype, DtypeTerm, DtypeVar
from tdsl.ir.function import Function, Origin, Param, Shape, unit_free
from tdsl.ir.index_map import IndexMap, Piece
from tdsl.ir.node import Node
from tdsl.ir.size import Size

NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)
LITERALS: dict[str, float | None] = {
    "None": None,
    "True": True,
    "False": False,
    "nan": float("nan"),
    "inf": float("inf"),
}
"""Words that are values among attributes; a size that has one of them for a name is in parentheses."""

Labels = Mapping[Function, str]
Names = Mapping[Node, str]


def print_function(function: Function) -> str:
    """The text of the function, its sub-Functions first."""
    labels: dict[Function, str] = {}
    blocks: list[str] = []
    _print(function, labels, blocks)
    return "\n\n".join(blocks)


def is_declared_by_signature(name: str, shape: Shape, node: Node) -> bool:
    """Whether a parameter's node is the one that the signature alone says."""
    items = (("axes", unit_free(shape)), ("dtype", node.dtype), ("name", name))
    return node.op.family == "input" and node.attrs.items == items


def variables(function: Function) -> dict[str, DtypeVar]:
    """The dtype variables that stand in the function, by name, in order of appearance."""
    found: dict[str, DtypeVar] = {}
    nodes = [*(param.node for param in function.params), *function.nodes()]
    dtypes = [dtype for node in nodes for dtype in (node.dtype, dict(node.attrs).get("dtype"))]
    while dtypes:
        dtype = dtypes.pop(0)
        if isinstance(dtype, DtypeVar):
            found.setdefault(dtype.name, dtype)
        elif isinstance(dtype, DtypeTerm):
            dtypes = [*dtype.args, *dtypes]
    return found


def _print(function: Function, labels: dict[Function, str], blocks: list[str]) -> None:
    """Append the blocks of the function and of those it owns."""
    nodes = function.nodes()
    for node in nodes:
        if node.op.family == "call":
            for inner in node["functions"]:
                if inner not in labels:
                    _print(inner, labels, blocks)
    label = _label(function.name, frozenset(labels.values()))
    labels[function] = label
    blocks.append("\n".join(_lines(function, label, nodes, labels)))


def _label(name: str, taken: frozenset[str]) -> str:
    """The name, followed by `.1`, `.2` ... where functions share it."""
    label, number = name, 0
    while label in taken or ("." in name and not number):
        number += 1
        label = f"{name}.{number}"
    return label


def _lines(function: Function, label: str, nodes: list[Node], labels: Labels) -> Iterator[str]:
    names = value_names(nodes, {p.node: p.name for p in function.params}, function.origins)
    params = params_text(function.params)
    results = ", ".join(type_text(r.node.dtype, r.shape) for r in function.results)
    yield f"function {label}({params}) -> {results or 'nothing'}"
    declared = dict(function.dtype_vars)
    if declared:
        yield f"  where {', '.join(f'{name}: {kind}' for name, kind in declared.items())}"
    outer = [v for name, v in variables(function).items() if name not in declared]
    if outer:
        yield f"  outer {', '.join(f'{v}: float' if v.is_float else f'{v}: any' for v in outer)}"
    for check in function.checks:
        yield f"  check {check.left} {check.relation} {check.right}: {json.dumps(check.message)}"
    for line in value_lines(nodes, function.params, names, labels):
        yield f"  {line}"
    returned = "".join(f" {names[r.node]}," for r in function.results)
    yield f"  return{returned[:-1]}"


def params_text(params: Iterable[Param]) -> str:
    """`name: type, ...`."""
    return ", ".join(f"{p.name}: {type_text(p.dtype, p.shape)}" for p in params)


def value_lines(
    nodes: Iterable[Node], params: Iterable[Param], names: Names, labels: Labels
) -> Iterator[str]:
    """A line for each node, but for the parameters that their types say wholly."""
    given = list(params)
    plain = {p.node for p in given if is_declared_by_signature(p.name, p.shape, p.node)}
    for node in dict.fromkeys([*(p.node for p in given), *nodes]):
        if node not in plain:
            yield f"{names[node]} = {_call(node, names, labels)} : {_type(node)}"


def value_names(
    nodes: Iterable[Node], given: Names, origins: Mapping[Node, Origin]
) -> dict[Node, str]:
    """A name for each node: the given ones, for others the source's or a number."""
    names = dict(given)
    taken = set(names.values())
    number = 0
    for node in nodes:
        if node in names:
            continue
        origin = origins.get(node)
        if origin is not None and origin.name not in taken and NAME.fullmatch(origin.name):
            names[node] = origin.name
            taken.add(origin.name)
        else:
            names[node] = f"%{number}"
            number += 1
    return names


def attributes_text(attributes: Iterable[tuple[str, object]], labels: Labels) -> str:
    """`key=value, ...`."""
    return ", ".join(f"{key}={_attr(value, labels)}" for key, value in attributes)


def _call(node: Node, names: Names, labels: Labels) -> str:
    parts = [names[operand] for operand in node.operands]
    parts += filter(None, [attributes_text(node.attrs, labels)])
    return f"{node.op.name}({', '.join(parts)})"


def _attr(value: object, labels: Labels) -> str:
    match value:
        case Function():
            return f"@{labels[value]}"
        case IndexMap():
            return _map_text(value)
        case Size():
            return _size_attr(value)
        case tuple():
            return f"[{', '.join(_attr(item, labels) for item in value)}]"
        case str():
            return json.dumps(value)
        case float():
            return float.__repr__(value)
    return str(value)


def _size_attr(size: Size) -> str:
    """A size among other values: in parentheses where it could be read as one of them."""
    clashes = size.constant is not None or not size.names().isdisjoint(LITERALS)
    return f"({size})" if clashes else size.text


def _map_text(mapping: IndexMap) -> str:
    pieces = " | ".join(map(_piece_text, mapping.pieces))
    axes = ", ".join(axis.text for axis in mapping.axes)
    hidden = mapping.is_total and repr(mapping.fill) == "0"
    fill = "" if hidden else f" else {_attr(mapping.fill, {})}"
    return f"{{[{axes}] {pieces}{fill}}}"


def _piece_text(piece: Piece) -> str:
    reads = ", ".join(f"{axis} <- {expr}" for axis, expr in piece.exprs) or "all"
    return reads + (f" where {' and '.join(map(str, piece.domain))}" if piece.domain else "")


def _type(node: Node) -> str:
    return type_text(node.dtype, node.axes)


def type_text(dtype: AnyDtype, shape: Shape) -> str:
    """A dtype, and sizes in brackets unless the rank is 0."""
    return f"{dtype}[{', '.join(size.text for size in shape)}]" if shape else str(dtype)
