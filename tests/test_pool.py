"""Pages of large results: used again when nobody sees them, bounded, and never shared."""

from __future__ import annotations

import ctypes
import gc
import mmap
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tdsl
from tdsl.backends import arrays, pool
from tdsl.backends.pool import HUGE_PAGE, LARGE, POOL, Pool
from tdsl.ir.dtype import F32

COUNT = LARGE // 4
SIZES = [
    1_048_576, 1_048_577, 1_500_000, 1_967_000, 2_060_000, 2_300_000, 3_100_000, 17_500_000, 33_600_000,
]  # fmt: skip


def fresh() -> Any:
    return arrays.NUMPY.maker((COUNT,), F32)()


def place(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def resident(lease: Any) -> int:
    """The bytes of whole huge pages from a lease's first one on that are in memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    reserved = -(-len(lease) // HUGE_PAGE) * HUGE_PAGE
    found = (ctypes.c_ubyte * (reserved // mmap.PAGESIZE))()
    where = ctypes.c_void_p(ctypes.addressof(lease))
    if libc.mincore(where, ctypes.c_size_t(reserved), found):
        raise OSError(ctypes.get_errno())
    return sum(page & 1 for page in found) * mmap.PAGESIZE


def is_in_huge_pages(lease: Any) -> bool:
    """Whether huge pages are asked for where a lease begins."""
    is_inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *others = line.split()
        if not first.endswith(":"):
            start, end = (int(part, 16) for part in first.split("-"))
            is_inside = start <= ctypes.addressof(lease) < end
        elif is_inside and first == "VmFlags:":
            return "hg" in others
    raise AssertionError("the lease lies nowhere")


on_linux = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="no Linux")


@pytest.fixture(autouse=True)
def own_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "POOL", Pool(4 * HUGE_PAGE))


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


def test_at_exit_what_somebody_sees_is_not_handed_out() -> None:
    script = """
import atexit, ctypes

held = []

@atexit.register
def last():
    print(ctypes.addressof(held[0]) != ctypes.addressof(POOL.lease(1 << 20)))

from tdsl.backends.pool import POOL
held.append(POOL.lease(1 << 20))
"""
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("True\n", "")


@on_linux
@pytest.mark.parametrize("count", SIZES)
def test_memory_taken_is_the_results_and_a_tenth(count: int) -> None:
    own = Pool(1 << 30)
    largest = own.lease(count)
    ctypes.memset(largest, 1, len(largest))
    del largest
    assert count <= resident(own.lease(count)) <= 1.1 * count


@on_linux
@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="the system has no huge pages"
)
def test_huge_pages_are_asked_for_where_they_fit() -> None:
    leases = {size: Pool(0).lease(size) for size in SIZES}
    found = {size for size, lease in leases.items() if is_in_huge_pages(lease)}
    assert found == {size for size in SIZES if size >= 1_900_000}


def test_what_lies_idle_is_bounded() -> None:
    own = Pool(4 * HUGE_PAGE)
    leases = [own.lease((1 + place % 3) * HUGE_PAGE) for place in range(12)]
    del leases
    assert own.idle_bytes() <= 4 * HUGE_PAGE
    for _ in range(2000):
        own.lease(LARGE)
    assert own.idle_bytes() <= 4 * HUGE_PAGE


def test_the_oldest_pages_are_let_go_however_many_came_since() -> None:
    own = Pool(100 * HUGE_PAGE)
    own.lease(90 * HUGE_PAGE)
    for _ in range(1100):
        own.lease(HUGE_PAGE)
    assert own.idle_bytes() == 91 * HUGE_PAGE
    before = ctypes.addressof(own.lease(20 * HUGE_PAGE))
    assert own.idle_bytes() == 21 * HUGE_PAGE
    assert ctypes.addressof(own.lease(20 * HUGE_PAGE)) == before


def test_what_is_larger_than_the_bound_takes_no_others_along() -> None:
    own = Pool(4 * HUGE_PAGE)
    own.lease(HUGE_PAGE)
    own.lease(5 * HUGE_PAGE)
    assert own.idle_bytes() == HUGE_PAGE


def exchange(own: Pool, seed: int) -> None:
    """Lease and give back, half of it through the collector, and look whether anybody else writes there."""
    rng = np.random.default_rng(seed)
    held: list[tuple[Any, bytes]] = []
    for step in range(400):
        lease = own.lease(LARGE * int(rng.integers(1, 5)))
        mark = b"%4d%4d" % (seed, step)
        lease[:8] = mark
        held.append((lease, mark))
        if len(held) > 5:
            old, written = held.pop(int(rng.integers(5)))
            assert old[:8] == written
            if step % 2:
                cycle: list[Any] = [old]
                cycle.append(cycle)
                del cycle
            del old
        del lease


def test_threads_and_the_collector_share_a_pool() -> None:
    own = Pool(8 * LARGE)
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(3)
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(exchange, [own] * 4, range(4)))
    finally:
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)
    gc.collect()
    assert 0 < own.idle_bytes() <= own.limit


def test_nothing_is_kept_where_it_is_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "POOL", Pool(0))
    assert fresh().flags.owndata
    large = arrays.NUMPY.maker((HUGE_PAGE,), F32)()
    assert place(large) % mmap.PAGESIZE == 0
    large[...] = 1.0
    del large
    assert pool.POOL.idle_bytes() == 0


def test_the_processes_pool_is_bounded() -> None:
    assert POOL.limit == 512 << 20


@pytest.mark.parametrize(("told", "limit"), [("", 512 << 20), ("0", 0), ("1.5", 3 << 19)])
def test_the_environment_sets_the_bound(
    told: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDSL_POOL_MB", told)
    assert Pool().limit == limit


def with_arrays() -> Any:
    return np.ones(3, np.float32)


def with_tensors() -> Any:
    return pytest.importorskip("torch").ones(3)


@pytest.mark.parametrize("told", ["abc", "-5", "-1e-9", "nan", "inf", "512MB"])
@pytest.mark.parametrize("given", [with_arrays, with_tensors])
def test_a_wrong_bound_is_reported_by_the_first_call(
    told: str, given: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDSL_POOL_MB", told)
    monkeypatch.setattr(pool, "POOL", Pool())
    double = tdsl.compile("def double(x: T[N]) -> T[N]:\n    return x * 2\n")
    with pytest.raises(tdsl.TdslError, match="TDSL_POOL_MB") as caught:
        double.using(backend="numpy")(given())
    assert (caught.value.code, f"`{told}`" in caught.value.message) == ("E0506", True)
    assert "512" in caught.value.hint


def test_small_results_are_plain() -> None:
    assert arrays.NUMPY.maker((8,), F32)().flags.owndata
    assert isinstance(fresh(), np.ndarray)
