"""`where`, `cast`, and identities that carry a mark for later passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tdsl.ir.dtype import BOOL, DTYPES, AnyDtype, Dtype, compute
from tdsl.ir.node import Attrs, Node
from tdsl.ops.base import Array, numpy_dtype, require
from tdsl.ops.expr import Expr
from tdsl.ops.pointwise import ANY, REAL, Pointwise, elementwise


def _where_types(operands: Sequence[Node], attrs: Attrs) -> AnyDtype:
    condition, x, y = operands
    require(condition.dtype == BOOL, "where", f"the condition is {condition.dtype}, not bool")
    require(x.dtype == y.dtype, "where", f"{x.dtype} meets {y.dtype}")
    return x.dtype


where: Pointwise = elementwise(
    "where", "x where the condition c holds, else y. A branch not taken gets the cotangent 0.",
    _where_types, lambda node: np.where,
    lambda g, z, c, x, y: (None, where(c, g, 0.0), where(c, 0.0, g)),
    kinds=ANY, domain=(None, REAL, REAL), triton="tl.where({0}, {1}, {2})", c="{0} ? {1} : {2}",
)  # fmt: skip


def _cast_types(operands: Sequence[Node], attrs: Attrs) -> AnyDtype:
    require(len(operands) == 1, "cast", "takes one operand")
    dtype: AnyDtype = attrs["dtype"]
    return dtype


def _cast_function(node: Node) -> Callable[[Array], Array]:
    source, target = node.operands[0].dtype, node.dtype
    to = numpy_dtype(target)
    from_float = isinstance(source, Dtype) and source.kind == "float"
    if from_float and to.kind in "iu":
        return lambda x: _saturated(np.asarray(x), to)
    if target == BOOL:
        return lambda x: np.not_equal(x, x.dtype.type(0))
    return lambda x: x.astype(to, copy=False)


def _saturated(x: Array, to: np.dtype[Any]) -> Array:
    """Truncated, saturated, NaN to 0. The upper bound is a power of 2, exact in any float."""
    if x.dtype.itemsize == 2:
        x = x.astype(np.float32)
    limits = np.iinfo(to)
    result = x.astype(to)
    np.copyto(result, limits.max, where=x >= x.dtype.type(2.0) ** (limits.bits - (to.kind == "i")))
    np.copyto(result, limits.min, where=x <= x.dtype.type(limits.min))
    np.copyto(result, 0, where=np.isnan(x))
    return result


def _cast_share(g: Expr, y: Expr, x: Expr) -> Expr:
    """Rounding has derivative 1; a cotangent is never rounded to a storage type."""
    return Expr(cast_to(g.node, compute(x.node.dtype)))


cast: Pointwise = elementwise(
    "cast",
    "x in another dtype. Floats to integers truncate and saturate, NaN gives 0; integers wrap;"
    " to bool: x != 0. The derivative of rounding is 1.",
    _cast_types, _cast_function, _cast_share, kinds=ANY, is_linear=True, is_view=True,
    variants=tuple({"dtype": dtype} for dtype in DTYPES.values()),
)  # fmt: skip


def cast_to(x: Node, dtype: AnyDtype) -> Node:
    """`x` in the dtype: itself if it has it."""
    return x if x.dtype == dtype else cast(x, dtype=dtype)


def _same_type(operands: Sequence[Node], attrs: Attrs) -> AnyDtype:
    require(len(operands) == 1, "identity", "takes one operand")
    return operands[0].dtype


def _itself(node: Node) -> Callable[[Array], Array]:
    return lambda x: x


stop_gradient = elementwise(
    "stop_gradient", "x, taken as a constant by differentiation.", _same_type, _itself, None,
    kinds=ANY, is_view=True,
)  # fmt: skip
checkpoint = elementwise(
    "checkpoint", "x; compilers are told to recompute it in the backward pass.", _same_type, _itself,
    lambda g, y, x: g, kinds=ANY, is_view=True,
)  # fmt: skip
save = elementwise(
    "save", "x; compilers are told to keep it for the backward pass.", _same_type, _itself,
    lambda g, y, x: g, kinds=ANY, is_view=True,
)  # fmt: skip
