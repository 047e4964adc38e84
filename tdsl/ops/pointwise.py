"""Pointwise operations: one rule for axes, dtypes, alignment and adjoint, for all of them.

In: a NumPy function and a derivative written over `Expr`. Out: a `Pointwise` operation.
Between: operands have equal dtypes; the axes are the union of theirs, in the order of an operand
that has them all; what an operand lacks is broadcast, and summed over in its cotangent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from tdsl.ir.dtype import BOOL, F64, I64, AnyDtype
from tdsl.ir.node import Attrs, Kernel, Node, make, union_axes
from tdsl.ir.size import Axis
from tdsl.ir.size import name as name_size
from tdsl.ops.base import Operation, Sizes, aligner, require, require_kind
from tdsl.ops.expr import Expr, apply, unalign
from tdsl.ops.leaves import input_

Interval = tuple[float, float]
Domain = tuple[Interval | None, ...]
Layouts = Sequence[Sequence[Axis]]
Variants = tuple[Mapping[str, Any], ...]
Rule = Callable[..., "Expr | tuple[Expr | None, ...] | None"]
Types = Callable[[Sequence[Node], Attrs], AnyDtype]

REAL: Interval = (-2.0, 2.0)
POSITIVE: Interval = (0.2, 3.0)

FLOAT = ("float",)
INTEGER = ("int", "uint")
NUMBER = ("int", "uint", "float")
BITS = ("bool", "int", "uint")
ANY = ("bool", "int", "uint", "float")


@dataclass(frozen=True, eq=False, repr=False)
class Pointwise(Operation):
    """An elementwise operation.

    `kinds` are the kinds of dtypes it takes; `domain` has one interval for each operand, in which
    the operation is smooth (None: a bool operand); `variants` are attributes to test it with. It
    may be called on `Expr`s and numbers too.
    """

    kinds: tuple[str, ...] = FLOAT
    domain: Domain = (REAL,)
    variants: Variants = ({},)

    @overload
    def __call__(self, *operands: Node, **attrs: object) -> Node: ...
    @overload
    def __call__(self, *operands: Expr | float, **attrs: object) -> Expr: ...
    def __call__(self, *operands: Any, **attrs: object) -> Node | Expr:
        """The node (or wrapped node) of this operation on the operands."""
        if any(isinstance(operand, Expr) for operand in operands):
            return apply(self.name, *operands, **attrs)
        return make(self, operands, **attrs)

    def sample(self, dtype: AnyDtype, axes: Layouts, attrs: Mapping[str, Any]) -> Node:
        """The operation on inputs `x0`, `x1`, ... with the given axes (the last for the rest)."""
        operands = [
            input_(
                name=f"x{i}",
                dtype=BOOL if interval is None else dtype,
                axes=tuple(axes[min(i, len(axes) - 1)]),
            )
            for i, interval in enumerate(self.domain)
        ]
        return make(self, operands, **attrs)


def pointwise(  # noqa: PLR0913  (a row of the catalogue)
    name: str,
    doc: str,
    function: Callable[..., Any],
    adjoint: Rule | None = None,
    *,
    kinds: tuple[str, ...] = FLOAT,
    domain: Domain = (REAL,),
    to_bool: bool = False,
    triton: str | Mapping[str, str] = "",
    c: str | Mapping[str, str] = "",
) -> Pointwise:
    """An operation on operands of one dtype that gives that dtype (or bool).

    `function` maps arrays to an array of the result's dtype. `adjoint(g, y, *x)` gives the share
    of each operand (of a single one: the share itself) from cotangent, result and operands.
    """

    def types(operands: Sequence[Node], attrs: Attrs) -> AnyDtype:
        require(not attrs.items, name, "takes no attributes")
        require(len(operands) == len(domain), name, f"takes {len(domain)} operands")
        dtype = operands[0].dtype
        require_kind(name, dtype, kinds)
        for operand in operands:
            require(operand.dtype == dtype, name, f"{operand.dtype} meets {dtype}")
        return BOOL if to_bool else dtype

    return elementwise(
        name,
        doc,
        types,
        lambda node: function,
        adjoint,
        kinds=kinds,
        domain=domain,
        triton=triton,
        c=c,
    )


def elementwise(  # noqa: PLR0913  (a row of the catalogue)
    name: str,
    doc: str,
    types: Types,
    function: Callable[[Node], Callable[..., Any]],
    adjoint: Rule | None,
    *,
    kinds: tuple[str, ...] = FLOAT,
    domain: Domain = (REAL,),
    variants: Variants = ({},),
    is_linear: bool = False,
    is_view: bool = False,
    triton: str | Mapping[str, str] = "",
    c: str | Mapping[str, str] = "",
) -> Pointwise:
    """A pointwise operation with its own dtype rule; `function(node)` gives the NumPy function."""

    def infer(operands: Sequence[Node], attrs: Attrs) -> tuple[AnyDtype, tuple[Axis, ...]]:
        return types(operands, attrs), union_axes(operands)

    def evaluate(node: Node, sizes: Sizes) -> Kernel:
        return aligned(function(node), node.operands, node.axes)

    def shares(node: Node, cotangent: Node) -> Sequence[Node | None]:
        operands = map(Expr, node.operands)
        found = adjoint(Expr(cotangent), Expr(node), *operands) if adjoint else None
        parts = found if isinstance(found, tuple) else (found,)
        return [
            None if part is None else unalign(part.node, node.axes, operand)
            for part, operand in zip(parts, node.operands, strict=True)
        ]

    op = Pointwise(
        name, "pointwise", doc, infer, evaluate, shares if adjoint else None,
        is_linear=is_linear, is_view=is_view,
        triton=triton, c=c, samples=lambda: _samples(op), kinds=kinds,
        domain=domain, variants=variants,
    )  # fmt: skip
    return op


def _samples(op: Pointwise) -> list[Node]:
    """All operands alike, transposed, some lacking axes, outer products, and rank 0."""
    dtype = {"float": F64, "int": I64, "bool": BOOL}[
        "float" if "float" in op.kinds else op.kinds[0]
    ]
    n, d, h = name_size("N"), name_size("D"), name_size("H")
    layouts: list[Layouts] = [
        [(n, d)],
        [(n, d), (d, n)],
        [(n, d), (d,)],
        [(), (n, d)],
        [(n,), (d,), (h,)],
        [()],
    ]
    return [op.sample(dtype, axes, attrs) for axes in layouts for attrs in op.variants]


def aligned(function: Callable[..., Any], operands: Sequence[Node], axes: Sequence[Axis]) -> Kernel:
    """The function on the operands' arrays, each viewed so that it broadcasts along `axes`."""
    views = [aligner(operand.axes, axes) for operand in operands]
    if not any(views):
        return function
    if len(views) == 2:
        first, second = views
        if first is None and second is not None:
            return lambda x, y: function(x, second(y))
        if second is None and first is not None:
            return lambda x, y: function(first(x), y)
    return lambda *xs: function(*(v(x) if v else x for v, x in zip(views, xs, strict=True)))
