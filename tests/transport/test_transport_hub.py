# SPDX-License-Identifier: Apache-2.0
"""Several sessions over one port: met in any order, ended one by one, bounded."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from crypsis.errors import ChannelError, ConfigError, ProtocolAbort
from crypsis.mpc.transport import Channel, ChannelOptions, Hub, TlsFiles, memory_hubs, open_channel, open_hub
from crypsis.mpc.transport import hub as hub_module
from crypsis.mpc.transport.engine import PeerAborted
from crypsis.mpc.transport.frames import MAX_SESSION, Kind, unpack

from .conftest import spawn
from .proxy import DroppingProxy
from .test_transport_channel import wait_until
from .test_transport_garbage import call, hello

CERTS = dict[str, TlsFiles]
HubFactory = Callable[..., tuple[Hub, Hub]]


@pytest.fixture
def grpc_hubs(certificates: CERTS) -> Iterator[HubFactory]:
    """alice listens, bob dials, over mutual TLS."""
    made: list[Hub] = []

    def make(
        options: ChannelOptions | None = None, through: Callable[[int], int] = lambda port: port
    ) -> tuple[Hub, Hub]:
        names = {"party": "alice", "peer": "bob"}
        alice = open_hub(**names, listen="127.0.0.1:0", tls=certificates["alice"], options=options)
        made.append(alice)
        assert alice.port is not None
        address = f"127.0.0.1:{through(alice.port)}"
        bob = open_hub(party="bob", peer="alice", connect=address, tls=certificates["bob"], options=options)
        made.append(bob)
        return alice, bob

    yield make
    for future in [spawn(hub.abort, "the test is over") for hub in made]:
        future.result(60)


@pytest.fixture
def hubs_of(request: pytest.FixtureRequest) -> HubFactory:
    if request.param == "memory":
        return lambda options=None: memory_hubs(options=options)
    factory: HubFactory = request.getfixturevalue("grpc_hubs")
    return factory


both = pytest.mark.parametrize("hubs_of", ["memory", "grpc"], indirect=True)


def meet(alice: Hub, bob: Hub, number: int) -> tuple[Channel, Channel]:
    asked = spawn(bob.channel, number)
    return alice.channel(number), asked.result(60)


@contextmanager
def short_hold(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(hub_module.Hub._find, "__kwdefaults__", {"hold_s": 0.2})
        yield


@both
def test_sessions_do_not_mix_and_counters_add_up(hubs_of: HubFactory) -> None:
    alice, bob = hubs_of(ChannelOptions(window_bytes=64 << 10, chunk_bytes=16 << 10))
    pairs = {number: meet(alice, bob, number) for number in (0, 3, 7, 65535)}
    blob = os.urandom(300_000)

    def one(number: int) -> None:
        here, there = pairs[number]
        for stream in (0, 5):
            sent = spawn(here.send, stream, blob[number % 100 :])
            assert there.recv(stream) == blob[number % 100 :]
            sent.result(60)
            there.send(stream, str(number).encode())
            assert here.recv(stream) == str(number).encode()

    for job in [spawn(one, number) for number in pairs]:
        job.result(60)
    assert alice.stats.messages_sent == bob.stats.messages_received == 8
    # What acknowledges may still be under way, and what says goodbye may never be read.
    wait_until(lambda: alice.stats.wire_bytes_received == bob.stats.wire_bytes_sent)
    assert alice.channel(3) is pairs[3][0]
    for channel in pairs[3]:
        spawn(channel.close)
    closing = [spawn(hub.close) for hub in (alice, bob)]
    for job in closing:
        job.result(60)
    n_bytes = sum(2 * (300_000 - number % 100) for number in pairs)
    assert alice.stats.payload_bytes_sent == bob.stats.payload_bytes_received == n_bytes
    assert alice.stats.wire_bytes_received <= bob.stats.wire_bytes_sent
    assert alice.stats.unacknowledged_bytes == 0
    with pytest.raises(ChannelError, match="takes no session: it has closed"):
        alice.channel(9)


@both
def test_a_full_session_does_not_hold_up_another(hubs_of: HubFactory) -> None:
    alice, bob = hubs_of(ChannelOptions(window_bytes=8192))
    full, idle = meet(alice, bob, 1)
    blocked = spawn(lambda: [full.send(0, bytes(4000)) for _ in range(20)])
    here, there = meet(alice, bob, 2)
    for i in range(50):
        here.send(0, bytes([i]) * 6000)
        assert there.recv(0) == bytes([i]) * 6000
    assert not blocked.done()
    for _ in range(20):
        idle.recv(0)
    blocked.result(60)


@both
def test_one_session_ends_and_a_fresh_number_replaces_it(hubs_of: HubFactory) -> None:
    alice, bob = hubs_of()
    control = meet(alice, bob, 0)
    here, there = meet(alice, bob, 1)
    waiting = spawn(there.recv, 0)
    here.abort("worker 1 was lost")
    with pytest.raises(ProtocolAbort, match="worker 1 was lost"):
        waiting.result(60)
    there.abort("so it is")
    with pytest.raises(
        ChannelError, match=r"session 1 with party 'bob' has ended \(.*worker 1 was lost.*fresh"
    ):
        alice.channel(1)
    with pytest.raises(ChannelError, match="session 1 with party 'alice' has ended"):
        bob.channel(1)
    here, there = meet(alice, bob, 2)
    here.send(4, b"again")
    assert there.recv(4) == b"again"
    control[1].send(0, b"unharmed")
    assert control[0].recv(0) == b"unharmed"


@both
def test_a_session_may_be_given_up_while_it_waits(hubs_of: HubFactory) -> None:
    alice, bob = hubs_of()
    for hub in (alice, bob):
        waiting = spawn(hub.channel, 5 + (hub is bob))
        while not hub._sessions():
            time.sleep(0.01)
        hub.drop(5 + (hub is bob), "no longer needed")
        with pytest.raises(ChannelError, match="no longer needed"):
            waiting.result(60)
        hub.drop(9, "never begun")
        with pytest.raises(ChannelError, match="never begun"):
            hub.channel(9)
    here, there = meet(alice, bob, 10)
    here.send(0, b"fine")
    assert there.recv(0) == b"fine"


@both
def test_abort_ends_all_sessions_at_both_parties(hubs_of: HubFactory) -> None:
    alice, bob = hubs_of()
    pairs = [meet(alice, bob, number) for number in range(3)]
    waiting = [spawn(there.recv, 0) for _, there in pairs]
    unmet = spawn(alice.channel, 77)
    alice.abort("the operator said so")
    for job in waiting:
        with pytest.raises(PeerAborted, match="the operator said so"):
            job.result(60)
    with pytest.raises(ChannelError, match=r"the operator said so|takes no session"):
        unmet.result(60)


@both
def test_numbers_and_sessions_are_bounded(hubs_of: HubFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = hubs_of()
    for number in (-1, MAX_SESSION + 1, True, "1"):
        with pytest.raises(ValueError, match=r"outside 0 to 65535"):
            alice.channel(number)  # type: ignore[arg-type]
    alice._limit = 2
    meet(alice, bob, 0)
    meet(alice, bob, 1)
    with pytest.raises(ChannelError, match="2 sessions with party 'bob' are open already; end one first"):
        alice.channel(2)


def test_a_caller_that_is_early_is_told_to_come_again(
    grpc_hubs: HubFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with short_hold(monkeypatch):
        alice, bob = grpc_hubs(ChannelOptions(patience_s=60))
        early = spawn(bob.channel, 3)
        time.sleep(1.0)
        assert not early.done()
        assert alice._sessions() == []
        here = alice.channel(3)
        here.send(0, b"at last")
        assert early.result(60).recv(0) == b"at last"


def test_a_caller_whose_session_nobody_asks_for_learns_why(
    grpc_hubs: HubFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with short_hold(monkeypatch):
        _, bob = grpc_hubs(ChannelOptions(patience_s=4))
        with pytest.raises(ChannelError, match="party 'alice' has not asked for session 3 yet"):
            bob.channel(3)


def test_the_reason_of_a_session_that_ended_alone_is_kept(grpc_hubs: HubFactory) -> None:
    alice, bob = grpc_hubs()
    alice.drop(4, "worker 4 never started")
    with pytest.raises(ChannelError, match=r"refused us: session 4 .* has ended \(worker 4 never started\)"):
        bob.channel(4)


def test_a_hub_and_a_plain_channel_meet_in_session_0_only(certificates: CERTS) -> None:
    alice = open_hub(party="alice", peer="bob", listen="127.0.0.1:0", tls=certificates["alice"])
    asked = spawn(alice.channel, 0)
    bob = open_channel(
        party="bob", peer="alice", connect=f"127.0.0.1:{alice.port}", tls=certificates["bob"], patience=60
    )
    bob.send(0, b"plain")
    assert asked.result(60).recv(0) == b"plain"
    closing = spawn(bob.close)
    alice.close()
    closing.result(60)


def test_a_plain_listener_refuses_other_numbers() -> None:
    from crypsis.mpc.transport import listen

    listener = listen("127.0.0.1:0", party="alice", peer="bob", insecure=True)
    bob = open_hub(party="bob", peer="alice", connect=f"127.0.0.1:{listener.port}", insecure=True)
    with pytest.raises(ChannelError, match="refused us: party 'alice' has one session only"):
        bob.channel(1)
    asked = spawn(listener.accept)
    channel = bob.channel(0)
    asked.result(60).send(0, b"ok")
    assert channel.recv(0) == b"ok"
    bob.abort("done")
    listener.close()


def test_strangers_and_unknown_numbers_harm_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with short_hold(monkeypatch):
        alice = open_hub(party="alice", peer="bob", listen="127.0.0.1:0", insecure=True)
        bob = open_hub(party="bob", peer="alice", connect=f"127.0.0.1:{alice.port}", insecure=True)
        here, there = meet(alice, bob, 0)
        assert alice.port is not None
        for packet, kind in ((hello(session=9), Kind.LATER), (hello(party="eve", session=9), Kind.ABORT)):
            answers = call(alice.port, [packet])
            assert [next(unpack(answer)).kind for answer in answers] == [kind]
        assert [s.number for s in alice._sessions()] == [0]
        here.send(0, b"unharmed")
        assert there.recv(0) == b"unharmed"
        bob.abort("done")
        alice.abort("done")


def test_a_stranger_with_a_certificate_is_refused(certificates: CERTS) -> None:
    alice = open_hub(party="alice", peer="bob", listen="127.0.0.1:0", tls=certificates["alice"])
    address = f"127.0.0.1:{alice.port}"
    waiting = spawn(alice.channel, 2)
    mallory = open_hub(
        party="mallory", peer="alice", connect=address, tls=certificates["mallory"], patience=60
    )
    with pytest.raises(ChannelError, match="the caller's certificate does not name party 'bob'"):
        mallory.channel(2)
    assert not waiting.done()
    alice.abort("done")
    with suppress(ChannelError):
        waiting.result(60)


def test_cut_connections_of_many_sessions_recover(
    grpc_hubs: HubFactory, proxies: list[DroppingProxy]
) -> None:
    def through(port: int) -> int:
        proxies.append(DroppingProxy(port))
        return proxies[0].port

    alice, bob = grpc_hubs(ChannelOptions(patience_s=60, chunk_bytes=32 << 10), through)
    pairs = [meet(alice, bob, number) for number in range(4)]
    stop = threading.Event()

    def cutter() -> None:
        for _ in range(4):
            time.sleep(0.3)
            proxies[0].cut()
        stop.set()

    cutting = spawn(cutter)

    def one(number: int) -> int:
        here, there = pairs[number]
        i = 0
        while i < 50 or not stop.is_set():
            message = number.to_bytes(2, "little") + i.to_bytes(4, "little") * 5000
            here.send(1, message)
            assert there.recv(1) == message
            i += 1
        return i

    counts = [job.result(60) for job in [spawn(one, number) for number in range(4)]]
    cutting.result(60)
    assert bob.stats.reconnects >= 4
    assert alice.stats.messages_sent == bob.stats.messages_received == sum(counts)
    for job in [spawn(hub.close) for hub in (alice, bob)]:
        job.result(60)


def test_configurations_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="exactly one of listen and connect"):
        open_hub(party="alice", peer="bob", insecure=True)
    with pytest.raises(ConfigError, match="--insecure"):
        open_hub(party="alice", peer="bob", connect="127.0.0.1:1")
