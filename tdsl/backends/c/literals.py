"""Dtypes, numbers and operations as C writes them.

In: dtypes, values, nodes. Out: C's text. Between: f16 and bf16 are bits in memory and in variables, and
become f32 by explicit conversions; a bool in memory is a byte.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from tdsl import faults
from tdsl.backends.c.intervals import narrow
from tdsl.errors import TdslError, TdslValueError
from tdsl.fusion.lower import value_of_nothing
from tdsl.ir.dtype import BF16, BOOL, F16, F32, F64, AnyDtype
from tdsl.ir.function import Function
from tdsl.ir.node import Node

HALVES = (F16, BF16)


class NoForm(TdslValueError):
    """An operation has no form in C for its operands' dtype."""

    def __init__(self, node: Node) -> None:
        note = f"`{node.op}` of {node.operands[0].dtype} has no form in C"
        fault = faults.NO_BACKEND.at(backend="c", note=note, hint="pin another backend")
        super().__init__(fault.errors)
        self.node = node

    def within(self, function: Function) -> TdslError:
        """The same with the place where the function has the operation first, if it is known."""
        wanted = self.node.op, self.node.operands[0].dtype
        spans = (
            origin.span
            for node, origin in function.origins.items()
            if node.operands and (node.op, node.operands[0].dtype) == wanted
        )
        return TdslValueError((replace(self.errors[0], span=next(filter(None, spans), None)),))


def c_type(dtype: AnyDtype) -> str:
    """The type of a variable."""
    name = str(dtype)
    if dtype in HALVES:
        return "uint16_t"
    known = {"bool": "bool", "f32": "float", "f64": "double"}
    kind = {"i": "int", "u": "uint"}
    return known.get(name) or f"{kind[name[0]]}{name[1:]}_t"


def memory_type(dtype: AnyDtype) -> str:
    """The type of an element in memory."""
    return "uint8_t" if dtype == BOOL else c_type(dtype)


def carry_type(dtype: AnyDtype, op: str) -> str:
    """The type in which parts of a reduction are put together: sums of f32 in f64, truth in a word."""
    if dtype == BOOL:
        return "int32_t"
    return "double" if op == "sum" and dtype == F32 else c_type(dtype)


def suffix(dtype: AnyDtype) -> str:
    """What functions and numbers in f32 end with."""
    return "f" if dtype == F32 else ""


def spelled(node: Node) -> str:
    """The operation's expression, for its operands' dtype. Raises NoForm if there is none."""
    known, dtype = node.op.c, node.operands[0].dtype
    if (name := narrow(node)) is not None:
        return f"{name}_{{t}}({{0}})"
    if not isinstance(known, str):
        known = known.get(kind_of(dtype)) or known.get("", "")
    if not known:
        raise NoForm(node)
    return known


def kind_of(dtype: AnyDtype) -> str:
    """The kind of a concrete dtype: "bool", "int", "uint" or "float"."""
    return getattr(dtype, "kind", "float")


def literal(value: Any, dtype: AnyDtype) -> str:
    """A number."""
    kind = kind_of(dtype)
    if kind == "bool":
        return "true" if value else "false"
    if kind != "float":
        return _integer(int(value), dtype)
    number = float(value)
    if dtype in HALVES:
        return converted(literal(number, F32), F32, dtype)
    if math.isnan(number):
        return "NAN"
    if math.isinf(number):
        return "INFINITY" if number > 0 else "(-INFINITY)"
    text = repr(number)
    if dtype == F32:
        text = np.format_float_positional(np.float32(number), trim="0")
        text = (text if len(text) <= 16 else repr(float(np.float32(number)))) + "f"
    return f"({text})" if text.startswith("-") else text


def _integer(value: int, dtype: AnyDtype) -> str:
    if value == -(2**63):
        return "INT64_MIN"
    text = str(value)
    if abs(value) >= 2**31:
        text = f"UINT64_C({text})" if value >= 2**63 else f"INT64_C({text})"
    return f"({text})" if value < 0 else text


def identity(node: Node) -> str:
    """The reduction's value of nothing."""
    own = node.operands[0].dtype
    value = value_of_nothing(node.op.name, own)
    return literal(value, own if node.op.name.startswith("arg") else node.dtype)


def combined(op: str, dtype: AnyDtype) -> str:
    """How two partial results of a reduction become one."""
    known = {"sum": "{0} + {1}", "prod": "{0} * {1}", "any": "{0} | {1}", "all": "{0} & {1}"}
    if dtype == BOOL:
        known |= {"max": "{0} | {1}", "min": "{0} & {1}"}
    which = {"max": "larger", "min": "smaller"}.get(op, "")
    return known.get(op) or f"{which}_{dtype}({{0}}, {{1}})"


def clause(op: str, dtype: AnyDtype) -> str:
    """What OpenMP calls the reduction; those of floats that are ours know nothing of NaN."""
    known = {"sum": "+", "prod": "*", "any": "|", "all": "&"}
    if dtype == BOOL:
        known |= {"max": "|", "min": "&"}
    if kind_of(dtype) != "float":
        known |= {"max": "max", "min": "min"}
    return known.get(op) or {"max": f"greatest_{dtype}", "min": f"least_{dtype}"}[op]


def converted(x: str, source: AnyDtype, target: AnyDtype) -> str:
    """A value in another dtype."""
    if source == target:
        return x
    if source in HALVES:
        return converted(f"{source}_to_f32({x})", F32, target)
    if target in HALVES:
        # From f64 and integers as NumPy does it: by way of f32 for bf16, at once for f16.
        if target == F16 and source != F32:
            return f"f64_to_f16({converted(x, source, F64)})"
        return f"f32_to_{target}({converted(x, source, F32)})"
    if target == BOOL:
        return f"{x} != 0"
    if kind_of(source) == "float" and kind_of(target) in ("int", "uint"):
        return f"to_{target}({x})"
    return f"({c_type(target)}){x}"


def loaded(x: str, dtype: AnyDtype) -> str:
    """What lies in memory as a value."""
    return f"({x} != 0)" if dtype == BOOL else x
