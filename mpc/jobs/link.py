# SPDX-License-Identifier: Apache-2.0
"""`Link`: messages over a stream socket between a driver and one of its own workers.

Both ends belong to one party. What passes is a kind, a stream number and bytes; nothing is unpickled. On one
machine the socket is one of a pair that nobody else can open; on a cluster it is TCP, in plain text, and each
end proves first that it knows a key drawn for this one connection.
"""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import struct
import threading
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from crypsis.errors import CrypsisError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_HEADER = struct.Struct("<BBxxxxxxQ")  # kind, stream, payload length
MAX_LINK_BYTES = 1 << 41  # a channel's largest message is 2**40
_SMALL_BYTES = 64 << 10  # so much is joined to its header rather than sent by a call of its own

HANDSHAKE_TIMEOUT_S = 30.0
ADMIT_TIMEOUT_S = 5.0
"""A caller that has not proved itself by then is sent away, so that the worker behind it gets its turn."""

_NONCE_BYTES = 32
_PROOF_BYTES = 32


class Kind(IntEnum):
    """What a message is; the first group goes from worker to driver, the second one back."""

    SEND = 1  # stream, payload: for the peer
    RECV = 2  # stream: its messages are wanted, as they come
    TAKEN = 3  # stream, {"cost"}: the worker has taken so much of what came on it
    DONE = 4  # {"bin", "result"}
    CLOSE = 5  # {"taken": messages taken, per stream}
    ABORT = 6  # the reason
    STATS = 7
    ENDED = 8  # {"taken"} in order, or {"error", "text", "traceback"}

    START = 16  # {"work", "spec", "party", "peer", "max_message_bytes"}
    ACK = 17  # stream: the oldest SEND on it was taken by the channel
    MESSAGE = 18  # stream, payload: from the peer
    NO_MORE = 19  # stream, {"error", "text"}: why no message comes on it any more
    BIN = 20  # {"bin"}
    LAST = 21  # no more bins
    ERROR = 22  # {"error", "text"}: the channel has failed
    CLOSED = 23  # CLOSE and everything before it is done
    STATS_ARE = 24  # the counters of the driver's channel


class LinkClosed(CrypsisError):
    """The other end of a link has gone."""


class Message(NamedTuple):
    kind: Kind
    stream: int
    payload: memoryview

    def json(self) -> dict[str, Any]:
        """The payload as the object it holds."""
        value = json.loads(bytes(self.payload))
        if not isinstance(value, dict):
            raise LinkClosed(f"a {self.kind.name} message on the link holds no object")
        return value


class Link:
    """One end. `send` may be called by several threads, `recv` by one."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A machine that lost its power says nothing; TCP finds out within two minutes.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 6)):
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._socket = sock
        self._sending = threading.Lock()

    def send(self, kind: Kind, payload: Buffer = b"", *, stream: int = 0) -> None:
        """Send one message; the buffer may be reused at once. LinkClosed when the other end has gone."""
        view = memoryview(payload).cast("B")
        header = _HEADER.pack(kind, stream, view.nbytes)
        try:
            with self._sending:
                if view.nbytes <= _SMALL_BYTES:
                    self._socket.sendall(header + view)
                else:
                    self._socket.sendall(header)
                    self._socket.sendall(view)
        except OSError as error:
            raise LinkClosed(f"the link is closed ({error.strerror or error})") from None

    def send_json(self, kind: Kind, *, stream: int = 0, **fields: object) -> None:
        """Send one message that is a JSON object."""
        self.send(kind, json.dumps(fields, separators=(",", ":")).encode(), stream=stream)

    def recv(self) -> Message:
        """Wait for one message. LinkClosed when the other end has gone or does not speak this language."""
        kind, stream, length = _HEADER.unpack(self._exactly(_HEADER.size))
        if kind not in Kind.__members__.values() or length > MAX_LINK_BYTES:
            raise LinkClosed(f"the link carries what is no message (kind {kind}, {length} bytes)")
        return Message(Kind(kind), stream, self._exactly(length))

    def _exactly(self, length: int) -> memoryview:
        try:
            return _receive(self._socket, length)
        except OSError as error:
            raise LinkClosed(f"the link is closed ({error.strerror or error})") from None

    def close(self) -> None:
        """Wake whoever waits at either end. Never raises."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _receive(sock: socket.socket, length: int) -> memoryview:
    view = memoryview(bytearray(length))
    filled = 0
    while filled < length:
        n_bytes = sock.recv_into(view[filled:])
        if n_bytes == 0:
            raise LinkClosed("the other end of the link has gone")
        filled += n_bytes
    return view.toreadonly()


# ---- over TCP: who is there


def _proof(key: bytes, role: bytes, nonces: bytes) -> bytes:
    return hmac.digest(key, role + nonces, "sha256")


def admit(sock: socket.socket, key: bytes) -> Link | None:
    """The driver's half of the handshake on a socket just accepted: a link if the caller knows `key`.

    HMAC-SHA-256 of both parties' nonces under the key, in both directions with a label of its own.
    """
    try:
        sock.settimeout(ADMIT_TIMEOUT_S)
        ours = secrets.token_bytes(_NONCE_BYTES)
        sock.sendall(ours)
        answer = bytes(_receive(sock, _NONCE_BYTES + _PROOF_BYTES))
        nonces = ours + answer[:_NONCE_BYTES]
        if hmac.compare_digest(answer[_NONCE_BYTES:], _proof(key, b"worker", nonces)):
            sock.sendall(_proof(key, b"driver", nonces))
            return Link(sock)
    except (OSError, LinkClosed):
        pass
    sock.close()
    return None


def call_driver(host: str, port: int, key: bytes) -> Link:
    """The worker's half. LinkClosed when nobody answers, or somebody who does not know `key`."""
    try:
        sock = socket.create_connection((host, port), timeout=HANDSHAKE_TIMEOUT_S)
    except OSError as error:
        raise LinkClosed(
            f"the driver at {host}:{port} cannot be reached ({error.strerror or error});"
            " open this port range between the cluster's machines"
        ) from None
    try:
        theirs = bytes(_receive(sock, _NONCE_BYTES))
        ours = secrets.token_bytes(_NONCE_BYTES)
        sock.sendall(ours + _proof(key, b"worker", theirs + ours))
        if hmac.compare_digest(bytes(_receive(sock, _PROOF_BYTES)), _proof(key, b"driver", theirs + ours)):
            return Link(sock)
    except OSError as error:
        sock.close()
        raise LinkClosed(f"the driver at {host}:{port} went away ({error.strerror or error})") from None
    except LinkClosed:
        sock.close()
        raise
    sock.close()
    raise LinkClosed(f"what listens at {host}:{port} is not the driver of this worker")
