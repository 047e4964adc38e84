"""The standard library and all operations as C: values and derivatives are the interpreter's."""

from __future__ import annotations

import pytest

from tdsl.fusion.kernel import Stage
from tdsl.ops import Pointwise
from tests.c.plans import C, assert_plan_is_right, small_blocks
from tests.kernels.reference import ROWS, Row
from tests.ops.graphs import OPERATIONS
from tests.processor import DTYPES
from tests.triton.test_kernels import graph_of, rotated


@pytest.mark.parametrize("stage", ["forward", "backward"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", [rotated(row) for row in ROWS], ids=lambda row: row.id)
def test_kernels_are_the_interpreters(row: Row, dtype: str, stage: Stage) -> None:
    C.check_row(row, dtype, stage)


@pytest.mark.parametrize("stage", ["forward", "backward"])
@pytest.mark.parametrize("row", [rotated(row) for row in ROWS], ids=lambda row: row.id)
def test_small_blocks_agree(row: Row, stage: Stage) -> None:
    """Several units, lanes and programs; nothing waits in scratch memory."""
    graph, sizes, arrays = graph_of(row, "f64", stage)
    with small_blocks():
        assert_plan_is_right(graph, sizes, arrays, "f64", stage, "gradient")


@pytest.mark.parametrize("threads", [1, 3])
def test_results_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    C.check_threads(threads)


@pytest.mark.parametrize("op", OPERATIONS, ids=str)
def test_samples(op: Pointwise) -> None:
    C.check_samples(op)


@pytest.mark.parametrize("op", [op for op in OPERATIONS if isinstance(op, Pointwise)], ids=str)
def test_edges_of_dtypes(op: Pointwise) -> None:
    C.check_edges(op)
