# SPDX-License-Identifier: Apache-2.0
"""Runs an iterator in a thread of its own, a bounded number of items ahead of who consumes it.

Reading, hashing, compressing and writing release the interpreter's lock, so two stages of a stream that are joined by
`run_ahead` take two cores.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def run_ahead(items: Iterator[T], *, depth: int = 2) -> Generator[T, None, None]:
    """The items of `items` in order; up to `depth` of them wait for the consumer.

    An exception of `items` is raised here in its turn. When the consumer stops early (close, an exception, the garbage
    collector), `items` is closed in its thread and the thread is awaited, so no file stays open behind it.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    return _consume(items, depth)


def _consume(items: Iterator[T], depth: int) -> Generator[T, None, None]:
    free = threading.Semaphore(depth)
    stopped = threading.Event()
    ready: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()

    def produce() -> None:
        try:
            while True:
                free.acquire()
                if stopped.is_set():
                    break
                ready.put((next(items),))
        except StopIteration:
            ready.put(None)
        except BaseException as error:
            ready.put(error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=produce, name="crypsis-ahead", daemon=True)
    thread.start()
    try:
        while True:
            got = ready.get()
            if got is None:
                return
            if isinstance(got, BaseException):
                raise got
            free.release()
            yield got[0]
    finally:
        stopped.set()
        free.release()
        thread.join()
