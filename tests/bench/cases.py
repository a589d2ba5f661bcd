# SPDX-License-Identifier: Apache-2.0
"""Fake peers, small cases and rows for the tests of `crypsis bench`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from crypsis.mpc.bench.peer_process import Process
from crypsis.mpc.bench.peers import Peer, Peers, Server
from crypsis.mpc.bench.suite import Case, Work

FAKE = Path(__file__).with_name("fake_peer.py")


def fake(kind: str, operation: str = "right 1") -> Peer:
    """A peer that behaves as `kind` says; "right 1" is also the digest that a right one answers."""
    return Peer(kind, Server(kind, kind), operation)


class FakePeers(Peers):
    """Peers whose processes are fake_peer.py; `started` has their kinds in order, `processes` themselves."""

    def __init__(self, limit_s: float = 20.0, **options: Any) -> None:
        self.started: list[str] = []
        self.processes: list[Process] = []

        def start(server: Server) -> Process:
            self.started.append(server.module)
            command = [sys.executable, str(FAKE), server.module]
            start_s = limit_s if "from the start" in server.module else 60.0
            self.processes.append(Process(server.name, command, limit_s=limit_s, start_s=start_s))
            return self.processes[-1]

        super().__init__(start=start, limit_s=limit_s, **options)


def case(name: str = "fake/case") -> Case:
    return Case(name, "items", lambda setting: Work(1, lambda: 1, lambda found: None))


def work(*peers: Peer, check: Any = lambda found: None, run: Any = lambda: 1) -> Work:
    """One item a call, whose digest is "right 1"."""
    return Work(1, run, check, peers, digest=lambda found, count: f"right {count}")


def row(name: str = "a/b", per_second: float = 100.0, *, iqr: float = 0.0, **fields: Any) -> dict[str, Any]:
    """A row of one item a call; iqr is a share of the median."""
    made: dict[str, Any] = {
        "schema": 1,
        "suite": "kernels",
        "name": name,
        "items": 1,
        "unit": "items",
        "rounds": 5,
        "seconds_median": 1 / per_second,
        "seconds_iqr": iqr / per_second,
        "per_second": per_second,
        "peers": {},
        "extra": {},
        "date": "2026-11-23T06:00:00+00:00",
        "commit": "0123456789ab",
        "dirty": False,
        "cpu": "A processor",
        "cpus": 2,
        "cpu_flags": ["avx2"],
        "versions": {"crypsis": "0.1.0"},
    }
    return made | fields


def scaling(axis: str, at: int | str, n_rows: int, seconds: float) -> dict[str, Any]:
    """A row of `crypsis bench scale`."""
    extra = {
        "axis": axis,
        "at": at,
        "threads": 1,
        "protocol": "vole",
        "payload_bytes": [10, 20],
        "line": "LAN",
    }
    return row(
        f"scale/psi/vole/{axis}",
        n_rows / seconds,
        suite="scale",
        items=n_rows,
        seconds_median=seconds,
        unit="rows",
        extra=extra,
    )


def works_once(setting: Any) -> Work:
    """Makes work that is nothing."""
    return Work(1, lambda: 1, lambda found: None)
