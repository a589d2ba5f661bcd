# SPDX-License-Identifier: Apache-2.0
"""Connections that break, peers that stay away, die or come back as another process. All over mutual TLS."""

from __future__ import annotations

import hashlib
import logging
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from crypsis.errors import ChannelError
from crypsis.mpc.transport import Channel, ChannelOptions, TlsFiles, connect, listen
from crypsis.mpc.transport.ports import free_port
from crypsis.mpc.transport.session import Session

from .conftest import PairFactory, close_both, spawn
from .proxy import DroppingProxy

CERTS = dict[str, TlsFiles]


def shorten(patience_s: float, *channels: Channel) -> None:
    """Of channels whose parties have met: that takes what it takes on a busy machine."""
    for channel in channels:
        assert isinstance(channel, Session)
        channel.options = replace(channel.options, patience_s=patience_s)


def transfer(alice: Channel, bob: Channel, n_messages: int, n_bytes: int) -> None:
    """Both ways on two streams at once; every message is checked for content and order."""

    def message(name: str, i: int) -> bytes:
        return hashlib.shake_128(f"{name}{i}".encode()).digest(n_bytes + i)

    def send(channel: Channel, stream: int, name: str) -> None:
        for i in range(n_messages):
            channel.send(stream, message(name, i))

    def receive(channel: Channel, stream: int, name: str) -> None:
        for i in range(n_messages):
            assert channel.recv(stream) == message(name, i), f"message {name}{i}"

    jobs = []
    for stream in (0, 5):
        jobs += [spawn(send, alice, stream, f"a{stream}"), spawn(receive, bob, stream, f"a{stream}")]
        jobs += [spawn(send, bob, stream, f"b{stream}"), spawn(receive, alice, stream, f"b{stream}")]
    for job in jobs:
        job.result(90)


@pytest.mark.parametrize("n_bytes", [100, 150_000])
def test_cuts_lose_and_repeat_nothing(
    grpc_pair: PairFactory, proxies: list[DroppingProxy], n_bytes: int
) -> None:
    n_messages = 25 if n_bytes > 1000 else 2000
    total = 4 * n_messages * (n_bytes + n_messages // 2)
    options = ChannelOptions(chunk_bytes=32 << 10, window_bytes=1 << 20, patience_s=60)

    def through(port: int) -> int:
        proxies.append(DroppingProxy(port, cut_every=total // 12, max_cuts=8))
        return proxies[0].port

    alice, bob = grpc_pair(options, through)
    transfer(alice, bob, n_messages, n_bytes)
    close_both(alice, bob)
    assert proxies[0].cuts >= 5
    ours, theirs = alice.stats, bob.stats
    assert ours.reconnects >= 5
    assert ours.messages_received == theirs.messages_sent == 2 * n_messages
    assert ours.payload_bytes_received == theirs.payload_bytes_sent
    assert theirs.payload_bytes_received == ours.payload_bytes_sent


def test_cuts_while_closing(grpc_pair: PairFactory, proxies: list[DroppingProxy]) -> None:
    def through(port: int) -> int:
        proxies.append(DroppingProxy(port))
        return proxies[0].port

    alice, bob = grpc_pair(ChannelOptions(patience_s=60), through)
    bob.send(0, b"last")
    closing = spawn(bob.close)
    time.sleep(0.05)
    proxies[0].cut()
    assert alice.recv(0) == b"last"
    time.sleep(0.3)
    other = spawn(alice.close)
    proxies[0].cut()
    closing.result(60)
    other.result(60)


def test_silence_is_noticed_by_keepalive_and_survived(
    grpc_pair: PairFactory, proxies: list[DroppingProxy], caplog: pytest.LogCaptureFixture
) -> None:
    def through(port: int) -> int:
        proxies.append(DroppingProxy(port))
        return proxies[0].port

    options = ChannelOptions(patience_s=60, keepalive_s=0.3, keepalive_timeout_s=0.3)
    alice, bob = grpc_pair(options, through)
    alice.send(0, b"before")
    assert bob.recv(0) == b"before"
    with caplog.at_level(logging.WARNING, logger="crypsis.transport"):
        proxies[0].go_silent()
        alice.send(0, b"during")
        deadline = time.monotonic() + 60
        while not any("party alice away" in r.getMessage() for r in caplog.records):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    proxies[0].cut()  # what is stuck in the proxy is lost
    proxies[0].resume()
    assert bob.recv(0) == b"during"
    bob.send(0, b"after")
    assert alice.recv(0) == b"after"
    assert bob.stats.reconnects >= 1
    close_both(alice, bob)
    assert any("waiting up to 60 s" in r.getMessage() for r in caplog.records)


def test_patience_runs_out_on_both_sides(grpc_pair: PairFactory, proxies: list[DroppingProxy]) -> None:
    def through(port: int) -> int:
        proxies.append(DroppingProxy(port))
        return proxies[0].port

    alice, bob = grpc_pair(ChannelOptions(patience_s=60, window_bytes=4096), through)
    shorten(1, alice, bob)
    waiting = [
        spawn(alice.recv, 0),
        spawn(bob.recv, 1),
        spawn(lambda: [bob.send(2, bytes(1500)) for _ in range(9)]),
    ]
    time.sleep(0.2)
    assert not any(job.done() for job in waiting)
    proxies[0].refuse()
    for job in waiting:
        with pytest.raises(ChannelError, match=r"party '\w+' \(.*127.0.0.1:\d+\) has been away for \d+ s"):
            job.result(60)
    with pytest.raises(ChannelError, match=r"patience of 1 s"):
        bob.send(0, b"")


def test_nothing_times_out_while_the_peer_is_here(grpc_pair: PairFactory) -> None:
    alice, bob = grpc_pair(ChannelOptions(patience_s=60))
    shorten(0.2, alice, bob)
    waiting = spawn(bob.recv, 0)
    time.sleep(0.6)
    assert not waiting.done()
    alice.send(0, b"slow")
    assert waiting.result(60) == b"slow"
    close_both(alice, bob)


def test_nobody_comes(certificates: CERTS) -> None:
    options = ChannelOptions(patience_s=0.5)
    listener = listen("127.0.0.1:0", party="alice", peer="bob", tls=certificates["alice"], options=options)
    with pytest.raises(
        ChannelError, match=r"party 'bob' \(calling 127.0.0.1:0\) has been away .*no connection yet"
    ):
        listener.accept()
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ChannelError, match=r"party 'alice' \(127.0.0.1:\d+\) has been away .* 4 s .*refused"):
        connect(address, party="bob", peer="alice", tls=certificates["bob"], patience=4)


def test_the_dialler_may_come_first(certificates: CERTS) -> None:
    address = f"127.0.0.1:{free_port()}"
    dialled = spawn(connect, address, party="bob", peer="alice", tls=certificates["bob"])
    time.sleep(0.5)
    with listen(address, party="alice", peer="bob", tls=certificates["alice"]).accept() as alice:
        bob = dialled.result(60)
        bob.send(0, b"hello")
        assert alice.recv(0) == b"hello"
        closing = spawn(bob.close)
    closing.result(60)


PEER = """
import sys
from pathlib import Path
from crypsis.mpc.transport import listen, connect
from crypsis.mpc.transport.certs import party_files

folder, role, address = sys.argv[1:]
party, peer = ("alice", "bob") if role == "listen" else ("bob", "alice")
tls = party_files(folder, party)
if role == "listen":
    listener = listen(address, party=party, peer=peer, tls=tls, patience=60)
    print(listener.port, flush=True)
    channel = listener.accept()
else:
    channel = connect(address, party=party, peer=peer, tls=tls, patience=60)
channel.send(0, b"I am here")
channel.recv(0)
"""


def start_peer(certificates: CERTS, role: str, address: str) -> subprocess.Popen[str]:
    folder = Path(certificates["alice"].ca).parent
    return subprocess.Popen(
        [sys.executable, "-c", PEER, str(folder), role, address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_peer_is_an_error_and_its_successor_is_refused(certificates: CERTS) -> None:
    options = ChannelOptions(patience_s=60)
    listener = listen("127.0.0.1:0", party="alice", peer="bob", tls=certificates["alice"], options=options)
    address = f"127.0.0.1:{listener.port}"
    peer = start_peer(certificates, "connect", address)
    alice = listener.accept()
    assert alice.recv(0) == b"I am here"
    waiting = spawn(alice.recv, 0)
    peer.send_signal(signal.SIGKILL)
    peer.communicate()
    time.sleep(0.2)
    assert not waiting.done()  # it might come back
    successor = start_peer(certificates, "connect", address)
    with pytest.raises(ChannelError, match="party 'bob' was restarted; start both parties again"):
        waiting.result(60)
    _, stderr = successor.communicate(timeout=300)
    assert successor.returncode == 1
    assert "still in a job with an earlier process of 'bob'; start both parties again" in stderr
    alice.abort("done")


def test_a_killed_peer_that_stays_away(certificates: CERTS) -> None:
    peer = start_peer(certificates, "listen", "127.0.0.1:0")
    assert peer.stdout is not None
    port = int(peer.stdout.readline())
    bob = connect(f"127.0.0.1:{port}", party="bob", peer="alice", tls=certificates["bob"], patience=60)
    assert bob.recv(0) == b"I am here"
    shorten(1, bob)
    peer.send_signal(signal.SIGKILL)
    peer.communicate()
    with pytest.raises(ChannelError, match=r"party 'alice' .* has been away for \d+ s, .* patience of 1 s"):
        bob.recv(0)
    bob.abort("done")


def test_a_restarted_listener_is_recognised_and_can_start_anew(certificates: CERTS) -> None:
    address = f"127.0.0.1:{free_port()}"  # no ephemeral one: between the two listeners bob's own calls could take it
    peer = start_peer(certificates, "listen", address)
    assert peer.stdout is not None
    assert peer.stdout.readline()
    bob = connect(address, party="bob", peer="alice", tls=certificates["bob"], patience=60)
    assert bob.recv(0) == b"I am here"
    peer.send_signal(signal.SIGKILL)
    peer.communicate()
    waiting = spawn(bob.recv, 0)
    successor = start_peer(certificates, "listen", address)
    with pytest.raises(ChannelError, match="party 'alice' was restarted; start both parties again"):
        waiting.result(60)
    bob.abort("done")
    with connect(address, party="bob", peer="alice", tls=certificates["bob"], patience=60) as again:
        assert again.recv(0) == b"I am here"
        again.send(0, b"go")
        again.abort("enough")
    assert "enough" in successor.communicate(timeout=300)[1] or successor.returncode == 0


def test_an_exit_without_close_ends_the_process(certificates: CERTS) -> None:
    """No thread of ours keeps the interpreter alive."""
    peer = start_peer(certificates, "listen", "127.0.0.1:0")
    assert peer.stdout is not None
    port = int(peer.stdout.readline())
    bob = connect(f"127.0.0.1:{port}", party="bob", peer="alice", tls=certificates["bob"], patience=60)
    assert bob.recv(0) == b"I am here"
    bob.send(0, b"go")  # the script ends here, with its channel open
    peer.communicate(timeout=300)
    assert peer.returncode == 0
    bob.abort("done")
