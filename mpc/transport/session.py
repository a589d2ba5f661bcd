# SPDX-License-Identifier: Apache-2.0
"""`Session`: the channel as the application uses it, on top of the engine that keeps the connections."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from crypsis.errors import ChannelError, ProtocolAbort
from crypsis.mpc.transport import frames
from crypsis.mpc.transport.channel import MAX_STREAMS, Channel, ChannelStats
from crypsis.mpc.transport.engine import Engine
from crypsis.mpc.transport.frames import FRAME_COST, Kind
from crypsis.mpc.transport.streams import Incoming

if TYPE_CHECKING:
    from typing_extensions import Buffer

ABORT_LINGER_S = 2.0
"""Longest time `abort` waits for its reason to leave while the peer is away: it may be back."""

FAREWELL_S = 10.0
"""Longest time for a peer that is connected to take our last word: its machine may have stood still for seconds, and
without the reason it would wait for us as long as its patience lasts."""

CLOSE_LINGER_S = 3.0
"""Longest time `close` waits for the last farewell once both sides are known to have closed."""


class Session(Engine, Channel):
    """See `Channel` for the methods, and `Engine` for the arguments."""

    def send(self, stream: int, payload: Buffer) -> None:
        self._check_stream(stream)
        view = memoryview(payload).cast("B")
        if view.nbytes > self._max_message:
            raise ValueError(
                f"a message of {view.nbytes} bytes is above the limit of {self._max_message} that the"
                " parties agreed on;"
                " send it in batches, or raise max_message_bytes at both parties"
            )
        with self._sending[stream]:
            begun = False
            try:
                for start in range(0, max(view.nbytes, 1), self._chunk):
                    self._send_chunk(stream, view[start : start + self._chunk], view.nbytes)
                    begun = True
            except BaseException:
                if begun:  # an interrupted message cannot be taken back
                    self.fail(
                        ChannelError(f"sending on stream {stream} was interrupted in the middle of a message")
                    )
                raise
        with self._lock:
            self._payload_sent += view.nbytes
            self._messages_sent += 1
            self._last_was_send = True

    def _send_chunk(self, stream: int, chunk: memoryview, message_length: int) -> None:
        outgoing = self._outgoing[stream]
        frame = frames.pack(
            Kind.DATA, chunk, stream=stream, sequence=outgoing.last + 1, message_length=message_length
        )
        cost = len(chunk) + FRAME_COST
        with self._lock:
            self._check_open()
            if outgoing.cost + cost > self._peer_window:
                started = time.monotonic()
                try:
                    self._wait(
                        self._writable[stream],
                        lambda: outgoing.cost + cost <= self._peer_window or self._peer_sent is not None,
                    )
                finally:
                    self._blocked_send += time.monotonic() - started
                self._check_open()
            outgoing.add(frame, len(chunk))
            self._ready.append(frame)
            self._outbox_changed.notify_all()

    def _check_open(self) -> None:
        self._raise_if_failed()
        self._time_left()
        if self._closing:
            raise ChannelError(f"the channel to party {self.peer!r} is closed")
        if self._peer_sent is not None:
            raise ChannelError(f"party {self.peer!r} has closed the channel; nothing more can be sent to it")

    def recv(self, stream: int) -> memoryview:
        self._check_stream(stream)
        with self._receiving[stream]:
            message_length, chunk = self._recv_chunk(stream)
            message = chunk
            if len(chunk) < message_length:
                try:
                    whole = bytearray(message_length)
                    filled = 0
                    while True:
                        whole[filled : filled + len(chunk)] = chunk
                        filled += len(chunk)
                        if filled == message_length:
                            break
                        _, chunk = self._recv_chunk(stream)
                    message = memoryview(whole).toreadonly()
                except BaseException:
                    self.fail(
                        ChannelError(
                            f"receiving on stream {stream} was interrupted in the middle of a message"
                        )
                    )
                    raise
        with self._lock:
            self._payload_received += message_length
            self._messages_received += 1
            self._rounds += self._last_was_send
            self._last_was_send = False
        return message

    def _recv_chunk(self, stream: int) -> tuple[int, memoryview]:
        incoming = self._incoming[stream]
        with self._lock:
            self._raise_if_failed()
            if self._closing or self._finished:
                raise ChannelError(f"the channel to party {self.peer!r} is closed")
            if not incoming.chunks:
                started = time.monotonic()
                try:
                    self._wait(
                        self._readable[stream], lambda: bool(incoming.chunks) or self._drained(incoming)
                    )
                finally:
                    self._blocked_recv += time.monotonic() - started
                if not incoming.chunks:
                    raise ChannelError(
                        f"party {self.peer!r} has closed the channel; no message is left on stream {stream}"
                    )
            taken = incoming.take()
            if incoming.uncredited >= self.options.window_bytes // 4:
                incoming.uncredited = 0
                self._credits.add(stream)
                self._outbox_changed.notify_all()
            return taken

    def _drained(self, incoming: Incoming) -> bool:
        return self._peer_sent is not None and incoming.consumed >= self._peer_sent[incoming.stream]

    def close(self) -> None:
        with self._lock:
            if self._finished:
                return
            try:
                self._raise_if_failed()
                self._closing = self._close_due = True
                self._outbox_changed.notify_all()
                self._wait(self._state_changed, lambda: self._peer_sent is not None)
                self._check_all_read()
                self._bye_allowed = self._bye_due = True
                self._outbox_changed.notify_all()
                self._wait_for_farewell()
                self._finished = True
            finally:
                self._wake_all()
        self.end()

    def _check_all_read(self) -> None:
        peer_sent = self._peer_sent or [0] * MAX_STREAMS
        problem = ""
        for stream in range(MAX_STREAMS):
            unread = peer_sent[stream] - self._incoming[stream].consumed
            if unread > 0:
                problem = f"party {self.party!r} closed with {unread} unread frames on stream {stream}"
            unread = self._outgoing[stream].last - self._peer_consumed[stream]
            if unread > 0:
                problem = f"party {self.peer!r} closed with {unread} unread frames on stream {stream}"
        if problem:
            self._fail(ProtocolAbort(problem), tell=problem)
            raise ProtocolAbort(problem)

    def _wait_for_farewell(self) -> None:
        # Both sides have closed and read everything; what is missing is that the other one knows. A peer that
        # is gone by now got our CLOSE, or it would still be waiting for it, so its absence is no failure.
        deadline: float | None = None
        while not (self._bye_sent and self._bye_received):
            self._raise_if_failed()
            now = time.monotonic()
            if self._connection is not None:
                deadline = None
            elif deadline is None:
                deadline = now + min(CLOSE_LINGER_S, self.options.patience_s)
            elif now >= deadline:
                return
            self._state_changed.wait(None if deadline is None else deadline - now)

    def abort(self, reason: str) -> None:
        with self._lock:
            if not self._finished and self._error is None:
                self._fail(ChannelError(f"this party ended the job: {reason}"), tell=reason)
            begun = time.monotonic()
            told = self._connections == 0 or self._abort_reason is None  # nobody, or nothing, to tell
            while not (told or self._abort_sent or self._finished):
                limit = ABORT_LINGER_S if self._connection is None else FAREWELL_S
                left = begun + limit - time.monotonic()
                if left <= 0:
                    break
                self._state_changed.wait(left)
            self._finished = True
            self._wake_all()
        self.end()

    @property
    def max_message_bytes(self) -> int:
        with self._lock:
            return self._max_message

    @property
    def stats(self) -> ChannelStats:
        with self._lock:
            return ChannelStats(
                payload_bytes_sent=self._payload_sent,
                payload_bytes_received=self._payload_received,
                messages_sent=self._messages_sent,
                messages_received=self._messages_received,
                wire_bytes_sent=self._wire_sent,
                wire_bytes_received=self._wire_received,
                rounds=self._rounds,
                reconnects=max(self._connections - 1, 0),
                blocked_send_s=self._blocked_send,
                blocked_recv_s=self._blocked_recv,
                unacknowledged_bytes=sum(outgoing.cost for outgoing in self._outgoing),
            )

    def _check_stream(self, stream: int) -> None:
        if not isinstance(stream, int):
            raise TypeError(f"a stream is an integer, not {type(stream).__name__}")
        if not 0 <= stream < MAX_STREAMS:
            raise ValueError(f"stream {stream} is outside 0 to {MAX_STREAMS - 1}")
        if os.getpid() != self._pid:
            raise ChannelError(
                "this channel was opened before a fork; open channels in the process that uses them"
            )
