"""A plan without fusion: the same values, one operation for each kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tdsl.kernels
from tdsl.fusion.plan import make_plan
from tdsl.runtime.call import array_runner, bound_call
from tdsl.runtime.definition import Mode, Specialisation
from tdsl.runtime.native import plan_of, unfused
from tests.kernels.reference import ROWS, Row
from tests.tolerances import TOLERANCES

CHOSEN = ROWS[::11]


def found(row: Row) -> tuple[Specialisation, list[Any]]:
    """The specialisation of a row in f64, and its data."""
    generator = np.random.default_rng(0)
    arguments = [
        generator.standard_normal(a) if isinstance(a, tuple) else a(generator)
        for a in row.arguments
    ]
    function = getattr(getattr(tdsl.kernels, row.file), row.name)
    values = [*arguments, *row.static.values()]
    specialisation, bound = bound_call(function.target, values, tuple(row.static))
    return specialisation, [np.asarray(argument.value) for argument in bound]


@pytest.mark.parametrize("row", CHOSEN, ids=lambda row: row.id)
def test_values_are_the_same(row: Row) -> None:
    fused, arrays = found(row)
    apart = unfused(fused)
    assert len(plan_of(apart).steps) >= len(plan_of(fused).steps)
    shapes = tuple(array.shape for array in arrays)
    wanted = array_runner(fused, shapes, Mode(backend="interpreter"))(arrays)
    results = array_runner(apart, shapes, Mode(backend="c"))(arrays)
    for result, want in zip(results, wanted, strict=True):
        relative, absolute = TOLERANCES["f64", "value"]
        np.testing.assert_allclose(result, want, rtol=relative, atol=absolute)


def test_each_operation_has_a_kernel() -> None:
    layer_norm: Any = tdsl.kernels.norms.layer_norm
    graph = layer_norm.lower("f32[8, 16]", "f32[16]", "f32[16]").graph
    assert len(make_plan(graph).kernels) == 1
    plan = make_plan(graph, fused=False)
    assert len(plan.kernels) == 11
    for kernel in plan.kernels:
        operations = [
            n for n in kernel.nodes() if (n.operands and n.axes) or n.op.family == "reduction"
        ]
        assert len([n for n in operations if n.op.family != "index"]) == 1
