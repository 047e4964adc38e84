"""The standard library and all operations tile by tile: values and derivatives are the interpreter's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tdsl
from tdsl.backends.arrays import NUMPY
from tdsl.backends.numpy.execute import Executable
from tdsl.backends.numpy.functions import function_of
from tdsl.backends.numpy.kernel import TiledKernel
from tdsl.backends.numpy.select import select
from tdsl.fusion.kernel import Stage
from tdsl.fusion.plan import make_plan
from tdsl.ir.dtype import BOOL, F32, F64, I8, I64, Dtype
from tdsl.ir.size import name
from tdsl.ops import Pointwise, where
from tests.kernels.reference import ROWS, Row
from tests.numpy.plans import TILED, assert_plan_is_right, small_tiles
from tests.ops.graphs import OPERATIONS, concrete
from tests.processor import each_function
from tests.triton.test_catalogue import points
from tests.triton.test_kernels import graph_of

DIVIDED = ("softmax", "norms", "losses", "activations", "rope", "optimizers")
"""The library's files of which every kernel is divided into tiles."""


@pytest.mark.parametrize("stage", ["forward", "backward"])
@each_function
def test_kernels_are_the_interpreters(row: Row, dtype: str, stage: Stage) -> None:
    TILED.check_row(row, dtype, stage)


@pytest.mark.parametrize("stage", ["forward", "backward"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_small_tiles_agree(row: Row, stage: Stage) -> None:
    """Several tiles and programs, of every function; all kernels of those that pay are divided."""
    graph, sizes, arrays = graph_of(row, "f64", stage)
    with small_tiles():
        assert_plan_is_right(graph, sizes, arrays, "f64", stage, "gradient")
        program = Executable(make_plan(graph, stage), sizes, NUMPY)
    kernels = [step for step in program.steps if isinstance(step, TiledKernel)]
    for step in kernels if row.file in DIVIDED else ():
        count = np.prod([step.size(axis) for axis in step.tiling.axes])
        assert len(step.tiling.tiles) > 1 or count <= 4 or not step.kernel.layout.rows


def test_what_is_read_elsewhere_on_each_tile_is_not_held() -> None:
    """exp(y) lies along one divided axis alone, but where it is read follows from where the tile begins."""
    turned = "flatten(flip(unflatten(exp(y) + x, axis=D, sizes=(2, H)), axis=-1), axes=(-2, -1))"
    function: Any = tdsl.compile(
        f"def f(x: f32[N, D], y: f32[D]) -> f32[N, D]:\n    return {turned}\n"
    )
    x, y = np.random.default_rng(0).standard_normal((3, 4), "f4"), np.arange(4, dtype="f4")
    with small_tiles(1):
        found = function.using(backend="numpy")(x, y)
    np.testing.assert_allclose(found, (np.exp(y) + x)[:, [1, 0, 3, 2]], rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_results_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    TILED.check_threads(threads)


@pytest.mark.parametrize("op", OPERATIONS, ids=str)
def test_samples(op: Pointwise) -> None:
    TILED.check_samples(op)


@pytest.mark.parametrize("op", [op for op in OPERATIONS if isinstance(op, Pointwise)], ids=str)
def test_edges_of_dtypes(op: Pointwise) -> None:
    TILED.check_edges(op)


@pytest.mark.parametrize("count", [5, 5000])
@pytest.mark.parametrize("dtype", [F32, F64, BOOL, I8, I64], ids=str)
def test_selections_have_the_bits_of_numpys(dtype: Dtype, count: int) -> None:
    """NaN with their payloads, zeros with their signs; operands that broadcast; a y of rank 0 and 0."""
    node = where.sample(dtype, [(name("N"),)], {})
    assert function_of(node) is select
    values = np.resize(points(concrete(node.dtype)), (2, count))
    zero = values.dtype.type(0)
    condition = np.resize([True, False, False], (2, count))
    for x, y in [
        (values, values[::-1]),
        (values, zero),
        (zero, values),
        (values, zero.dtype.type(-0.0)),
    ]:
        for c in (condition, condition[:, :1], condition[0]):
            wanted = np.broadcast_to(np.where(c, x, y), values.shape).copy()
            actual = select(c, x, y, np.empty_like(values))
            np.testing.assert_array_equal(actual.view(np.uint8), wanted.view(np.uint8))
            np.testing.assert_array_equal(select(c, x, y), wanted)
