"""Values of every operation against torch, SciPy and Python's integers, special values included."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch

from tdsl.errors import TdslError
from tdsl.ir.dtype import BF16, BOOL, DTYPES, F16, F32, F64, I64, Dtype
from tdsl.ir.node import Node
from tdsl.ir.size import name
from tdsl.ops import (
    Operation,
    Pointwise,
    all_,
    any_,
    argmax,
    argmin,
    clamp,
    cummax,
    cumprod,
    cumsum,
    dot,
    input_,
    logcumsumexp,
    max_,
    min_,
    numpy_dtype,
    prod,
    recurrence,
    scatter,
    sum_,
    take,
)
from tests.ops.graphs import OPERATIONS, SIZES, Array, along, concrete, fill, inputs, run, shape

N, D, H, K, V = map(name, "NDHKV")
INF, NAN = math.inf, math.nan
Reference = Callable[..., Any]

# What torch calls otherwise, or does otherwise than the language says (sign of NaN).
REFERENCES: dict[str, Reference | None] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "neg": torch.neg,
    "floordiv": np.floor_divide, "remainder": np.remainder, "fmod": np.fmod, "sign": np.sign,
    "pow": torch.pow, "clamp": torch.clamp, "equal": torch.eq, "not_equal": torch.ne,
    "less": torch.lt, "less_equal": torch.le, "greater": torch.gt, "greater_equal": torch.ge,
    "cbrt": scipy.special.cbrt, "where": torch.where, "erf": scipy.special.erf,
    "erfc": scipy.special.erfc, "erfinv": scipy.special.erfinv,
    "digamma": scipy.special.digamma, "cast": None, "polygamma": None, "checkpoint": None,
    "save": None, "stop_gradient": None,
}  # fmt: skip
FLOATING = [op for op in OPERATIONS if isinstance(op, Pointwise) and "float" in op.kinds]
REFERRED = [op for op in FLOATING if REFERENCES.get(op.name, getattr(torch, op.name, None))]
SPECIAL = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, 1e-40, 5e-324, 1e300, -1e300]


def reference(op: Operation, arrays: list[Array]) -> Array:
    function = REFERENCES.get(op.name, getattr(torch, op.name, None))
    assert function is not None
    if isinstance(function, np.ufunc):
        with np.errstate(all="ignore"):
            return np.asarray(function(*arrays))
    return np.asarray(function(*map(torch.from_numpy, arrays)))


@pytest.mark.parametrize("op", REFERRED, ids=str)
def test_ordinary_values(op: Pointwise) -> None:
    node = op.sample(F64, [(N, D)], op.variants[0])
    for seed in range(5):
        values = fill([node], seed=seed)
        wanted = reference(op, [values[x] for x in node.operands])
        np.testing.assert_allclose(run(node, values), wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
@pytest.mark.parametrize("op", REFERRED, ids=str)
def test_special_values(op: Pointwise, dtype: Dtype) -> None:
    with np.errstate(over="ignore"):
        points = np.array(SPECIAL).astype(numpy_dtype(dtype))
    grids = np.meshgrid(*[points] * len(op.domain))
    arrays = [np.ascontiguousarray(grid.ravel()) for grid in grids]
    arrays = [a > 0 if d is None else a for a, d in zip(arrays, op.domain, strict=True)]
    wanted = reference(op, arrays)
    got = along(op, dtype, arrays)
    rtol = 1e-13 if dtype == F64 else 1e-6
    tiny = float(np.finfo(numpy_dtype(dtype)).tiny)
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=tiny)


X = input_(name="x", dtype=F64, axes=(N, D))
BITS = input_(name="x", dtype=BOOL, axes=(N, D))
INTS = input_(name="x", dtype=I64, axes=(N, D))
ROW = input_(name="i", dtype=I64, axes=(N,))

DATA = np.array([[3.0, 1.0, 3.0, 2.0], [1.0, NAN, 5.0, NAN], [-INF, INF, -INF, 0.0]])
REDUCED: list[tuple[str, Node, Array, Any]] = [
    ("sum", sum_(X, axes=(D,)), DATA, [9.0, NAN, NAN]),
    ("max", max_(X, axes=(D,)), DATA, [3.0, NAN, INF]),
    ("min", min_(X, axes=(D,)), DATA, [1.0, NAN, -INF]),
    ("argmax", argmax(X, axes=(D,)), DATA, [0, 1, 1]),
    ("argmin", argmin(X, axes=(D,)), DATA, [1, 1, 0]),
    ("argmax of all", argmax(X, axes=(N, D)), DATA, 5),
    ("argmax of all, turned", argmax(X, axes=(D, N)), DATA, 4),
    ("prod", prod(X, axes=(D,)), np.abs(DATA), [18.0, NAN, NAN]),
    ("sum of bools", sum_(BITS, axes=(N, D)), np.ones((3, 4), bool), 12),
    ("any", any_(BITS, axes=(D,)), np.eye(3, 4, dtype=bool)[::-1], [True, True, True]),
    ("all", all_(BITS, axes=(D,)), np.tri(3, 4, 1).astype(bool), [False, False, True]),
    ("sum wraps", sum_(INTS, axes=(N, D)), np.full((3, 4), 2**62), (12 * 2**62) % 2**64),
    ("cumsum", cumsum(X, axis=D, reverse=False), DATA,
     [[3.0, 4.0, 7.0, 9.0], [1.0, NAN, NAN, NAN], [-INF, NAN, NAN, NAN]]),
    ("cumsum back", cumsum(INTS, axis=D, reverse=True), np.arange(12).reshape(3, 4),
     np.cumsum(np.arange(12).reshape(3, 4)[:, ::-1], 1)[:, ::-1]),
    ("cumprod", cumprod(INTS, axis=N, reverse=False), np.arange(12).reshape(3, 4),
     np.cumprod(np.arange(12).reshape(3, 4), 0)),
    ("cummax", cummax(X, axis=D, reverse=False), DATA,
     [[3.0, 3.0, 3.0, 3.0], [1.0, NAN, NAN, NAN], [-INF, INF, INF, INF]]),
    ("logcumsumexp", logcumsumexp(X, axis=D, reverse=False),
     np.array([[-INF, -INF, 0.0, 0.0], [1000.0, 1000.0, -INF, 0.0], [NAN, 0.0, 0.0, 0.0]]),
     [[-INF, -INF, 0.0, math.log(2.0)], [1000.0] + [1000.0 + math.log(2.0)] * 3, [NAN] * 4]),
    ("recurrence", recurrence(X, X, axis=D, reverse=False), np.full((3, 4), 2.0),
     [[2.0, 6.0, 14.0, 30.0]] * 3),
]  # fmt: skip


@pytest.mark.parametrize(
    ("node", "data", "wanted"), [row[1:] for row in REDUCED], ids=[row[0] for row in REDUCED]
)
def test_reductions_and_scans(node: Node, data: Array, wanted: Any) -> None:
    got = run(node, dict.fromkeys(inputs([node]), data))
    np.testing.assert_allclose(got, wanted, rtol=1e-15)


EMPTIES: list[tuple[str, Node, Any]] = [
    ("sum", sum_(X, axes=(D,)), 0.0), ("prod", prod(X, axes=(D,)), 1.0),
    ("max", max_(X, axes=(D,)), -INF), ("min", min_(X, axes=(D,)), INF),
    ("any", any_(BITS, axes=(D,)), False), ("all", all_(BITS, axes=(D,)), True),
    ("max of ints", max_(INTS, axes=(D,)), -(2**63)),
    ("min of ints", min_(INTS, axes=(D,)), 2**63 - 1),
    ("max of bools", max_(BITS, axes=(D,)), False), ("min of bools", min_(BITS, axes=(D,)), True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("node", "wanted"), [row[1:] for row in EMPTIES], ids=[row[0] for row in EMPTIES]
)
def test_reductions_over_nothing(node: Node, wanted: Any) -> None:
    env = {**SIZES, "D": 0}
    assert run(node, fill([node], env=env), env).tolist() == [wanted] * 3


@pytest.mark.parametrize("op", [argmax, argmin], ids=str)
def test_the_position_in_nothing_is_an_error(op: Operation) -> None:
    env = {**SIZES, "D": 0}
    with pytest.raises(TdslError) as caught:
        run(op(X, axes=(D,)), fill([X], env=env), env)
    assert caught.value.code == "E0350"
    assert isinstance(caught.value, IndexError)


def test_clamp_with_crossed_bounds_is_the_upper_one() -> None:
    assert along(clamp, F64, [np.array([0.0]), np.array([1.0]), np.array([-1.0])]) == [-1.0]


EINSUMS = [
    ("ndh,hkn->ndk", (H,)),
    ("ndh,hkn->dk", (H, N)),
    ("ndh,hkn->dhk", (N,)),
    ("ndh,hkn->ndhk", ()),
    ("ndh,hkn->", (N, D, H, K)),
    ("ndh,hkn->nk", (D, H)),
]


@pytest.mark.parametrize(("letters", "axes"), EINSUMS)
@pytest.mark.parametrize("dtype", [F16, BF16, F32, F64, I64], ids=str)
def test_dot_is_einsum(letters: str, axes: tuple[Any, ...], dtype: Dtype) -> None:
    a = input_(name="a", dtype=dtype, axes=(N, D, H))
    b = input_(name="b", dtype=dtype, axes=(H, K, N))
    node = dot(a, b, axes=axes)
    values = fill([node])
    wide = [values[x].astype(np.float64) for x in (a, b)]
    wanted = np.einsum(letters, *wide)
    order = "".join(str(axis).lower() for axis in node.axes)
    wanted = np.einsum(f"{letters.split('->')[1]}->{order}", wanted)
    got = run(node, values)
    assert got.dtype == numpy_dtype(node.dtype)
    np.testing.assert_allclose(got, wanted, rtol=2e-6 if dtype != F64 else 1e-13, atol=1e-5)


def gathered(x: Array, index: Array) -> Array:
    """Row n of x at index n, 0 where there is nothing."""
    inside = (index >= 0) & (index < x.shape[1])
    return np.array([row[i] if ok else 0.0 for row, i, ok in zip(x, index, inside, strict=True)])


INDICES = [np.array([0, 3, 1]), np.array([-1, 4, 2]), np.array([2**62, -(2**63), 0])]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_take_aligns_shared_axes_and_reads_0_outside(index: Array) -> None:
    values = {**fill([X]), ROW: index}
    np.testing.assert_array_equal(run(take(X, ROW, axis=D), values), gathered(values[X], index))
    wide = run(take(X, input_(name="j", dtype=I64, axes=(K,)), axis=D), {
        **values, input_(name="j", dtype=I64, axes=(K,)): np.array([9, 0, 1, -1, 3])})  # fmt: skip
    padded = np.pad(values[X], ((0, 0), (0, 1)))
    np.testing.assert_array_equal(wide, padded[:, [4, 0, 1, 4, 3]])


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_scatter_sums_repeats_and_drops_what_is_outside(index: Array) -> None:
    values = {**fill([X]), ROW: np.array([1, 1, 9])}
    table = run(scatter(X, ROW, axis=V, sums=(N,)), values)
    wanted = np.zeros((4, 6))
    wanted[:, 1] = values[X][:2].sum(axis=0)
    np.testing.assert_allclose(table, wanted)
    one_hot = run(scatter(X, ROW, axis=V, sums=()), {**values, ROW: index})
    assert one_hot.shape == shape((N, D, V))
    hits = [[int(i) == v for v in range(6)] for i in index]
    np.testing.assert_array_equal(one_hot, values[X][:, :, None] * np.array(hits)[:, None])


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d.kind == "uint"], ids=str)
def test_unsigned_indices(dtype: Dtype) -> None:
    index = input_(name="i", dtype=dtype, axes=(N,))
    top = np.iinfo(numpy_dtype(dtype)).max
    values = {**fill([X]), index: np.array([0, 3, top], numpy_dtype(dtype))}
    got = run(take(X, index, axis=D), values)
    np.testing.assert_array_equal(got, [values[X][0, 0], values[X][1, 3], 0.0])


@pytest.mark.parametrize("order", [1, 2, 5])
def test_polygamma(order: int) -> None:
    from tdsl.ops import polygamma

    node = polygamma(X, n=order)
    values = {X: np.linspace(0.2, 9.0, 12).reshape(3, 4)}
    wanted = scipy.special.polygamma(order, values[X])
    np.testing.assert_allclose(run(node, values), wanted, rtol=1e-13)
    assert concrete(node.dtype) == F64
