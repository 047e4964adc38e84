"""Batches and forward mode, for every operation: what `vmap` and `pushforward` must satisfy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import tdsl
from tdsl.ir import parse, print_function, verify
from tdsl.ir.dtype import F64
from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import Node
from tdsl.ir.size import name
from tdsl.ops import call
from tdsl.runtime.interpreter import prepare
from tdsl.transforms.differentiate import pullback
from tdsl.transforms.inline import inline_calls
from tdsl.transforms.pushforward import pushforward
from tdsl.transforms.vmap import fresh_axis, vmap
from tests.ops.graphs import OPERATIONS, SIZES, Array, fill, inputs, random_array

NODES = [
    (f"{op.name}-{i}", node)
    for op in OPERATIONS
    for i, node in enumerate(op.samples())
    if inputs([node])
]
SAMPLES = [pytest.param(node, id=label) for label, node in NODES]
# The sample of `call` stands for any function, and its derivative is none.
SMOOTH = [
    pytest.param(node, id=label)
    for label, node in NODES
    if node.dtype == F64 and any(x.dtype == F64 for x in inputs([node])) and node.op is not call
]
BATCH = 3


def function(node: Node) -> Function:
    params = tuple(Param(x["name"], x.axes, x) for x in inputs([node]))
    return Function("sample", params, (Result(node.axes, node),))


def run(f: Function, arrays: Sequence[Array]) -> list[Array]:
    verify(f)
    assert parse(print_function(f)) == f
    return prepare(inline_calls(f), {**SIZES, "B": BATCH}).run(arrays)


def check_batches(f: Function, names: Sequence[str], nodes: Sequence[Node]) -> None:
    """The batched function gives in each place what the function gives there."""
    draws = [fill(nodes, seed) for seed in range(BATCH)]
    first = [draws[0][p.node] for p in f.params]
    batches = [
        np.stack([draw[p.node] for draw in draws]) if p.name in names else x
        for p, x in zip(f.params, first, strict=True)
    ]
    found = run(vmap(f, names, name("B")), batches)
    for i in range(BATCH):
        each = [b[i] if p.name in names else b for p, b in zip(f.params, batches, strict=True)]
        for ours, wanted in zip(found, run(f, each), strict=True):
            np.testing.assert_allclose(ours[i], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("node", SAMPLES)
def test_a_batch_is_each_of_its_members(node: Node) -> None:
    f = function(node)
    names = [param.name for param in f.params]
    check_batches(f, names, [node])
    for i in range(len(names)):
        check_batches(f, names[i : i + 1], [node])


@pytest.mark.parametrize("node", SMOOTH)
def test_derivatives_of_a_batch_are_each_of_its_members(node: Node) -> None:
    f = pullback(function(node))
    cotangents = [param.node for param in f.params[len(inputs([node])) :]]
    check_batches(f, [p.name for p in f.params], [node, *cotangents])


@pytest.mark.parametrize("node", SMOOTH)
def test_forward_mode_is_the_transpose_of_reverse_mode(node: Node) -> None:
    """<ct, J t> = <J^T ct, t>, for all parameters moving together."""
    f = function(node)
    wrt = [param.name for param in f.params if param.dtype == F64]
    values = fill([node])
    arrays = [values[param.node] for param in f.params]
    rng = np.random.default_rng(1)
    tangents = [random_array(F64, values[p.node].shape, rng) for p in f.params if p.name in wrt]
    (value,) = run(f, arrays)
    cotangent = random_array(F64, value.shape, rng)
    (moved,) = run(pushforward(f, wrt), [*arrays, *tangents])
    gradients = run(pullback(f, wrt), [*arrays, cotangent])
    products = [np.vdot(g, t) for g, t in zip(gradients, tangents, strict=True)]
    np.testing.assert_allclose(np.vdot(cotangent, moved), sum(products), rtol=1e-9, atol=1e-9)


def test_the_axis_of_a_batch_is_fresh() -> None:
    f = parse(
        tdsl.compile("def f(x: f64[B, B1]) -> f64[B1]:\n    return sum(x, axis=B)\n").lower().ir
    )
    assert str(fresh_axis(f)) == "B2"
