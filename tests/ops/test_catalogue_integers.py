"""Integers and casts: exact, against Python's integers and torch's conversions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from tdsl.backends.torch_dtype import torch_dtype
from tdsl.ir.dtype import BF16, DTYPES, F16, F32, F64, Dtype
from tdsl.ir.size import name
from tdsl.ops import (
    Pointwise,
    add,
    cast,
    floordiv,
    fmod,
    input_,
    mul,
    neg,
    numpy_dtype,
    pow_,
    remainder,
    shift_left,
    shift_right,
    sub,
)
from tests.ops.graphs import along, fill, run

N, D = name("N"), name("D")
INF, NAN = math.inf, math.nan

INTEGERS = [d for d in DTYPES.values() if d.kind in ("int", "uint")]


def wrapped(value: int, dtype: Dtype) -> int:
    value %= 1 << dtype.bits
    signed = dtype.kind == "int" and value >= 1 << (dtype.bits - 1)
    return value - (1 << dtype.bits) if signed else value


def truncated_remainder(x: int, y: int) -> int:
    return int(math.copysign(1, x)) * (abs(x) % abs(y)) if y else 0


def integer_power(x: int, y: int) -> int:
    if y >= 0:
        return int(x**y)
    return {1: 1, -1: 1 if y % 2 == 0 else -1}.get(x, 0)


def shifted_left(x: int, y: int, bits: int) -> int:
    return x << y if 0 <= y < bits else 0


def shifted_right(x: int, y: int, bits: int) -> int:
    return x >> (y if 0 <= y < bits else bits)


EXACT: list[tuple[Pointwise, Callable[[int, int, int], int]]] = [
    (add, lambda x, y, bits: x + y),
    (sub, lambda x, y, bits: x - y),
    (mul, lambda x, y, bits: x * y),
    (floordiv, lambda x, y, bits: x // y if y else 0),
    (remainder, lambda x, y, bits: x % y if y else 0),
    (fmod, lambda x, y, bits: truncated_remainder(x, y)),
    (shift_left, shifted_left),
    (shift_right, shifted_right),
]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize(("op", "rule"), EXACT, ids=[op.name for op, _ in EXACT])
def test_integers_wrap(op: Pointwise, rule: Callable[[int, int, int], int], dtype: Dtype) -> None:
    info = np.iinfo(numpy_dtype(dtype))
    points = {0, 1, 2, 3, 7, 100, dtype.bits - 1, dtype.bits, info.max, info.max - 1, info.min}
    points |= {-1, -2, -7, -100} if dtype.kind == "int" else set()
    pairs = [(x, y) for x in sorted(points) for y in sorted(points)]
    arrays = [np.array(column, numpy_dtype(dtype)) for column in zip(*pairs, strict=True)]
    wanted = [wrapped(rule(x, y, dtype.bits), dtype) for x, y in pairs]
    assert along(op, dtype, arrays).tolist() == wanted


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integer_powers_and_negation(dtype: Dtype) -> None:
    bases = [0, 1, 2, 3, 5] + ([-1, -2, -3] if dtype.kind == "int" else [])
    exponents = [0, 1, 2, 5, 60] + ([-1, -2, -3] if dtype.kind == "int" else [])
    pairs = [(x, y) for x in bases for y in exponents]
    arrays = [np.array(column, numpy_dtype(dtype)) for column in zip(*pairs, strict=True)]
    wanted = [wrapped(integer_power(x, y), dtype) for x, y in pairs]
    assert along(pow_, dtype, arrays).tolist() == wanted
    lowest = np.array([np.iinfo(numpy_dtype(dtype)).min, 5], numpy_dtype(dtype))
    assert along(neg, dtype, [lowest]).tolist() == [wrapped(-int(x), dtype) for x in lowest]


def converted(value: float, dtype: Dtype) -> int:
    info = np.iinfo(numpy_dtype(dtype))
    if math.isnan(value):
        return 0
    return int(min(max(value, info.min), info.max)) if math.isfinite(value) else (
        int(info.max) if value > 0 else int(info.min))  # fmt: skip


@pytest.mark.parametrize("source", [F16, BF16, F32, F64], ids=str)
@pytest.mark.parametrize("target", INTEGERS, ids=str)
def test_casts_to_integers_truncate_and_saturate(source: Dtype, target: Dtype) -> None:
    with np.errstate(over="ignore"):
        points = [0.0, -0.0, 0.9, -0.9, 1.5, -1.5, 200.0, -200.0, 1e5, 3e9, -3e9, 1e19, 2.0**63,
                  -(2.0**63), 2.0**64, 1e300, -1e300, NAN, INF, -INF]  # fmt: skip
        values = np.array(points).astype(np.float32).astype(numpy_dtype(source))
    x = input_(name="x", dtype=source, axes=(N,))
    got = run(cast(x, dtype=target), {x: values}, {"N": len(values)})
    assert got.tolist() == [converted(float(v), target) for v in values]


@pytest.mark.parametrize("target", DTYPES.values(), ids=str)
@pytest.mark.parametrize("source", DTYPES.values(), ids=str)
def test_casts_agree_with_torch(source: Dtype, target: Dtype) -> None:
    x = input_(name="x", dtype=source, axes=(N, D))
    array = fill([x])[x]
    wide = array.astype(np.float64)
    wanted = torch.from_numpy(wide).to(torch_dtype(source)).to(torch_dtype(target))
    got = run(cast(x, dtype=target), {x: array})
    if (source.kind, target.kind) != ("float", "uint"):
        np.testing.assert_array_equal(got.astype(np.float64), wanted.to(torch.float64).numpy())
