# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that lets through so many bits a second in each direction: a line between two institutions."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


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
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target_port` at `megabits` a second in each direction."""

    def __init__(self, target_port: int, *, megabits: float) -> None:
        self._target, self._rate = target_port, megabits * 1e6 / 8
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
            threading.Thread(target=self._both_ways, args=(near, far), daemon=True).start()

    def _both_ways(self, near: socket.socket, far: socket.socket) -> None:
        with near, far:
            back = threading.Thread(target=self._forward, args=(1, far, near), daemon=True)
            back.start()
            self._forward(0, near, far)
            back.join()

    def _forward(self, way: int, source: socket.socket, sink: socket.socket) -> None:
        bucket = TokenBucket(self._rate, 64 << 10)
        with contextlib.suppress(OSError):
            while data := source.recv(64 << 10):
                bucket.take(len(data))
                self.forwarded[way] += len(data)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Takes no more connections; those that are open end with their parties."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
