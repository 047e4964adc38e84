"""What stands at the leaves of a graph: inputs, constants, sizes, and positions along an axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tdsl.errors import InternalError
from tdsl.ir.dtype import F32, I64, AnyDtype
from tdsl.ir.node import Attrs, Kernel, Node
from tdsl.ir.size import Axis, as_size, name
from tdsl.ops.base import Operation, Sizes, numpy_dtype, require

Type = tuple[AnyDtype, tuple[Axis, ...]]


def _input_type(operands: Sequence[Node], attrs: Attrs) -> Type:
    require(not operands, "input", "takes no operands")
    axes: tuple[Axis, ...] = attrs["axes"]
    require(len(set(axes)) == len(axes), "input", "an axis stands twice")
    return attrs["dtype"], axes


def _input_value(node: Node, sizes: Sizes) -> Kernel:
    raise InternalError(f"the input {node['name']} has no value")


input_ = Operation(
    "input", "input", "A parameter's array, by `name`, with the given dtype and axes.",
    _input_type, _input_value,
)  # fmt: skip


def _constant_type(operands: Sequence[Node], attrs: Attrs) -> Type:
    require(not operands, "constant", "takes no operands")
    require(isinstance(attrs["value"], bool | int | float), "constant", "the value is no number")
    return attrs["dtype"], ()


def _constant_value(node: Node, sizes: Sizes) -> Kernel:
    value = np.asarray(node["value"]).astype(numpy_dtype(node.dtype))
    return lambda: value


constant: Operation = Operation(
    "constant", "constant", "The number `value` in the given dtype, of rank 0.",
    _constant_type, _constant_value,
    samples=lambda: [constant(value=1.5, dtype=F32), constant(value=-3, dtype=I64)],
)  # fmt: skip


def _size_type(operands: Sequence[Node], attrs: Attrs) -> Type:
    require(not operands, "size", "takes no operands")
    return I64, ()


def _size_value(node: Node, sizes: Sizes) -> Kernel:
    value = np.asarray(sizes(node["value"]), dtype=np.int64)
    return lambda: value


size_: Operation = Operation(
    "size", "constant", "The size `value` as an integer (i64) of rank 0.", _size_type, _size_value,
    samples=lambda: [size_(value=name("N") * 2 + 1)],
)  # fmt: skip


def _arange_type(operands: Sequence[Node], attrs: Attrs) -> Type:
    require(not operands, "arange", "takes no operands")
    return I64, (attrs["axis"],)


def _arange_value(node: Node, sizes: Sizes) -> Kernel:
    value = np.arange(sizes(node["axis"]), dtype=np.int64)
    return lambda: value


arange: Operation = Operation(
    "arange", "constant", "The positions 0, 1, ... along `axis`, in i64.",
    _arange_type, _arange_value,
    samples=lambda: [arange(axis=name("N")), arange(axis=as_size(3))],
)  # fmt: skip
