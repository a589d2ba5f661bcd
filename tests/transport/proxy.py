# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that misbehaves on demand: cuts connections, repeatedly, or goes silent."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType


class DroppingProxy:
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target_port`, badly.

    cut_every  after this many bytes forwarded (both directions together) all connections are reset,
               and again after as many more
    max_cuts   how often at most

    A packet counts only when it is complete, so a channel makes progress only if `cut_every` is a few
    times its largest packet (the chunk size, at least 64 KiB) plus a TLS handshake of some 5 KB.
    """

    def __init__(self, target_port: int, *, cut_every: int | None = None, max_cuts: int = 1 << 30) -> None:
        self.target_port = target_port
        self.connections = self.cuts = self.forwarded = 0
        self._cut_every, self._max_cuts = cut_every, max_cuts
        self._since_cut = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._reached: Callable[[], bool] | None = None
        self.silent = threading.Event()
        self._refusing = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection now; new ones are forwarded."""
        with self._lock:
            self._cut()

    def refuse(self, refusing: bool = True) -> None:
        """Reset everything, and every new connection as well until `refuse(False)`."""
        with self._lock:
            self._refusing = refusing
            if refusing:
                self._cut()

    def go_silent(self) -> None:
        """Keep connections open and accept new ones, but forward nothing."""
        self._flowing.clear()

    def go_silent_when(self, reached: Callable[[], bool]) -> None:
        """As `go_silent` once `reached()` is true, and then `silent` is set. It is asked before each piece of at most
        16 KiB: nobody who talks through here gets far beyond, however late those are who wait for it."""
        self._reached = reached

    def resume(self) -> None:
        self._flowing.set()

    def close(self) -> None:
        # shutdown wakes the thread in accept, which close alone does not
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._reached = None
        self.refuse()
        self._flowing.set()

    def __enter__(self) -> DroppingProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _cut(self) -> None:
        self.cuts += 1
        self._since_cut = 0
        for end in self._open:
            with contextlib.suppress(OSError):
                # Linger 0 makes close send RST; shutdown wakes the thread that reads this socket.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _look(self) -> None:
        with self._lock:
            if self._reached is not None and self._reached():
                self._reached = None
                self._flowing.clear()
                self.silent.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._refusing:
                    near.close()
                    continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                near.close()
                continue
            with self._lock:
                self.connections += 1
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(16 << 10):
                self._look()
                self._flowing.wait()
                with self._lock:
                    self.forwarded += len(data)
                    self._since_cut += len(data)
                    due = self._cut_every is not None and self._since_cut >= self._cut_every
                    if due and self.cuts < self._max_cuts:
                        self._cut()
                        break
                sink.sendall(data)
        for end in (source, sink):
            with self._lock:
                self._open.discard(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
