"""Pages for large results, used again once nobody sees them.

In: a number of bytes. Out: memory that nobody else has. Between: fresh pages cost more than the arithmetic
of most kernels, so those of a result that is gone are kept for the next one of its size; views keep a
result's pages with it. What lies idle is bounded by `$TDSL_POOL_MB` (512 unless told; 0 keeps nothing, and
then only results of several huge pages have their own).
No result takes more than a tenth beyond its own bytes.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from tdsl import faults

LARGE = 1 << 20
"""Bytes from which pages are worth keeping."""
HUGE_PAGE = 1 << 21
"""Bytes of a huge page, which comes for a tenth of what its small ones cost, but whole."""
DEFAULT_MB = 512


class Pool:
    """Idle pages by size, each with the number of its return.

    Pages come back whenever an object dies: in any thread, and amid a call of this thread. So there is no
    lock, which could wait for itself: each step that changes or copies a container is done at once, and
    pages belong to whoever took them out of theirs.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._returns = count()
        self._idle: dict[int, deque[tuple[int, mmap.mmap]]] = {}

    @property
    def limit(self) -> int:
        """How many bytes may lie idle. Raises TdslValueError where `$TDSL_POOL_MB` is no such number."""
        if self._limit is None:
            self._limit = _limit()
        return self._limit

    def leases(self, count: int) -> bool:
        """Whether a result of so many bytes has pages of its own.

        Where none are kept it still begins at a whole page, which NumPy's memory does not: vectors that
        cross lines of the cache take twice as long to store.
        """
        return count >= (LARGE if self.limit else 2 * HUGE_PAGE)

    def lease(self, least: int) -> Any:
        """An object with at least so many bytes of memory, which come back when it is gone."""
        size = _rounded(least)
        try:
            pages = self._idle[size].pop()[1]
        except (KeyError, IndexError):
            pages = _pages(size)
        lease = (ctypes.c_char * size).from_buffer(pages)
        # At exit results are still seen: by threads, and by what is registered with atexit.
        weakref.finalize(lease, self._back, size, pages).atexit = False
        return lease

    def _back(self, size: int, pages: mmap.mmap) -> None:
        """Keep pages; the oldest are let go where too many lie idle."""
        if size > self.limit:
            return
        self._idle.setdefault(size, deque()).append((next(self._returns), pages))
        while self.idle_bytes() > self.limit:
            with suppress(IndexError, ValueError):  # somebody took them in between
                min(filter(None, self._idle.copy().values()), key=lambda held: held[0]).popleft()

    def idle_bytes(self) -> int:
        """How many bytes lie idle."""
        return sum(size * len(held) for size, held in self._idle.copy().items())


def _rounded(least: int) -> int:
    """One of 32 sizes for each power of two: few kinds of pages, and at most a 32nd too much."""
    step = 1 << max(least.bit_length() - 6, 0)
    return -(-least // step) * step


def _pages(size: int) -> mmap.mmap:
    """Fresh pages of this process alone, in huge ones where the system has them.

    The last huge page is one where it exceeds the size by at most a 16th. The addresses reserved are
    whole huge pages, for which Linux then begins at a multiple of them; what is not touched costs nothing.
    """
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    whole = -(-size // HUGE_PAGE) * HUGE_PAGE
    pages = mmap.mmap(-1, whole, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    huge = whole if whole - size <= size // 16 else whole - HUGE_PAGE
    if huge and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # the system has no huge pages
            pages.madvise(mmap.MADV_HUGEPAGE, 0, huge)
    return pages


def _limit() -> int:
    """The bytes that the environment allows. Raises TdslValueError."""
    told = os.environ.get("TDSL_POOL_MB", "").strip() or str(DEFAULT_MB)
    with suppress(ValueError, OverflowError):
        if (megabytes := float(told)) >= 0:
            return int(megabytes * (1 << 20))
    hint = f"set it to 0, which keeps nothing, or more; without it {DEFAULT_MB} is taken"
    raise faults.BAD_SETTING.at(
        variable="TDSL_POOL_MB", value=told, wanted="a number of megabytes", hint=hint
    )


POOL = Pool()
"""The process's own."""


@contextmanager
def leasing_from(other: Pool) -> Iterator[None]:
    """Results take their pages from another pool meanwhile."""
    global POOL  # noqa: PLW0603 - the one place that all executors read
    own, POOL = POOL, other
    try:
        yield
    finally:
        POOL = own
