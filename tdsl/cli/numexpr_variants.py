"""NumExpr as a variant: each result of a pointwise graph as one expression, which its threads evaluate.

In: a `Subject` and a stage. Out: a `Variant`. Between: the backward stage evaluates the derivative that
tdsl derived, since NumExpr has none; constants have the dtypes of the graph, so that nothing is widened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numexpr
import numpy as np

from tdsl import faults
from tdsl.cli.subject import Subject
from tdsl.cli.variants import Variant, preparation, refusing
from tdsl.ir.dtype import BOOL, F32, F64, I32, I64, AnyDtype
from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import Node
from tdsl.ir.size import ONE, Size
from tdsl.ops import cast, constant, numpy_dtype, size_
from tdsl.ops.base import aligner, shape_of
from tdsl.runtime.definition import Run, Specialisation

LONGEST = 10_000
"""Characters of an expression; a longer one repeats itself, which NumExpr parses over and over."""
FAULTS = (RuntimeError, TypeError, ValueError, NotImplementedError, SyntaxError, KeyError)
"""What NumExpr raises for an expression that is too long, too deep, or has too many inputs."""
DTYPES = (BOOL, I32, I64, F32, F64)
_LARGER, _SMALLER = (
    f"where(({{0}} {sign} {{1}}) | ({{0}} != {{0}}), {{0}}, {{1}})" for sign in "><"
)
FORMS = {
    "add": "({0} + {1})", "sub": "({0} - {1})", "mul": "({0} * {1})", "div": "({0} / {1})",
    "neg": "(-{0})", "pow": "({0} ** {1})", "equal": "({0} == {1})", "not_equal": "({0} != {1})",
    "less": "({0} < {1})", "less_equal": "({0} <= {1})", "greater": "({0} > {1})",
    "greater_equal": "({0} >= {1})", "bitand": "({0} & {1})", "bitor": "({0} | {1})",
    "bitnot": "(~{0})", "atan2": "arctan2({0}, {1})", "fmod": "fmod({0}, {1})",
    "maximum": _LARGER, "minimum": _SMALLER, "clamp": _SMALLER.format(_LARGER, "{2}"),
    "sign": "where({0} > 0, 1, where({0} < 0, -1, {0}))", "isnan": "({0} != {0})",
    "isfinite": "({0} - {0} == {0} - {0})", "isinf": "(({0} == {0}) & ({0} - {0} != {0} - {0}))",
    "rsqrt": "(1 / sqrt({0}))", "stop_gradient": "{0}", "checkpoint": "{0}", "save": "{0}",
    "asin": "arcsin({0})", "acos": "arccos({0})", "atan": "arctan({0})", "asinh": "arcsinh({0})",
    "acosh": "arccosh({0})", "atanh": "arctanh({0})",
    **{name: f"{name}({{0}})" for name in (
        "abs", "floor", "ceil", "sqrt", "exp", "expm1", "log", "log1p", "log2", "log10", "sin", "cos",
        "tan", "sinh", "cosh", "tanh",
    )},
    "where": "where({0}, {1}, {2})",
}  # fmt: skip
"""Expressions in their operands' dtype; NumExpr's own `maximum`, `sign` and `isnan` are in f64."""


def numexpr_variant(subject: Subject, stage: str, name: str) -> Variant:
    """The variant. Raises TdslError for what NumExpr has no expression for."""

    def runner(found: Specialisation, _: Sequence[Any]) -> Run:
        return _run(found.flat, subject.sizes)

    with refusing(name, *FAULTS):
        prepare = preparation(subject, stage, runner, subject.arrays, subject.cotangents)
        prepare()()
    count = len(subject.stage(stage).flat.results)
    return Variant(name, stage, prepare, count, subject.compulsory(stage))


def _run(function: Function, sizes: Mapping[str, int]) -> Run:
    """What evaluates every result of the function."""

    def size(expr: Size) -> int:
        return expr.evaluate(sizes)

    for param in function.params:
        _require(param.dtype in DTYPES, str(param.dtype))
    texts = {param.node: f"given{place}" for place, param in enumerate(function.params)}
    known: dict[str, Any] = {}
    for node in function.nodes():
        if node not in texts:
            texts[node] = _text(node, texts, known, size)
    expressions = [texts[result.node] for result in function.results]
    for text in expressions:
        _require(len(text) <= LONGEST, "an expression of this length")
    evaluations = [
        _evaluation(text, function.params, result, known, size)
        for text, result in zip(expressions, function.results, strict=True)
    ]
    return lambda arrays: [evaluate(arrays) for evaluate in evaluations]


def _evaluation(
    text: str,
    params: Sequence[Param],
    result: Result,
    known: Mapping[str, Any],
    size: Callable[[Size], int],
) -> Callable[[Sequence[Any]], Any]:
    """What evaluates the result: inputs lie along its axes, of size 1 where they have none."""
    axes = tuple(axis for axis in result.shape if axis != ONE)
    inputs = [
        (place, f"given{place}", shape_of(own, size), aligner(own, axes))
        for place, own in enumerate(param.node.axes for param in params)
        if {*own} <= {*axes}
    ]
    shape, whole = shape_of(axes, size), shape_of(result.shape, size)
    dtype = numpy_dtype(result.node.dtype)

    def evaluate(arrays: Sequence[Any]) -> Any:
        given = dict(known)
        for place, name, own, view in inputs:
            array = arrays[place].reshape(own)
            given[name] = view(array) if view else array
        value = numexpr.evaluate(text, given, {}, optimization="aggressive", truediv=True)
        _require(value.dtype == dtype, f"{result.node.dtype}: it gives {value.dtype}")
        if value.shape != shape:
            value = np.broadcast_to(value, shape).copy()
        return value.reshape(whole)

    return evaluate


def _text(
    node: Node, texts: Mapping[Node, str], known: dict[str, Any], size: Callable[[Size], int]
) -> str:
    """The node as an expression; its numbers are kept in `known`."""

    def number(value: Any, dtype: AnyDtype) -> str:
        name = f"number{len(known)}"
        known[name] = np.asarray(value, numpy_dtype(dtype))
        return name

    name = node.op.name
    _require(node.dtype in DTYPES, str(node.dtype))
    if node.op in (constant, size_):
        return number(node.op.evaluate(node, size)(), node.dtype)
    _require(node.op.family == "pointwise" and (name in FORMS or node.op is cast), f"`{name}`")
    operands = [texts[operand] for operand in node.operands]
    if node.op is not cast:
        is_logic = name.startswith("bit") and node.dtype != BOOL
        _require(not is_logic and len("".join(operands)) <= LONGEST, f"this `{name}`")
        return FORMS[name].format(*operands)
    (source,) = (operand.dtype for operand in node.operands)
    if source == BOOL:
        return f"where({operands[0]}, {number(1, node.dtype)}, {number(0, node.dtype)})"
    _require(
        DTYPES.index(source) <= DTYPES.index(node.dtype), f"a cast of {source} to {node.dtype}"
    )
    return f"({operands[0]} * {number(1, node.dtype)})"


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise faults.NO_BACKEND.at(backend="numexpr", note=f"NumExpr has no form for {what}")
