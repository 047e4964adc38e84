"""Pages of large results: used again when nobody sees them, bounded, and never shared."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from tdsl.backends import arrays, pool
from tdsl.backends.pool import LARGE, POOL, ROUND, Pool
from tdsl.ir.dtype import F32

COUNT = LARGE // 4


def fresh() -> Any:
    return arrays.NUMPY.maker((COUNT,), F32)()


def place(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


@pytest.fixture(autouse=True)
def own_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "POOL", Pool(4 * ROUND))


def test_pages_are_used_again() -> None:
    first = fresh()
    before = place(first)
    del first
    assert place(fresh()) == before


@pytest.mark.parametrize("view", [lambda x: x[3:5], lambda x: x.reshape(2, -1), memoryview, iter])
def test_what_somebody_sees_is_never_handed_out(view: Any) -> None:
    first = fresh()
    first[...] = 1.0
    before, seen = place(first), view(first)
    del first
    gc.collect()
    second = fresh()
    assert place(second) != before
    del seen
    gc.collect()
    assert place(fresh()) == before


def test_what_lies_idle_is_bounded() -> None:
    own = Pool(4 * ROUND)
    leases = [own.lease((1 + place % 3) * ROUND) for place in range(12)]
    del leases
    assert own.idle_bytes() <= 4 * ROUND
    for _ in range(2000):
        own.lease(1)
    assert own.idle_bytes() <= 4 * ROUND
    assert len(own.order) <= 1024


def test_nothing_is_kept_where_it_is_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "POOL", Pool(0))
    assert fresh().flags.owndata


def test_the_processes_pool_is_bounded() -> None:
    assert POOL.limit == 512 << 20


def test_small_results_are_plain() -> None:
    assert arrays.NUMPY.maker((8,), F32)().flags.owndata
    assert isinstance(fresh(), np.ndarray)
