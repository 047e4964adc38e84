"""Random graphs over the catalogue: every pass keeps them valid, printable, and worth the same.

A graph is drawn node by node from every family. Its values are the interpreter's before any pass; its
gradients are checked against central differences along a random direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tdsl.ir import parse, print_function, verify
from tdsl.ir.dtype import F64, I64
from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import Node
from tdsl.ir.size import Size, as_size
from tdsl.ir.size import name as axis_name
from tdsl.ops import (
    CATALOGUE,
    Operation,
    Pointwise,
    add,
    concat_axis,
    constant,
    cumprod,
    cumsum,
    dot,
    flip_axis,
    greater,
    input_,
    logcumsumexp,
    max_,
    mul,
    pad_axis,
    prod,
    rename,
    roll_axis,
    scatter,
    select_axis,
    sin,
    slice_axis,
    stop_gradient,
    sub,
    sum_,
    take,
    tanh,
)
from tdsl.transforms.differentiate import backpropagate, pullback, vjp
from tdsl.transforms.inline import inline_calls
from tdsl.transforms.simplify import simplify
from tests.ops.graphs import laid_out, run_all
from tests.tolerances import TOLERANCES

N, D = axis_name("N"), axis_name("D")
SIZES = {"N": 3, "D": 4}
X = input_(name="x", dtype=F64, axes=(N, D))
Y = input_(name="y", dtype=F64, axes=(D,))
Z = input_(name="z", dtype=F64, axes=(N,))
I = input_(name="i", dtype=I64, axes=(N,))  # noqa: E741
PARAMS = (X, Y, Z, I)
SMOOTH = [
    op
    for op in CATALOGUE.values()
    if isinstance(op, Pointwise)
    and op.adjoint is not None
    and op.variants == ({},)
    and "float" in op.kinds
    and op not in {stop_gradient, CATALOGUE["checkpoint"], CATALOGUE["save"]}
]
Draw = Callable[[st.SearchStrategy[Any]], Any]


def within(node: Node, interval: tuple[float, float] | None, place: int) -> Node:
    """The node squeezed into the domain of an operation; a condition where that is for bools.

    Operands that are equal come to lie apart by their places: the derivative of what chooses among equal
    numbers depends on how each was rounded.
    """
    if interval is None:
        return greater(node, constant(value=0.1, dtype=F64))
    low, high = interval
    half = constant(value=0.45 * (high - low), dtype=F64)
    middle = 0.5 * (high + low) + 0.01 * place * (high - low)
    return add(mul(sin(node), half), constant(value=middle, dtype=F64))


def _pointwise(draw: Draw, pool: Sequence[Node]) -> Node:
    op = draw(st.sampled_from(SMOOTH))
    first = draw(st.sampled_from(pool))
    fitting = [n for n in pool if set(n.axes) <= set(first.axes)]
    operands = [first] + [draw(st.sampled_from(fitting)) for _ in op.domain[1:]]
    pairs = zip(operands, op.domain, strict=True)
    node = op(*(within(n, domain, place) for place, (n, domain) in enumerate(pairs)))
    assert isinstance(node, Node)
    return node


def _arithmetic(draw: Draw, pool: Sequence[Node]) -> Node:
    a = draw(st.sampled_from(pool))
    b = draw(st.sampled_from([n for n in pool if set(n.axes) <= set(a.axes)]))
    op: Operation = draw(st.sampled_from([add, mul, sub]))
    return op(a, b)


def _of_axes(draw: Draw, pool: Sequence[Node]) -> Node:
    """A reduction, running reduction or map of one axis that a node has."""
    x = draw(st.sampled_from([n for n in pool if n.axes]))
    axis = draw(st.sampled_from(x.axes))
    steps: dict[str, Callable[[], Node]] = {
        "sum": lambda: sum_(x, axes=(axis,)),
        "all": lambda: sum_(x, axes=x.axes),
        "max": lambda: max_(x, axes=(axis,)),
        "prod": lambda: prod(tanh(x), axes=(axis,)),
        "cumsum": lambda: cumsum(x, axis=axis, reverse=draw(st.booleans())),
        "cumprod": lambda: cumprod(tanh(x), axis=axis, reverse=False),
        "logcumsumexp": lambda: logcumsumexp(x, axis=axis, reverse=False),
        "flip": lambda: flip_axis(x, axis),
        "roll": lambda: roll_axis(x, axis, 1),
        "select": lambda: select_axis(x, axis, 1),
        "shift": lambda: slice_axis(pad_axis(x, axis, 1, 0, axis + 1), axis + 1, 0, 1, axis),
        "twice": lambda: slice_axis(concat_axis([(x, axis), (sin(x), axis)], 2 * axis), 2 * axis, 1, 2, axis),
        "product": lambda: dot(x, rename(x, {a: _other(a) for a in x.axes if a != axis}), axes=(axis,)),
    }  # fmt: skip
    made = steps[draw(st.sampled_from(sorted(steps)))]()
    return sum_(made, axes=tuple(a for a in made.axes if a not in (N, D)))


def _other(axis: Size) -> Size:
    return axis + as_size(0) if axis not in (N, D) else {N: axis_name("M"), D: axis_name("E")}[axis]


def _gathered(draw: Draw, pool: Sequence[Node]) -> Node:
    x = draw(st.sampled_from([n for n in pool if D in n.axes]))
    taken = take(x, I, axis=D)
    return scatter(taken, I, axis=D, sums=(N,)) if draw(st.booleans()) else taken


STEPS = st.sampled_from([_pointwise, _pointwise, _arithmetic, _of_axes, _of_axes, _gathered])
ENV = {**SIZES, "M": 3, "E": 4}


@st.composite
def graphs(draw: Draw) -> Function:
    """A function of two results, of x, y, z and indices i."""
    pool: list[Node] = [X, Y, Z]
    for _ in range(draw(st.integers(1, 6))):
        pool.append(draw(STEPS)(draw, pool))
    params = tuple(Param(node["name"], node.axes, node) for node in PARAMS)
    return Function("f", params, tuple(Result(n.axes, n) for n in (pool[-1], pool[-2])))


def arrays(seed: int) -> dict[Node, Any]:
    rng = np.random.default_rng(seed)
    given_: dict[Node, Any] = {
        p: rng.uniform(-1.5, 1.5, tuple(ENV[str(a)] for a in p.axes)) for p in (X, Y, Z)
    }
    return {**given_, I: np.array([1, 3, 0])}


def values(function: Function, given_: dict[Node, Any]) -> list[Any]:
    nodes = [result.node for result in function.results]
    found = run_all(nodes, given_, ENV)
    return [
        laid_out(a, n.axes, r.shape, ENV)
        for a, n, r in zip(found, nodes, function.results, strict=True)
    ]


def same(actual: Sequence[Any], expected: Sequence[Any], condition: str) -> None:
    relative, absolute = TOLERANCES["f64", condition]
    for a, b in zip(actual, expected, strict=True):
        scale = 1.0 + np.max(np.abs(b), initial=0.0)
        np.testing.assert_allclose(a, b, rtol=relative, atol=absolute * scale)


def sound(function: Function) -> None:
    """Valid, and printed so that it reads back the same."""
    verify(function)
    assert parse(print_function(function)) == function


def cotangents(function: Function, derived: Function, seed: int) -> dict[Node, Any]:
    rng = np.random.default_rng(seed + 1)
    incoming = derived.params[len(function.params) :]
    return {p.node: rng.uniform(-1, 1, tuple(ENV[str(a)] for a in p.shape)) for p in incoming}


@settings(max_examples=120)
@given(graphs(), st.integers(0, 3))
def test_every_pass_keeps_values(function: Function, seed: int) -> None:
    given_ = arrays(seed)
    sound(function)
    expected = values(function, given_)
    for name, change in (("simplify", simplify), ("inline", inline_calls)):
        changed = change(function)
        sound(changed)
        same(values(changed, given_), expected, "value")
        assert print_function(change(changed)) == print_function(changed), f"{name} is not final"


@settings(max_examples=120)
@given(graphs(), st.integers(0, 3))
def test_simplified_gradients_are_the_plain_ones(function: Function, seed: int) -> None:
    derived = pullback(function)
    sound(derived)
    given_ = {**arrays(seed), **cotangents(function, derived, seed)}
    incoming = [p.node for p in derived.params[len(function.params) :]]
    seeds = list(zip((r.node for r in function.results), incoming, strict=True))
    plain = backpropagate(seeds, [X, Y, Z])
    for target, gradient in zip((X, Y, Z), values(derived, given_), strict=True):
        expected = np.zeros_like(given_[target])
        if target in plain:
            found = run_all([plain[target]], given_, ENV)[0]
            expected = laid_out(found, plain[target].axes, target.axes, ENV)
        same([gradient], [expected], "gradient")


@settings(max_examples=60)
@given(graphs(), st.integers(0, 3))
def test_gradients_are_the_slopes(function: Function, seed: int) -> None:
    derived = pullback(function)
    given_ = arrays(seed)
    weights = cotangents(function, derived, seed)
    rng = np.random.default_rng(seed + 2)
    direction = {p: rng.uniform(-1, 1, given_[p].shape) for p in (X, Y, Z)}

    def along(step: float) -> float:
        moved = {**given_, **{p: given_[p] + step * d for p, d in direction.items()}}
        found = values(function, moved)
        return sum(float((v * w).sum()) for v, w in zip(found, weights.values(), strict=True))

    slope = sum(
        float((g * d).sum())
        for g, d in zip(values(derived, {**given_, **weights}), direction.values(), strict=True)
    )
    steps = [(along(h) - along(-h)) / (2 * h) for h in (1e-4, 1e-5)]
    if abs(steps[0] - steps[1]) > 1e-3 * (1 + abs(steps[1])):
        return  # a tie or a kink lies within the step: no slope to compare with
    relative, absolute = TOLERANCES["f64", "difference"]
    scale = 1 + max(abs(along(0.0)), abs(steps[1]))
    assert abs(slope - steps[1]) <= 1e3 * absolute * scale + relative * abs(slope)


@settings(max_examples=25)
@given(graphs())
def test_derivatives_of_derivatives_are_sound(function: Function) -> None:
    sound(vjp(vjp(function)))
