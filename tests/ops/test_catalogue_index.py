"""Index maps: builders against NumPy, every evaluation path and adjoint against the definition."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tdsl.ir.dtype import F64
from tdsl.ir.index_map import Condition, Divides, IndexMap, InRange, Piece
from tdsl.ir.node import Node
from tdsl.ir.rewrite import substitute
from tdsl.ir.size import Axis, as_size, name
from tdsl.ir.size import index as variable
from tdsl.ops import (
    concat_axis,
    flatten_axes,
    flip_axis,
    index,
    input_,
    pad_axis,
    rename,
    roll_axis,
    select_axis,
    shift,
    slice_axis,
    unflatten_axis,
    window_axis,
)
from tdsl.transforms.differentiate import backpropagate
from tests.ops.graphs import Array, Env, Values, fill, inputs, laid_out, run

N, D, H, E, S, P, R = map(name, ("N", "D", "H", "E", "S", "P", "R"))
ENV: Env = {"N": 3, "D": 6, "H": 2, "E": 3, "S": 2, "P": 3, "R": 2, "k": 4}
K = name("k")

X = input_(name="x", dtype=F64, axes=(N, D))
Y = input_(name="y", dtype=F64, axes=(H, N))
Z = input_(name="z", dtype=F64, axes=(N, H, E))
V = input_(name="v", dtype=F64, axes=(D,))
SCALAR = input_(name="s", dtype=F64, axes=())


def windows(array: Array) -> Array:
    """Positions 3 with stride 2, taps 2 with dilation 3, padding 1, over the last axis of 6."""
    padded = np.pad(array, ((0, 0), (1, 2)))
    return np.stack([padded[:, 2 * p : 2 * p + 4 : 3] for p in range(3)], axis=1)


BUILDERS = {
    "rename": (rename(X, {D: name("M")}), lambda x: x, {"M": 6}),
    "swap": (rename(X, {N: D, D: N}), lambda x: x, {"N": 6, "D": 3}),
    "slice": (slice_axis(X, D, 1, 1, K), lambda x: x[:, 1:5], {}),
    "slice step": (slice_axis(X, D, 1, 2, E), lambda x: x[:, 1::2], {}),
    "slice back": (slice_axis(X, D, D - 1, -2, E), lambda x: x[:, ::-2], {}),
    "select": (select_axis(X, D, 2), lambda x: x[:, 2], {}),
    "select last": (select_axis(X, N, N - 1), lambda x: x[-1], {}),
    "pad": (pad_axis(X, D, 1, -np.inf, D + 3),
            lambda x: np.pad(x, ((0, 0), (1, 2)), constant_values=-np.inf), {}),
    "pad inside": (pad_axis(V, D, 1, 7, 3 * D, interior=2),
                   lambda v: np.where(np.arange(18) % 3 == 1, np.repeat(v, 3), 7.0), {}),
    "pad invariant": (pad_axis(SCALAR, D, 1, 0, D + 1),
                      lambda s: np.where(np.arange(7) > 0, s, 0.0), {}),
    "shift": (shift(X, D, 1, 9.0), lambda x: np.pad(x, ((0, 0), (1, 0)), constant_values=9)[:, :6],
              {}),
    "shift back": (shift(X, D, -1, 9.0),
                   lambda x: np.pad(x, ((0, 0), (0, 1)), constant_values=9)[:, 1:], {}),
    "flip": (flip_axis(X, N), lambda x: x[::-1], {}),
    "roll": (roll_axis(X, D, 2), lambda x: np.roll(x, 2, axis=1), {}),
    "roll back": (roll_axis(X, D, -7), lambda x: np.roll(x, -7, axis=1), {}),
    "concat": (concat_axis([(X, D), (X, D)], 2 * D), lambda x: np.concatenate((x, x), 1), {}),
    "concat two": (concat_axis([(X, D), (Y, H)], D + H),
                   lambda x, y: np.concatenate((x, y.T), 1), {}),
    "concat broadcast": (concat_axis([(X, D), (V, D)], 2 * D),
                         lambda x, v: np.concatenate((x, np.broadcast_to(v, x.shape)), 1), {}),
    "unflatten": (unflatten_axis(X, D, (H, E)), lambda x: x.reshape(3, 2, 3), {}),
    "flatten": (flatten_axes(Z, (H, E), H * E), lambda z: z.reshape(3, 6), {}),
    "flatten crossed": (flatten_axes(Z, (E, N), E * N),
                        lambda z: z.transpose(2, 0, 1).reshape(9, 2), {}),
    "flatten all": (flatten_axes(Z, (E, N, H), E * N * H),
                    lambda z: z.transpose(2, 0, 1).reshape(18), {}),
    "flatten lacking": (flatten_axes(V, (N, D), N * D), lambda v: np.tile(v, 3), {}),
    "window": (window_axis(X, D, P, R, stride=2, dilation=3, padding=1), windows, {}),
    "patches": (window_axis(X, D, E, R, stride=R), lambda x: x.reshape(3, 3, 2), {}),
    "moving": (window_axis(V, D, K, E), lambda v: np.stack([v[i : i + 3] for i in range(4)]), {}),
}  # fmt: skip
CASES = [pytest.param(*row, id=key) for key, row in BUILDERS.items()]


def env_of(extra: Env) -> Env:
    return {**ENV, **extra}


def holds(condition: Condition, place: Env) -> bool:
    value = condition.expr.evaluate(place)
    if isinstance(condition, Divides):
        return value % condition.divisor.evaluate(place) == 0
    return 0 <= value < condition.size.evaluate(place)


def defined(node: Node, values: Values, env: Env) -> Array:
    """The node element by element, as the definition of index maps says."""
    mapping: IndexMap = node["map"]
    dims = [axis.evaluate(env) for axis in node.axes]
    result = np.full(dims, mapping.fill, dtype=np.float64)
    for place in product(*map(range, dims)):
        here = {f"i[{axis}]": i for axis, i in zip(node.axes, place, strict=True)} | dict(env)
        for x, piece in zip(node.operands, mapping.pieces, strict=True):
            if all(holds(c, here) for c in piece.domain):
                exprs = dict(piece.exprs)
                read = tuple(exprs.get(a, variable(a)).evaluate(here) for a in x.axes)
                assert all(0 <= i < n for i, n in zip(read, values[x].shape, strict=True))
                result[place] = values[x][read]
    return result


@pytest.mark.parametrize(("node", "reference", "extra"), CASES)
def test_builders_agree_with_numpy(node: Node, reference: object, extra: Env) -> None:
    values = fill([node], env=ENV)
    assert callable(reference)
    wanted = reference(*(values[x] for x in inputs([node])))
    np.testing.assert_array_equal(run(node, values, env_of(extra)), wanted)


@pytest.mark.parametrize(("node", "reference", "extra"), CASES)
def test_evaluation_agrees_with_the_definition(node: Node, reference: object, extra: Env) -> None:
    del reference
    values = fill([node], env=ENV)
    if node.op is index:
        np.testing.assert_array_equal(
            run(node, values, env_of(extra)), defined(node, values, env_of(extra))
        )


def assert_transposed(node: Node, x: Node, env: Env, values: Values) -> Node | None:
    """<g, A x> == <A' g, x> for a linear node; gives A' g."""
    g = input_(name="cotangent", dtype=F64, axes=node.axes)
    found = backpropagate([(node, g)], [x])
    if x not in found:
        return None
    back = found[x]
    dims = tuple(axis.evaluate(env) for axis in node.axes)
    values = {**values, g: np.random.default_rng(7).normal(size=dims)}
    zeros = {y: np.zeros_like(v) for y, v in values.items()}
    linear = run(node, {**zeros, x: values[x]}, env) - run(node, zeros, env)
    left = float(np.sum(linear * values[g]))
    whole = laid_out(run(back, values, env), back.axes, x.axes, env)
    assert float(np.sum(whole * values[x])) == pytest.approx(left, rel=1e-12, abs=1e-12)
    return back


FINITE = [case for case in CASES if case.id not in ("pad", "swap", "rename")]


@pytest.mark.parametrize(("node", "reference", "extra"), FINITE)
def test_adjoints_are_transposes_and_so_are_theirs(
    node: Node, reference: object, extra: Env
) -> None:
    del reference
    env, values = env_of(extra), fill([node], env=ENV)
    for x in inputs([node]):
        back = assert_transposed(node, x, env, values)
        assert back is not None
        (g,) = [y for y in inputs([back]) if y["name"] == "cotangent"]
        start = np.random.default_rng(3).normal(size=[a.evaluate(env) for a in g.axes])
        other = input_(name="again", dtype=F64, axes=g.axes)
        (moved,) = substitute([back], {g: other})
        assert_transposed(moved, other, env, {other: start})


def test_adjoints_of_simple_maps_are_total() -> None:
    """No needless mask: a pad's and a concat's adjoints are slices, a flatten's a reshape."""
    g = input_(name="g", dtype=F64, axes=(N, D + 3))
    (back,) = backpropagate([(pad_axis(X, D, 1, 0, D + 3), g)], [X]).values()
    assert back["map"] == IndexMap((D,), (Piece(((D + 3, variable(D) + 1),)),))
    joined = concat_axis([(X, D), (Y, H)], D + H)
    g = input_(name="g", dtype=F64, axes=joined.axes)
    for back in backpropagate([(joined, g)], [X, Y]).values():
        assert back["map"].is_total
    flat = flatten_axes(Z, (H, E), H * E)
    g = input_(name="g", dtype=F64, axes=flat.axes)
    (back,) = backpropagate([(flat, g)], [Z]).values()
    assert back == unflatten_axis(g, H * E, (H, E))


def test_zero_sizes() -> None:
    env = {**ENV, "D": 0}
    values = fill([X], env=env)
    for node in (flip_axis(X, D), roll_axis(X, D, 1), pad_axis(X, D, 1, 2, D + 3),
                 flatten_axes(X, (N, D), N * D), concat_axis([(X, D), (X, D)], 2 * D)):  # fmt: skip
        result = run(node, values, env)
        assert result.shape == tuple(a.evaluate(env) for a in node.axes)
        assert (result == 2).all()


def test_a_general_piece_takes_the_masked_path() -> None:
    """A diagonal band: the condition varies along two axes at once."""
    axes: tuple[Axis, ...] = (D, E)
    condition = InRange(variable(D) - variable(E), as_size(2))
    mapping = IndexMap(axes, (Piece((), (condition,)),), -1)
    node = index(X, map=mapping)
    values = fill([node], env=ENV)
    np.testing.assert_array_equal(run(node, values, ENV), defined(node, values, ENV))
