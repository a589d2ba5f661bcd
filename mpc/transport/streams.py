# SPDX-License-Identifier: Apache-2.0
"""The two ends of one stream: what is kept until the peer consumed it, and what arrived until we consume it.

Plain bookkeeping without locks or waiting: `Session` holds its lock around every call here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from crypsis.errors import ProtocolAbort
from crypsis.mpc.transport.frames import FRAME_COST, Frame


class Outgoing:
    """Frames of one stream that the peer has not consumed yet, oldest first. Sequence numbers start at 1."""

    __slots__ = ("acknowledged", "cost", "last", "stream", "unacknowledged")

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.last = 0
        self.acknowledged = 0
        self.cost = 0
        self.unacknowledged: deque[tuple[int, int, bytes]] = deque()  # (sequence, cost, frame)

    def add(self, frame: bytes, payload_bytes: int) -> None:
        self.last += 1
        cost = payload_bytes + FRAME_COST
        self.cost += cost
        self.unacknowledged.append((self.last, cost, frame))

    def acknowledge(self, consumed: int) -> bool:
        """The peer consumed all frames up to `consumed`; True when that freed any."""
        if consumed > self.last:
            raise ProtocolAbort(
                f"the peer acknowledged frame {consumed} of stream {self.stream}, but only {self.last}"
                " were sent"
            )
        if consumed <= self.acknowledged:
            return False
        self.acknowledged = consumed
        while self.unacknowledged and self.unacknowledged[0][0] <= consumed:
            self.cost -= self.unacknowledged.popleft()[1]
        return True

    def after(self, received: int) -> Iterator[bytes]:
        """The frames to send again to a peer that received those up to `received`."""
        return (frame for sequence, _, frame in self.unacknowledged if sequence > received)


class Incoming:
    """Chunks of one stream that arrived and wait for the application."""

    __slots__ = (
        "_message_left",
        "_message_length",
        "chunks",
        "consumed",
        "held",
        "received",
        "stream",
        "uncredited",
    )

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.received = 0  # sequence number of the last frame
        self.consumed = 0  # the same for the last one that the application took
        self.held = 0  # cost of the frames in (consumed, received]
        self.uncredited = 0  # cost of the frames consumed since a credit was last scheduled
        self.chunks: deque[tuple[int, memoryview]] = deque()  # (length of the whole message, payload)
        self._message_length = 0
        self._message_left = 0

    def add(self, frame: Frame, payload: memoryview, *, window_bytes: int, max_message_bytes: int) -> bool:
        """Queue one DATA frame; False for a duplicate of one that arrived on an earlier connection."""
        if frame.sequence <= self.received:
            return False
        if frame.sequence != self.received + 1:
            raise ProtocolAbort(
                f"the peer sent frame {frame.sequence} on stream {self.stream} where {self.received + 1}"
                " was due"
            )
        size = len(payload)
        if self._message_left == 0:
            if frame.message_length > max_message_bytes:
                raise ProtocolAbort(
                    f"the peer announced a message of {frame.message_length} bytes on stream {self.stream};"
                    f" the limit is {max_message_bytes}"
                )
            self._message_length = self._message_left = frame.message_length
        if frame.message_length != self._message_length or size > self._message_left:
            raise ProtocolAbort(
                f"the peer sent chunks that do not make up one message on stream {self.stream}"
            )
        if size == 0 and frame.message_length != 0:
            raise ProtocolAbort(f"the peer sent an empty chunk of a longer message on stream {self.stream}")
        if self.held + size + FRAME_COST > window_bytes:
            raise ProtocolAbort(
                f"the peer sent more than the window of {window_bytes} bytes on stream {self.stream}"
            )
        self._message_left -= size
        self.received = frame.sequence
        self.held += size + FRAME_COST
        self.chunks.append((frame.message_length, payload))
        return True

    def take(self) -> tuple[int, memoryview]:
        """The next chunk, which counts as consumed from now on."""
        message_length, payload = self.chunks.popleft()
        cost = len(payload) + FRAME_COST
        self.consumed += 1
        self.held -= cost
        self.uncredited += cost
        return message_length, payload
