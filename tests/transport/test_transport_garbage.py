# SPDX-License-Identifier: Apache-2.0
"""Peers that break the protocol, and strangers on the port."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import grpc
import pytest

from crypsis.errors import ChannelError, CrypsisError, ProtocolAbort
from crypsis.mpc.transport import MAX_STREAMS, ChannelOptions, connect, frames, listen
from crypsis.mpc.transport.engine import Connection
from crypsis.mpc.transport.frames import HEADER, Hello, Kind, pack, unpack, unpack_hello
from crypsis.mpc.transport.grpc_link import METHOD, SERVICE
from crypsis.mpc.transport.session import Session

from .conftest import spawn

OPTIONS = ChannelOptions(max_message_bytes=10_000, window_bytes=20_000, patience_s=60)


def hello(**changed: Any) -> bytes:
    fields: dict[str, Any] = {
        "library": "0",
        "party": "bob",
        "peer": "alice",
        "instance": "0" * 32,
        "knows": "",
        "window_bytes": 1 << 20,
        "max_message_bytes": 1 << 20,
        "received": [0] * MAX_STREAMS,
    }
    return frames.pack_hello(Hello(**{**fields, **changed}))


def attached() -> tuple[Session, Connection]:
    session = Session(party="alice", peer="bob", where="nowhere", options=OPTIONS)
    connection = Connection()
    session.attach(connection, unpack_hello(next(unpack(hello()))))
    return session, connection


def data(payload: bytes, sequence: int, length: int | None = None, stream: int = 0) -> bytes:
    total = len(payload) if length is None else length
    return pack(Kind.DATA, payload, stream=stream, sequence=sequence, message_length=total)


def header(kind: int, reserved: int, stream: int, length: int) -> bytes:
    return HEADER.pack(kind, reserved, stream, length, 1, length)


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (b"", "empty packet"),
        (b"\x02", "truncated frame header of 1 bytes"),
        (data(b"abc", 1)[:-1], "truncated frame: 2 of 3 bytes"),
        (data(b"abc", 1) + b"x", "truncated frame header"),
        (header(0, 0, 0, 0), "unknown kind 0"),
        (header(8, 0, 0, 0), "unknown kind 8"),
        (header(2, 1, 0, 0), "reserved byte 1"),
        (header(2, 0, MAX_STREAMS, 0), f"stream {MAX_STREAMS}; there are {MAX_STREAMS}"),
        (header(2, 0, 0, (4 << 20) + 1), "more than the format allows"),
        (header(6, 0, 0, 1 << 20), "more than the format allows"),
        (data(b"abc", 2), "frame 2 on stream 0 where 1 was due"),
        (data(b"abc", 1) + data(b"abc", 3), "frame 3 on stream 0 where 2 was due"),
        (data(b"", 1, 10_001), "a message of 10001 bytes on stream 0; the limit is 10000"),
        (data(b"", 1, (1 << 64) - 1), "the limit is 10000"),
        (data(b"abc", 1, 2), "do not make up one message"),
        (data(b"abc", 1, 5) + data(b"abc", 2, 6), "do not make up one message"),
        (data(b"", 1, 5), "empty chunk"),
        (data(bytes(9_900), 1) + data(bytes(9_900), 2), "more than the window of 20000"),
        (pack(Kind.CREDIT, stream=3, sequence=1), "acknowledged frame 1 of stream 3, but only 0"),
        (pack(Kind.CLOSE, b"123"), "close frame of 3 bytes"),
        (data(b"abc", 1) + frames.pack_close([0] * MAX_STREAMS, [0] * MAX_STREAMS), "below what it had sent"),
        (frames.pack_close([0] * MAX_STREAMS, [0] * MAX_STREAMS) + data(b"a", 1), "after it had closed"),
        (pack(Kind.BYE), "farewell before"),
        (hello(), "a second hello"),
        (frames.pack_later("no"), "an answer to none"),
    ],
)
def test_what_breaks_the_protocol_ends_the_session(packet: bytes, message: str) -> None:
    session, connection = attached()
    session.on_packet(connection, packet)
    with pytest.raises(ProtocolAbort, match=message):
        session.recv(MAX_STREAMS - 1)
    told = session.next_packet(connection)
    assert told is not None
    frame = next(unpack(told))
    assert frame.kind == Kind.ABORT
    assert "the peer" in frames.abort_reason(frame)
    assert session.next_packet(connection) is None


def test_random_packets_never_do_anything_else() -> None:
    generator = random.Random(1)
    for _ in range(500):
        session, connection = attached()
        if generator.random() < 0.5:
            packet = generator.randbytes(generator.randrange(200))
        else:
            flipped = bytearray(data(b"x" * 50, 1) + pack(Kind.CREDIT, sequence=0) + hello())
            for _ in range(generator.randrange(1, 4)):
                flipped[generator.randrange(len(flipped))] = generator.randrange(256)
            packet = bytes(flipped)
        session.on_packet(connection, packet)
        assert isinstance(session.failure, ProtocolAbort)


def test_duplicates_are_dropped() -> None:
    session, connection = attached()
    for packet in (data(b"one", 1), data(b"one", 1), data(b"two", 2), data(b"one", 1)):
        session.on_packet(connection, packet)
    assert [bytes(session.recv(0)) for _ in range(2)] == [b"one", b"two"]
    assert session.failure is None


def test_packets_of_an_old_connection_are_ignored() -> None:
    session, old = attached()
    new = Connection()
    session.attach(new, unpack_hello(next(unpack(hello()))))
    session.on_packet(old, b"garbage")
    assert session.failure is None
    assert session.next_packet(old) is None


def bad_hellos() -> Iterator[tuple[bytes, str]]:
    good = hello()[HEADER.size :]
    prefix, fields = good[:12], json.loads(good[12:])
    yield pack(Kind.HELLO, b"short"), "not a crypsis hello"
    yield pack(Kind.HELLO, b"X" * 100), "not a crypsis hello"
    yield pack(Kind.BYE), "not a crypsis hello"
    yield pack(Kind.HELLO, prefix[:8] + struct.pack("<I", 9) + b"{}"), "one party speaks 9, the other 2"
    for text in (b"", b"{", b"[]", b"{}", b"\xff", b"[" * 5000, json.dumps({**fields, "more": 1}).encode()):
        yield pack(Kind.HELLO, prefix + text), "hello that cannot be read"
    for change in (
        {"party": 1},
        {"party": "b" * 65},
        {"library": "\x1b[2J"},
        {"instance": "0"},
        {"window_bytes": 4095},
        {"window_bytes": True},
        {"window_bytes": 1e9},
        {"max_message_bytes": -1},
        {"session": -1},
        {"session": 65536},
        {"session": "1"},
        {"received": [0]},
        {"received": [0.5] * MAX_STREAMS},
        {"received": [-1] * MAX_STREAMS},
    ):
        yield pack(Kind.HELLO, prefix + json.dumps({**fields, **change}).encode()), "out of range"


@pytest.mark.parametrize(("packet", "message"), list(bad_hellos()))
def test_hellos_that_are_refused(packet: bytes, message: str) -> None:
    with pytest.raises(ProtocolAbort, match=message):
        unpack_hello(next(unpack(packet)))


def test_a_hello_that_claims_what_was_never_sent() -> None:
    session = Session(party="alice", peer="bob", where="nowhere", options=OPTIONS)
    with pytest.raises(ProtocolAbort, match="claims frames of stream 0 that were never sent"):
        session.attach(Connection(), unpack_hello(next(unpack(hello(received=[1] * MAX_STREAMS)))))


def call(port: int, packets: Iterable[bytes], *, method: str = METHOD) -> list[bytes]:
    """Speak gRPC to the port as a stranger does; the answers."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return list(channel.stream_stream(f"/{SERVICE}/{method}")(iter(packets), timeout=60))


def test_strangers_do_not_end_the_job_of_the_peer() -> None:
    listener = listen("127.0.0.1:0", party="alice", peer="bob", insecure=True, options=OPTIONS)
    accepted = spawn(listener.accept)

    def strangers() -> None:
        for noise in (
            b"",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            os.urandom(1000),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", listener.port)) as stranger:
                stranger.sendall(noise)
        for packet in (
            b"",
            b"garbage",
            hello()[:-1],
            hello() + hello(),
            pack(Kind.BYE),
            pack(Kind.ABORT, b"ha"),
        ):
            answer = call(listener.port, [packet])
            assert [next(unpack(a)).kind for a in answer] == [Kind.ABORT]
        assert call(listener.port, []) == []
        with pytest.raises(grpc.RpcError) as caught:
            call(listener.port, [b""], method="Other")
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.RpcError) as caught:  # beyond the largest message
            call(listener.port, [bytes(5 << 20)])

    strangers()
    assert not accepted.done()
    bob = connect(f"127.0.0.1:{listener.port}", party="bob", peer="alice", insecure=True, options=OPTIONS)
    alice = accepted.result(60)
    strangers()
    alice.send(0, b"unharmed")
    assert bob.recv(0) == b"unharmed"
    bob.abort("done")
    listener.close()


def test_another_version_is_told_to_both_sides() -> None:
    listener = listen("127.0.0.1:0", party="alice", peer="bob", insecure=True, options=OPTIONS)
    accepted = spawn(listener.accept)
    text = "one party speaks 9, the other 2; install the same crypsis release at both parties"
    answer = call(listener.port, [pack(Kind.HELLO, frames.MAGIC + struct.pack("<I", 9) + b"from the future")])
    assert text in frames.abort_reason(next(unpack(answer[0])))
    with pytest.raises(ChannelError, match=text):
        accepted.result(60)


def test_garbage_from_the_peer_after_its_hello() -> None:
    listener = listen("127.0.0.1:0", party="alice", peer="bob", insecure=True, options=OPTIONS)
    accepted = spawn(listener.accept)

    def packets() -> Iterator[bytes]:
        yield hello()
        accepted.result(60)
        yield data(b"first", 1)
        yield os.urandom(100)

    answer = spawn(call, listener.port, packets())
    alice = accepted.result(60)
    with suppress(ProtocolAbort):  # the message before the garbage may be read or dropped
        assert alice.recv(1) == b"first"
    with pytest.raises(ProtocolAbort, match="the peer"):
        alice.recv(1)
    # One packet may hold an acknowledgement too.
    assert [frame.kind for frame in unpack(answer.result(60)[-1])][-1] == Kind.ABORT
    listener.close()


@pytest.fixture
def impostor() -> Iterator[Callable[[list[bytes]], int]]:
    """A gRPC server that answers with the given packets whatever it is told; its port."""
    servers: list[Any] = []

    def start(packets: list[bytes]) -> int:
        from concurrent import futures

        server = grpc.server(futures.ThreadPoolExecutor(2))

        def serve(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
            next(requests)
            yield from packets

        handler = grpc.stream_stream_rpc_method_handler(serve)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return int(port)

    yield start
    for server in servers:
        server.stop(0).wait()


@pytest.mark.parametrize(
    ("packets", "message"),
    [
        ([b"garbage"], "is not usable: the peer sent a truncated frame header"),
        ([hello()], "names differ: party 'bob' expects to talk to 'alice', party 'bob' expects"),
        ([pack(Kind.HELLO, frames.MAGIC + struct.pack("<I", 9))], "transport versions differ"),
        ([frames.pack_abort("go\x1b away")], "refused us: go  away"),
    ],
)
def test_an_impostor_that_listens(
    impostor: Callable[[list[bytes]], int], packets: list[bytes], message: str
) -> None:
    with pytest.raises(ChannelError, match=message):
        connect(f"127.0.0.1:{impostor(packets)}", party="bob", peer="alice", insecure=True, options=OPTIONS)


def test_a_grpc_server_that_is_something_else() -> None:
    from concurrent import futures

    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with pytest.raises(ChannelError, match="serves gRPC, but is no crypsis party"):
        connect(f"127.0.0.1:{port}", party="bob", peer="alice", insecure=True, options=OPTIONS)
    server.stop(0).wait()


def test_a_plain_server_that_is_something_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    near, _ = server.accept()
                except OSError:
                    return
                near.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                near.close()

        threading.Thread(target=answer, daemon=True).start()
        options = ChannelOptions(patience_s=1)
        with pytest.raises(CrypsisError, match="has been away"):
            connect(
                f"127.0.0.1:{server.getsockname()[1]}",
                party="bob",
                peer="alice",
                insecure=True,
                options=options,
            )
        server.shutdown(socket.SHUT_RDWR)
