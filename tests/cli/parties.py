# SPDX-License-Identifier: Apache-2.0
"""Two operating-system processes that run `crypsis psi run`, and the files they work on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from crypsis.mpc.transport.certs import make_development_certificates
from crypsis.mpc.transport.ports import free_port
from transport.proxy import DroppingProxy

COMMAND = [sys.executable, "-P", "-m", "crypsis.mpc.cli"]
WAIT_S = 300


@dataclass(frozen=True)
class Finished:
    """How a process ended."""

    code: int
    stdout: str
    stderr: str

    def error(self, code: int) -> str:
        """The one line of an expected error; fails the test for any other end."""
        assert self.code == code, self
        assert "Traceback" not in self.stderr, self
        assert self.stdout == "", self
        lines = [line for line in self.stderr.splitlines() if not line.startswith(("warning ", "info "))]
        assert len(lines) == 1, self
        assert lines[0].startswith("error: "), self
        return lines[0]


class Scene:
    """Two parties' inputs in one folder, a free port, certificates, and a configuration for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        make_development_certificates(folder / "certs", ["bank", "telco"])

    def table(self, party: str, first: int, n: int, suffix: str = "parquet") -> Path:
        """An input: id, a number, a text with a comma; ids first..first+n-1, descending."""
        numbers = range(first + n - 1, first - 1, -1)
        table = pa.table(
            {
                "id": [f"customer-{i:09}" for i in numbers],
                f"{party}_number": pa.array(numbers, pa.int64()),
                f"{party}_text": [f"{party}, {i}" for i in numbers],
            }
        )
        path = self.folder / f"{party}.{suffix}"
        if suffix == "csv":
            pacsv.write_csv(table, path)
        else:
            pq.write_table(table, path)
        return path

    def config(self, whose: str, suffix: str = "parquet", **fields: Any) -> Path:
        """A configuration file; `fields` replace or add to what works, None removes."""
        peer = "telco" if whose == "bank" else "bank"
        config: dict[str, Any] = {
            "party": whose,
            "peer": peer,
            "role": "receiver" if whose == "bank" else "sender",
            "listen" if whose == "bank" else "connect": f"127.0.0.1:{self.port}",
            "tls": {"ca": "certs/ca.crt", "certificate": f"certs/{whose}.crt", "key": f"certs/{whose}.key"},
            "input": f"{whose}.{suffix}",
            "keys": ["id"],
            "output": {"path": f"{whose}.out.{suffix}"},
            "protocol": "ecdh",
            "broadcast": True,
            "threads": 1,
            "patience": 60,
            **fields,
        }
        path = self.folder / f"{whose}.json"
        path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
        return path

    def start(self, party: str, *flags: str, preexec: Any = None, **env: str) -> subprocess.Popen[str]:
        """`crypsis psi run` with the party's configuration file."""
        return subprocess.Popen(
            [*COMMAND, "psi", "run", "--config", str(self.folder / f"{party}.json"), *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=os.environ | env,
            preexec_fn=preexec,
        )

    def run(self, *flags: str, wait_s: float = WAIT_S, **env: str) -> tuple[Finished, Finished]:
        """Both parties to their ends."""
        return ended(*[self.start(party, *flags, **env) for party in ("bank", "telco")], wait_s=wait_s)

    @contextmanager
    def held(
        self, reached: Callable[[DroppingProxy], bool], **env: str
    ) -> Iterator[tuple[dict[str, subprocess.Popen[str]], DroppingProxy]]:
        """Both parties in the middle of their job: nothing passes between them any more since `reached(proxy)` was
        true, until `proxy.resume()`. So no run is over before a test, however late, does to it what it wants to."""
        path = self.folder / "telco.json"
        config = path.read_text()
        with DroppingProxy(self.port) as proxy:
            proxy.go_silent_when(lambda: reached(proxy))
            path.write_text(json.dumps(json.loads(config) | {"connect": f"127.0.0.1:{proxy.port}"}))
            processes = {party: self.start(party, **env) for party in ("bank", "telco")}
            assert in_the_middle(proxy, processes), ended(*processes.values())
            yield processes, proxy
        path.write_text(config)

    def left_over(self) -> list[str]:
        """Outputs, reports and partial files in the folder, hidden ones included."""
        return sorted(
            name
            for name in os.listdir(self.folder)
            if ".out." in name or "partial" in name or "report" in name
        )


def in_the_middle(proxy: DroppingProxy, processes: Mapping[str, Any], wait_s: float = WAIT_S) -> bool:
    """Waits until the proxy has gone silent; False where a process is over before, or all take too long."""
    end = time.monotonic() + wait_s
    while not proxy.silent.wait(0.02):
        if time.monotonic() > end or any(process.poll() is not None for process in processes.values()):
            return False
    return all(process.poll() is None for process in processes.values())


def ended(*processes: subprocess.Popen[str], wait_s: float = WAIT_S) -> Any:
    """Waits for all; kills them when that takes too long."""
    try:
        outputs = [process.communicate(timeout=wait_s) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    finished = tuple(
        Finished(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)
    )
    return finished if len(finished) > 1 else finished[0]
