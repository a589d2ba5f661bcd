# SPDX-License-Identifier: Apache-2.0
"""Shaped lines, by the kernel and by our throttle: no sooner than the rate and the way allow, jobs over them are exact,
and nothing of them is left behind.

No upper bound is asked of a time: the machine may be busy. What tc lacks here is said in the reason of a skip.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crypsis.mpc.bench import netns, psi_job
from crypsis.mpc.bench.jobs import check_outputs, job_files, run_job
from crypsis.mpc.bench.lines import Ends, Link, open_line
from crypsis.mpc.bench.netns import NoNamespace
from crypsis.mpc.bench.psi_job import JobFailed

WAIT_S = 60.0
RATE_ONLY, LATE = Link("rate", 20, 0), Link("rate and way", 50, 30)
N_BYTES = 2_000_000
BURST = 128 << 10  # may go at once, in either way of shaping
HEADER = "import json, socket, sys, time\naddress, n = sys.argv[1].split(':'), int(sys.argv[2])\n"
# Both ends wait for every byte of the other's.
LISTENER = """
    server = socket.create_server((address[0], int(address[1])))
    print(flush=True)
    end, _ = server.accept()
    end.sendall(end.recv(1))
    left = n
    while left:
        left -= len(end.recv(min(left, 1 << 16)))
    end.sendall(b"k")
    end.sendall(bytes(n))
    end.recv(1)
"""
DIALLER = """
    end = socket.create_connection((address[0], int(address[1])))
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times = [time.perf_counter()]
    end.sendall(b"a")
    end.recv(1)
    times.append(time.perf_counter())
    end.sendall(bytes(n))
    end.recv(1)
    times.append(time.perf_counter())
    left = n
    while left:
        left -= len(end.recv(min(left, 1 << 16)))
    times.append(time.perf_counter())
    print(json.dumps(times))
"""


def need_tc(link: Link) -> None:
    why = netns.refusal(link)
    if why is not None:
        pytest.skip(f"tc shapes no such line here: {why}")


@pytest.fixture(params=["throttle", "tc"])
def by_tc(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "tc")


def timed(ends: Ends) -> tuple[float, float, float]:
    """Seconds of a round trip of one byte, and of N_BYTES to the listener (and one back) and from it."""
    commands = [
        [*enter, sys.executable, "-c", HEADER + textwrap.dedent(script), address, str(N_BYTES)]
        for enter, script, address in zip(
            ends.enter, (LISTENER, DIALLER), (ends.listen, ends.connect), strict=True
        )
    ]
    with subprocess.Popen(commands[0], stdout=subprocess.PIPE) as listener:
        try:
            assert listener.stdout is not None
            assert listener.stdout.readline()
            done = subprocess.run(commands[1], stdout=subprocess.PIPE, check=True, timeout=WAIT_S)
        finally:
            listener.kill()
    a, b, c, d = json.loads(done.stdout)
    return b - a, c - b, d - c


@pytest.mark.parametrize("link", [RATE_ONLY, LATE], ids=lambda link: link.name)
def test_nothing_comes_sooner_than_rate_and_way_allow(link: Link, by_tc: bool) -> None:
    if by_tc:
        need_tc(link)
    with open_line(link, by_tc=by_tc) as ends:
        round_trip, there, back = timed(ends)
    assert round_trip >= 0.95 * link.round_trip_ms / 1e3
    least = (N_BYTES - 2 * BURST) / (link.megabits * 1e6 / 8)
    assert there >= least + 0.95 * link.round_trip_ms / 1e3
    assert back >= least


@pytest.mark.parametrize(
    ("protocol", "link"), [("ecdh", RATE_ONLY), ("vole", Link("late", 100, 10))], ids=["ecdh", "vole, late"]
)
def test_a_job_over_a_line_is_exact(tmp_path: Path, protocol: str, link: Link, by_tc: bool) -> None:
    if by_tc:
        need_tc(link)
    n_common = job_files(tmp_path, 1_201, csv=False)
    found = run_job(tmp_path, protocol, link=link, by_tc=by_tc)
    assert found["intersection"] == n_common == 601
    check_outputs(tmp_path, 1_201)


def nets_below(pid: int) -> dict[int, str]:
    """The network namespaces of a process's descendants, by their process."""
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            try:
                for child in map(int, task.read_text(encoding="ascii").split()):
                    waiting.append(child)
                    found[child] = os.readlink(f"/proc/{child}/ns/net")
            except OSError:  # it ended meanwhile
                continue
    return found


def anyone_in(nets: set[str]) -> list[int]:
    """Processes of the system that are in one of these network namespaces."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "ns" / "net") in nets:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def ours() -> str:
    return os.readlink("/proc/self/ns/net")


def test_both_ends_are_elsewhere_and_go_with_the_line() -> None:
    need_tc(RATE_ONLY)
    before = os.listdir("/sys/class/net")
    with netns.line(RATE_ONLY) as ends:
        nets = set(nets_below(os.getpid()).values()) - {ours()}
        assert len(nets) == 2
        seen = {
            subprocess.run([*enter, "readlink", "/proc/self/ns/net"], capture_output=True, text=True).stdout
            for enter in ends.enter
        }
        assert {one.strip() for one in seen} == nets
        assert os.listdir("/sys/class/net") == before
    assert anyone_in(nets) == []


JOB_ON_A_SLOW_LINE = """
    import sys
    from pathlib import Path
    from crypsis.mpc.bench.jobs import run_job
    from crypsis.mpc.bench.lines import Link
    run_job(Path(sys.argv[1]), "vole", link=Link("very slow", 0.02, 0), by_tc=True)
"""


@pytest.mark.parametrize(
    ("ending", "to_all"), [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGKILL, False)]
)
def test_nothing_is_left_of_a_line_whose_job_is_ended(
    tmp_path: Path, ending: signal.Signals, to_all: bool
) -> None:
    """Ctrl-C reaches a whole group, `kill` one process; SIGKILL lets it clean up nothing."""
    need_tc(RATE_ONLY)
    job_files(tmp_path, 100_000, csv=False)
    command = [sys.executable, "-P", "-c", textwrap.dedent(JOB_ON_A_SLOW_LINE), str(tmp_path)]
    bench = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
    parties: set[int] = set()
    try:
        # Two that hold the namespaces, two parties.
        wait_for(lambda: sum(net != ours() for net in nets_below(bench.pid).values()) >= 4)
        below = nets_below(bench.pid)
        nets = set(below.values()) - {ours()}
        parties = {pid for pid in below if b"psi" in Path(f"/proc/{pid}/cmdline").read_bytes()}
        os.killpg(bench.pid, ending) if to_all else bench.send_signal(ending)
        bench.communicate(timeout=WAIT_S)
        if (
            ending == signal.SIGKILL
        ):  # the parties are on their own, as on loopback: their job is theirs to end
            for pid in parties:
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: anyone_in(nets) == [])
    finally:
        bench.kill()
        for pid in parties:
            if Path(f"/proc/{pid}").exists() and anyone_in(nets):
                os.kill(pid, signal.SIGKILL)


def test_nothing_is_left_of_a_line_whose_job_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tc(RATE_ONLY)
    monkeypatch.setattr(psi_job, "_GRACE_S", 0.1)
    job_files(tmp_path, 10, csv=False)
    (tmp_path / "bob.parquet").write_bytes(b"no Parquet")
    with pytest.raises(JobFailed, match=r"(?s)bob ended with exit code 4.*bob\.parquet"):
        run_job(tmp_path, "ecdh", link=RATE_ONLY, by_tc=True)
    assert set(nets_below(os.getpid()).values()) <= {ours()}


def fake_tools(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Tools of these names run these scripts; the others are the system's."""
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_a_tool_that_is_missing_is_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(netns, "_SYSTEM", str(tmp_path))
    assert netns.refusal(RATE_ONLY) == "unshare is not installed"
    fake_tools(tmp_path, monkeypatch, unshare="", nsenter="", ip="")
    assert netns.refusal(RATE_ONLY) == "tc is not installed"
    with pytest.raises(NoNamespace, match="tc is not installed"), open_line(RATE_ONLY, by_tc=True):
        pass


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1",
            "network namespace: unshare: unshare failed: Operation not permitted",
        ),
        (
            "echo 'unshare: write failed /proc/self/uid_map: Operation not permitted' >&2; exit 1",
            "network namespace: unshare: write failed uid_map: Operation not permitted",
        ),
        ("exit 1", "network namespace: it failed and said nothing"),
    ],
)
def test_namespaces_that_are_not_allowed_are_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, why: str
) -> None:
    fake_tools(tmp_path, monkeypatch, unshare=said, nsenter="exit 1", ip="exit 1", tc="exit 1")
    assert netns.refusal(RATE_ONLY) == why


def test_root_without_the_right_makes_a_user_namespace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("this is about root; the other tests here make user namespaces")
    need_tc(RATE_ONLY)
    refused, unshare = tmp_path / "refused", shutil.which("unshare")
    script = f'[ -e {refused} ] && exec {unshare} "$@"; touch {refused}; exit 1'
    fake_tools(tmp_path, monkeypatch, unshare=script)
    try:
        with netns.line(RATE_ONLY) as ends:
            assert all("--user" in enter for enter in ends.enter)
            round_trip, there, _ = timed(ends)
    except NoNamespace as error:
        pytest.skip(f"no user namespaces here: {error}")
    assert 0 < round_trip < there


@pytest.mark.parametrize("kind", ["netem", "tbf"])
def test_a_kind_of_queue_that_the_kernel_lacks_is_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    """And the namespaces, which were there by then, are gone."""
    need_tc(RATE_ONLY)
    lacks = f'case " $* " in *" {kind} "*) echo "Error: Specified qdisc kind is unknown." >&2; exit 2;; esac'
    fake_tools(tmp_path, monkeypatch, tc=lacks)
    assert netns.refusal(LATE) == f"{kind}: Specified qdisc kind is unknown"
    assert set(nets_below(os.getpid()).values()) <= {ours()}


def test_a_tool_that_hangs_is_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need_tc(RATE_ONLY)
    monkeypatch.setattr(netns, "_LIMIT_S", 0.2)
    fake_tools(tmp_path, monkeypatch, ip="exec sleep 60")
    assert netns.refusal(RATE_ONLY) == "veth: no answer in 0 s"
    assert set(nets_below(os.getpid()).values()) <= {ours()}
