"""Laws of the executors on the processor, whichever runs: the interpreter is the oracle of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import pytest

from tdsl.backends.arrays import NUMPY, Arrays
from tdsl.backends.threads import THREADS
from tdsl.errors import TdslError
from tdsl.fusion.kernel import Stage
from tdsl.fusion.plan import Plan, make_plan
from tdsl.ir.dtype import BOOL, F32, F64, I8, I32, I64, U8, U32
from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import Node
from tdsl.ir.rewrite import substitute
from tdsl.ir.size import name
from tdsl.ops import Operation, Pointwise, argmax, argmin, input_
from tdsl.runtime.definition import Run
from tdsl.runtime.pipeline import executable
from tdsl.transforms.inline import inline_calls
from tests.kernels.reference import ROWS, Row
from tests.ops.graphs import EMPTY, SIZES, concrete, fill, inputs
from tests.triton.plans import Array, assert_interpreters, assert_same
from tests.triton.test_catalogue import LONG, ONES, points
from tests.triton.test_kernels import graph_of

STAGES: tuple[Stage, ...] = ("forward", "backward")
DTYPES = ("f64", "f32", "bf16")


@dataclass(frozen=True)
class Executor:
    """How plans are run; settings under which small arrays take several parts, and several threads."""

    backend: str
    prepare: Callable[[Plan, Mapping[str, int], Arrays], Run]
    small: Callable[[], AbstractContextManager[None]]
    shared: Callable[[], AbstractContextManager[None]]

    def run_plan(
        self,
        function: Function,
        sizes: Mapping[str, int],
        arrays: Sequence[Array],
        stage: Stage = "forward",
    ) -> list[Array]:
        """The results of the function's plan."""
        return self.prepare(make_plan(function, stage), sizes, NUMPY)(arrays)

    def assert_plan_is_right(
        self,
        function: Function,
        sizes: Mapping[str, int],
        arrays: Sequence[Array],
        dtype: str,
        stage: Stage = "forward",
        condition: str = "value",
    ) -> None:
        """The plan's results are the interpreter's."""
        found = self.run_plan(function, sizes, arrays, stage)
        assert_interpreters(found, function, sizes, arrays, dtype, condition)

    def check_row(self, row: Row, dtype: str, stage: Stage) -> None:
        """A function of the library, or its backward."""
        graph, sizes, arrays = graph_of(row, dtype, stage)
        condition = "gradient" if stage == "backward" and dtype != "bf16" else "value"
        self.assert_plan_is_right(graph, sizes, arrays, dtype, stage, condition)

    def check_threads(self, threads: int) -> None:
        """Results have the bits that they have on two threads."""
        rows = {row.name: row for row in ROWS}
        for name_ in ("layer_norm", "cross_entropy", "adamw"):
            for stage in STAGES:
                graph, sizes, arrays = graph_of(rows[name_], "f32", stage)
                with self.shared(), pytest.MonkeyPatch.context() as patch:
                    patch.setattr(THREADS, "count", 2)
                    expected = self.run_plan(graph, sizes, arrays, stage)
                    patch.setattr(THREADS, "count", threads)
                    found = self.run_plan(graph, sizes, arrays, stage)
                for actual, wanted in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(actual, wanted)

    def check_samples(self, op: Operation) -> None:
        """All samples of an operation in one plan, with several sizes of their axes."""
        nodes = op.samples()
        function, found = together(nodes)
        for env in (SIZES, LONG, ONES, EMPTY):
            values = fill(nodes, env=env)
            arrays = [values[x] for x in found]
            if op in (argmax, argmin) and env is EMPTY:
                with pytest.raises(TdslError, match="E0350"):
                    self.run_plan(function, env, arrays)
            else:
                self.assert_plan_is_right(function, env, arrays, "f64")
        with self.small():
            values = fill(nodes, env=LONG)
            self.assert_plan_is_right(function, LONG, [values[x] for x in found], "f64")

    def check_edges(self, op: Pointwise) -> None:
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
        arrays = [values[x] for x in found]
        expected = executable(function, env).run(arrays)
        actual = self.run_plan(function, env, arrays)
        for one, wanted, node in zip(actual, expected, nodes, strict=True):
            assert_same(one, wanted, str(node.dtype))


def together(nodes: Sequence[Node]) -> tuple[Function, list[Node]]:
    """One function with all of the nodes as results, and the nodes' inputs in the parameters' order."""
    found = inputs(nodes)
    new = {
        x: input_(name=f"{x['name']}_{place}", dtype=x.dtype, axes=x.axes)
        for place, x in enumerate(found)
    }
    params = tuple(Param(str(new[x]["name"]), x.axes, new[x]) for x in found)
    results = tuple(Result(node.axes, node) for node in substitute(nodes, new))
    return inline_calls(Function("f", params, results)), list(found)
