# SPDX-License-Identifier: Apache-2.0
"""The channel of a worker elsewhere: what a channel does, over a link and a relay; and who may be at a link."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from crypsis.errors import ChannelError, CrypsisError, ProtocolAbort
from crypsis.mpc.jobs import link as link_module
from crypsis.mpc.jobs.link import Kind, Link, LinkClosed, admit, call_driver
from crypsis.mpc.jobs.relay import RELAY_BYTES, Relay
from crypsis.mpc.jobs.task import Task, WorkerError
from crypsis.mpc.jobs.worker import serve
from crypsis.mpc.transport import Channel, ChannelOptions, memory_pair
from crypsis.mpc.transport.engine import PeerAborted
from transport.conftest import spawn

OPTIONS = ChannelOptions(window_bytes=64 << 10, chunk_bytes=16 << 10, max_message_bytes=8 << 20)
BODIES: list[Callable[[Channel], Any]] = []


def body(channel: Channel, spec: dict[str, Any], bins: Iterator[int], done: Any) -> None:
    """A worker function that does what the test at hand put into BODIES."""
    BODIES[-1](channel)


class Worker:
    """A worker in a thread, its relay in another one, and `peer`, the far end of the channel."""

    def __init__(self, do: Callable[[Channel], Any]) -> None:
        BODIES.append(do)
        self.near, self.peer = memory_pair(options=OPTIONS)
        self.task = Task(1, f"{__name__}:body", {}, lambda *report: None)
        ours, theirs = socket.socketpair()
        self.links = Link(ours), Link(theirs)
        self.lost: list[bool] = []
        self.relaying = Relay(self.links[0], self.near, self.task)
        self.relay = spawn(self.relaying.run)
        self.serving = spawn(serve, self.links[1], on_lost=lambda: self.lost.append(True))

    def end(self) -> None:
        for link in self.links:
            link.close()
        for channel in (self.near, self.peer):
            channel.abort("the test is over")
        self.task.cancel("the test is over")


@pytest.fixture
def worker() -> Iterator[Callable[[Callable[[Channel], Any]], Worker]]:
    made: list[Worker] = []

    def make(do: Callable[[Channel], Any]) -> Worker:
        made.append(Worker(do))
        return made[-1]

    yield make
    for one in made:
        one.end()


Make = Callable[[Callable[[Channel], Any]], Worker]


def test_messages_of_all_sizes_and_counters(worker: Make) -> None:
    sizes = [0, 1, 65_535, 65_536, 65_537, 300_000, RELAY_BYTES + 1, 8 << 20]
    seen: list[Any] = []

    def do(channel: Channel) -> None:
        for size in sizes:
            message = channel.recv(3)
            assert message.readonly
            assert len(message) == size
            channel.send(3, message)
        seen.append(channel.stats)
        assert (channel.party, channel.peer, channel.max_message_bytes) == ("alice", "bob", 8 << 20)

    one = worker(do)
    blobs = [os.urandom(size) for size in sizes]
    sending = spawn(lambda: [one.peer.send(3, blob) for blob in blobs])
    for blob in blobs:
        assert one.peer.recv(3) == blob
    sending.result(60)
    one.relay.result(60)
    stats, below = seen[0], one.near.stats
    assert stats.payload_bytes_sent == stats.payload_bytes_received == sum(sizes)
    assert stats.messages_sent == stats.messages_received == len(sizes)
    assert stats.rounds == len(sizes) - 1
    assert sum(sizes) < stats.wire_bytes_received <= below.wire_bytes_received
    assert below.payload_bytes_sent == sum(sizes)


def test_a_full_stream_holds_up_no_other(worker: Make) -> None:
    """Several times what the windows and the relay hold, which the peer reads last."""
    n_messages = 8

    def do(channel: Channel) -> None:
        full = spawn(lambda: [channel.send(0, bytes([i]) * (2 << 20)) for i in range(n_messages)])
        waiting = spawn(channel.recv, 6)
        for i in range(20):
            channel.send(1, bytes([i]))
            assert channel.recv(1) == bytes([i])
        assert not full.done()
        assert not waiting.done()
        channel.send(2, b"now")
        full.result(60)
        assert waiting.result(60) == b"at last"

    one = worker(do)
    for i in range(20):
        assert one.peer.recv(1) == bytes([i])
        one.peer.send(1, bytes([i]))
    assert one.peer.recv(2) == b"now"
    for i in range(n_messages):
        assert one.peer.recv(0) == bytes([i]) * (2 << 20)
    one.peer.send(6, b"at last")
    one.relay.result(60)


def test_bad_arguments(worker: Make) -> None:
    def do(channel: Channel) -> None:
        for stream in (-1, 8):
            with pytest.raises(ValueError, match=f"stream {stream} is outside"):
                channel.send(stream, b"")
            with pytest.raises(ValueError, match=f"stream {stream} is outside"):
                channel.recv(stream)
        with pytest.raises(TypeError, match="a stream is an integer"):
            channel.send("a", b"")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="above the limit of 8388608"):
            channel.send(0, bytes((8 << 20) + 1))

    worker(do).relay.result(60)


def test_the_peer_ends_the_session(worker: Make) -> None:
    def do(channel: Channel) -> None:
        other = spawn(channel.recv, 1)
        with pytest.raises(PeerAborted, match="bob has had enough"):
            channel.recv(0)
        with pytest.raises(PeerAborted, match="bob has had enough"):
            other.result(60)
        with pytest.raises(PeerAborted):
            channel.send(0, b"")
        assert channel.stats.messages_sent == 0
        channel.recv(0)

    one = worker(do)
    time.sleep(0.1)
    one.peer.abort("bob has had enough")
    with pytest.raises(PeerAborted, match="bob has had enough"):
        one.relay.result(60)


def test_a_worker_aborts_and_a_worker_closes(worker: Make) -> None:
    def give_up(channel: Channel) -> None:
        channel.abort("no more")
        with pytest.raises(ChannelError, match="this party ended the job: no more"):
            channel.send(0, b"")

    one = worker(give_up)
    with pytest.raises(ProtocolAbort, match="no more"):
        one.peer.recv(0)
    one.relay.result(60)

    def close(channel: Channel) -> None:
        channel.send(0, b"last")
        channel.close()
        channel.close()
        with pytest.raises(ChannelError, match="is closed"):
            channel.recv(0)

    two = worker(close)
    assert two.peer.recv(0) == b"last"
    two.peer.close()
    two.relay.result(60)


def test_what_is_left_unread_is_noticed(worker: Make) -> None:
    brought = threading.Event()

    def do(channel: Channel) -> None:
        assert channel.recv(0) == b"one"
        assert brought.wait(60)

    one = worker(do)
    one.peer.send(0, b"one")
    one.peer.send(0, b"two")
    incoming = one.relaying._incoming
    while 0 not in incoming or incoming[0].brought < 2:
        time.sleep(0.01)
    brought.set()
    with pytest.raises(ProtocolAbort, match="closed with 1 unread messages on stream 0"):
        one.relay.result(60)


def test_a_peer_that_closes_leaves_what_it_sent(worker: Make) -> None:
    def do(channel: Channel) -> None:
        waiting = spawn(channel.recv, 1)
        with pytest.raises(ChannelError, match="no message is left on stream 1"):
            waiting.result(60)
        assert channel.recv(0) == b"one"
        assert channel.recv(0) == b"two"
        with pytest.raises(ChannelError, match="no message is left on stream 0"):
            channel.recv(0)
        channel.close()

    one = worker(do)
    one.peer.send(0, b"one")
    one.peer.send(0, b"two")
    closing = spawn(one.peer.close)
    one.relay.result(60)
    closing.result(60)


def test_errors_cross_the_link_as_what_they_are(worker: Make) -> None:
    def cheated(channel: Channel) -> None:
        raise ProtocolAbort("bin 3: the peer's tags are not sorted")

    with pytest.raises(ProtocolAbort, match="tags are not sorted"):
        worker(cheated).relay.result(60)

    def broken(channel: Channel) -> None:
        raise KeyError("row")

    with pytest.raises(WorkerError, match="KeyError: 'row'"):
        worker(broken).relay.result(60)


def test_a_driver_that_goes_away_ends_the_worker(worker: Make) -> None:
    one = worker(lambda channel: channel.recv(0))
    time.sleep(0.1)
    one.links[0].close()
    with pytest.raises(LinkClosed):
        one.relay.result(60)
    with suppress(LinkClosed):
        one.serving.result(60)
    assert one.lost


@pytest.mark.parametrize("packet", [b"\xff" * 16, b"\x01" + bytes(7) + b"\xff" * 8])
def test_what_is_no_message_closes_the_link(packet: bytes) -> None:
    ours, theirs = socket.socketpair()
    link = Link(ours)
    with theirs:
        theirs.sendall(packet)
        with pytest.raises(LinkClosed, match="carries what is no message"):
            link.recv()
    link.close()


def test_the_worker_and_the_driver_prove_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "ADMIT_TIMEOUT_S", 0.5)
    key = os.urandom(32)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def admitted(with_key: bytes) -> Link | None:
            caller, _ = server.accept()
            return admit(caller, with_key)

        asked = spawn(admitted, key)
        worker_link = call_driver("127.0.0.1", port, key)
        driver_link = asked.result(60)
        assert driver_link is not None
        driver_link.send(Kind.BIN, b"x" * 100_000, stream=3)
        message = worker_link.recv()
        assert (message.kind, message.stream, len(message.payload)) == (Kind.BIN, 3, 100_000)
        for one in (driver_link, worker_link):
            one.close()

        asked = spawn(admitted, key)
        with pytest.raises(LinkClosed):
            call_driver("127.0.0.1", port, os.urandom(32))
        assert asked.result(60) is None

        asked = spawn(admitted, key)
        with socket.create_connection(("127.0.0.1", port)):  # a stranger that says nothing
            assert asked.result(60) is None

        def impostor() -> None:
            caller, _ = server.accept()
            with caller:
                caller.sendall(bytes(32))
                caller.recv(64)
                caller.sendall(bytes(32))

        asked_other = spawn(impostor)
        with pytest.raises(LinkClosed, match="is not the driver of this worker"):
            call_driver("127.0.0.1", port, key)
        asked_other.result(60)
    with pytest.raises(CrypsisError, match="cannot be reached"):
        call_driver("127.0.0.1", port, key)
