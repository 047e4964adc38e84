"""Dtype variables replaced.

In: a Function, and what some of its dtype variables are. Out: the same Function for those.
Between: a cast that has nothing left to do is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tdsl.ir.dtype import AnyDtype, Dtype, DtypeTerm, DtypeVar, resolve
from tdsl.ir.function import Function
from tdsl.ir.node import Attrs, Node, remake
from tdsl.ir.rewrite import rebuild_function
from tdsl.ops import cast, cast_to


def assume_floating(function: Function) -> Function:
    """The Function where every variable that may be floating is: others have no derivative."""
    open_ = [name for name, kind in function.dtype_vars if kind in ("any", "number", "real")]
    if not open_:
        return function
    changed = with_dtypes(function, {name: DtypeVar(name, is_float=True) for name in open_})
    kinds = tuple((n, "float" if n in open_ else kind) for n, kind in function.dtype_vars)
    return replace(changed, dtype_vars=kinds)


def with_dtypes(function: Function, values: Mapping[str, AnyDtype]) -> Function:
    """The Function with dtype variables replaced wherever a dtype stands."""

    def resolved(value: object) -> object:
        return resolve(value, values) if isinstance(value, Dtype | DtypeVar | DtypeTerm) else value

    def visit(node: Node, operands: tuple[Node, ...]) -> Node:
        attrs = Attrs((key, resolved(value)) for key, value in node.attrs)
        return (
            cast_to(operands[0], attrs["dtype"])
            if node.op is cast
            else remake(node.op, operands, attrs)
        )

    return rebuild_function(function, visit)
