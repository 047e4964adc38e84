"""Index maps of index maps: composition as one node, identities, and disjoint pieces."""

from __future__ import annotations

import numpy as np
import pytest

from tdsl.ir.dtype import F64
from tdsl.ir.index_map import Condition, Divides, InRange, Piece
from tdsl.ir.node import Node
from tdsl.ir.size import as_size, floordiv
from tdsl.ir.size import index as variable
from tdsl.ops import (
    compose,
    concat_axis,
    disjoint_pieces,
    flatten_axes,
    flip_axis,
    index,
    input_,
    pad_axis,
    rename,
    roll_axis,
    select_axis,
    slice_axis,
    unflatten_axis,
    window_axis,
)
from tdsl.transforms.differentiate import backpropagate
from tests.ops.graphs import fill, laid_out, run
from tests.ops.test_catalogue_index import ENV, D, E, H, K, N, X


def steps(x: Node) -> list[tuple[str, Node]]:
    """Each kind of map once, on any axes of x that it fits."""
    found = [("flip", flip_axis(x, D)), ("roll", roll_axis(x, D, 1))]
    found += [("pad", pad_axis(x, D, 2, 0, D + 2)), ("slice", slice_axis(x, D, 1, 2, E))]
    found += [("unflatten", unflatten_axis(x, D, (H, E))), ("select", select_axis(x, D, 3))]
    found += [
        ("concat", concat_axis([(x, D), (x, D)], 2 * D)),
        ("flatten", flatten_axes(x, (N, D), N * D)),
        ("rename", rename(x, {D: K + 2})),
        ("window", window_axis(x, D, K, E)),
    ]
    return found


def seconds(x: Node) -> list[tuple[str, Node]]:
    """Maps of the last axis that x has."""
    axis = x.axes[-1]
    found = [("flip", flip_axis(x, axis)), ("pad", pad_axis(x, axis, 1, 0, axis + 1)),
             ("head", slice_axis(x, axis, 0, 1, axis - 1)), ("select", select_axis(x, axis, 1)),
             ("tail", slice_axis(x, axis, 1, 1, axis - 1)),
             ("fill", pad_axis(x, axis, 1, 5, axis + 1)),
             ("even", slice_axis(x, axis, 0, 2, floordiv(axis + 1, as_size(2)))),
             ("inside", pad_axis(x, axis, 0, 0, 2 * axis, interior=1))]  # fmt: skip
    if len(x.axes) > 1:
        found.append(("flatten", flatten_axes(x, x.axes, x.axes[0] * axis)))
    return found


PAIRS = [
    pytest.param(outer, id=f"{second}-of-{first}")
    for first, inner in steps(X)
    for second, outer in seconds(inner)
]


@pytest.mark.parametrize("outer", PAIRS)
def test_composition(outer: Node) -> None:
    """One node for two, equal in value and with an adjoint; None only where the fills differ."""
    values = fill([outer], env=ENV)
    wanted = run(outer, values, ENV)
    if outer.op is not index or outer.operands[0].op is not index:
        return
    composed = compose(outer, outer.operands[0])
    if composed is None:
        return
    assert all(operand.op is not index for operand in composed.operands)
    assert composed.op is index or composed is X
    assert set(composed.axes) == set(outer.axes)
    got = run(composed, values, ENV)
    np.testing.assert_array_equal(laid_out(got, composed.axes, outer.axes, ENV), wanted)
    g = input_(name="g", dtype=F64, axes=outer.axes)
    seeds = {g: np.random.default_rng(5).normal(size=wanted.shape)}
    backs = [backpropagate([(node, g)], [X])[X] for node in (outer, composed)]
    a, b = (laid_out(run(n, seeds, ENV), n.axes, X.axes, ENV) for n in backs)
    np.testing.assert_allclose(a, b, atol=1e-13)


def test_compositions_that_must_succeed() -> None:
    refused = {
        case.id
        for case in PAIRS
        for outer in case.values
        if isinstance(outer, Node)
        and outer.op is index
        and outer.operands[0].op is index
        and compose(outer, outer.operands[0]) is None
    }
    fills = {"fill-of-roll", "fill-of-pad", "fill-of-concat"}
    partial = {"flip", "rename", "pad", "slice", "unflatten", "concat", "window"}
    assert refused == fills | {f"flatten-of-{first}" for first in partial}


def test_inverse_pairs_compose_to_the_identity() -> None:
    split = unflatten_axis(X, D, (H, E))
    assert compose(flatten_axes(split, (H, E), D), split) is not None
    flipped = flip_axis(X, D)
    assert compose(flip_axis(flipped, D), flipped) is X
    renamed = rename(X, {D: K})
    assert compose(rename(renamed, {K: D}), renamed) is X
    padded = pad_axis(X, D, 1, 0, D + 3)
    assert compose(slice_axis(padded, D + 3, 1, 1, D), padded) is X


def piece(*domain: Condition) -> Piece:
    return Piece((), domain)


def test_disjoint_pieces() -> None:
    i = variable(2 * D)
    low, high = piece(InRange(i, D)), piece(InRange(i - D, D))
    assert disjoint_pieces(low, high)
    assert disjoint_pieces(high, low)
    assert not disjoint_pieces(low, piece(InRange(i - D + 1, D)))
    assert not disjoint_pieces(low, piece())
    even, odd = piece(Divides(i, as_size(2))), piece(Divides(i + 1, as_size(2)))
    assert disjoint_pieces(even, odd)
    assert not disjoint_pieces(even, piece(Divides(i + 2, as_size(2))))
    assert disjoint_pieces(low, piece(InRange(2 * D - 1 - i, D)))
