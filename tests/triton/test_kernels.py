"""The standard library as Triton kernels: values and derivatives are the interpreter's, however rows run."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch

import tdsl
from tdsl.backends.triton.module import print_plan
from tdsl.fusion.kernel import Stage
from tdsl.fusion.plan import make_plan
from tdsl.ir.dtype import F32
from tdsl.ir.function import Function
from tdsl.ops import numpy_dtype
from tests.kernels.reference import ROWS, Row
from tests.kernels.test_kernels import arguments
from tests.triton.interpreted import repaired
from tests.triton.plans import Array, assert_plan_is_right, configured


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


def rotated(row: Row) -> Any:
    """Every third row, by its name; the others nightly."""
    every = zlib.crc32(f"{row.file} {row.id}".encode()) % 3 == 0
    return row if every else pytest.param(row, marks=pytest.mark.nightly)


def library(row: Row) -> Any:
    return getattr(getattr(tdsl.kernels, row.file), row.name)


def graph_of(row: Row, dtype: str, stage: Stage) -> tuple[Function, Mapping[str, int], list[Array]]:
    """The function or its backward, flat, with sizes and arguments."""
    function, own = library(row), own_arguments(row, dtype)
    lowered = function.lower(*own, grad=stage == "backward", **row.static)
    graph = lowered.backward if stage == "backward" else lowered.graph
    return graph, lowered.sizes, given(function, row, graph, lowered.sizes, own)


@pytest.mark.parametrize("stage", ["forward", "backward"])
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_kernels_are_the_interpreters(row: Row, dtype: str, stage: Stage) -> None:
    assert_row_is_right(row, dtype, stage)


@pytest.mark.parametrize("stage", ["forward", "backward"])
@pytest.mark.parametrize("row", [rotated(row) for row in ROWS], ids=lambda row: row.id)
def test_kernels_are_the_interpreters_in_f64(row: Row, stage: Stage) -> None:
    assert_row_is_right(row, "f64", stage)


def assert_row_is_right(row: Row, dtype: str, stage: Stage) -> None:
    graph, sizes, arrays = graph_of(row, dtype, stage)
    condition = "gradient" if stage == "backward" and dtype != "bf16" else "value"
    assert_plan_is_right(graph, sizes, arrays, dtype, stage, condition)


@pytest.mark.parametrize("stage", ["forward", "backward"])
@pytest.mark.parametrize("configuration", ["streamed", "single rows"])
@pytest.mark.parametrize("row", [rotated(row) for row in ROWS], ids=lambda row: row.id)
def test_schedules_agree(row: Row, configuration: str, stage: Stage) -> None:
    """Where a configuration changes nothing in the kernels, there is nothing to run."""
    graph, sizes, arrays = graph_of(row, "f64", stage)
    plan = make_plan(graph, stage)
    normal = print_plan(plan, sizes, 4).kernels
    with configured(configuration):
        if print_plan(plan, sizes, 4).kernels != normal:
            assert_plan_is_right(graph, sizes, arrays, "f64", stage, "gradient")


SCALAR = [row for row in ROWS if row.file == "losses"]


@pytest.mark.parametrize("row", SCALAR, ids=lambda row: row.id)
def test_values_with_gradients(row: Row) -> None:
    function, own = library(row), own_arguments(row, "f64")
    plain = function.lower(*own, **row.static).graph
    if len(plain.results) > 1 or plain.results[0].shape:
        return  # only one number has a gradient
    lowered = tdsl.value_and_grad(function).lower(*own, **row.static)
    arrays = given(function, row, lowered.graph, lowered.sizes, own)
    assert_plan_is_right(lowered.graph, lowered.sizes, arrays, "f64", "forward", "gradient")
