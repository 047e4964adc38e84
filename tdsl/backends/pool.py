"""Pages for large results, used again once nobody sees them.

In: a number of bytes. Out: memory that nobody else has. Between: fresh pages cost more than the arithmetic
of most kernels, so those of a result that is gone are kept for the next one of its size; views keep a
result's pages with it. What lies idle is bounded by `$TDSL_POOL_MB` (512 unless told; 0 keeps nothing).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections import deque
from contextlib import suppress
from typing import Any

LARGE = 1 << 20
"""Bytes from which pages are worth keeping."""
ROUND = 1 << 21
"""Sizes are rounded up to large pages."""


class Pool:
    """Idle pages by size. Nothing is locked: whatever is done to a deque is done at once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.idle: dict[int, deque[mmap.mmap]] = {}
        self.order: deque[int] = deque()

    def lease(self, count: int) -> Any:
        """An object with at least so many bytes of memory, which come back when it is gone."""
        size = -(-count // ROUND) * ROUND
        try:
            pages = self.idle[size].pop()
        except (KeyError, IndexError):
            pages = _pages(size)
        lease = (ctypes.c_char * size).from_buffer(pages)
        weakref.finalize(lease, self._back, size, pages)
        return lease

    def _back(self, size: int, pages: mmap.mmap) -> None:
        """Keep pages; the oldest are let go where too many lie idle."""
        self.idle.setdefault(size, deque()).append(pages)
        self.order.append(size)
        while self.order and self.idle_bytes() > self.limit:
            oldest = self.idle.get(self.order.popleft())
            if oldest:
                oldest.popleft()
        while len(self.order) > MOST_NOTED:
            self.order.popleft()

    def idle_bytes(self) -> int:
        """How many bytes lie idle."""
        return sum(size * len(pages) for size, pages in [*self.idle.items()])


MOST_NOTED = 1024
"""How many returns are remembered, to know the oldest."""


def _pages(size: int) -> mmap.mmap:
    """Fresh pages of this process alone, large ones where the system has them."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # the system has no large pages
            pages.madvise(mmap.MADV_HUGEPAGE)
    return pages


POOL = Pool(int(float(os.environ.get("TDSL_POOL_MB", "512")) * (1 << 20)))
