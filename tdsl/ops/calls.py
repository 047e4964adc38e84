"""The operation `call`: a function kept whole until differentiation, and then inlined.

Between: there is one node for each result, with the same operands and functions: the primal and its
hand-written derivative. Operands stand for the primal's parameters, whose axes have the same names.
"""

from __future__ import annotations

from collections.abc import Sequence

from tdsl.ir.dtype import F64, AnyDtype
from tdsl.ir.function import Function, Param, Result, unit_free
from tdsl.ir.node import Attrs, Kernel, Node, topological
from tdsl.ir.size import Axis, name
from tdsl.ops.arithmetic import mul
from tdsl.ops.base import Array, Operation, Sizes, require, spread
from tdsl.ops.leaves import input_


def _infer(operands: Sequence[Node], attrs: Attrs) -> tuple[AnyDtype, tuple[Axis, ...]]:
    primal: Function = attrs["functions"][0]
    require(len(operands) == len(primal.params), "call", "one operand for each parameter")
    for operand, param in zip(operands, primal.params, strict=True):
        require(operand.dtype == param.dtype, "call", f"{operand.dtype} meets {param.dtype}")
        axes = set(unit_free(param.shape))
        require(set(operand.axes) <= axes, "call", f"an axis of {param.name} is not its own")
    result = primal.results[attrs["result"]]
    return result.node.dtype, unit_free(result.shape)


def _value(node: Node, sizes: Sizes) -> Kernel:
    """The primal's nodes, one after the other."""
    primal: Function = node["functions"][0]
    result = primal.results[node["result"]].node
    order = [n for n in topological([result]) if n.op is not input_]
    kernels = [n.op.evaluate(n, sizes) for n in order]
    views = [
        (param.node, spread(operand.axes, param.node.axes, sizes))
        for operand, param in zip(node.operands, primal.params, strict=True)
    ]
    last = spread(result.axes, node.axes, sizes)

    def run(*arrays: Array) -> Array:
        values = {n: view(x) for (n, view), x in zip(views, arrays, strict=True)}
        for n, kernel in zip(order, kernels, strict=True):
            values[n] = kernel(*(values[operand] for operand in n.operands))
        return last(values[result])

    return run


def _samples() -> list[Node]:
    n, d = name("N"), name("D")
    x, w = (input_(name=s, dtype=F64, axes=axes) for s, axes in (("x", (n, d)), ("w", (d,))))
    inner = [input_(name=s, dtype=F64, axes=v.axes) for s, v in (("a", x), ("b", w))]
    params = tuple(Param(v["name"], v.axes, v) for v in inner)
    scaled = Function("scaled", params, (Result((d, n), mul(*inner)), Result((n, d), inner[1])))
    return [call(x, w, functions=(scaled, scaled), result=i) for i in (0, 1)]


call: Operation = Operation(
    "call", "call",
    "One result of a function with a derivative of its own, kept whole until differentiation.",
    _infer, _value, samples=_samples,
)  # fmt: skip
