# SPDX-License-Identifier: Apache-2.0
"""A bounded queue between two threads of one protocol, which an error on either side ends for both."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Ended(Exception):
    """The other side of a conveyor stopped; its own error says why."""


class Conveyor(Generic[T]):
    """Items in the order they were put, at most `capacity` waiting."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._finished = False
        self._broken = False

    def put(self, item: T) -> None:
        """Waits for room. Raises Ended after `end`."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._capacity or self._broken)
            if self._broken:
                raise Ended
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> T:
        """Waits for an item. Raises Ended after `end`, and when there is no more after `finish`."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._finished or self._broken)
            if self._broken or not self._items:
                raise Ended
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def finish(self) -> None:
        """Nothing more is put; what waits is still to be had."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def end(self) -> None:
        """Both sides stop at once."""
        with self._changed:
            self._broken = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        with suppress(Ended):
            while True:
                yield self.get()


class Crew:
    """Threads that work for one protocol run; the first error of any of them ends all.

    on_error: called once, with that error: it has to wake whoever waits for the peer.
    """

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._on_error = on_error
        self._conveyors: list[Conveyor[object]] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.error: BaseException | None = None

    def conveyor(self, capacity: int) -> Conveyor[T]:
        """A conveyor that ends with the crew."""
        made: Conveyor[T] = Conveyor(capacity)
        self._conveyors.append(made)  # type: ignore[arg-type]
        return made

    def start(self, name: str, work: Callable[[], None], *, awaited: bool = True) -> None:
        """Runs `work` in a thread of its own. awaited: `join` waits for it; not for one that an error of the others
        does not wake."""

        def run() -> None:
            try:
                work()
            except BaseException as error:
                self.fail(error)

        thread = threading.Thread(target=run, name=f"crypsis {name}", daemon=True)
        if awaited:
            self._threads.append(thread)
        thread.start()

    def fail(self, error: BaseException) -> None:
        """Ends all; `error` is kept unless another came first, or it only says that another stopped."""
        with self._lock:
            first = self.error is None and not isinstance(error, Ended)
            if first:
                self.error = error
        for conveyor in self._conveyors:
            conveyor.end()
        if first:
            self._on_error(error)

    def join(self) -> None:
        """Waits for the threads; raises the first error, unless it is the one being handled, or the caller has lost
        interest."""
        for thread in self._threads:
            thread.join()
        handled = sys.exc_info()[1]
        if self.error is not None and self.error is not handled and not isinstance(handled, GeneratorExit):
            raise self.error
