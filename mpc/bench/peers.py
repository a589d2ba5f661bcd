# SPDX-License-Identifier: Apache-2.0
"""Peers: where each is, and their processes. A peer that is missing, crashes or hangs is left out with the reason."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from crypsis.mpc.bench.peer_process import (
    ROOT,
    START_SECONDS,
    Answer,
    PeerFailed,
    PeerGone,
    Process,
    python_of,
)

SCRIPTS = ROOT / "benchmarks" / "peers"
RUNNER = "crypsis.mpc.bench.runner"


@dataclass(frozen=True)
class Server:
    """A process that offers a peer's operations.

    name: as shown. module: what must be importable, in this environment or in `.venv-<venv>`. script: of
    benchmarks/peers; None: the runner of this package, with `module` as its first argument.
    """

    name: str
    module: str
    venv: str | None = None
    script: str | None = None
    arguments: tuple[str, ...] = ()
    package: str | None = None

    def command(self) -> list[str]:
        """What starts it. PeerGone with the reason where it cannot be started."""
        python = self._python()
        if self.script is None:
            return [str(python), "-P", "-m", RUNNER, self.module, *self.arguments]
        script = SCRIPTS / self.script
        if not script.exists():
            raise PeerGone(f"{self.name}: its runner benchmarks/peers/{self.script} is in a checkout only")
        return [str(python), str(script), *self.arguments]

    def _python(self) -> Path:
        if importlib.util.find_spec(self.module) is not None:
            return Path(sys.executable)
        if self.venv is not None and python_of(self.venv).exists():
            return python_of(self.venv)
        way = f"pip install {self.package or self.module}"
        if self.venv is not None:
            way = "make peers (in a checkout)"
        raise PeerGone(f"{self.name} is not installed: {way}")


@dataclass(frozen=True)
class Peer:
    """An operation of a server, shown as `name`."""

    name: str
    server: Server
    operation: str


Start = Callable[[Server], Process]


class Peers:
    """The processes of a run, each started when it is first asked. `enabled` False: no peer is asked at all.

    A process that crashed or hung is not started again. `limit_s`: how long a peer may take over one operation.
    """

    def __init__(self, *, enabled: bool = True, limit_s: float = 60.0, start: Start | None = None) -> None:
        self.enabled = enabled
        self._limit_s, self._start = limit_s, start or self._process
        self._running: dict[Server, Process] = {}
        self._failed: dict[Server, str] = {}

    def _process(self, server: Server) -> Process:
        start_s = max(START_SECONDS, self._limit_s)
        return Process(server.name, server.command(), limit_s=self._limit_s, start_s=start_s)

    def ask(self, peer: Peer) -> Answer:
        """PeerFailed with the reason; what is gone stays gone."""
        if peer.server in self._failed:
            raise PeerGone(self._failed[peer.server])
        try:
            if peer.server not in self._running:
                self._running[peer.server] = self._start(peer.server)
            return self._running[peer.server].ask(peer.operation)
        except PeerGone as error:
            self._running.pop(peer.server, None)
            self._failed[peer.server] = str(error)
            raise
        except PeerFailed as error:
            if peer.server not in self._running:  # it could not even begin
                self._failed[peer.server] = str(error)
            raise
        except OSError as error:
            self._failed[peer.server] = f"{peer.server.name} cannot be started: {error.strerror}"
            raise PeerGone(self._failed[peer.server]) from error

    def versions(self, peer: Peer) -> dict[str, str]:
        """Of the peer's packages."""
        process = self._running.get(peer.server)
        return {} if process is None else process.versions

    @property
    def failed(self) -> dict[str, str]:
        """Peers that are missing or gone, by name, with the reason."""
        return {server.name: why for server, why in self._failed.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        for process in self._running.values():
            process.kill() if kind is not None else process.close()
        self._running.clear()
