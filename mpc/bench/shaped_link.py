# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy with so many bits a second and so long a way in each direction: a line between two institutions."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from queue import Queue
from typing import Self

_PIECE = 64 << 10
_ON_THE_WAY = 1024  # pieces of a direction: 64 MiB, more than the line holds at 1 Gbit/s and 100 ms


class TokenBucket:
    """Sleeps so that no more than `rate` bytes a second pass, but for a burst of `burst` bytes."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = float(burst), time.perf_counter()

    def take(self, n: int) -> None:
        """Waits until n bytes may pass; for one thread."""
        now = time.perf_counter()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= n
        if self._tokens < 0:
            time.sleep(-self._tokens / self._rate)


class ShapedLink:
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target_port` at `megabits` a second in each direction, every byte
    `delay_ms` late: half of what a round trip takes."""

    def __init__(self, target_port: int, *, megabits: float, delay_ms: float = 0.0) -> None:
        self._target, self._rate, self._delay = target_port, megabits * 1e6 / 8, delay_ms / 1e3
        self.forwarded = [0, 0]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                break
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._both_ways, args=(near, far), daemon=True).start()

    def _both_ways(self, near: socket.socket, far: socket.socket) -> None:
        with near, far:
            back = threading.Thread(target=self._forward, args=(1, far, near), daemon=True)
            back.start()
            self._forward(0, near, far)
            back.join()

    def _forward(self, way: int, source: socket.socket, sink: socket.socket) -> None:
        bucket = TokenBucket(self._rate, _PIECE)
        line: Queue[tuple[float, bytes]] = Queue(_ON_THE_WAY)
        late = threading.Thread(target=self._deliver, args=(way, line, sink), daemon=True)
        late.start()
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                bucket.take(len(data))
                line.put((time.perf_counter() + self._delay, data))
        line.put((time.perf_counter() + self._delay, b""))
        late.join()

    def _deliver(self, way: int, line: Queue[tuple[float, bytes]], sink: socket.socket) -> None:
        broken = False
        while True:
            at, data = line.get()
            time.sleep(max(0.0, at - time.perf_counter()))
            if not data:
                break
            if broken:  # what comes is taken, so that the reader does not wait for room
                continue
            try:
                sink.sendall(data)
                self.forwarded[way] += len(data)
            except OSError:
                broken = True
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Takes no more connections; those that are open end with their parties."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
