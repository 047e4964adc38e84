"""Dtypes, numbers and operations as Triton writes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tdsl import faults
from tdsl.errors import InternalError
from tdsl.fusion.lower import value_of_nothing
from tdsl.ir.dtype import BF16, BOOL, F32, F64, AnyDtype, Dtype
from tdsl.ir.node import Node
from tdsl.ops import integer_bounds

NAMES = {"i": "int", "u": "uint", "f": "float"}


def triton_dtype(dtype: AnyDtype) -> str:
    """Triton's name of a dtype."""
    name = str(dtype)
    if dtype == BOOL:
        return "tl.int1"
    return "tl.bfloat16" if name == "bf16" else f"tl.{NAMES[name[0]]}{name[1:]}"


def kind_of(dtype: AnyDtype) -> str:
    """The kind of a concrete dtype."""
    if not isinstance(dtype, Dtype):
        raise InternalError(f"{dtype} is not concrete")
    return dtype.kind


def spelled(node: Node) -> str:
    """The operation's expression in Triton, for its operands' kind.

    Raises TdslValueError if there is none.
    """
    known = node.op.triton
    if not isinstance(known, str):
        known = known.get(kind_of(node.operands[0].dtype)) or known.get("", "")
    if not known:
        note = f"`{node.op}` of {node.operands[0].dtype} has no form in Triton"
        raise faults.NO_BACKEND.at(backend="triton", note=note, hint="pin another backend")
    return known


def literal(value: Any, dtype: AnyDtype) -> str:
    """A number, typed where Triton would take it for another type or round it."""
    kind = kind_of(dtype)
    if kind == "bool":
        return f"tl.full([], {bool(value)}, tl.int1)"
    if kind != "float":
        text = str(int(value))
        if abs(int(value)) >= 2**31:
            return f"tl.full([], {text}, {triton_dtype(dtype)})"
        return f"({text})" if text.startswith("-") else text
    text = bare(value, dtype)
    if dtype == F64:
        return f"tl.full([], {text}, tl.float64)"
    return f"({text})" if text.startswith("-") else text


def bare(value: Any, dtype: AnyDtype) -> str:
    """A number without a type."""
    kind = kind_of(dtype)
    if kind != "float":
        return str(bool(value) if kind == "bool" else int(value))
    number = float(value)
    if not math.isfinite(number):
        return f'float("{number}")'
    if dtype != F32:
        return repr(number)
    short = np.format_float_positional(np.float32(number), trim="0")
    return short if len(short) <= 12 else repr(float(np.float32(number)))


def identity(node: Node) -> str:
    """The reduction's value of nothing, as a number without a type."""
    return bare(value_of_nothing(node.op.name, node.operands[0].dtype), node.operands[0].dtype)


def combined(node: Node) -> str:
    """How two partial results of a reduction become one."""
    nan = ", propagate_nan=tl.PropagateNan.ALL" if kind_of(node.dtype) == "float" else ""
    return {
        "sum": "{0} + {1}", "prod": "{0} * {1}", "any": "{0} | {1}", "all": "{0} & {1}",
        "max": f"tl.maximum({{0}}, {{1}}{nan})", "min": f"tl.minimum({{0}}, {{1}}{nan})",
    }[node.op.name]  # fmt: skip


def converted(x: str, source: AnyDtype, target: AnyDtype) -> str:
    """A value in another dtype."""
    if source == target:
        return x
    if BF16 in (source, target) and F32 not in (source, target):  # Triton has no other way
        return converted(converted(x, source, F32), F32, target)
    if target == BOOL:
        return f"({x} != 0)"
    if kind_of(source) == "float" and kind_of(target) in ("int", "uint"):
        low, high = integer_bounds(target)
        return f"saturated({x}, {low}, {high}, {triton_dtype(target)})"
    return f"tl.cast({x}, {triton_dtype(target)})"


def reduced(node: Node, value: str, axis: str, *, keep: bool = False) -> str:
    """The reduction of a block along an axis (`keep`: which stays, of size 1)."""
    name, kept = node.op.name, ", keep_dims=True" if keep else ""
    if name == "sum":
        return f"tl.sum({value}, axis={axis}{kept})"
    if name in ("any", "all") or node.dtype == BOOL:
        function = "tl.max" if name in ("any", "max") else "tl.min"
        return f"{function}(tl.cast({value}, tl.int32), axis={axis}{kept}) != 0"
    if name in ("max", "min") and kind_of(node.dtype) != "float":
        return f"tl.{name}({value}, axis={axis}{kept})"
    helper = {"max": "larger", "min": "smaller", "prod": "product"}[name]
    return f"tl.reduce({value}, {axis}, {helper}{kept})"
