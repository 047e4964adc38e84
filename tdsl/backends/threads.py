"""Threads on the processor: how many run kernels, when a second one pays, and pools of them.

In: the environment and the system. Out: a number for the process, and work that other threads do.
Between: a forked child runs one thread, and has none of its parent's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
SMALL = 16384
"""Elements for which a second thread does not pay."""


def processors() -> int:
    """How many processors this process may use."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return own or 1


class Threads:
    """How many threads run kernels: the processors that this process may use, or as OpenMP is told."""

    def __init__(self) -> None:
        told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
        self.count = int(told) if told.isdigit() and int(told) else processors()

    def one(self) -> None:
        """In a forked child the parent's threads are gone, and waiting for them would never end."""
        self.count = 1


def after_fork(act: Callable[[], None]) -> None:
    """Do something in every forked child, where the system has such."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=act)


THREADS = Threads()
after_fork(THREADS.one)


class Pool:
    """Threads of one name, as many as `most` says when they are first needed."""

    def __init__(self, name: str, most: Callable[[], int]) -> None:
        self.name, self.most = name, most
        self.threads: Executor | None = None
        after_fork(self.forget)

    def forget(self) -> None:
        """In a forked child the parent's threads are gone."""
        self.threads = None

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin work in another thread. Raises RuntimeError when the interpreter ends."""
        if self.threads is None:
            from concurrent.futures.thread import ThreadPoolExecutor

            self.threads = ThreadPoolExecutor(self.most(), self.name)
        return self.threads.submit(work, *args, **kwargs)
