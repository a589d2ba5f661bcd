# SPDX-License-Identifier: Apache-2.0
"""What a protocol sees of its peer: a `Channel` with numbered streams, and the counters it keeps."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_STREAMS = 8
"""Streams are the integers 0 <= stream < MAX_STREAMS; what each one carries is agreed by the protocol.

Few, because a peer may fill the window of each: MAX_STREAMS * window_bytes bounds what it can make us hold."""

MAX_CHUNK_BYTES = 4 << 20
DEFAULT_CHUNK_BYTES = 1 << 20
DEFAULT_WINDOW_BYTES = 16 << 20
DEFAULT_MAX_MESSAGE_BYTES = 64 << 20
DEFAULT_PATIENCE_S = 300.0


def check_party_name(name: str) -> str:
    """Return `name` if it can stand in a certificate and in a log line; ValueError otherwise."""
    if not isinstance(name, str):
        raise TypeError(f"a party name is a string, not {type(name).__name__}")
    if len(name) > 63 or not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([._-][A-Za-z0-9]+)*", name):
        raise ValueError(
            f"party name {name!r} is not usable: take at most 63 letters and digits, starting with a letter,"
            " with single '-', '_' or '.' between them"
        )
    return name


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """Limits of one channel. Both parties may choose their own; the smaller `max_message_bytes` holds.

    chunk_bytes          largest payload of one frame we send, 1 to 4 MiB
    window_bytes         per stream, how much the peer may send ahead of our application; at least 4 KiB
    max_message_bytes    largest message that is reassembled
    patience_s           seconds a peer may be away before the job ends here
    keepalive_s          idle seconds after which a gRPC ping asks whether the peer's host still answers
    keepalive_timeout_s  seconds without an answer (and without progress) until the connection counts as lost
    """

    chunk_bytes: int = DEFAULT_CHUNK_BYTES
    window_bytes: int = DEFAULT_WINDOW_BYTES
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    patience_s: float = DEFAULT_PATIENCE_S
    keepalive_s: float = 30.0
    keepalive_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not 1 <= self.chunk_bytes <= MAX_CHUNK_BYTES:
            raise ValueError(f"chunk_bytes={self.chunk_bytes} is outside 1 to {MAX_CHUNK_BYTES}")
        if not 4096 <= self.window_bytes <= 1 << 40:
            raise ValueError(f"window_bytes={self.window_bytes} is outside 4096 to 2**40")
        if not 1 <= self.max_message_bytes <= 1 << 40:
            raise ValueError(f"max_message_bytes={self.max_message_bytes} is outside 1 to 2**40")
        for name in ("patience_s", "keepalive_s", "keepalive_timeout_s"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ValueError(f"{name}={value} must be a positive number of seconds")


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """Counters of one party, read at one instant.

    payload_bytes_*  bytes of the application's messages, counted when `send` / `recv` returns; the same at
                     both ends of a finished job, whatever happened to the connection
    messages_*       the same for messages
    wire_bytes_*     bytes of our own frames given to, or received from, the connection: payloads, headers,
                     credits, hellos and everything that was sent twice; without HTTP/2, TLS and TCP
    rounds           how often the application received a message when the latest completed operation on this
                     channel, over all streams, was a send: a change of direction as this party sees it. A
                     ping-pong of n messages each way is n rounds at the party that begins, n - 1 at the other
    reconnects       connections after the first one
    blocked_send_s   seconds, summed over threads, that `send` waited for the peer to consume
    blocked_recv_s   seconds, summed over threads, that `recv` waited for the peer to send
    unacknowledged_bytes  cost of the frames kept for retransmission now: at most one window a stream
    """

    payload_bytes_sent: int
    payload_bytes_received: int
    messages_sent: int
    messages_received: int
    wire_bytes_sent: int
    wire_bytes_received: int
    rounds: int
    reconnects: int
    blocked_send_s: float
    blocked_recv_s: float
    unacknowledged_bytes: int


class Channel(ABC):
    """One connection to one peer, full duplex, usable from several threads.

    Messages on one stream arrive in the order in which they were sent, once; streams do not wait for each
    other. As a context manager it closes in order, or aborts when the block ends with an exception.
    """

    party: str
    peer: str

    @abstractmethod
    def send(self, stream: int, payload: Buffer) -> None:
        """Send `payload` (any contiguous buffer, 0 to max_message bytes) on `stream`.

        The bytes are copied once, so the buffer may be reused at once. Blocks while a window's worth of data
        on this stream waits to be consumed by the peer's application, however long that takes.

        Raises ValueError (stream, size), ChannelError (peer away longer than patience, channel closed),
        ProtocolAbort (the peer ended the job or broke the protocol).
        """

    @abstractmethod
    def recv(self, stream: int) -> memoryview:
        """Wait for the next message on `stream` and return it as a read-only view of bytes.

        A message of one chunk is a view of the received packet: no copy. Raises as `send` does.
        """

    @abstractmethod
    def close(self) -> None:
        """End in order: returns when both parties have called it and everything sent was consumed.

        Waits as long as the peer is alive. Raises ProtocolAbort if either side left messages unread.
        """

    @abstractmethod
    def abort(self, reason: str) -> None:
        """End the job now: the peer's calls raise ProtocolAbort with `reason`, ours ChannelError. Never
        raises."""

    @property
    def max_message_bytes(self) -> int:
        """Size of the largest message that `send` takes."""
        return DEFAULT_MAX_MESSAGE_BYTES

    @property
    @abstractmethod
    def stats(self) -> ChannelStats:
        """The counters now."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            # The peer learns the kind of failure only: an exception's text may quote rows of private data.
            self.abort(f"{type(error).__name__} at party {self.party!r}; see its own log")
