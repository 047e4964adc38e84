"""Every operation of the catalogue as a kernel of its own: values are the interpreter's, edges included."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from tdsl.backends.triton.literals import spelled
from tdsl.errors import TdslError
from tdsl.ir.dtype import BOOL, F32, F64, I8, I32, I64, U8, U32, Dtype
from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import Node
from tdsl.ir.size import name
from tdsl.ops import Pointwise, argmax, argmin, input_, numpy_dtype, save
from tdsl.transforms.inline import inline_calls
from tests.ops.graphs import EMPTY, OPERATIONS, SIZES, Array, Env, concrete, fill, inputs, shape
from tests.triton.interpreted import repaired
from tests.triton.plans import CONFIGURATIONS, assert_plan_is_right, configured, run_plan

LONG: Env = {**SIZES, "N": 5, "D": 7, "H": 6}
ONES: Env = dict.fromkeys(SIZES, 1)
SAMPLES = [
    pytest.param(node, id=f"{op}{place}")
    for op in OPERATIONS
    for place, node in enumerate(op.samples())
]


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    with repaired():
        yield


def alone(node: Node) -> Function:
    """The function with the node as its result, its inputs as parameters."""
    params = tuple(Param(str(x["name"]), x.axes, x) for x in inputs([node]))
    return inline_calls(Function("f", params, (Result(node.axes, node),)))


def check(node: Node, values: Mapping[Node, Array], env: Env, dtype: str = "f64") -> None:
    function = alone(node)
    arrays = [values[param.node] for param in function.params]
    assert_plan_is_right(function, env, arrays, dtype)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("node", SAMPLES)
def test_samples(node: Node, configuration: str) -> None:
    env = LONG if configuration == "streamed" else SIZES
    with configured(configuration):
        check(node, fill([node], env=env), env)


@pytest.mark.parametrize("env", [EMPTY, ONES], ids=["empty", "ones"])
@pytest.mark.parametrize("node", SAMPLES)
def test_empty_axes_and_axes_of_one_element(node: Node, env: Env) -> None:
    values = fill([node], env=env)
    if node.op in (argmax, argmin) and 0 in shape(node["axes"], env):
        with pytest.raises(TdslError, match="E0350"):
            run_plan(alone(node), env, [values[x] for x in inputs([node])])
    else:
        check(node, values, env)


POINTWISE = [op for op in OPERATIONS if isinstance(op, Pointwise)]
REALS = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, 1e-3, 300.0, -7.0]
EDGES = [
    pytest.param(op, dtype, variant, id=f"{op}{list(variant.values()) or ''}-{dtype}")
    for op in POINTWISE
    for dtype in (F32, F64, BOOL, I8, I32, I64, U8, U32)
    for variant in op.variants
    if dtype.kind in op.kinds
]


def points(dtype: Dtype) -> Array:
    """The edges of a dtype."""
    if dtype.kind == "float":
        return np.array(REALS).astype(numpy_dtype(dtype))
    if dtype == BOOL:
        return np.array([False, True])
    limits = np.iinfo(numpy_dtype(dtype))
    wanted = [limits.min, limits.min + 1, -3, -1, 0, 1, 2, 5, 31, limits.bits, limits.max]
    inside = [x for x in wanted if limits.min <= x <= limits.max]
    return np.array(inside).astype(numpy_dtype(dtype))


@pytest.mark.parametrize(("op", "dtype", "variant"), EDGES)
def test_edges_of_dtypes(op: Pointwise, dtype: Dtype, variant: Mapping[str, Any]) -> None:
    """NaN, infinities and zeros; overflow, division by 0, shifts beyond the width."""
    node = op.sample(dtype, [(name("N"),)], variant)
    kinds = [x.dtype for x in node.operands]
    grids = np.meshgrid(*(points(concrete(kind)) for kind in kinds))
    values = {x: grid.ravel() for x, grid in zip(node.operands, grids, strict=True)}
    check(node, values, {"N": grids[0].size}, str(node.dtype))


def test_an_operation_without_a_form_is_named() -> None:
    x = input_(name="x", dtype=F32, axes=())
    with pytest.raises(TdslError, match=r"E0310(?s:.*)`save` of .* has no form in Triton"):
        spelled(save(x))
