# SPDX-License-Identifier: Apache-2.0
"""The driver's end of a worker elsewhere: moves messages between the worker's link and the channel to the peer.

Each stream has two threads of its own, one that sends and one that receives, made when the worker first uses
it. So a stream whose window is full holds up neither the link nor another stream. What is on its way is
bounded, per stream and direction, by RELAY_BYTES and one message: a worker waits for what it sent to be taken by
the channel, and the relay waits for the worker to take what it was brought.
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
from crypsis.errors import CrypsisError, ProtocolAbort
from crypsis.mpc.jobs.link import Kind, Link, LinkClosed, Message
from crypsis.mpc.jobs.task import Task, WorkerError
from crypsis.mpc.transport import MAX_STREAMS, Channel
from crypsis.mpc.transport.engine import PeerAborted

_log = logging.getLogger("crypsis.jobs")

RELAY_BYTES = 4 << 20
"""What may be on its way between worker and channel, per stream and direction, beyond the channel's window."""

MESSAGE_COST = 256
"""What a message counts for beyond its payload, so that empty ones are bounded as well."""


def error_named(name: str, text: str) -> CrypsisError:
    """An error that crossed a link: of its own class if that is one of ours, else a WorkerError."""
    kind = PeerAborted if name == PeerAborted.__name__ else getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, CrypsisError):
        return kind(text)
    return WorkerError(f"{name}: {text}")


class _Incoming:
    """What of one stream was brought to the worker."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.held = 0  # cost of what the worker has not taken
        self.brought = 0  # messages
        self.over = False


class Relay:
    """Serves one worker. `run` returns when it has ended in order."""

    def __init__(self, link: Link, channel: Channel, task: Task) -> None:
        self._link, self._channel, self._task = link, channel, task
        self._outgoing: dict[int, queue.SimpleQueue[memoryview | None]] = {}
        self._incoming: dict[int, _Incoming] = {}
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
            for incoming in self._incoming.values():
                with incoming.changed:
                    incoming.over = True
                    incoming.changed.notify_all()

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
            if stream not in self._incoming:
                self._incoming[stream] = _Incoming()
                self._thread(lambda: self._recv(stream))
        elif message.kind == Kind.TAKEN:
            incoming = self._incoming[stream]
            with incoming.changed:
                incoming.held -= message.json()["cost"]
                incoming.changed.notify_all()
        elif message.kind == Kind.DONE:
            report = message.json()
            self._task.done(report["bin"], report["result"])
        elif message.kind == Kind.CLOSE:
            taken = message.json()["taken"]
            self._thread(lambda: self._close(taken))
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
        incoming = self._incoming[stream]
        while True:
            with incoming.changed:
                incoming.changed.wait_for(lambda: incoming.held < RELAY_BYTES or incoming.over)
                if incoming.over:
                    return
            try:
                payload = self._channel.recv(stream)
            except ProtocolAbort:  # the session has failed as a whole
                raise
            except CrypsisError as error:
                # Of this stream only: messages of others may be left when the peer has closed.
                self._link.send_json(Kind.NO_MORE, stream=stream, error=type(error).__name__, text=str(error))
                return
            with incoming.changed:
                incoming.held += payload.nbytes + MESSAGE_COST
                incoming.brought += 1
            self._link.send(Kind.MESSAGE, payload, stream=stream)

    def _close(self, taken: list[int]) -> None:
        self._check_read(taken)
        self._channel.close()
        self._link.send(Kind.CLOSED)

    def _check_read(self, taken: list[int]) -> None:
        """What the channel would notice if the worker's end were its own."""
        for stream, incoming in self._incoming.items():
            unread = incoming.brought - taken[stream]
            if unread > 0:
                problem = (
                    f"party {self._channel.party!r} closed with {unread} unread messages on stream {stream}"
                )
                self._channel.abort(problem)
                raise ProtocolAbort(problem)

    def _ended(self, message: Message) -> None:
        report = message.json()
        if "error" in report:
            _log.info("worker %d: %s", self._task.number, json.dumps(report["traceback"]))
            raise error_named(str(report["error"]), str(report["text"]))
        self._check_read(report["taken"])
