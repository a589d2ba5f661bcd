# SPDX-License-Identifier: Apache-2.0
"""`Task`: what one worker of this party has to do, between the scheduler that gives out bins and the executor
that runs the worker function somewhere."""

from __future__ import annotations

import importlib
import json
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from crypsis.errors import ConfigError, CrypsisError
from crypsis.mpc.transport import Channel


class Work(Protocol):
    """A worker function. It lives at module level, for a worker elsewhere imports it by name.

    channel  to the opposite number, which runs the peer's worker function on the same bins in the same order
    spec     what the driver gave: JSON-able
    bins     bin numbers, as they fall due; blocks, and ends when there are no more. The next bin is given out
             before the last one is done, so a worker may begin it early
    done     to be called once for each bin, in any order, with a JSON-able result
    """

    def __call__(
        self,
        channel: Channel,
        spec: dict[str, Any],
        bins: Iterator[int],
        done: Callable[[int, dict[str, Any]], None],
    ) -> None: ...


class WorkerLost(CrypsisError):
    """A worker ended before its bins: killed, its machine gone, or no longer wanted."""


class WorkerError(CrypsisError):
    """A worker function raised what is none of the errors of crypsis.errors."""


def name_of(work: Work) -> str:
    """ "module:function" of a worker function, checked to lead back to it. ConfigError otherwise."""
    module, name = getattr(work, "__module__", None), getattr(work, "__qualname__", None)
    if isinstance(module, str) and isinstance(name, str) and module != "__main__":
        full = f"{module}:{name}"
        try:
            if function_named(full) is work:
                return full
        except (ImportError, AttributeError):
            pass
    raise ConfigError(
        f"worker function {work!r} cannot be imported by name; define it at the top level of a module"
        " that is not the script being run"
    )


def function_named(full: str) -> Work:
    """The function behind "module:function"."""
    module, _, name = full.partition(":")
    function: Work = getattr(importlib.import_module(module), name)
    return function


class Task:
    """One worker's bins. The scheduler calls `assign`, `finish` and `cancel`, the executor everything else."""

    def __init__(
        self, number: int, work: str, spec: dict[str, Any], report: Callable[[int, int, dict[str, Any]], None]
    ) -> None:
        self.number, self.work, self.spec = number, work, spec
        self._report = report
        self._bins: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._undone: set[int] = set()
        self._finished = False
        self._cancelled = ""
        self._on_cancel: list[Callable[[], None]] = []

    # ---- the scheduler's side

    def assign(self, number: int) -> None:
        """Give the worker one more bin."""
        with self._lock:
            self._undone.add(number)
        self._bins.put(number)

    def finish(self) -> None:
        """There are no more bins."""
        self._finished = True
        self._bins.put(None)

    def cancel(self, reason: str) -> None:
        """End the worker now, wherever it is."""
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = reason
            actions = self._on_cancel
        self._bins.put(None)
        for action in reversed(actions):
            action()

    # ---- the executor's side

    def on_cancel(self, action: Callable[[], None]) -> None:
        """Call `action` when the worker is to end now, at once if that was asked for already."""
        with self._lock:
            self._on_cancel.append(action)
            late = bool(self._cancelled)
        if late:
            action()

    @property
    def cancelled(self) -> bool:
        """Whether the worker is no longer wanted."""
        return bool(self._cancelled)

    def bins(self) -> Iterator[int]:
        """The worker's bins. Raises WorkerLost when it is no longer wanted."""
        while True:
            number = self._bins.get()
            if self._cancelled:
                raise WorkerLost(f"worker {self.number} was ended: {self._cancelled}")
            if number is None:
                return
            yield number

    def done(self, number: int, result: dict[str, Any]) -> None:
        """The worker has done bin `number`. Raises ValueError for a bin it does not have, TypeError for a
        result that JSON cannot hold."""
        if not isinstance(result, dict):
            raise TypeError(f"the result of bin {number} is a {type(result).__name__}: give a dict")
        result = json.loads(json.dumps(result))  # what an executor elsewhere would make of it
        with self._lock:
            if number not in self._undone:
                raise ValueError(
                    f"worker {self.number} reported bin {number!r}, which it does not have or had done before"
                )
            self._undone.remove(number)
        self._report(self.number, number, result)

    def check_ended(self) -> None:
        """Raises WorkerLost when the worker function returned too early."""
        with self._lock:
            undone = len(self._undone)
        if undone or not self._finished:
            raise WorkerLost(
                f"worker {self.number}: its function returned before its bins ended ({undone} not done)"
            )
