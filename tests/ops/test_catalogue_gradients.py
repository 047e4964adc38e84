"""Derivatives of every operation: against central differences, twice, and where it bites."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tdsl.ir.dtype import F64, Dtype
from tdsl.ir.node import Node
from tdsl.ir.size import name
from tdsl.ops import (
    Operation,
    abs_,
    atan2,
    clamp,
    constant,
    cummax,
    cumprod,
    exp,
    input_,
    log,
    logcumsumexp,
    max_,
    maximum,
    min_,
    minimum,
    mul,
    pow_,
    prod,
    sqrt,
    stop_gradient,
    unalign,
    where,
)
from tdsl.transforms.differentiate import backpropagate
from tests.ops.graphs import (
    OPERATIONS,
    SIZES,
    Array,
    Values,
    concrete,
    fill,
    inputs,
    laid_out,
    run,
    run_all,
)

N = name("N")
STEP = 1e-5
NARROW = ("f16", "bf16", "f32")


def is_f64(node: Node) -> bool:
    return concrete(node.dtype).name == "f64"


def is_exact(node: Node) -> bool:
    """Whether finite differences see the operation: nothing is rounded to a narrow float."""
    kinds = [*node.operands, node]
    return not any(isinstance(x.dtype, Dtype) and x.dtype.name in NARROW for x in kinds)


GRADIENTS = [
    pytest.param(node, id=f"{op.name}-{i}")
    for op in OPERATIONS
    if op.adjoint is not None
    for i, node in enumerate(op.samples())
    if is_f64(node) and is_exact(node) and any(is_f64(x) for x in inputs([node]))
]


def seeded(node: Node, label: str) -> Node:
    return input_(name=label, dtype=node.dtype, axes=node.axes)


def gradients(pairs: list[tuple[Node, Node]], targets: list[Node]) -> dict[Node, Node]:
    """The cotangents of the targets; a seed is summed over axes its node is invariant along."""
    seeds = [(node, unalign(seed, seed.axes, node)) for node, seed in pairs]
    return backpropagate(seeds, targets)


def inner(pairs: list[tuple[Node, Node]], values: Values) -> float:
    """The sum of all products of outputs with their cotangents, by axis name."""
    arrays = run_all([node for node, _ in pairs], values)
    return sum(
        float(np.sum(laid_out(array, node.axes, seed.axes) * values[seed]))
        for array, (node, seed) in zip(arrays, pairs, strict=True)
    )


def assert_gradient(pairs: list[tuple[Node, Node]], targets: list[Node], values: Values) -> None:
    """The derivative along a random direction, by cotangents and by central differences."""
    rng = np.random.default_rng(1)
    found = gradients(pairs, targets)
    direction = {x: rng.uniform(0.5, 1.0, values[x].shape) for x in targets}
    exact = 0.0
    for x, cotangent in found.items():
        assert set(cotangent.axes) <= set(x.axes)
        assert cotangent.dtype == x.dtype
        slope = laid_out(run(cotangent, values), cotangent.axes, x.axes)
        exact += float(np.sum(slope * direction[x]))

    def along(t: float) -> float:
        return inner(pairs, values | {x: values[x] + t * direction[x] for x in targets})

    coarse, fine = ((along(h) - along(-h)) / (2 * h) for h in (2 * STEP, STEP))
    estimate = fine + (fine - coarse) / 3
    scale = max(1.0, abs(inner(pairs, values)))
    assert exact == pytest.approx(estimate, rel=1e-7, abs=2e-8 * scale)


@pytest.mark.parametrize("node", GRADIENTS)
def test_first_derivative(node: Node) -> None:
    seed = seeded(node, "g")
    targets = [x for x in inputs([node]) if is_f64(x)]
    values = fill([node]) | fill([seed], seed=3)
    assert_gradient([(node, seed)], targets, values)


@pytest.mark.parametrize("node", GRADIENTS)
def test_second_derivative(node: Node) -> None:
    seed = seeded(node, "g")
    targets = [x for x in inputs([node]) if is_f64(x)]
    first = gradients([(node, seed)], targets)
    pairs = [(cotangent, seeded(x, f"u{i}")) for i, (x, cotangent) in enumerate(first.items())]
    values = fill([node]) | fill([seed, *(u for _, u in pairs)], seed=3)
    assert_gradient(pairs, [*targets, seed], values)


def slopes(node: Node, *points: list[float]) -> list[list[float]]:
    """The gradient of the sum of the node at the given values of its inputs, which lie along N."""
    targets = inputs([node])
    values = {x: np.array(point) for x, point in zip(targets, points, strict=True)}
    found = gradients([(node, constant(value=1.0, dtype=F64))], targets)
    zero = constant(value=0.0, dtype=F64)
    env = {**SIZES, "N": len(points[0])}
    nodes = [found.get(x, zero) for x in targets]
    arrays = run_all(nodes, values, env)
    return [laid_out(a, n.axes, (N,), env).tolist() for n, a in zip(nodes, arrays, strict=True)]


X, Y, Z = (input_(name=label, dtype=F64, axes=(N,)) for label in "xyz")
INF, NAN = math.inf, math.nan

KINKS = [
    ("abs", abs_(X), [[-2.0, -0.0, 0.0, 3.0]], [[-1.0, 0.0, 0.0, 1.0]]),
    ("maximum ties", maximum(X, Y), [[1.0, 2.0, 3.0, INF], [2.0, 2.0, 1.0, INF]],
     [[0.0, 0.5, 1.0, 0.5], [1.0, 0.5, 0.0, 0.5]]),
    ("minimum ties", minimum(X, Y), [[1.0, 2.0, 3.0], [2.0, 2.0, 1.0]],
     [[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]]),
    ("max ties", max_(X, axes=(N,)), [[3.0, 1.0, 3.0]], [[0.5, 0.0, 0.5]]),
    ("min ties", min_(X, axes=(N,)), [[1.0, 1.0, 3.0]], [[0.5, 0.5, 0.0]]),
    ("max of nan", max_(X, axes=(N,)), [[1.0, NAN, 3.0]], [[0.0, 0.0, 0.0]]),
    ("clamp", clamp(X, Y, Z),
     [[-1.0, 0.0, 0.5, 1.0, 2.0, 0.5], [0.0] * 5 + [1.0], [1.0] * 5 + [0.0]],
     [[0.0, 1.0, 1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
      [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]]),
    ("pow at 0", pow_(X, Y), [[0.0, 0.0, 0.0, 2.0], [2.0, 1.0, 0.0, 0.0]],
     [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, math.log(2.0)]]),
    ("pow of negatives", pow_(X, constant(value=3.0, dtype=F64)), [[-2.0, -1.0]], [[12.0, 3.0]]),
    ("prod without zeros", prod(X, axes=(N,)), [[2.0, 3.0, 4.0]], [[12.0, 8.0, 6.0]]),
    ("prod with one zero", prod(X, axes=(N,)), [[2.0, 0.0, 4.0]], [[0.0, 8.0, 0.0]]),
    ("prod with two zeros", prod(X, axes=(N,)), [[2.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]),
    ("cumprod with a zero", cumprod(X, axis=N, reverse=False), [[2.0, 0.0, 4.0]],
     [[1.0, 10.0, 0.0]]),
    ("cumprod with two zeros", cumprod(X, axis=N, reverse=False), [[2.0, 0.0, 0.0, 5.0]],
     [[1.0, 2.0, 0.0, 0.0]]),
    ("cummax ties", cummax(X, axis=N, reverse=False), [[1.0, 1.0, 0.0, 2.0]],
     [[1.0, 2.0, 0.0, 1.0]]),
    ("cummax from the end", cummax(X, axis=N, reverse=True), [[0.0, 2.0, 2.0, 1.0]],
     [[0.0, 2.0, 1.0, 1.0]]),
    ("logcumsumexp of -inf", logcumsumexp(X, axis=N, reverse=False), [[-INF, -INF, 0.0]],
     [[0.0, 0.0, 1.0]]),
    ("atan2 at the origin", atan2(X, Y), [[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, -1.0]]),
    ("stop_gradient", mul(X, stop_gradient(X)), [[2.0, 3.0]], [[2.0, 3.0]]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("node", "points", "wanted"), [row[1:] for row in KINKS], ids=[row[0] for row in KINKS]
)
def test_kinks(node: Node, points: list[list[float]], wanted: list[list[float]]) -> None:
    assert slopes(node, *points) == [pytest.approx(row, abs=1e-14) for row in wanted]


@pytest.mark.parametrize("function", [log, sqrt, exp], ids=str)
def test_where_cuts_off_the_branch_not_taken(function: Operation) -> None:
    """The cotangent is 0 there; that 0 times infinity is kept out is the simplifier's rule."""
    zero = constant(value=0.0, dtype=F64)
    positive = input_(name="c", dtype=Dtype("bool", "bool", 8), axes=(N,))
    node = where(positive, function(X), zero)
    cotangent = gradients([(node, constant(value=1.0, dtype=F64))], [function(X)])[function(X)]
    values: dict[Node, Array] = {positive: np.array([True, False, True])}
    np.testing.assert_array_equal(run(cotangent, values), [1.0, 0.0, 1.0])


def second(node: Node, point: list[float]) -> Array:
    """The Hessian of the sum of the node."""
    (x,) = inputs([node])
    env = {**SIZES, "N": len(point)}
    first = gradients([(node, constant(value=1.0, dtype=F64))], [x])[x]
    u = input_(name="u", dtype=F64, axes=(N,))
    product = gradients([(first, u)], [x])[x]
    rows = [run(product, {x: np.array(point), u: row}, env) for row in np.eye(len(point))]
    return np.array([laid_out(row, product.axes, (N,), env) for row in rows])


@pytest.mark.parametrize("point", [[2.0, 3.0, 4.0], [2.0, 0.0, 4.0], [2.0, 0.0, 0.0], [0.0] * 3])
def test_second_derivative_of_prod_with_zeros(point: list[float]) -> None:
    a, b, c = point
    wanted = [[0.0, c, b], [c, 0.0, a], [b, a, 0.0]]
    np.testing.assert_allclose(second(prod(X, axes=(N,)), point), wanted)


@pytest.mark.parametrize("point", [[2.0, 3.0, 4.0], [2.0, 0.0, 4.0], [0.0, 0.0, 4.0], [0.0] * 3])
def test_second_derivative_of_cumprod_with_zeros(point: list[float]) -> None:
    a, b, c = point
    wanted = [[0.0, 1 + c, b], [1 + c, 0.0, a], [b, a, 0.0]]
    np.testing.assert_allclose(second(cumprod(X, axis=N, reverse=False), point), wanted)


@pytest.mark.parametrize(("power", "wanted"), [(2.0, 2.0), (1.0, 0.0), (0.0, 0.0), (3.0, 0.0)])
def test_second_derivative_of_pow_at_zero(power: float, wanted: float) -> None:
    node = pow_(X, constant(value=power, dtype=F64))
    np.testing.assert_array_equal(second(node, [0.0]), [[wanted]])
