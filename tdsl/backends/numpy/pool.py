"""Threads that run tiles beside the one that calls: one pool for the process.

In: work, and how many pieces it has. Out: nothing. Between: the calling thread takes part and waits for
none that has not begun; NumPy gives other threads their turn while it computes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress

from tdsl.backends.threads import THREADS, Pool

Work = Callable[[Iterator[int]], None]


POOL = Pool("tdsl", lambda: max(1, THREADS.count - 1))


def share_out(work: Work, count: int, threads: int) -> None:
    """Run the work on the numbers below `count`, each given to one thread. Raises what it raises."""
    if count == 1 or threads == 1:
        work(iter(range(count)))
        return
    waiting = deque(range(count))
    helpers: list[Future[None]] = []
    with suppress(RuntimeError):  # no thread begins when the interpreter ends
        helpers.extend(POOL.submit(work, _taken(waiting)) for _ in range(min(threads, count) - 1))
    try:
        work(_taken(waiting))
    finally:
        waiting.clear()
        begun = [helper for helper in helpers if not helper.cancel()]
        for helper in begun:
            helper.result()


def _taken(waiting: deque[int]) -> Iterator[int]:
    """The numbers that no other thread has taken."""
    while True:
        try:
            number = waiting.popleft()
        except IndexError:
            return
        yield number
