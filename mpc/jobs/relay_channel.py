# SPDX-License-Identifier: Apache-2.0
"""`RelayChannel`: the channel of a worker whose connection to the peer is kept by its driver (relay.py)."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from crypsis.errors import ChannelError, CrypsisError
from crypsis.mpc.jobs.link import Kind, Link, LinkClosed, Message
from crypsis.mpc.jobs.relay import MESSAGE_COST, RELAY_BYTES, error_named
from crypsis.mpc.transport import MAX_STREAMS, Channel, ChannelStats

if TYPE_CHECKING:
    from typing_extensions import Buffer

_NO_STATS = ChannelStats(0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0)


class RelayChannel(Channel):
    """See `Channel`. `take` is called by the thread that reads the link."""

    def __init__(self, link: Link, *, party: str, peer: str, max_message_bytes: int) -> None:
        self.party, self.peer = party, peer
        self._link = link
        self._max_message = max_message_bytes
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._sending = [threading.Lock() for _ in range(MAX_STREAMS)]
        self._receiving = [threading.Lock() for _ in range(MAX_STREAMS)]
        self._outstanding: list[deque[int]] = [deque() for _ in range(MAX_STREAMS)]  # sizes, oldest first
        self._arrived: list[deque[memoryview]] = [deque() for _ in range(MAX_STREAMS)]
        self._asked = [False] * MAX_STREAMS
        self._taken = [0] * MAX_STREAMS  # messages
        self._uncredited = [0] * MAX_STREAMS  # their cost since the driver last heard of it
        self._no_more: list[CrypsisError | None] = [None] * MAX_STREAMS
        self._error: CrypsisError | None = None
        self._closed = False
        self._counts = _NO_STATS  # as the application sees them
        self._below = _NO_STATS  # as the driver's channel has them
        self._below_due = False
        self._last_was_send = False

    @property
    def max_message_bytes(self) -> int:
        return self._max_message

    # ---- the link's side

    def take(self, message: Message) -> None:
        """One message from the driver."""
        stream = message.stream
        with self._changed:
            if message.kind == Kind.ACK:
                self._outstanding[stream].popleft()
            elif message.kind == Kind.MESSAGE:
                self._arrived[stream].append(message.payload)
            elif message.kind == Kind.NO_MORE:
                report = message.json()
                self._no_more[stream] = error_named(report["error"], report["text"])
            elif message.kind == Kind.CLOSED:
                self._closed = True
            elif message.kind == Kind.STATS_ARE:
                self._below = ChannelStats(**message.json())
                self._below_due = False
            elif message.kind == Kind.ERROR:
                report = message.json()
                self._error = self._error or error_named(report["error"], report["text"])
            else:
                raise LinkClosed(f"the driver sent {message.kind.name}")
            self._changed.notify_all()

    def fail(self, error: CrypsisError) -> None:
        """No more can come: calls that wait, and later ones, raise `error`."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until the driver's channel has taken everything that was sent."""
        with self._changed:
            while not self._closed and any(self._outstanding):
                self._raise_if_failed()
                self._changed.wait()

    @property
    def taken(self) -> list[int]:
        """How many messages the application has received, per stream."""
        with self._lock:
            return list(self._taken)

    def _raise_if_failed(self) -> None:
        if self._error is not None:
            raise type(self._error)(*self._error.args)

    def _check_open(self) -> None:
        self._raise_if_failed()
        if self._closed:
            raise ChannelError(f"the channel to party {self.peer!r} is closed")

    # ---- the application's side

    def send(self, stream: int, payload: Buffer) -> None:
        _check_stream(stream)
        view = memoryview(payload).cast("B")
        if view.nbytes > self._max_message:
            raise ValueError(
                f"a message of {view.nbytes} bytes is above the limit of {self._max_message} that the"
                " parties agreed on; send it in batches, or raise max_message_bytes at both parties"
            )
        outstanding = self._outstanding[stream]
        with self._sending[stream]:
            with self._changed:
                self._check_open()
                started = time.monotonic()
                while outstanding and sum(outstanding) + view.nbytes > RELAY_BYTES:
                    self._changed.wait()
                    self._check_open()
                waited = time.monotonic() - started
                outstanding.append(view.nbytes)
            self._link.send(Kind.SEND, view, stream=stream)
        with self._lock:
            counts = self._counts
            self._counts = replace(
                counts,
                payload_bytes_sent=counts.payload_bytes_sent + view.nbytes,
                messages_sent=counts.messages_sent + 1,
                blocked_send_s=counts.blocked_send_s + waited,
            )
            self._last_was_send = True

    def recv(self, stream: int) -> memoryview:
        _check_stream(stream)
        with self._receiving[stream]:
            with self._lock:
                self._check_open()
                asked, self._asked[stream] = self._asked[stream], True
            if not asked:
                self._link.send(Kind.RECV, stream=stream)
            with self._changed:
                started = time.monotonic()
                while not self._arrived[stream]:
                    self._check_open()
                    no_more = self._no_more[stream]
                    if no_more is not None:
                        raise type(no_more)(*no_more.args)
                    self._changed.wait()
                message = self._arrived[stream].popleft()
                self._taken[stream] += 1
                self._uncredited[stream] += message.nbytes + MESSAGE_COST
                credit = self._uncredited[stream]
                if credit >= RELAY_BYTES // 4:
                    self._uncredited[stream] = 0
                counts = self._counts
                self._counts = replace(
                    counts,
                    payload_bytes_received=counts.payload_bytes_received + message.nbytes,
                    messages_received=counts.messages_received + 1,
                    rounds=counts.rounds + self._last_was_send,
                    blocked_recv_s=counts.blocked_recv_s + time.monotonic() - started,
                )
                self._last_was_send = False
            if credit >= RELAY_BYTES // 4:
                with suppress(LinkClosed):  # the message is here all the same
                    self._link.send_json(Kind.TAKEN, stream=stream, cost=credit)
            return message

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
        self.flush()
        self._link.send_json(Kind.CLOSE, taken=self.taken)
        with self._changed:
            while not self._closed:
                self._raise_if_failed()
                self._changed.wait()

    def abort(self, reason: str) -> None:
        with self._lock:
            if self._closed:
                return
        self.fail(ChannelError(f"this party ended the job: {reason}"))
        with suppress(LinkClosed):  # then the driver has ended the session
            self._link.send(Kind.ABORT, reason.encode("utf-8", "replace"))

    @property
    def stats(self) -> ChannelStats:
        """Payload, messages, rounds and waiting as this worker sees them; the rest as its driver does."""
        with self._lock:
            self._below_due = True
        try:
            self._link.send(Kind.STATS)
        except LinkClosed as error:
            self.fail(error)
        with self._changed:
            while self._below_due and not isinstance(self._error, LinkClosed):
                self._changed.wait()
            below, counts = self._below, self._counts
        return replace(
            counts,
            wire_bytes_sent=below.wire_bytes_sent,
            wire_bytes_received=below.wire_bytes_received,
            reconnects=below.reconnects,
            unacknowledged_bytes=below.unacknowledged_bytes,
        )


def _check_stream(stream: int) -> None:
    if not isinstance(stream, int):
        raise TypeError(f"a stream is an integer, not {type(stream).__name__}")
    if not 0 <= stream < MAX_STREAMS:
        raise ValueError(f"stream {stream} is outside 0 to {MAX_STREAMS - 1}")
