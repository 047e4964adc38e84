"""Child processes that compile kernels.

In: requests (dataclasses of plain data). Out: the fields of what became of each.
Between: one line of JSON goes to a child's standard input and one comes back, so a child compiles many
kernels and imports Triton once. Children know nothing of `TRITON_INTERPRET`.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from types import TracebackType
from typing import Any

from tdsl.errors import InternalError

Reply = dict[str, Any]


def work(requests: Sequence[Any], workers: int) -> list[Reply]:
    """The replies in the order of the requests. InternalError: the first request that failed."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(requests)):
        waiting.put(index)
    outcomes: list[Reply | InternalError] = [{} for _ in requests]
    count = max(1, min(workers, len(requests)))
    with ThreadPoolExecutor(count) as pool:
        serving = [pool.submit(_serve, requests, waiting, outcomes) for _ in range(count)]
    for served in serving:
        served.result()
    return [_sound(outcome) for outcome in outcomes]


def _serve(
    requests: Sequence[Any], waiting: queue.SimpleQueue[int], outcomes: list[Reply | InternalError]
) -> None:
    """Give one child after another what is waiting; only a child's death ends it early."""
    while not waiting.empty():
        with _Child() as child:
            while child.alive:
                try:
                    index = waiting.get_nowait()
                except queue.Empty:
                    return
                outcomes[index] = child.ask(requests[index])


def _sound(outcome: Reply | InternalError) -> Reply:
    if isinstance(outcome, InternalError):
        raise outcome
    return outcome


class _Child:
    """A process that answers requests until its input ends."""

    def __enter__(self) -> _Child:
        self.alive = True
        # A file, because a pipe that nobody reads would stop a talkative compiler.
        self.complaints = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tdsl.backends.triton.aot"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.complaints,
            text=True, env=_environment(),
        )  # fmt: skip
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.communicate()
        self.complaints.close()

    def ask(self, request: Any) -> Reply | InternalError:
        """What became of one request, or why nothing did."""
        line = self._exchange(json.dumps(asdict(request)))
        if line:
            reply: Reply = json.loads(line)
            return InternalError(reply["failed"]) if "failed" in reply else reply
        self.alive = False
        status = self.process.wait()
        self.complaints.seek(0)
        said = self.complaints.read()[-2000:]
        return InternalError(f"compiling `{request.name}` ended with status {status}: {said}")

    def _exchange(self, line: str) -> str:
        """The child's answer; nothing if it has died."""
        if self.process.stdin is None or self.process.stdout is None:
            raise InternalError("a compiling process has no pipes")
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self.process.stdout.readline()


def _environment() -> dict[str, str]:
    """The environment and import path of this process, without the interpreter."""
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return kept | {"PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path)}
