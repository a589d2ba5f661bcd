# SPDX-License-Identifier: Apache-2.0
"""`Engine`: what survives a connection, and how connections are taken up and let go.

It knows nothing of gRPC. A link (grpc_link.py, memory.py) makes a `Connection`, exchanges hellos, then moves
packets: `next_packet` out, `on_packet` in, `detach` when the connection is gone. Everything that must survive
a connection (sequence numbers, unacknowledged frames, queues, the state of closing) is here.
docs/transport.md draws the states.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from importlib.metadata import version

from crypsis.errors import ChannelError, CrypsisError, ProtocolAbort
from crypsis.mpc.transport import frames
from crypsis.mpc.transport.channel import MAX_STREAMS, ChannelOptions, check_party_name
from crypsis.mpc.transport.frames import FRAME_COST, Frame, Hello, Kind
from crypsis.mpc.transport.streams import Incoming, Outgoing

_log = logging.getLogger("crypsis.transport")

# Frames below this size share a packet, up to _BATCH_BYTES: a gRPC message costs as much as copying some 100
# KB.
_SMALL_BYTES = 32 << 10
_BATCH_BYTES = 64 << 10

FRUITLESS_S = 10.0
"""A connection that stood for this long counts as one although nothing new came over it."""


class Connection:
    """The identity of one connection; a session listens to its latest one only."""

    __slots__ = ("alive", "attached_at", "fruitful")

    def __init__(self) -> None:
        self.alive = True
        self.attached_at: float | None = None
        self.fruitful = False  # it brought something that no earlier connection had


class PeerAborted(ProtocolAbort):
    """The peer ended the session on purpose, and said why."""


class Refused(ChannelError):
    """A hello was not accepted; the text is meant for both parties."""


class Engine:
    """One party's end of session `number`. `where` says in messages how the peer is reached; `end` releases
    the link's resources."""

    def __init__(
        self, *, party: str, peer: str, where: str, options: ChannelOptions, number: int = 0
    ) -> None:
        self.party = check_party_name(party)
        self.peer = check_party_name(peer)
        if party == peer:
            raise ValueError(f"party and peer are both {party!r}; each party needs a name of its own")
        self.where = where
        self.options = options
        self.number = number
        self.end: Callable[[], None] = lambda: None
        self._pid = os.getpid()
        self._instance = secrets.token_hex(16)
        self._peer_instance = ""
        self._peer_window = 0
        self._max_message = options.max_message_bytes
        self._chunk = 0

        self._lock = threading.Lock()
        self._state_changed = threading.Condition(self._lock)
        self._outbox_changed = threading.Condition(self._lock)
        self._readable = [threading.Condition(self._lock) for _ in range(MAX_STREAMS)]
        self._writable = [threading.Condition(self._lock) for _ in range(MAX_STREAMS)]
        # One message at a time goes into, and comes out of, a stream.
        self._sending = [threading.Lock() for _ in range(MAX_STREAMS)]
        self._receiving = [threading.Lock() for _ in range(MAX_STREAMS)]

        self._outgoing = [Outgoing(stream) for stream in range(MAX_STREAMS)]
        self._incoming = [Incoming(stream) for stream in range(MAX_STREAMS)]
        self._ready: deque[bytes] = deque()  # data frames for the current connection
        self._credits: set[int] = set()  # streams whose consumption the peer should hear of
        self._peer_received = 0  # over all streams, as the last hello said

        self._connection: Connection | None = None
        self._away_since = time.monotonic()  # counts while there is no connection
        self._away_reason = "no connection yet, or none with a certificate that was accepted"
        self._error: CrypsisError | None = None
        self._abort_reason: str | None = None
        self._abort_sent = False
        self._closing = self._close_due = False
        self._peer_sent: list[int] | None = None  # from its CLOSE
        self._peer_consumed: list[int] = []
        self._bye_allowed = self._bye_due = self._bye_sent = self._bye_received = False
        self._finished = False

        self._payload_sent = self._payload_received = self._messages_sent = self._messages_received = 0
        self._wire_sent = self._wire_received = self._rounds = self._connections = 0
        self._blocked_send = self._blocked_recv = 0.0
        self._last_was_send = False

    # ---- waiting and failing
    # ----------------------------------------------------------------------------------

    def _raise_if_failed(self) -> None:
        # A fresh exception each time: several threads raise it, and each has a traceback of its own.
        if self._error is not None:
            raise type(self._error)(*self._error.args)

    def _wait(self, condition: threading.Condition, ready: Callable[[], bool]) -> None:
        """Wait with the lock held. Time runs only while the peer is away."""
        while not ready():
            self._raise_if_failed()
            condition.wait(self._time_left())
        self._raise_if_failed()

    def _time_left(self) -> float | None:
        """Seconds of patience left, None while the peer is here; fails the session when there are none."""
        if self._connection is not None:
            return None
        away = time.monotonic() - self._away_since
        left = self.options.patience_s - away
        if left > 0:
            return left
        error = ChannelError(
            f"party {self.peer!r} ({self.where}) has been away for {away:.0f} s, longer than the patience of"
            f" {self.options.patience_s:g} s ({self._away_reason}); check that it runs and can be"
            " reached, and start"
            " both parties again"
        )
        self._fail(error)
        raise error

    def fail(self, error: CrypsisError, *, tell: str | None = None) -> None:
        """End the session with `error` (the first one stays) and tell the peer `tell`, if it is connected."""
        with self._lock:
            self._fail(error, tell=tell)

    def _fail(self, error: CrypsisError, *, tell: str | None = None) -> None:
        if self._error is None and not self._finished:
            self._error = error
            self._abort_reason = tell
            self._ready.clear()
        self._wake_all()

    def _wake_all(self) -> None:
        for condition in (self._state_changed, self._outbox_changed, *self._readable, *self._writable):
            condition.notify_all()

    def wait_connected(self) -> None:
        """Block until the peer has been greeted; ChannelError after `patience_s` or when it is the wrong
        one."""
        with self._lock:
            self._wait(self._state_changed, lambda: self._connections > 0)

    # ---- the link's side
    # --------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """True when no further connection makes sense. Ends the session when the peer was away for too
        long."""
        with self._lock:
            if self._error is None and not self._finished:
                try:
                    self._time_left()
                except CrypsisError:
                    return True
            said_farewell = self._bye_sent and self._bye_received  # though `close` may not have noticed yet
            return (
                self._finished
                or said_farewell
                or (self._error is not None and (self._abort_reason is None or self._abort_sent))
            )

    @property
    def failure(self) -> CrypsisError | None:
        """Why the session ended, None while it has not failed."""
        with self._lock:
            return self._error

    @property
    def ended(self) -> bool:
        """Whether the session has finished or failed."""
        with self._lock:
            return self._finished or self._error is not None

    @property
    def connected_once(self) -> bool:
        """Whether the peer has been greeted."""
        with self._lock:
            return self._connections > 0

    def hello(self) -> bytes:
        """The packet that opens a connection from this side."""
        with self._lock:
            packet = self._hello()
            self._wire_sent += len(packet)
            return packet

    def _hello(self) -> bytes:
        return frames.pack_hello(
            Hello(
                library=version("crypsis"),
                party=self.party,
                peer=self.peer,
                instance=self._instance,
                knows=self._peer_instance,
                window_bytes=self.options.window_bytes,
                max_message_bytes=self.options.max_message_bytes,
                received=[incoming.received for incoming in self._incoming],
                session=self.number,
            )
        )

    def attach(self, connection: Connection, hello: Hello) -> None:
        """Take `connection` as the current one.

        Raises Refused, and fails the session, when the peer is the wrong one, was restarted, or knows us by
        an earlier instance; a listener that has not met its peer yet only refuses the last of these, and
        waits on.
        """
        with self._lock:
            self._check_names(hello)
            if hello.session != self.number:
                raise Refused(f"the hello is for session {hello.session} and not for {self.number}")
            if self._error is not None and (self._abort_reason is None or self._abort_sent):
                raise Refused(f"party {self.party!r} has ended the job: {self._abort_reason or self._error}")
            if hello.knows not in ("", self._instance):
                # We are the restarted one. The peer has to end; we may still meet its successor.
                raise Refused(f"party {self.party!r} was restarted; start both parties again")
            if self._peer_instance not in ("", hello.instance):
                self._fail(ChannelError(f"party {self.peer!r} was restarted; start both parties again"))
                raise Refused(
                    f"party {self.party!r} was still in a job with an earlier process of {self.peer!r};"
                    " start both parties again"
                )
            try:
                for outgoing, received in zip(self._outgoing, hello.received, strict=True):
                    if received > outgoing.last:
                        raise ProtocolAbort(
                            f"the peer claims frames of stream {outgoing.stream} that were never sent"
                        )
            except ProtocolAbort as error:
                self._fail(error, tell=str(error))
                raise
            self._let_go("a newer connection replaced it")
            self._accept(connection, hello)

    def _check_names(self, hello: Hello) -> None:
        if (hello.party, hello.peer) == (self.peer, self.party):
            return
        text = (
            f"names differ: party {hello.party!r} expects to talk to {hello.peer!r},"
            f" party {self.party!r} expects {self.peer!r}"
        )
        if not self._connections:
            self._fail(ChannelError(text))
        raise Refused(text)

    def _accept(self, connection: Connection, hello: Hello) -> None:
        self._peer_instance = hello.instance
        self._peer_window = hello.window_bytes
        self._max_message = min(self.options.max_message_bytes, hello.max_message_bytes)
        # At most half a window, so that a blocked sender always leaves the receiver enough to give credit
        # for.
        self._chunk = min(self.options.chunk_bytes, hello.window_bytes // 2 - FRAME_COST)
        connection.attached_at = time.monotonic()
        if self._connections:
            _log.info("party %s is back after %.1f s", self.peer, connection.attached_at - self._away_since)
        received = sum(hello.received)
        connection.fruitful = not self._connections or received > self._peer_received
        self._peer_received = received
        self._connections += 1
        self._connection = connection
        self._ready = deque(
            frame
            for outgoing, last in zip(self._outgoing, hello.received, strict=True)
            for frame in outgoing.after(last)
        )
        self._credits = {incoming.stream for incoming in self._incoming if incoming.consumed}
        self._close_due = self._closing
        self._bye_due = self._bye_allowed
        self._wake_all()

    def detach(self, connection: Connection, reason: str) -> None:
        """`connection` is gone. Harmless when it was replaced already."""
        with self._lock:
            connection.alive = False
            if connection is self._connection:
                self._let_go(reason)
            elif self._connection is None and connection.attached_at is None:
                self._away_reason = reason
            self._outbox_changed.notify_all()

    def _let_go(self, reason: str) -> None:
        connection = self._connection
        if connection is None:
            return
        connection.alive = False
        self._connection = None
        self._away_reason = reason
        # A short connection that brought nothing new does not reset the clock: one that always breaks too
        # early for a whole frame would otherwise be tried for ever.
        now = time.monotonic()
        if connection.fruitful or now - (connection.attached_at or now) > FRUITLESS_S:
            self._away_since = now
        if self._error is None and not self._finished and not self._bye_received:
            _log.warning("party %s away (%s), waiting up to %g s", self.peer, reason, self.options.patience_s)
        self._wake_all()

    def count_received(self, n_bytes: int) -> None:
        """Add the peer's opening packet, which `attach` sees in parsed form, to the counters."""
        with self._lock:
            self._wire_received += n_bytes

    def on_packet(self, connection: Connection, packet: bytes) -> None:
        """Take in what `connection` brought. Never raises: what breaks the protocol ends the session."""
        with self._lock:
            if connection is not self._connection:
                return
            self._wire_received += len(packet)
            if self._error is not None:
                return
            try:
                for frame in frames.unpack(packet):
                    self._on_frame(connection, frame, len(packet))
            except ProtocolAbort as error:
                self._fail(error, tell=f"party {self.party!r}: {error}")

    def _on_frame(self, connection: Connection, frame: Frame, packet_bytes: int) -> None:
        stream = frame.stream
        if frame.kind == Kind.DATA:
            if self._peer_sent is not None and frame.sequence > self._peer_sent[stream]:
                raise ProtocolAbort(f"the peer sent on stream {stream} after it had closed")
            payload = frame.payload
            if len(payload) < packet_bytes // 2:  # a view would keep the whole packet in memory
                payload = memoryview(bytes(payload))
            options = self.options
            if self._incoming[stream].add(
                frame, payload, window_bytes=options.window_bytes, max_message_bytes=options.max_message_bytes
            ):
                connection.fruitful = True
                self._readable[stream].notify()
        elif frame.kind == Kind.CREDIT:
            if self._outgoing[stream].acknowledge(frame.sequence):
                connection.fruitful = True
                self._writable[stream].notify_all()
        elif frame.kind == Kind.CLOSE:
            connection.fruitful = True
            self._on_close(frame)
        elif frame.kind == Kind.BYE:
            if self._peer_sent is None or not self._closing:
                raise ProtocolAbort("the peer said farewell before both parties had closed")
            self._bye_received = True
            self._wake_all()
        elif frame.kind == Kind.ABORT:
            self._fail(PeerAborted(f"party {self.peer!r} ended the job: {frames.abort_reason(frame)}"))
        else:
            raise ProtocolAbort("the peer sent a second hello on one connection, or an answer to none")

    def _on_close(self, frame: Frame) -> None:
        sent, consumed = frames.close_counts(frame)
        for incoming, outgoing in zip(self._incoming, self._outgoing, strict=True):
            if sent[incoming.stream] < incoming.received:
                raise ProtocolAbort(f"the peer closed stream {incoming.stream} below what it had sent")
            outgoing.acknowledge(consumed[outgoing.stream])
        self._peer_sent, self._peer_consumed = sent, consumed
        self._wake_all()

    def next_packet(self, connection: Connection) -> bytes | None:
        """Wait for the next packet to put on `connection`; None when there will be no further one."""
        with self._lock:
            while True:
                if not connection.alive:
                    return None
                if self._error is not None:
                    if self._abort_reason is None or self._abort_sent or connection is not self._connection:
                        return None
                    self._abort_sent = True
                    self._state_changed.notify_all()
                    packet = frames.pack_abort(self._abort_reason)
                    self._wire_sent += len(packet)
                    return packet
                if connection is self._connection:
                    parts = self._gather()
                    if parts:
                        packet = parts[0] if len(parts) == 1 else b"".join(parts)
                        self._wire_sent += len(packet)
                        return packet
                    if self._bye_sent and self._bye_received:
                        return None
                if self._finished:
                    return None
                self._outbox_changed.wait()

    def _gather(self) -> list[bytes]:
        parts: list[bytes] = []
        size = 0
        while self._credits:
            stream = self._credits.pop()
            parts.append(frames.pack(Kind.CREDIT, stream=stream, sequence=self._incoming[stream].consumed))
        while self._ready and size < _BATCH_BYTES:
            if len(self._ready[0]) > _SMALL_BYTES and parts:
                break
            frame = self._ready.popleft()
            parts.append(frame)
            size += len(frame)
        if not self._ready:
            if self._close_due:
                self._close_due = False
                parts.append(
                    frames.pack_close(
                        [outgoing.last for outgoing in self._outgoing],
                        [incoming.consumed for incoming in self._incoming],
                    )
                )
            if self._bye_due:
                self._bye_due = False
                self._bye_sent = True
                parts.append(frames.pack(Kind.BYE))
                self._state_changed.notify_all()
        return parts
