# SPDX-License-Identifier: Apache-2.0
"""Measuring: answers first, peers and ours alternately, and peers that crash, hang or are wrong are left out."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crypsis.mpc.bench.measure import EFFORT, joined, measure
from crypsis.mpc.bench.peer_process import PeerGone, Process
from crypsis.mpc.bench.peers import Peers, Server
from crypsis.mpc.bench.suite import WrongAnswer

from .cases import FakePeers, case, fake, work

TINY = EFFORT["tiny"]


def test_a_peer_is_timed_and_named_with_its_version() -> None:
    with FakePeers() as peers:
        found, versions = measure("s", case(), work(fake("good")), peers, TINY)
    row = found.as_row()
    assert row["schema"] == 1
    assert row["suite"] == "s"
    assert row["peers"]["good"]["per_second"] == pytest.approx(10.0)
    assert row["peers"]["good"]["ratio"] > 1
    assert "skipped" not in row
    assert versions == {"fake": "1.2"}


@pytest.mark.parametrize(
    ("kind", "limit_s", "reason"),
    [
        ("dead", 20, "crashed: it ended with exit code 3"),
        ("hung from the start", 0.3, "hung: it said nothing for 0.3 s"),
        ("refuses", 20, "no licence"),
        ("no versions", 20, "does not say its versions"),
        ("error", 20, "ValueError('wrong answer')"),
        ("garbage", 20, "which is no answer"),
        ("endless", 20, "says too much in a line"),
        ("no rate", 20, "which is no answer"),
        ("infinite", 20, "which is no answer"),
        ("vast", 20, "which is no answer"),
        ("minute", 20, "which is no answer"),
        ("true", 20, "which is no answer"),
        ("no number", 20, "which is no answer"),
        ("nested", 20, "which is no answer"),
        ("twice", 20, "unasked"),
        ("leaves a child", 20, "crashed: it ended with exit code 4"),
        ("says why", 20, "crashed: it ended with exit code 1: fake.so: no such symbol"),
        ("wrong", 20, "gives another answer than ours"),
        ("crashes later", 20, "crashed: it ended by signal 6"),
        ("hangs later", 1, "hung: it said nothing for 1 s"),
    ],
)
def test_a_peer_that_fails_is_left_out_with_the_reason(kind: str, limit_s: float, reason: str) -> None:
    with FakePeers(limit_s) as peers:
        found, _ = measure("s", case(), work(fake(kind), fake("good")), peers, TINY)
    assert set(found.peers) == {"good"}
    assert reason in found.skipped[kind]
    assert found.as_row()["skipped"] == found.skipped
    assert len(found.ours.seconds) == 2


def test_what_a_peer_says_is_kept_in_one_short_line() -> None:
    with FakePeers() as peers:
        found, _ = measure("s", case(), work(fake("long error")), peers, TINY)
    assert found.skipped["long error"].startswith("long error: one two [31m xxx")
    assert len(found.skipped["long error"]) < 330
    assert found.skipped["long error"].isprintable()


def test_what_is_gone_is_not_started_again_and_leaves_no_process() -> None:
    with FakePeers(1.0) as peers:
        for _ in "12":
            found, _ = measure("s", case(), work(fake("hangs later"), fake("good")), peers, TINY)
            assert "hung" in found.skipped["hangs later"]
        assert peers.started == ["hangs later", "good"]
        assert set(peers.failed) == {"hangs later"}
        pids = [process._process.pid for process in peers.processes]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_an_error_of_one_operation_does_not_end_the_peer() -> None:
    with FakePeers() as peers:
        for _ in "12":
            measure("s", case(), work(fake("error")), peers, TINY)
        assert peers.started == ["error"]
        assert peers.failed == {}


def test_a_peer_that_fails_in_a_later_pass_is_left_out() -> None:
    """Its first passes are dropped too: ratios are of all rounds."""
    with FakePeers() as peers:
        passes = [
            measure("s", case(), work(fake(kind), fake("good")), peers, TINY)[0] for kind in ("good", "error")
        ]
        passes += [measure("s", case(), work(fake("good")), peers, TINY)[0]]
    found = joined(passes)
    assert set(found.peers) == {"good"}
    assert "wrong answer" in found.skipped["error"]
    assert found.ours.passes == found.peers["good"].passes == [2, 2, 2]
    renamed = dataclasses.replace(passes[1], skipped={"good": "crashed"}, peers={})
    for order in ([passes[0], renamed, passes[2]], [passes[0], renamed]):
        found = joined(order)
        assert found.peers == {}
        assert found.skipped == {"good": "crashed"}


def test_a_wrong_answer_of_ours_is_not_timed() -> None:
    runs: list[int] = []

    def wrong(found: Any) -> None:
        raise WrongAnswer("it is wrong")

    with FakePeers() as peers, pytest.raises(WrongAnswer):
        measure("s", case(), work(fake("good"), check=wrong, run=lambda: runs.append(1)), peers, TINY)
    assert runs == [1]
    assert peers.started == []


def test_rounds_alternate() -> None:
    order: list[str] = []

    class Recording(FakePeers):
        def ask(self, peer: Any) -> Any:
            order.append(peer.name)
            return super().ask(peer)

    with Recording() as peers:
        measure("s", case(), work(fake("good"), run=lambda: order.append("ours")), peers, TINY)
    # Checked, warmed, and then the two rounds, in which a short call of ours is repeated.
    squeezed = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    assert squeezed == ["ours", "good", "ours", "good", "ours", "good", "ours"]


# Of calls that take 10 ms at first and 1 ms then.
COLD = """
import sys, time
sys.path.insert(0, {folder!r})
import {module} as measured
clock = [0.0]
time.perf_counter = lambda: clock[0]
def call(): clock[0] += 0.001 if clock[0] else 0.01
def slow(): clock[0] += 1.0
print(measured.{rate}, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("module", "call", "slow"),
    [
        ("crypsis.mpc.bench.runner", "timed(1, call)[0]", "timed(1, slow)[0]"),
        ("serve", "rate(call, lambda found: True)", "rate(slow, lambda found: True)"),
    ],
)
def test_a_peers_first_call_warms_as_ours_does(module: str, call: str, slow: str) -> None:
    folder = str(Path(__file__).parents[2] / "benchmarks" / "peers")
    for rate, wanted in ((call, 1000.0), (slow, 1.0)):
        script = COLD.format(folder=folder, module=module, rate=rate)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert float(done.stderr) == pytest.approx(wanted)


def test_without_peers_none_is_started() -> None:
    with FakePeers(enabled=False) as peers:
        found, _ = measure("s", case(), work(fake("good")), peers, TINY)
    assert peers.started == []
    assert found.peers == {}
    assert found.skipped == {}


def test_missing_peers_say_how_to_get_them() -> None:
    with pytest.raises(PeerGone, match="not installed: pip install none-such"):
        Server("x", "none_such_module", package="none-such").command()
    with pytest.raises(PeerGone, match="not installed: make peers"):
        Server("x", "none_such_module", "none_such", "none_such.py").command()
    with pytest.raises(PeerGone, match="in a checkout only"):
        Server("x", "json", "none_such", "none_such.py").command()


def test_what_cannot_be_started_is_left_out() -> None:
    def start(server: Server) -> Process:
        return Process(server.name, ["/nowhere/python"])

    with Peers(start=start) as peers:
        found, _ = measure("s", case(), work(fake("good")), peers, TINY)
    assert "cannot be started" in found.skipped["good"]
