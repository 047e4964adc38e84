"""Threads of the executors on the processor: how many there are, and when a second one pays.

In: the environment and the system. Out: a number for the process. Between: a forked child runs one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable

SMALL = 16384
"""Elements for which a second thread does not pay."""


class Threads:
    """How many threads run kernels: the processors that this process may use, or as OpenMP is told."""

    def __init__(self) -> None:
        told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
        own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.count = int(told) if told.isdigit() and int(told) else own or 1

    def one(self) -> None:
        """In a forked child the parent's threads are gone, and waiting for them would never end."""
        self.count = 1


def after_fork(act: Callable[[], None]) -> None:
    """Do something in every forked child, where the system has such."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=act)


THREADS = Threads()
after_fork(THREADS.one)
