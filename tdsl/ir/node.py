"""Operations and nodes: the immutable, hash-consed graph.

In: an `Op`, operand nodes, and attributes. Out: the one `Node` with these parts.
Between: `node(...) is node(...)` for equal parts, so common subexpressions are one node; dtype and axes
follow from the parts by the operation's rule and are checked as the node is made. The axes of a value
are a set: the tuple's order is the order of first appearance and means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

from tdsl.ir.dtype import AnyDtype
from tdsl.ir.size import Axis, Size

if TYPE_CHECKING:
    from numpy.typing import NDArray


Family = Literal[
    "input", "constant", "pointwise", "reduction", "scan", "contraction", "gather", "index", "call"
]
Attr = (
    "None | bool | int | float | str | Size | Dtype | DtypeVar | DtypeTerm | IndexMap | Function"
    " | tuple[Attr, ...]"
)
TypeRule = Callable[[Sequence["Node"], "Attrs"], tuple[AnyDtype, tuple[Axis, ...]]]
AdjointRule = Callable[["Node", "Node"], "Sequence[Node | None]"]
Kernel = Callable[..., "NDArray[Any]"]
EvaluateRule = Callable[["Node", Callable[[Size], int]], Kernel]


OPS: dict[str, Op] = {}
"""Every operation that was defined, by name: how the text form finds them."""


class TypeRuleError(Exception):
    """The parts of a node do not fit its operation: always a fault of whoever built the node."""


class Attrs:
    """The attributes of a node: an immutable, hashable mapping from names to plain data."""

    __slots__ = ("_key", "items")

    def __init__(self, items: Iterable[tuple[str, Any]]) -> None:
        self.items = tuple(items)
        self._key = tuple((k, _exact(v)) for k, v in self.items)

    def __getitem__(self, key: str) -> Any:
        for name, value in self.items:
            if name == key:
                return value
        raise KeyError(key)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Attrs) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@dataclass(frozen=True, eq=False)
class Op:
    """One operation, defined in one place; the catalogue in `tdsl.ops` makes all of them.

    An operation is called to make a node: `exp(x)`, `sum_(x, axes=(D,))`.

    `infer` gives dtype and axes of a node from its operands and attributes, raising `TypeRuleError`.
    `evaluate(node, sizes)` gives the function from the operands' arrays (laid out in the order of
    their nodes' axes) to the result's. `adjoint(node, cotangent)` gives one cotangent (or None: no
    path) for each operand, with no axes but the operand's; None in its place means that the
    operation is piecewise constant. `is_linear` says that it is linear in each floating operand,
    `is_view` that evaluation may give back memory of an operand. `triton` and `c` are the expression in
    Triton and in C, with `{0}`, `{1}` ... for the operands and names for attributes, by the operands'
    kind where it depends on that; in C `{s}` is the suffix of functions and numbers in f32, `{t}` the
    operands' dtype.
    """

    name: str
    family: Family
    doc: str
    infer: TypeRule
    evaluate: EvaluateRule
    adjoint: AdjointRule | None = None
    is_linear: bool = False
    is_view: bool = False
    triton: str | Mapping[str, str] = ""
    c: str | Mapping[str, str] = ""

    def __post_init__(self) -> None:
        if OPS.setdefault(self.name, self) is not self:
            raise ValueError(f"two operations are called {self.name}")

    def __call__(self, *operands: Node, **attrs: object) -> Node:
        """The node of this operation with these operands and attributes."""
        return make(self, operands, **attrs)

    def __repr__(self) -> str:
        return self.name


class Node:
    """One value of the graph. Make nodes with `make`; compare them by identity."""

    __slots__ = ("__weakref__", "attrs", "axes", "dtype", "op", "operands")

    op: Op
    operands: tuple[Node, ...]
    attrs: Attrs
    dtype: AnyDtype
    axes: tuple[Axis, ...]

    def __getitem__(self, key: str) -> Any:
        return self.attrs[key]

    def __repr__(self) -> str:
        axes = ", ".join(map(str, self.axes))
        return f"<{self.op.name}: {self.dtype}[{axes}]>"


NO_ATTRS = Attrs(())

_Key = tuple[Op, tuple[Node, ...], Attrs]
_interned: WeakValueDictionary[_Key, Node] = WeakValueDictionary()


def make(op: Op, operands: Sequence[Node] = (), **attrs: object) -> Node:
    """The node with these parts; the same object whenever the parts are equal.

    Raises TypeRuleError if the operation's rule refuses the operands.
    """
    packed = Attrs(sorted(attrs.items())) if attrs else NO_ATTRS
    return remake(op, tuple(operands), packed)


def remake(op: Op, operands: tuple[Node, ...], attrs: Attrs) -> Node:
    """`make` for attributes that are packed already."""
    key = (op, operands, attrs)
    known = _interned.get(key)
    if known is not None:
        return known
    node = Node()
    node.op, node.operands, node.attrs = op, operands, attrs
    node.dtype, node.axes = op.infer(operands, attrs)
    return _interned.setdefault(key, node)


def union_axes(nodes: Iterable[Node]) -> tuple[Axis, ...]:
    """The axes of a pointwise node: those of its operands in order of first appearance.

    An operand that has all of them gives the order.
    """
    operands = list(nodes)
    seen = tuple(dict.fromkeys(axis for node in operands for axis in node.axes))
    return next((node.axes for node in operands if len(node.axes) == len(seen)), seen)


def topological(roots: Iterable[Node], stop: Container[Node] = ()) -> list[Node]:
    """Every node that the roots need, operands first, in a deterministic order; not recursive.

    Nodes of the same call (equal operands and functions) stand next to each other. What the nodes
    in `stop` are made of is left out.
    """
    order: list[Node] = []
    state: set[Node] = set()
    stack = [(node, False) for node in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in state:
            state.add(node)
            stack.append((node, True))
            if node not in stop:
                stack.extend((o, False) for o in reversed(node.operands) if o not in state)
    return _calls_together(order)


def _calls_together(order: list[Node]) -> list[Node]:
    """The same order with the results of one call side by side: they have the same operands."""
    calls: dict[tuple[object, ...], list[Node]] = {}
    for node in order:
        if node.op.family == "call":
            calls.setdefault(call_key(node), []).append(node)
    if not calls:
        return order
    grouped: list[Node] = []
    for node in order:
        grouped += [node] if node.op.family != "call" else calls.pop(call_key(node), [])
    return grouped


def call_key(node: Node) -> tuple[object, ...]:
    """What the nodes for the several results of one call have in common."""
    return (node.op, node.operands, node["functions"])


def uses(nodes: Iterable[Node]) -> dict[Node, int]:
    """How many operand places of `nodes` each node stands in."""
    counts: dict[Node, int] = {}
    for node in nodes:
        for operand in node.operands:
            counts[operand] = counts.get(operand, 0) + 1
    return counts


def _exact(value: object) -> object:
    """A key that tells 1 from 1.0 and True, and 0.0 from -0.0, and holds that nan is nan."""
    if isinstance(value, tuple):
        return tuple(_exact(v) for v in value)
    if isinstance(value, bool | int | float):
        return (type(value).__name__, repr(value))
    return value
