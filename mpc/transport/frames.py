# SPDX-License-Identifier: Apache-2.0
"""The bytes between two parties: fixed little-endian frame headers, and the hello that opens every
connection.

A packet (one gRPC message) is one or more frames. The format is our own, and not protobuf, for two reasons: a
payload stays where gRPC put it (a view into the packet instead of a parsed copy), and host platforms pin
protobuf releases that exclude each other, so a library that lives inside them must not need any.
docs/transport.md has the tables.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import NamedTuple

from crypsis.errors import ProtocolAbort
from crypsis.mpc.transport.channel import MAX_CHUNK_BYTES, MAX_STREAMS

TRANSPORT_VERSION = 2
"""2: the hello names a session, of which two parties may have several; LATER."""

MAX_SESSION = 65_535
"""Sessions are the integers 0 to MAX_SESSION; a number is used once in the life of a hub."""

MAGIC = b"CRYPSIS\x00"

# kind, reserved (0), stream, payload length, sequence, message length
HEADER = struct.Struct("<BBHIQQ")
_HELLO_PREFIX = struct.Struct("<8sI")
_CLOSE_COUNTS = struct.Struct(f"<{2 * MAX_STREAMS}Q")

FRAME_COST = 256
"""What a frame counts for beyond its payload in the windows, so that empty messages are bounded as well."""

MAX_CONTROL_BYTES = 16 << 10
MAX_REASON_BYTES = 1024
MAX_PACKET_BYTES = MAX_CHUNK_BYTES + (64 << 10)


class Kind(IntEnum):
    """Frame kinds; the numbers are on the wire."""

    HELLO = 1
    DATA = 2
    CREDIT = 3
    CLOSE = 4
    BYE = 5
    ABORT = 6
    LATER = 7


class Frame(NamedTuple):
    kind: Kind
    stream: int
    sequence: int
    message_length: int
    payload: memoryview


def pack(
    kind: Kind,
    payload: bytes | memoryview = b"",
    *,
    stream: int = 0,
    sequence: int = 0,
    message_length: int = 0,
) -> bytes:
    """One frame: its header and a copy of `payload`."""
    header = HEADER.pack(kind, 0, stream, len(payload), sequence, message_length)
    return b"".join((header, payload))


def unpack(packet: bytes) -> Iterator[Frame]:
    """The frames of one packet; ProtocolAbort when a byte is not as the format has it."""
    view = memoryview(packet)
    end = len(view)
    if not end:
        raise ProtocolAbort("the peer sent an empty packet; it does not speak this protocol")
    start = 0
    while start < end:
        if end - start < HEADER.size:
            raise ProtocolAbort(f"the peer sent a truncated frame header of {end - start} bytes")
        kind, reserved, stream, length, sequence, message_length = HEADER.unpack_from(view, start)
        start += HEADER.size
        if not Kind.HELLO <= kind <= Kind.LATER or reserved:
            raise ProtocolAbort(f"the peer sent a frame of unknown kind {kind} (reserved byte {reserved})")
        if stream >= MAX_STREAMS:
            raise ProtocolAbort(f"the peer sent a frame for stream {stream}; there are {MAX_STREAMS}")
        if length > (MAX_CHUNK_BYTES if kind == Kind.DATA else MAX_CONTROL_BYTES):
            raise ProtocolAbort(f"the peer announced a frame of {length} bytes, more than the format allows")
        if length > end - start:
            raise ProtocolAbort(f"the peer sent a truncated frame: {end - start} of {length} bytes")
        yield Frame(Kind(kind), stream, sequence, message_length, view[start : start + length])
        start += length


def pack_abort(reason: str) -> bytes:
    """An ABORT frame; `reason` is cut to the size that a frame may carry."""
    return pack(Kind.ABORT, reason.encode("utf-8", "replace")[:MAX_REASON_BYTES])


def pack_later(reason: str) -> bytes:
    """A LATER frame: the hello is in order, but there is no such session here now; dial again."""
    return pack(Kind.LATER, reason.encode("utf-8", "replace")[:MAX_REASON_BYTES])


def abort_reason(frame: Frame) -> str:
    """The peer's reason in an ABORT or LATER frame as one printable line (it is the peer's text: no control
    characters reach a terminal)."""
    text = bytes(frame.payload[:MAX_REASON_BYTES]).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text).strip() or "no reason given"


def pack_close(sent: list[int], consumed: list[int]) -> bytes:
    """A CLOSE frame: per stream how many frames were sent, then per stream how many were consumed."""
    return pack(Kind.CLOSE, _CLOSE_COUNTS.pack(*sent, *consumed))


def close_counts(frame: Frame) -> tuple[list[int], list[int]]:
    """(sent, consumed) of the peer's CLOSE frame."""
    if len(frame.payload) != _CLOSE_COUNTS.size:
        raise ProtocolAbort(f"the peer sent a close frame of {len(frame.payload)} bytes")
    counts = list(_CLOSE_COUNTS.unpack(frame.payload))
    return counts[:MAX_STREAMS], counts[MAX_STREAMS:]


class VersionMismatch(ProtocolAbort):
    """The peer's transport is of another version than ours."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First frame in either direction of every connection.

    instance  32 hex digits drawn when the channel was made: a restarted process has another one
    knows     the peer's instance as this party knows it, "" before the first answer
    received  per stream the sequence number of the last frame received, so that the peer resends what follows
    session   which of the sessions between the two parties this connection belongs to
    """

    library: str
    party: str
    peer: str
    instance: str
    knows: str
    window_bytes: int
    max_message_bytes: int
    received: list[int]
    session: int = 0


def pack_hello(hello: Hello) -> bytes:
    """A HELLO frame: magic and version as fixed bytes, so that versions can always tell each other apart,
    then JSON."""
    text = json.dumps(asdict(hello), separators=(",", ":")).encode()
    return pack(Kind.HELLO, _HELLO_PREFIX.pack(MAGIC, TRANSPORT_VERSION) + text)


def unpack_hello(frame: Frame) -> Hello:
    """The peer's hello. VersionMismatch for another version, ProtocolAbort for anything else that is
    wrong."""
    payload = bytes(frame.payload)
    if frame.kind != Kind.HELLO or len(payload) < _HELLO_PREFIX.size or payload[:8] != MAGIC:
        raise ProtocolAbort("the peer's first bytes are not a crypsis hello")
    _, version = _HELLO_PREFIX.unpack_from(payload)
    if version != TRANSPORT_VERSION:
        raise VersionMismatch(
            f"transport versions differ: one party speaks {version}, the other {TRANSPORT_VERSION};"
            " install the same crypsis release at both parties"
        )
    try:
        fields = json.loads(payload[_HELLO_PREFIX.size :])
        hello = Hello(**fields)
    except (ValueError, TypeError, RecursionError):
        raise ProtocolAbort("the peer sent a hello that cannot be read") from None
    texts = (hello.library, hello.party, hello.peer, hello.instance, hello.knows)
    numbers = (hello.window_bytes, hello.max_message_bytes)
    counts = hello.received
    if (
        not all(isinstance(text, str) and len(text) <= 64 and text.isprintable() for text in texts)
        or len(hello.instance) != 32
        or not all(type(number) is int and 0 < number <= 1 << 40 for number in numbers)
        or hello.window_bytes < 4096
        or type(hello.session) is not int
        or not 0 <= hello.session <= MAX_SESSION
        or not isinstance(counts, list)
        or len(counts) != MAX_STREAMS
        or not all(type(count) is int and 0 <= count < 1 << 64 for count in counts)
    ):
        raise ProtocolAbort("the peer sent a hello with fields out of range")
    return hello
