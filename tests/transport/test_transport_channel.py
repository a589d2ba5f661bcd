# SPDX-License-Identifier: Apache-2.0
"""What every channel does, in memory and over gRPC: order, sizes, windows, counters, ends."""

from __future__ import annotations

import os
import random
import time

import numpy as np
import pytest

from crypsis.errors import ChannelError, ProtocolAbort
from crypsis.mpc.transport import MAX_STREAMS, ChannelOptions, memory_pair
from crypsis.mpc.transport.frames import FRAME_COST, HEADER

from .conftest import PairFactory, close_both, spawn

both = pytest.mark.parametrize("pair_of", ["memory", "grpc"], indirect=True)
CHUNK = 64 << 10


def wait_until(condition: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not become true")
        time.sleep(0.005)


@both
def test_sizes_around_the_chunk(pair_of: PairFactory) -> None:
    alice, bob = pair_of(ChannelOptions(chunk_bytes=CHUNK))
    sizes = [0, 1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 5 * CHUNK + 7, 20 << 20, 0]
    messages = [random.Random(size).randbytes(size) for size in sizes]
    sent = spawn(lambda: [bob.send(3, message) for message in messages])
    for message in messages:
        received = alice.recv(3)
        assert received.readonly
        assert bytes(received) == message
    sent.result(60)
    close_both(alice, bob)


@both
def test_buffers_of_any_type_may_be_reused_at_once(pair_of: PairFactory) -> None:
    alice, bob = pair_of()
    array = np.arange(1000, dtype=np.uint32).reshape(10, 100)
    alice.send(0, array)
    array[:] = 0
    alice.send(0, bytearray(b"abc"))
    assert np.array_equal(np.frombuffer(bob.recv(0), dtype=np.uint32), np.arange(1000))
    assert bob.recv(0) == b"abc"
    close_both(alice, bob)


@both
def test_many_streams_from_several_threads_both_ways(pair_of: PairFactory) -> None:
    alice, bob = pair_of(ChannelOptions(chunk_bytes=5000, window_bytes=64 << 10))
    n_messages = 40

    def message(name: str, stream: int, i: int) -> bytes:
        return f"{name} {stream} {i} ".encode() * ((i * 37) % 900)

    def sender(channel: object, name: str, stream: int) -> None:
        for i in range(n_messages):
            channel.send(stream, message(name, stream, i))  # type: ignore[attr-defined]

    def receiver(channel: object, name: str, stream: int) -> None:
        for i in range(n_messages):
            assert channel.recv(stream) == message(name, stream, i)  # type: ignore[attr-defined]

    jobs = []
    for stream in (0, 1, 4, MAX_STREAMS - 1):
        jobs += [spawn(sender, alice, "a", stream), spawn(receiver, alice, "b", stream)]
        jobs += [spawn(sender, bob, "b", stream), spawn(receiver, bob, "a", stream)]
    for job in jobs:
        job.result(60)
    close_both(alice, bob)


@both
def test_threads_that_share_a_stream_do_not_mix_their_messages(pair_of: PairFactory) -> None:
    alice, bob = pair_of(ChannelOptions(chunk_bytes=1000))
    senders = [spawn(lambda x=x: [alice.send(0, bytes([x]) * 3500) for _ in range(20)]) for x in range(4)]
    received = [bytes(bob.recv(0)) for _ in range(80)]
    assert sorted(received) == sorted(bytes([x]) * 3500 for x in range(4) for _ in range(20))
    for sender in senders:
        sender.result(60)
    close_both(alice, bob)


@both
def test_a_sender_is_blocked_by_the_window_and_other_streams_are_not(pair_of: PairFactory) -> None:
    window = 256 << 10
    alice, bob = pair_of(ChannelOptions(chunk_bytes=16 << 10, window_bytes=window))
    payload = bytes(16 << 10)
    cost = len(payload) + FRAME_COST
    accepted = []

    def sender() -> None:
        for i in range(100):
            alice.send(0, payload)
            accepted.append(i)

    job = spawn(sender)
    wait_until(lambda: len(accepted) == window // cost)
    time.sleep(0.1)
    assert len(accepted) == window // cost == 15
    assert alice.stats.unacknowledged_bytes == 15 * cost
    for i in range(50):  # the full stream does not hold up another one, in either direction
        alice.send(1, bytes([i]))
        assert bob.recv(1) == bytes([i])
        bob.send(0, bytes([i]))
        assert alice.recv(0) == bytes([i])
    assert len(accepted) == 15
    for _ in range(100):
        assert len(bob.recv(0)) == len(payload)
        assert alice.stats.unacknowledged_bytes <= window + 50 * (1 + FRAME_COST)
    job.result(60)
    assert alice.stats.blocked_send_s > 0.1
    close_both(alice, bob)
    assert alice.stats.unacknowledged_bytes == 0


@both
def test_empty_messages_are_bounded_too(pair_of: PairFactory) -> None:
    alice, bob = pair_of(ChannelOptions(window_bytes=4096))
    accepted = []
    job = spawn(lambda: [accepted.append(alice.send(0, b"")) for _ in range(100)])
    wait_until(lambda: len(accepted) == 4096 // FRAME_COST)
    time.sleep(0.05)
    assert len(accepted) == 16
    assert all(len(bob.recv(0)) == 0 for _ in range(100))
    job.result(60)
    close_both(alice, bob)


@both
def test_a_message_larger_than_the_window_passes(pair_of: PairFactory) -> None:
    alice, bob = pair_of(ChannelOptions(window_bytes=64 << 10))
    message = os.urandom(2 << 20)
    job = spawn(alice.send, 0, message)
    assert bob.recv(0) == message
    job.result(60)
    close_both(alice, bob)


@both
def test_counters_are_exact(pair_of: PairFactory) -> None:
    alice, bob = pair_of(ChannelOptions(chunk_bytes=1000))
    for i in range(5):
        alice.send(0, bytes(2500))
        assert len(bob.recv(0)) == 2500
        bob.send(1, bytes(10 + i))
        assert len(alice.recv(1)) == 10 + i
    alice.send(2, b"end")
    bob.recv(2)
    close_both(alice, bob)
    ours, theirs = alice.stats, bob.stats
    assert (ours.messages_sent, ours.messages_received) == (6, 5)
    assert (ours.payload_bytes_sent, ours.payload_bytes_received) == (12503, 60)
    assert (theirs.messages_sent, theirs.messages_received) == (5, 6)
    assert (theirs.payload_bytes_sent, theirs.payload_bytes_received) == (60, 12503)
    assert (ours.rounds, theirs.rounds) == (5, 5)
    assert (ours.reconnects, theirs.reconnects) == (0, 0)
    wire_sent, wire_received = ours.wire_bytes_sent, ours.wire_bytes_received
    assert (wire_sent, wire_received) == (theirs.wire_bytes_received, theirs.wire_bytes_sent)
    hello = wire_sent - 12503 - 16 * HEADER.size - (HEADER.size + 16 * MAX_STREAMS) - HEADER.size
    assert 100 < hello < 500
    assert wire_received - 60 - 5 * HEADER.size - (
        HEADER.size + 16 * MAX_STREAMS
    ) - HEADER.size == pytest.approx(hello, abs=40)


@both
def test_close_waits_for_the_other_side_and_refuses_more(pair_of: PairFactory) -> None:
    alice, bob = pair_of()
    bob.send(0, b"last words")
    closing = spawn(bob.close)
    time.sleep(0.1)
    assert not closing.done()
    assert alice.recv(0) == b"last words"
    with pytest.raises(
        ChannelError, match="party 'bob' has closed the channel; no message is left on stream 0"
    ):
        alice.recv(0)
    with pytest.raises(ChannelError, match="party 'bob' has closed the channel"):
        alice.send(0, b"too late")
    alice.close()
    closing.result(60)
    alice.close()
    for action in (lambda: alice.send(0, b""), lambda: alice.recv(0)):
        with pytest.raises(ChannelError, match="is closed"):
            action()


@both
def test_closing_with_unread_messages_is_an_error_on_both_sides(pair_of: PairFactory) -> None:
    alice, bob = pair_of()
    bob.send(4, b"never read")
    for future in [spawn(alice.close), spawn(bob.close)]:
        with pytest.raises(ProtocolAbort, match="party 'alice' closed with 1 unread frames on stream 4"):
            future.result(60)


@both
def test_abort_wakes_everybody_and_says_why(pair_of: PairFactory) -> None:
    alice, bob = pair_of(ChannelOptions(window_bytes=4096))
    waiting = [
        spawn(bob.recv, 0),
        spawn(bob.recv, 1),
        spawn(lambda: [bob.send(2, bytes(1000)) for _ in range(9)]),
    ]
    here = spawn(alice.recv, 3)
    time.sleep(0.1)
    alice.abort("the disk is\nfull")
    for future in waiting:
        with pytest.raises(ProtocolAbort, match="party 'alice' ended the job: the disk is full"):
            future.result(60)
    with pytest.raises(ChannelError, match="this party ended the job"):
        here.result(60)
    with pytest.raises(ProtocolAbort, match="the disk is full"):
        bob.send(0, b"")
    with pytest.raises(ProtocolAbort, match="the disk is full"):
        bob.close()
    bob.abort("too late")
    alice.abort("again")


@both
def test_a_failing_block_aborts_without_quoting_data(pair_of: PairFactory) -> None:
    alice, bob = pair_of()
    with pytest.raises(KeyError), alice:
        raise KeyError("customer 4711")
    with pytest.raises(ProtocolAbort, match="KeyError at party 'alice'") as caught:
        bob.recv(0)
    assert "4711" not in str(caught.value)


@both
def test_bad_arguments(pair_of: PairFactory) -> None:
    alice, bob = pair_of(ChannelOptions(max_message_bytes=1000))
    for stream in (-1, MAX_STREAMS):
        with pytest.raises(ValueError, match=f"stream {stream} is outside"):
            alice.send(stream, b"")
        with pytest.raises(ValueError, match=f"stream {stream} is outside"):
            alice.recv(stream)
    with pytest.raises(TypeError, match="a stream is an integer"):
        alice.send("a", b"")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1001 bytes is above the limit of 1000"):
        alice.send(0, bytes(1001))
    with pytest.raises(TypeError):
        alice.send(0, "text")  # type: ignore[arg-type]
    alice.send(0, bytes(1000))
    assert len(bob.recv(0)) == 1000
    close_both(alice, bob)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk_bytes": 0}, "chunk_bytes=0"),
        ({"chunk_bytes": (4 << 20) + 1}, "chunk_bytes=4194305"),
        ({"window_bytes": 4095}, "window_bytes=4095"),
        ({"max_message_bytes": 0}, "max_message_bytes=0"),
        ({"patience_s": 0}, "patience_s=0"),
        ({"patience_s": float("nan")}, "patience_s=nan"),
    ],
)
def test_bad_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChannelOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "1a", "a" * 64, "a..b", "a b", "a\n", "ä", "a-"])
def test_bad_party_names(name: str) -> None:
    with pytest.raises(ValueError, match="is not usable"):
        memory_pair(name, "bob")


def test_a_fork_is_told_to_open_its_own_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = memory_pair()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(ChannelError, match="opened before a fork"):
        alice.send(0, b"")
    monkeypatch.undo()
    close_both(alice, bob)
