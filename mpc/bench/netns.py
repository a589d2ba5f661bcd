# SPDX-License-Identifier: Apache-2.0
"""A line shaped by the kernel: two network namespaces of ours, joined by a veth pair, whose ends send through `tc`.

    listener's namespace  [netem: half a round trip -> tbf: rate]  veth ====== veth  [netem -> tbf]  dialler's namespace

Root makes namespaces as it is; others, and root without the right, make a user namespace first. A namespace lives as
long as a process in it: `cat`, which ends when its stdin is closed, so with this process at the latest, and the party.
Nothing outside is touched: the interfaces are made, named and shaped inside.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from crypsis.errors import CrypsisError
from crypsis.mpc.bench.lines import Ends, Link

_TOOLS = ("unshare", "nsenter", "ip", "tc")
_SYSTEM = "/usr/sbin:/sbin"  # not on everybody's PATH
_ADDRESSES = ("192.0.2.1", "192.0.2.2")  # RFC 5737; nobody else is in there
_PORT = 10_240
_DEVICE = "line"
_BURST = 128 << 10  # bytes: two of the largest segments that TCP hands down
_QUEUED = (1_000_000, 1 << 30)  # packets, bytes: what windows of TCP never fill, so that nothing is dropped
_LIMIT_S = 30.0


class NoNamespace(CrypsisError):
    """A line cannot be shaped by tc here; the message says what failed."""


def refusal(link: Link) -> str | None:
    """Why tc cannot shape `link` here; None where it can. Such a line is made, and gone again, in 50 ms or so."""
    try:
        with line(link):
            return None
    except NoNamespace as error:
        return str(error)


@contextmanager
def line(link: Link) -> Iterator[Ends]:
    """Both ends of the line. NoNamespace where the system does not let us, or lacks a part."""
    tools = {name: _tool(name) for name in _TOOLS}
    with ExitStack() as stack:
        pids, enter = _namespaces(stack, tools)
        ip, tc = tools["ip"], tools["tc"]
        pair = ("type", "veth", "peer", "name", _DEVICE, "netns", str(pids[1]))
        _do("veth", *enter[0], ip, "link", "add", "name", _DEVICE, *pair)
        for inside, address in zip(enter, _ADDRESSES, strict=True):
            _do("ip", *inside, ip, "link", "set", "lo", "up")
            _do("ip", *inside, ip, "address", "add", f"{address}/30", "dev", _DEVICE)
            _do("ip", *inside, ip, "link", "set", _DEVICE, "up")
            add = (*inside, tc, "qdisc", "add", "dev", _DEVICE)
            place = ["root"]
            if link.round_trip_ms:
                delay = f"{500 * link.round_trip_ms:.0f}us"
                _do("netem", *add, "root", "handle", "1:", "netem", "limit", str(_QUEUED[0]), "delay", delay)
                place = ["parent", "1:"]
            rate = f"{1e6 * link.megabits:.0f}bit"
            _do("tbf", *add, *place, "tbf", "rate", rate, "burst", str(_BURST), "limit", str(_QUEUED[1]))
        address = f"{_ADDRESSES[0]}:{_PORT}"
        yield Ends(address, address, (enter[0], enter[1]))


def _tool(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), _SYSTEM)))
    if found is None:
        raise NoNamespace(f"{name} is not installed")
    return found


def _namespaces(stack: ExitStack, tools: dict[str, str]) -> tuple[list[int], list[list[str]]]:
    """Processes in two new network namespaces, and what puts a command into each."""
    unshare, nsenter = tools["unshare"], tools["nsenter"]
    user: list[str] = []
    first = None
    if os.geteuid() == 0:
        first, _ = _hold(stack, unshare, "--net")
    if first is None:
        first, why = _hold(stack, unshare, "--user", "--map-root-user", "--net")
        user = ["--user", "--preserve-credentials"]
        if first is None:
            raise NoNamespace(f"network namespace: {why}")
    beside = [nsenter, "--target", str(first), *user, "--"] if user else []
    second, why = _hold(stack, *beside, unshare, "--net")
    if second is None:
        raise NoNamespace(f"network namespace: {why}")
    pids = [first, second]
    return pids, [[nsenter, "--target", str(pid), *user, "--net", "--"] for pid in pids]


def _hold(stack: ExitStack, *command: str) -> tuple[int | None, str]:
    """The process that `command` becomes, once it is in its namespace, until the stack unwinds; or None and why."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*command, "sh", "-c", "echo in; exec cat"], stdin=pipe, stdout=pipe, stderr=pipe
    )
    stack.callback(_release, process)
    assert process.stdout is not None
    assert process.stderr is not None
    if process.stdout.readline():
        return process.pid, ""
    return None, _last_line(process.stderr.read())


def _release(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()


def _do(what: str, *command: str) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise NoNamespace(f"{what}: no answer in {_LIMIT_S:.0f} s") from None
    if done.returncode:
        raise NoNamespace(f"{what}: {_last_line(done.stderr)}")


def _last_line(said: bytes) -> str:
    """Without directories: rows are published."""
    lines = said.decode(errors="replace").strip().splitlines() or ["it failed and said nothing"]
    return re.sub(r"/\S*/", "", lines[-1]).removeprefix("Error: ").rstrip(".")
