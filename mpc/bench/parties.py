# SPDX-License-Identifier: Apache-2.0
"""Two parties in one process that stay: each has a thread and runs what it is given, over channels in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

from crypsis.errors import CrypsisError
from crypsis.mpc.transport import Channel, memory_pair

WAIT_S = 900.0
Make = Callable[[Channel], Any]
Task = Callable[[Any], Any]


class Parties:
    """`make` takes a party's channel and returns what its tasks are called with."""

    def __init__(self, first: Make, second: Make, *, names: tuple[str, str] = ("sender", "receiver")) -> None:
        channels = memory_pair(*names)
        self._tasks: list[SimpleQueue[Any]] = [SimpleQueue(), SimpleQueue()]
        self._done: SimpleQueue[Any] = SimpleQueue()
        self._threads = [
            Thread(target=self._serve, args=(i, make, channels[i]), daemon=True)
            for i, make in enumerate((first, second))
        ]
        for thread in self._threads:
            thread.start()

    def _serve(self, i: int, make: Make, channel: Channel) -> None:
        try:
            party = make(channel)
            while (task := self._tasks[i].get()) is not None:
                self._done.put((i, task(party)))
        except BaseException as error:
            self._done.put((i, error))  # before the other party hears of it, whose error says less
            channel.abort(type(error).__name__)
        else:
            with contextlib.suppress(CrypsisError):  # the other failed: that is known
                channel.close()

    def run(self, task: Task, other: Task | None = None) -> tuple[Any, Any]:
        """(the first's, the second's) result of `task(party)`, or of `other(party)` at the second."""
        for tasks, one in zip(self._tasks, (task, other or task), strict=True):
            tasks.put(one)
        results: dict[int, Any] = {}
        while len(results) < 2:
            i, result = self._done.get(timeout=WAIT_S)
            results[i] = result
            if isinstance(result, BaseException):
                raise result
        return results[0], results[1]

    def close(self) -> None:
        """Ends the threads, once what they are at is done."""
        for tasks in self._tasks:
            tasks.put(None)
        for thread in self._threads:
            thread.join(5)
