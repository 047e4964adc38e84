"""Running graphs in tests: fill inputs, evaluate nodes, differentiate, compare by axis name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdsl.ir.dtype import AnyDtype, Dtype
from tdsl.ir.node import Node, topological
from tdsl.ir.size import Axis, Size, name
from tdsl.ops import CATALOGUE, Operation, Pointwise, input_, numpy_dtype

Array = NDArray[Any]
Env = Mapping[str, int]
Values = dict[Node, Array]

SIZES: Env = {"N": 3, "D": 4, "H": 2, "K": 5, "V": 6, "P": 3, "R": 2}
EMPTY: Env = {**SIZES, "D": 0}
OPERATIONS = [op for op in CATALOGUE.values() if isinstance(op, Operation)]


def concrete(dtype: AnyDtype) -> Dtype:
    """The dtype, which tests have no variables in."""
    assert isinstance(dtype, Dtype)
    return dtype


def shape(axes: Sequence[Axis], env: Env = SIZES) -> tuple[int, ...]:
    return tuple(axis.evaluate(env) for axis in axes)


def inputs(nodes: Sequence[Node]) -> list[Node]:
    return [node for node in topological(nodes) if node.op is input_]


def random_array(
    dtype: AnyDtype,
    dims: Sequence[int],
    rng: np.random.Generator,
    interval: tuple[float, float] = (-2.0, 2.0),
) -> Array:
    """Distinct floats in the interval, integers from -2 to 6, or bools, in memory order."""
    kind = concrete(dtype).kind
    count = int(np.prod(dims))
    data: Array
    if kind == "float":
        low, high = interval
        steps = (rng.permutation(count) + rng.uniform(0.2, 0.8, count)) / max(count, 1)
        data = low + (high - low) * steps
    else:
        data = rng.integers(
            0 if kind in ("uint", "bool") else -2, 2 if kind == "bool" else 7, count
        )
    return data.reshape(tuple(dims)).astype(numpy_dtype(dtype))


def intervals(node: Node) -> dict[Node, tuple[float, float]]:
    """The domain of a pointwise operation for its operands."""
    domain = getattr(node.op, "domain", ())
    return {x: d for x, d in zip(node.operands, domain, strict=False) if d is not None}


def fill(nodes: Sequence[Node], seed: int = 0, env: Env = SIZES) -> Values:
    """A random array for each input that the nodes need, in its operation's domain."""
    rng = np.random.default_rng(seed)
    domain = {x: d for node in nodes for x, d in intervals(node).items()}
    return {
        x: random_array(x.dtype, shape(x.axes, env), rng, domain.get(x, (-2.0, 2.0)))
        for x in inputs(nodes)
    }


def run_all(nodes: Sequence[Node], values: Mapping[Node, Array], env: Env = SIZES) -> list[Array]:
    """The nodes' arrays, as the interpreter computes them."""

    def sizes(size: Size) -> int:
        return size.evaluate(env)

    known: dict[Node, Any] = dict(values)
    with np.errstate(all="ignore"):
        for node in topological(nodes):
            if node not in known:
                kernel = node.op.evaluate(node, sizes)
                known[node] = kernel(*(known[operand] for operand in node.operands))
    return [np.asarray(known[node]) for node in nodes]


def run(node: Node, values: Mapping[Node, Array], env: Env = SIZES) -> Array:
    return run_all([node], values, env)[0]


def laid_out(array: Array, found: Sequence[Axis], axes: Sequence[Axis], env: Env = SIZES) -> Array:
    """The array of a node with axes `found`, broadcast to all of `axes`."""
    kept = [axis for axis in axes if axis in found]
    moved = array.transpose([list(found).index(axis) for axis in kept])
    places = tuple(slice(None) if axis in found else None for axis in axes)
    return np.broadcast_to(moved[places], shape(axes, env))


def along(op: Pointwise, dtype: Dtype, arrays: Sequence[Array]) -> Array:
    """The operation on vectors."""
    node = op.sample(dtype, [(name("N"),)], op.variants[0])
    values = dict(zip(node.operands, arrays, strict=True))
    return run(node, values, {"N": len(arrays[0])})
