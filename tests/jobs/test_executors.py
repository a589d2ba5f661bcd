# SPDX-License-Identifier: Apache-2.0
"""Bins over worker pairs, in this process and in processes: nothing lost, nothing done twice, whoever dies."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from crypsis.errors import ChannelError, ConfigError, CrypsisError, DataError, ProtocolAbort
from crypsis.mpc.jobs import drivers
from crypsis.mpc.jobs.executors import Executor, InlineExecutor, ProcessExecutor
from crypsis.mpc.jobs.scheduler import run_bins
from crypsis.mpc.jobs.task import WorkerLost
from crypsis.mpc.transport import ChannelOptions, Hub, memory_hubs, open_hub
from crypsis.mpc.transport.certs import make_development_certificates
from transport.conftest import spawn
from transport.proxy import DroppingProxy

from . import toy
from .toy import Ledger

OPTIONS = ChannelOptions(window_bytes=64 << 10, chunk_bytes=16 << 10, patience_s=60)
executors = pytest.mark.parametrize("executor", [InlineExecutor, ProcessExecutor])


@pytest.fixture
def hubs() -> Iterator[tuple[Hub, Hub]]:
    made = memory_hubs(options=OPTIONS)
    yield made
    for hub in made:
        hub.abort("the test is over")


def gone(pid: int) -> bool:
    """Ended; whether somebody has asked for its exit code does not matter."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


class Run:
    """Both parties at work; alice leads."""

    def __init__(
        self,
        hubs: tuple[Hub, Hub],
        bins: list[int],
        *,
        executor: Callable[[], Executor] = InlineExecutor,
        n_workers: int = 2,
        alice: dict[str, Any] | None = None,
        bob: dict[str, Any] | None = None,
        n_bytes: int = 100_000,
    ) -> None:
        self.bins = bins
        self.ledgers = {"alice": Ledger(), "bob": Ledger()}
        self.futures: dict[str, Future[Any]] = {}
        for hub, extra in zip(hubs, (alice, bob), strict=True):
            arguments: dict[str, Any] = {
                "todo": bins if hub.party == "alice" else sorted(bins),
                "work": toy.work,
                "leads": hub.party == "alice",
                "n_workers": n_workers,
                "executor": executor(),
                **self.ledgers[hub.party].callbacks,
                **(extra or {}),
            }
            arguments["spec"] = {"n_bytes": n_bytes, **(extra or {}).get("spec", {})}
            self.futures[hub.party] = spawn(run_bins, hub, **arguments)

    def check(self) -> None:
        for party, future in self.futures.items():
            future.result(60)
            self.ledgers[party].check(self.bins)


def test_cut_connections_lose_no_worker() -> None:
    alice = open_hub(party="alice", peer="bob", listen="127.0.0.1:0", insecure=True, options=OPTIONS)
    assert alice.port is not None
    with DroppingProxy(alice.port) as proxy:
        address = f"127.0.0.1:{proxy.port}"
        bob = open_hub(party="bob", peer="alice", connect=address, insecure=True, options=OPTIONS)
        proxy.go_silent()
        run = Run((alice, bob), list(range(10)))
        for n_done in (2, 5, 8):
            proxy.silent.clear()
            proxy.go_silent_when(lambda n_done=n_done: len(run.ledgers["alice"].completed) >= n_done)
            proxy.resume()
            assert proxy.silent.wait(60)
            proxy.cut()
        proxy.resume()
        run.check()
        assert bob.stats.reconnects >= 2
        for ledger in run.ledgers.values():
            assert set(ledger.done.values()) == {1}
        for job in [spawn(hub.close) for hub in (alice, bob)]:
            job.result(60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_kills(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Workers of either party die at random moments; more often than a job would take from one bin."""
    monkeypatch.setattr(drivers, "MAX_FAILURES", 30)
    chance = random.Random(seed)
    processes: list[subprocess.Popen[bytes]] = []

    class Noted(ProcessExecutor):
        def _start(self, end: socket.socket) -> subprocess.Popen[bytes]:
            processes.append(super()._start(end))
            return processes[-1]

    run = Run(
        memory_hubs(options=OPTIONS),
        list(range(30)),
        executor=Noted,
        n_workers=3,
        alice={"spec": {"pause": 0.05}},
    )
    for _ in range(12):
        time.sleep(chance.uniform(0.1, 0.8))
        alive = [process for process in processes if process.poll() is None]
        if alive:
            chance.choice(alive).kill()
    run.check()
    assert all(process.poll() is not None for process in processes)


@executors
@pytest.mark.parametrize("n_workers", [1, 3])
def test_every_bin_is_done_once(
    hubs: tuple[Hub, Hub], executor: Callable[[], Executor], n_workers: int
) -> None:
    bins = [5, 3, 0, 9, 1, 2, 4, 77]
    run = Run(hubs, bins, executor=executor, n_workers=n_workers)
    run.check()
    for ledger in run.ledgers.values():
        assert set(ledger.done.values()) == {1}
        if executor is ProcessExecutor:
            assert os.getpid() not in ledger.pids
            assert all(gone(pid) for pid in ledger.pids)
        assert all(result["wire"] > result["sent"] * 100 for result in ledger.results.values())
    stats = hubs[0].stats
    assert stats.payload_bytes_sent > len(bins) * len(toy.STREAMS) * 100_000
    assert stats.payload_bytes_sent == hubs[1].stats.payload_bytes_received


def test_no_bins_and_one_bin_and_a_second_round_on_the_same_hub(hubs: tuple[Hub, Hub]) -> None:
    for bins in ([], [7], [1, 2]):
        Run(hubs, bins).check()


def test_the_channel_of_the_drivers_is_free_afterwards(hubs: tuple[Hub, Hub]) -> None:
    asked = spawn(hubs[1].channel, 0)
    alice, bob = hubs[0].channel(0), asked.result(60)
    Run(hubs, [1, 2, 3]).check()
    alice.send(0, b"and now the summary")
    assert bob.recv(0) == b"and now the summary"
    for job in [spawn(hub.close) for hub in hubs]:
        job.result(60)


def test_the_smaller_number_of_workers_holds(hubs: tuple[Hub, Hub]) -> None:
    run = Run(
        hubs,
        list(range(12)),
        executor=ProcessExecutor,
        alice={"n_workers": 9},
        bob={"n_workers": 2},
        n_bytes=1,
    )
    run.check()
    assert 1 <= len(run.ledgers["alice"].pids) <= 2


@pytest.mark.parametrize("n_bins", [1, 2, 3, 9])
def test_a_worker_may_look_ahead(hubs: tuple[Hub, Hub], n_bins: int) -> None:
    look: dict[str, Any] = {"work": toy.look_ahead}
    Run(hubs, list(range(n_bins)), n_workers=1, alice=look, bob=look).check()
    look["ahead"] = 5
    Run(hubs, list(range(n_bins)), n_workers=2, alice=look, bob=look).check()


def test_over_mutual_tls(tmp_path: Path) -> None:
    tls = make_development_certificates(tmp_path, ["alice", "bob"])
    alice = open_hub(party="alice", peer="bob", listen="127.0.0.1:0", tls=tls["alice"], options=OPTIONS)
    address = f"127.0.0.1:{alice.port}"
    bob = open_hub(party="bob", peer="alice", connect=address, tls=tls["bob"], options=OPTIONS)
    Run((alice, bob), list(range(6)), executor=ProcessExecutor).check()
    for job in [spawn(hub.close) for hub in (alice, bob)]:
        job.result(60)


@pytest.mark.parametrize(
    ("executor", "victim", "how"),
    [
        (InlineExecutor, "alice", "raise"),
        (InlineExecutor, "bob", "raise"),
        (InlineExecutor, "bob", "abort"),
        (ProcessExecutor, "alice", "abort"),
        (ProcessExecutor, "bob", "raise"),
    ],
)
def test_a_bin_that_fails_once_is_done_by_another_worker(
    hubs: tuple[Hub, Hub], executor: Callable[[], Executor], victim: str, how: str, tmp_path: Path
) -> None:
    trap = {"how": how, "bin": 3, "file": str(tmp_path / "sprung")}
    run = Run(hubs, list(range(8)), executor=executor, **{victim: {"spec": {"trap": trap}}})  # type: ignore[arg-type]
    run.check()
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_worker_that_is_killed_in_the_middle(hubs: tuple[Hub, Hub], victim: str) -> None:
    killed: list[int] = []
    run: list[Run] = []

    def on_done(number: int, result: dict[str, Any]) -> None:
        if not killed:
            killed.append(result["pid"])
            os.kill(result["pid"], signal.SIGKILL)
        run[0].ledgers[victim].on_done(number, result)

    while_running = {"on_done": on_done}
    run.append(Run(hubs, list(range(10)), executor=ProcessExecutor, **{victim: while_running}))  # type: ignore[arg-type]
    run[0].check()
    assert gone(killed[0])
    assert len(run[0].ledgers[victim].pids) >= 2


def test_a_worker_that_kills_itself_at_each_attempt(hubs: tuple[Hub, Hub]) -> None:
    trap = {"how": "kill", "bin": 2}
    run = Run(hubs, list(range(6)), executor=ProcessExecutor, n_workers=1, bob={"spec": {"trap": trap}})
    with pytest.raises(WorkerLost, match=r"bin \d lost its workers 3 times; .*party 'bob'.*signal 9"):
        run.futures["alice"].result(60)
    with pytest.raises(ProtocolAbort, match="WorkerLost at party 'alice'"):
        run.futures["bob"].result(60)


@executors
def test_a_worker_that_fails_at_each_attempt(hubs: tuple[Hub, Hub], executor: Callable[[], Executor]) -> None:
    run = Run(hubs, [2], executor=executor, n_workers=1, alice={"spec": {"trap": {"how": "raise", "bin": 2}}})
    with pytest.raises(WorkerLost, match=r"bin 2 lost its workers 3 times.*4711"):
        run.futures["alice"].result(60)
    with pytest.raises(ProtocolAbort) as caught:
        run.futures["bob"].result(60)
    assert "4711" not in str(caught.value)


@executors
@pytest.mark.parametrize(
    ("how", "error", "text"),
    [("data", DataError, "spill file is damaged"), ("protocol", ProtocolAbort, "cheats")],
)
def test_what_cannot_be_mended_ends_the_job_at_once(
    hubs: tuple[Hub, Hub], executor: Callable[[], Executor], how: str, error: type[Exception], text: str
) -> None:
    run = Run(hubs, list(range(8)), executor=executor, bob={"spec": {"trap": {"how": how, "bin": 2}}})
    with pytest.raises(error, match=text):
        run.futures["bob"].result(60)
    with pytest.raises(ProtocolAbort, match=f"{error.__name__} at party 'bob'; see its own log") as caught:
        run.futures["alice"].result(60)
    assert text not in str(caught.value)


def test_the_peer_goes_away(hubs: tuple[Hub, Hub]) -> None:
    """Once a bin is done; the rest hangs at bin 40."""
    trap = {"how": "hang", "bin": 40}
    run = Run(hubs, list(range(50)), executor=ProcessExecutor, n_bytes=1000, alice={"spec": {"trap": trap}})
    while not run.ledgers["alice"].completed:
        time.sleep(0.01)
    hubs[1].abort("the operator of bob pressed a key")
    for party in ("alice", "bob"):
        with pytest.raises((ProtocolAbort, ChannelError), match="pressed a key"):
            run.futures[party].result(60)
        for pid in run.ledgers[party].pids:
            assert gone(pid)


def test_a_callback_that_raises_ends_all(hubs: tuple[Hub, Hub]) -> None:
    def on_complete(number: int) -> None:
        raise DataError("the ledger's disk is full")

    run = Run(hubs, list(range(5)), executor=ProcessExecutor, alice={"on_complete": on_complete})
    with pytest.raises(DataError, match="disk is full"):
        run.futures["alice"].result(60)
    with pytest.raises(ProtocolAbort, match="DataError at party 'alice'"):
        run.futures["bob"].result(60)
    for ledger in run.ledgers.values():
        assert all(gone(pid) for pid in ledger.pids)


@pytest.mark.parametrize(
    ("executor", "work"),
    [
        (InlineExecutor, toy.stop_early),
        (InlineExecutor, toy.wrong_report),
        (ProcessExecutor, toy.wrong_report),
    ],
)
def test_worker_functions_that_are_wrong(
    hubs: tuple[Hub, Hub], executor: Callable[[], Executor], work: Any
) -> None:
    run = Run(hubs, [1], executor=executor, n_workers=1, alice={"work": work}, bob={"work": work})
    with pytest.raises(
        CrypsisError, match=r"lost its workers 3 times.*(before its bins|does not have|ValueError)"
    ):
        run.futures["alice"].result(60)
    with pytest.raises(CrypsisError):
        run.futures["bob"].result(60)


@pytest.mark.parametrize(
    ("alice", "bob", "text"),
    [
        ({}, {"leads": True}, "both parties lead"),
        ({"leads": False}, {}, "neither party leads"),
        ({}, {"todo": [1, 2, 4]}, "different bins to do: 3 here, 3 at party"),
        ({"todo": []}, {}, "different bins to do"),
    ],
)
def test_parties_that_disagree(
    hubs: tuple[Hub, Hub], alice: dict[str, Any], bob: dict[str, Any], text: str
) -> None:
    run = Run(hubs, [1, 2, 3], alice=alice, bob=bob)
    errors = []
    for future in run.futures.values():
        with pytest.raises(CrypsisError) as caught:
            future.result(60)
        errors.append(caught.value)
    # The first one to see it tells the other one, which may have seen it too.
    assert any(isinstance(error, ConfigError) and text in str(error) for error in errors)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"todo": [1, 1]}, "names a bin twice"),
        ({"todo": [-1]}, "no bin number"),
        ({"todo": [True]}, "no bin number"),
        ({"n_workers": 0}, "n_workers is 0"),
        ({"ahead": 0}, "ahead is 0"),
        ({"n_workers": 10_000}, "n_workers is 10000"),
        ({"spec": {"a": b"bytes"}}, "spec cannot go to a worker as JSON"),
        ({"spec": {1: 2}}, "does not come back the same"),
        ({"work": lambda *arguments: None}, "cannot be imported by name"),
    ],
)
def test_bad_arguments(hubs: tuple[Hub, Hub], arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        run_bins(hubs[0], **{"todo": [1], "work": toy.work, "spec": {}, "leads": True, **arguments})
