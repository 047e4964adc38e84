"""Threads that run tiles beside the one that calls: one pool for the process.

In: work, and how many pieces it has. Out: nothing. Between: the calling thread takes part and waits for
none that has not begun; NumPy gives other threads their turn while it computes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import suppress

from tdsl.backends.threads import THREADS, after_fork

Work = Callable[[Iterator[int]], None]


class Pool:
    """The threads, started when they are first needed."""

    def __init__(self) -> None:
        self.threads: Executor | None = None

    def forget(self) -> None:
        """In a forked child the parent's threads are gone."""
        self.threads = None

    def submit(self, work: Work, pieces: Iterator[int]) -> Future[None]:
        """Begin work in another thread. Raises RuntimeError when the interpreter ends."""
        if self.threads is None:
            from concurrent.futures.thread import ThreadPoolExecutor

            self.threads = ThreadPoolExecutor(max(1, THREADS.count - 1), "tdsl")
        return self.threads.submit(work, pieces)


POOL = Pool()
after_fork(POOL.forget)


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
