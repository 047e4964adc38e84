"""Every operation of the catalogue as a kernel of its own: values are the interpreter's, edges included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tdsl.errors import TdslError
from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import Node
from tdsl.ops import argmax, argmin
from tdsl.transforms.inline import inline_calls
from tests.ops.graphs import EMPTY, OPERATIONS, SIZES, Array, Env, fill, inputs, shape
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
