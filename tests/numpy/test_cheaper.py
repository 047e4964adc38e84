"""Selections in fewer passes: each rule fits where it should, and the values are those of the node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tdsl.backends.numpy.cheaper import cheaper
from tdsl.ir.dtype import BOOL, F32
from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import Node, topological
from tdsl.ir.size import name
from tdsl.ops import (
    abs_,
    add,
    bitand,
    bitnot,
    constant,
    div,
    equal,
    exp,
    expm1,
    greater,
    greater_equal,
    input_,
    isnan,
    less,
    less_equal,
    log,
    maximum,
    mul,
    neg,
    sign,
    sub,
    where,
)
from tdsl.runtime.pipeline import executable

N = name("N")
X, Y = (input_(name=text, dtype=F32, axes=(N,)) for text in "xy")
V = input_(name="v", dtype=F32, axes=())
C, D = (input_(name=text, dtype=BOOL, axes=(N,)) for text in "cd")
ZERO, ONE, SIX, MINUS, HALF, SLOPE = (
    constant(value=value, dtype=F32) for value in (0.0, 1.0, 6.0, -1.0, 0.5, 0.01)
)
E = exp(where(less(X, ZERO), X, neg(X)))
NEGATIVE = where(greater(X, ZERO), ZERO, X)
RAMP = div(add(X, ONE), constant(value=7.0, dtype=F32))
SQUARE = mul(mul(HALF, X), X)
SAFE = log(where(equal(Y, ZERO), ONE, Y))

RULES: dict[str, tuple[Node, int]] = {
    "a number that is not exceeded": (where(greater(X, SIX), SIX, X), 0),
    "a number that is reached": (where(less_equal(X, ZERO), ZERO, X), 0),
    "between two": (where(less_equal(X, ZERO), ZERO, where(greater_equal(X, SIX), SIX, X)), 0),
    "between two that cross": (where(less_equal(X, SIX), SIX, where(greater_equal(X, ONE), ONE, X)), 1),
    "the positive part": (where(greater(X, ZERO), X, where(isnan(X), X, ZERO)), 0),
    "the negative of the size": (where(less(X, ZERO), X, neg(X)), 0),
    "the size": (where(less(X, ZERO), neg(X), X), 0),
    "either": (where(C, ZERO, where(D, ZERO, X)), 1),
    "not the first but the second": (where(C, ZERO, where(D, X, ZERO)), 1),
    "both": (where(C, where(D, X, ZERO), ZERO), 1),
    "the first but not the second": (where(C, where(D, ZERO, X), ZERO), 1),
    "another number": (where(C, ZERO, where(D, ONE, X)), 2),
    "opposite": (add(where(C, X, ZERO), where(C, ZERO, Y)), 1),
    "opposite, the other way": (add(where(C, ZERO, X), where(C, Y, ZERO)), 1),
    "disjoint": (add(where(C, X, ZERO), where(bitand(D, bitnot(C)), X, ZERO)), 1),
    "not disjoint": (add(where(C, X, ZERO), where(D, X, ZERO)), 2),
    "sigmoid": (div(where(less(X, ZERO), E, ONE), add(ONE, E)), 0),
    "y log y": (where(equal(Y, ZERO), ZERO, mul(Y, SAFE)), 0),
    "a slope below": (where(greater(X, ZERO), X, mul(SLOPE, X)), 0),
    "a slope above": (where(greater(X, ZERO), X, mul(SIX, X)), 1),
    "a curve below": (where(greater(X, ZERO), X, expm1(NEGATIVE)), 0),
    "a steep curve below": (where(greater(X, ZERO), X, mul(SIX, expm1(div(NEGATIVE, SIX)))), 0),
    "a curve with a step": (where(greater(X, ZERO), X, exp(NEGATIVE)), 1),
    "a ramp": (where(less_equal(X, MINUS), ZERO, where(greater_equal(X, SIX), ONE, RAMP)), 0),
    "a ramp from above": (where(greater(X, SIX), ONE, where(less(X, MINUS), ZERO, RAMP)), 0),
    "a ramp with a step": (where(less_equal(X, MINUS), ZERO, where(greater_equal(X, ONE), ONE, RAMP)), 2),
    "a ramp down": (where(less_equal(X, MINUS), ZERO, where(greater_equal(X, SIX), constant(value=-7.0, dtype=F32), sub(MINUS, X))), 2),
    "shrunk": (where(less_equal(abs_(X), SIX), ZERO, sub(X, mul(SIX, sign(X)))), 0),
    "quadratic": (where(less_equal(abs_(X), ONE), SQUARE, sub(abs_(X), HALF)), 0),
    "quadratic to 6": (where(less_equal(abs_(X), SIX), SQUARE, mul(SIX, sub(abs_(X), constant(value=3.0, dtype=F32)))), 0),
    "quadratic with a step": (where(less_equal(abs_(X), SIX), SQUARE, sub(abs_(X), HALF)), 1),
    "weighted": (where(greater(exp(X), ZERO), mul(exp(X), Y), exp(X)), 1),
    "the negative of a positive part": (neg(add(maximum(neg(X), ONE), Y)), 0),
    "the size of a negative": (abs_(neg(X)), 0),
    "a product with a row": (neg(mul(V, X)), 0),
    "a row": (neg(where(C, V, ZERO)), 1),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_values_are_those_of_the_node(rule: str) -> None:
    node, selections = RULES[rule]
    better = cheaper([node])[node]
    assert sum(inner.op is where for inner in topological([better])) == selections
    assert {*better.axes} == {*node.axes}
    points = [-np.inf, -90.0, -1.0, -1e-40, -0.0, 0.0, 0.5, 1.0, 6.0, 7.0, np.inf, np.nan]
    x, y, c, d = (
        grid.ravel() for grid in np.meshgrid(points, points, [False, True], [False, True])
    )
    arrays = [x.astype("f4"), y.astype("f4"), np.float32(3), c.astype(bool), d.astype(bool)]
    np.testing.assert_array_equal(_run(better, arrays), _run(node, arrays))


def _run(node: Node, arrays: list[Any]) -> Any:
    params = tuple(Param(str(p["name"]), p.axes, p) for p in (X, Y, V, C, D))
    function = Function("f", params, (Result(node.axes, node),))
    return executable(function, {"N": len(arrays[0])}).run([np.asarray(a) for a in arrays])[0]


def test_what_is_negated_stays_where_it_is_as_large() -> None:
    node = neg(where(C, X, ZERO))
    assert cheaper([node])[node] is node
