# SPDX-License-Identifier: Apache-2.0
"""A protocol for tests of executors: per bin, both parties exchange data that each can check, over several
streams at once. And a ledger that notices what is done twice, or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from crypsis.errors import DataError, ProtocolAbort
from crypsis.mpc.transport import Channel

STREAMS = (0, 2, 5)


def data(party: str, number: int, stream: int, n_bytes: int) -> bytes:
    return hashlib.shake_128(f"{party} {number} {stream}".encode()).digest(n_bytes)


def work(
    channel: Channel, spec: dict[str, Any], bins: Iterator[int], done: Callable[[int, dict[str, Any]], None]
) -> None:
    """spec: n_bytes; pause (seconds a bin); trap = {"how", "bin", "file"}, which goes off once, or each time
    without "file"."""
    n_bytes = spec["n_bytes"]
    for number in bins:
        spring(spec.get("trap", {}), number, channel)
        senders = [
            threading.Thread(
                target=send_quietly, args=(channel, stream, data(channel.party, number, stream, n_bytes))
            )
            for stream in STREAMS
        ]
        for sender in senders:
            sender.start()
        for stream in reversed(STREAMS):
            if channel.recv(stream) != data(channel.peer, number, stream, n_bytes):
                raise ProtocolAbort(f"bin {number}: wrong data on stream {stream}")
        for sender in senders:
            sender.join()
        time.sleep(spec.get("pause", 0))
        stats = channel.stats
        done(number, {"pid": os.getpid(), "sent": stats.messages_sent, "wire": stats.wire_bytes_sent})


def send_quietly(channel: Channel, stream: int, payload: bytes) -> None:
    try:
        channel.send(stream, payload)
    except Exception:
        return  # the receiving thread meets the same error


def spring(trap: dict[str, Any], number: int, channel: Channel) -> None:
    if trap.get("bin") != number:
        return
    if "file" in trap:
        try:
            Path(trap["file"]).touch(exist_ok=False)
        except FileExistsError:
            return
    how = trap["how"]
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "raise":
        raise KeyError("customer 4711")
    elif how == "data":
        raise DataError(f"bin {number}: the spill file is damaged")
    elif how == "protocol":
        raise ProtocolAbort(f"bin {number}: the peer cheats")
    elif how == "abort":
        channel.abort("the worker gives up its session")
        channel.recv(0)
    elif how == "hang":
        time.sleep(600)


def stop_early(
    channel: Channel, spec: dict[str, Any], bins: Iterator[int], done: Callable[[int, dict[str, Any]], None]
) -> None:
    """A worker function that is wrong: it returns while bins are due."""
    next(bins)


def wrong_report(
    channel: Channel, spec: dict[str, Any], bins: Iterator[int], done: Callable[[int, dict[str, Any]], None]
) -> None:
    """A worker function that is wrong: it reports a bin that it was not given."""
    for number in bins:
        done(number + 1000, {})


def look_ahead(
    channel: Channel, spec: dict[str, Any], bins: Iterator[int], done: Callable[[int, dict[str, Any]], None]
) -> None:
    """Asks for the next bin before it has done the last one, in one thread."""
    current = next(bins, None)
    while current is not None:
        following = next(bins, None)
        channel.send(0, str(current).encode())
        if bytes(channel.recv(0)) != str(current).encode():
            raise ProtocolAbort("the parties do different bins")
        done(current, {"pid": os.getpid()})
        current = following


class Ledger:
    """What a driver's callbacks told."""

    def __init__(self) -> None:
        self.results: dict[int, dict[str, Any]] = {}
        self.done: Counter[int] = Counter()
        self.completed: list[int] = []
        self.progress: list[tuple[int, int]] = []

    def on_done(self, number: int, result: dict[str, Any]) -> None:
        assert number not in self.completed, f"bin {number} was done again after it was complete"
        self.done[number] += 1
        self.results[number] = result

    def on_complete(self, number: int) -> None:
        assert number in self.results, f"bin {number} is complete without a result"
        assert number not in self.completed, f"bin {number} is complete twice"
        self.completed.append(number)

    def on_progress(self, phase: str, n_done: int, total: int) -> None:
        self.progress.append((n_done, total))

    @property
    def callbacks(self) -> dict[str, Any]:
        return {"on_done": self.on_done, "on_complete": self.on_complete, "progress": self.on_progress}

    def check(self, bins: list[int]) -> None:
        assert sorted(self.completed) == sorted(self.results) == sorted(bins)
        assert self.progress == [(n, len(bins)) for n in range(len(bins) + 1)]

    @property
    def pids(self) -> set[int]:
        return {result["pid"] for result in self.results.values()}
