"""The standard library as Triton kernels: values and derivatives are the interpreter's, however rows run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import tdsl
from tdsl.fusion.kernel import Stage
from tdsl.ir.dtype import F32
from tdsl.ir.function import Function
from tdsl.ops import numpy_dtype
from tests.kernels.reference import ROWS, Row
from tests.kernels.test_kernels import arguments
from tests.triton.interpreted import repaired
from tests.triton.plans import CONFIGURATIONS, Array, assert_plan_is_right, configured

RUNS = [("f64", configuration) for configuration in CONFIGURATIONS]
RUNS += [("f32", "normal"), ("bf16", "streamed")]


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    with repaired():
        yield


def own_arguments(row: Row, dtype: str) -> list[Any]:
    """The row's arguments as arrays; what is f32 beside half precision remains f32."""
    made = []
    for place, value in enumerate(arguments(row, "f64", grad=False)):
        array = value.numpy() if isinstance(value, torch.Tensor) else value
        if isinstance(array, np.ndarray) and array.dtype == np.float64:
            own = tdsl.ir.dtype.DTYPES[dtype]
            own = F32 if own.bits == 16 and place in row.single else own
            array = array.astype(numpy_dtype(own))
        made.append(array)
    return made


def given(
    function: Any, row: Row, graph: Function, sizes: Any, arguments: list[Any]
) -> list[Array]:
    """An array for each parameter of the graph: the arguments by name, and cotangents."""
    named = dict(
        zip([p.name for p in function.target.signature.parameters], arguments, strict=False)
    )
    rng = np.random.default_rng(3)
    arrays = []
    for param in graph.params:
        dtype = numpy_dtype(param.dtype)
        if param.name in named:
            arrays.append(np.asarray(named[param.name], dtype=dtype))
        else:
            shape = [size.evaluate(sizes) for size in param.shape]
            arrays.append(rng.standard_normal(shape).astype(dtype))
    return arrays


def library(row: Row) -> Any:
    return getattr(getattr(tdsl.kernels, row.file), row.name)


@pytest.mark.parametrize("stage", ["forward", "backward"])
@pytest.mark.parametrize(("dtype", "configuration"), RUNS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_kernels_are_the_interpreters(
    row: Row, dtype: str, configuration: str, stage: Stage
) -> None:
    function, own = library(row), own_arguments(row, dtype)
    lowered = function.lower(*own, grad=stage == "backward", **row.static)
    graph = lowered.backward if stage == "backward" else lowered.graph
    condition = "gradient" if stage == "backward" and dtype != "bf16" else "value"
    arrays = given(function, row, graph, lowered.sizes, own)
    with configured(configuration):
        assert_plan_is_right(graph, lowered.sizes, arrays, dtype, stage, condition)
