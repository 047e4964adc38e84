"""Threads that run tiles beside the one that calls: one pool for the process.

In: work, and how many pieces it has. Out: nothing. Between: the calling thread takes part and waits for
none that has not begun; NumPy gives other threads their turn while it computes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress

from tdsl.backends.threads import THREADS, Pool

Work = Callable[[Iterator[int]], None]


POOL = Pool("tdsl", lambda: max(1, THREADS.count - 1))


def share_out(work: Work, count: int, threads: int) -> None:
    """Run the work on the numbers below `count`, each given to one thread. Raises what it raises.

    Each thread begins with numbers that follow one another: two that write to one fresh page at once both
    wait until it has been filled with zeros, and of large pages each fills one of its own in vain.
    """
    if count == 1 or threads == 1:
        work(iter(range(count)))
        return
    workers = min(threads, count)
    shares = [
        deque(range(i * count // workers, (i + 1) * count // workers)) for i in range(workers)
    ]
    helpers: list[Future[None]] = []
    with suppress(RuntimeError):  # no thread begins when the interpreter ends
        helpers.extend(POOL.submit(work, _taken(shares, own)) for own in shares[1:])
    try:
        work(_taken(shares, shares[0]))
    finally:
        for share in shares:
            share.clear()
        begun = [helper for helper in helpers if not helper.cancel()]
        for helper in begun:
            helper.result()


def _taken(shares: Sequence[deque[int]], own: deque[int]) -> Iterator[int]:
    """A thread's own numbers, then the last ones of whoever has the most left."""
    while any(shares):
        try:
            number = own.popleft() if own else max(shares, key=len).pop()
        except IndexError:  # another thread has taken the last one
            continue
        yield number
