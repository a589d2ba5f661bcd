# SPDX-License-Identifier: Apache-2.0
"""The driver's end of a worker elsewhere: moves messages between the worker's link and the channel to the peer.

Each stream has two threads of its own, one that sends and one that receives, made when the worker first uses
it. So a stream whose window is full holds up neither the link nor another stream. What waits here is bounded:
a worker has at most RELAY_BYTES (or one message) outstanding on a stream, and asks for each message it takes.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict

from crypsis import errors
from crypsis.errors import CrypsisError
from crypsis.mpc.jobs.link import Kind, Link, LinkClosed, Message
from crypsis.mpc.jobs.task import Task, WorkerError
from crypsis.mpc.transport import MAX_STREAMS, Channel
from crypsis.mpc.transport.engine import PeerAborted

_log = logging.getLogger("crypsis.jobs")

RELAY_BYTES = 4 << 20
"""What a worker may have on its way to the channel, per stream, beyond the channel's own window."""


def error_named(name: str, text: str) -> CrypsisError:
    """An error that crossed a link: of its own class if that is one of ours, else a WorkerError."""
    kind = PeerAborted if name == PeerAborted.__name__ else getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, CrypsisError):
        return kind(text)
    return WorkerError(f"{name}: {text}")


class Relay:
    """Serves one worker. `run` returns when it has ended in order."""

    def __init__(self, link: Link, channel: Channel, task: Task) -> None:
        self._link, self._channel, self._task = link, channel, task
        self._outgoing: dict[int, queue.SimpleQueue[memoryview | None]] = {}
        self._wanted: dict[int, queue.SimpleQueue[bool]] = {}
        self._failed = threading.Event()

    def run(self) -> None:
        """Raises what the worker function raised, or LinkClosed when the worker is gone.

        Threads that wait for the peer then end when the session is aborted, which the caller does.
        """
        try:
            self._link.send_json(
                Kind.START,
                work=self._task.work,
                spec=self._task.spec,
                party=self._channel.party,
                peer=self._channel.peer,
                max_message_bytes=self._channel.max_message_bytes,
            )
            self._thread(self._bins)
            while True:
                message = self._link.recv()
                if message.kind == Kind.ENDED:
                    self._ended(message)
                    return
                self._take(message)
        finally:
            for outgoing in self._outgoing.values():
                outgoing.put(None)
            for wanted in self._wanted.values():
                wanted.put(False)

    def _thread(self, function: Callable[[], None]) -> None:
        def run() -> None:
            try:
                function()
            except LinkClosed:
                pass  # `run` finds out by itself
            except CrypsisError as error:
                self._tell_failure(error)

        threading.Thread(target=run, name=f"crypsis relay {self._task.number}", daemon=True).start()

    def _tell_failure(self, error: CrypsisError) -> None:
        """The channel is no longer usable: one message says so, whichever thread noticed first."""
        if not self._failed.is_set():
            self._failed.set()
            with suppress(LinkClosed):
                self._link.send_json(Kind.ERROR, error=type(error).__name__, text=str(error))

    def _take(self, message: Message) -> None:
        stream = message.stream
        if stream >= MAX_STREAMS:
            raise LinkClosed(f"a worker names stream {stream} of {MAX_STREAMS}")
        if message.kind == Kind.SEND:
            if stream not in self._outgoing:
                self._outgoing[stream] = queue.SimpleQueue()
                self._thread(lambda: self._send(stream))
            self._outgoing[stream].put(message.payload)
        elif message.kind == Kind.RECV:
            if stream not in self._wanted:
                self._wanted[stream] = queue.SimpleQueue()
                self._thread(lambda: self._recv(stream))
            self._wanted[stream].put(True)
        elif message.kind == Kind.DONE:
            report = message.json()
            self._task.done(report["bin"], report["result"])
        elif message.kind == Kind.CLOSE:
            self._thread(self._close)
        elif message.kind == Kind.ABORT:
            self._channel.abort(bytes(message.payload).decode())
        elif message.kind == Kind.STATS:
            stats = asdict(self._channel.stats)
            self._link.send_json(Kind.STATS_ARE, **stats)
        else:
            raise LinkClosed(f"a worker sent {message.kind.name}")

    def _bins(self) -> None:
        for number in self._task.bins():
            self._link.send_json(Kind.BIN, bin=number)
        self._link.send(Kind.LAST)

    def _send(self, stream: int) -> None:
        outgoing = self._outgoing[stream]
        while (payload := outgoing.get()) is not None:
            self._channel.send(stream, payload)
            self._link.send(Kind.ACK, stream=stream)

    def _recv(self, stream: int) -> None:
        wanted = self._wanted[stream]
        while wanted.get():
            self._link.send(Kind.MESSAGE, self._channel.recv(stream), stream=stream)

    def _close(self) -> None:
        self._channel.close()
        self._link.send(Kind.CLOSED)

    def _ended(self, message: Message) -> None:
        report = message.json()
        if report:
            if "traceback" in report:
                _log.info("worker %d: %s", self._task.number, json.dumps(report["traceback"]))
            raise error_named(str(report["error"]), str(report["text"]))
