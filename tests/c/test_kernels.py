"""The standard library and all operations as C: values and derivatives are the interpreter's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tdsl.backends.arrays import NUMPY
from tdsl.backends.c import execute
from tdsl.errors import TdslError
from tdsl.fusion.kernel import Stage
from tdsl.fusion.plan import make_plan
from tdsl.ir.dtype import BOOL, F32, F64, I8, I32, I64, U8, U32
from tdsl.ir.node import Node
from tdsl.ir.size import name
from tdsl.ops import Pointwise, argmax, argmin
from tdsl.runtime.pipeline import executable
from tests.c.plans import assert_plan_is_right, run_plan, small_blocks, together
from tests.kernels.reference import ROWS, Row
from tests.ops.graphs import EMPTY, OPERATIONS, SIZES, concrete, fill
from tests.triton.plans import Array, assert_same
from tests.triton.test_catalogue import LONG, ONES, points
from tests.triton.test_kernels import graph_of, rotated

DTYPES = ("f64", "f32", "bf16")


def condition_of(dtype: str, stage: Stage) -> str:
    return "gradient" if stage == "backward" and dtype != "bf16" else "value"


@pytest.mark.parametrize("stage", ["forward", "backward"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", [rotated(row) for row in ROWS], ids=lambda row: row.id)
def test_kernels_are_the_interpreters(row: Row, dtype: str, stage: Stage) -> None:
    graph, sizes, arrays = graph_of(row, dtype, stage)
    assert_plan_is_right(graph, sizes, arrays, dtype, stage, condition_of(dtype, stage))


@pytest.mark.parametrize("stage", ["forward", "backward"])
@pytest.mark.parametrize("row", [rotated(row) for row in ROWS], ids=lambda row: row.id)
def test_small_blocks_agree(row: Row, stage: Stage) -> None:
    """Several units, lanes and programs; nothing waits in scratch memory."""
    graph, sizes, arrays = graph_of(row, "f64", stage)
    with small_blocks():
        assert_plan_is_right(graph, sizes, arrays, "f64", stage, "gradient")


@pytest.mark.parametrize("threads", [1, 3])
def test_results_do_not_depend_on_the_number_of_threads(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "SMALL", 0)
    rows = [row for row in ROWS if row.name in ("layer_norm", "cross_entropy", "adamw")]
    for row in rows:
        for stage in ("forward", "backward"):
            graph, sizes, arrays = graph_of(row, "f32", stage)
            monkeypatch.setattr(execute.THREADS, "count", 2)
            expected = run_plan(graph, sizes, arrays, stage)
            monkeypatch.setattr(execute.THREADS, "count", threads)
            for actual, wanted in zip(run_plan(graph, sizes, arrays, stage), expected, strict=True):
                np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize("op", OPERATIONS, ids=str)
def test_samples(op: Pointwise) -> None:
    """All samples of an operation in one plan, with several sizes of their axes."""
    nodes = op.samples()
    function, found = together(nodes)
    for env in (SIZES, LONG, ONES, EMPTY):
        values = fill(nodes, env=env)
        arrays = [values[x] for x in found]
        if op in (argmax, argmin) and env is EMPTY:
            with pytest.raises(TdslError, match="E0350"):
                run_plan(function, env, arrays)
        else:
            assert_plan_is_right(function, env, arrays, "f64")
    with small_blocks():
        values = fill(nodes, env=LONG)
        assert_plan_is_right(function, LONG, [values[x] for x in found], "f64")


@pytest.mark.parametrize("op", [op for op in OPERATIONS if isinstance(op, Pointwise)], ids=str)
def test_edges_of_dtypes(op: Pointwise) -> None:
    """NaN, infinities and zeros; overflow, division by 0, shifts beyond the width."""
    nodes: list[Node] = []
    values: dict[Node, Array] = {}
    env: dict[str, int] = {}
    for dtype in (F32, F64, BOOL, I8, I32, I64, U8, U32):
        for variant in op.variants if dtype.kind in op.kinds else ():
            axis = f"N{len(nodes)}"
            node = op.sample(dtype, [(name(axis),)], variant)
            grids = np.meshgrid(*(points(concrete(x.dtype)) for x in node.operands))
            values |= {x: grid.ravel() for x, grid in zip(node.operands, grids, strict=True)}
            env[axis] = grids[0].size
            nodes.append(node)
    function, found = together(nodes)
    arrays: Sequence[Array] = [values[x] for x in found]
    expected = executable(function, env).run(arrays)
    actual = execute.Executable(make_plan(function), env, NUMPY).run(arrays)
    for one, wanted, node in zip(actual, expected, nodes, strict=True):
        assert_same(one, wanted, str(node.dtype))
