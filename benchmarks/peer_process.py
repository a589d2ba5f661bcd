# SPDX-License-Identifier: Apache-2.0
"""A peer in a virtual environment of its own (`make peers`), as a process that times itself."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rows import ROOT, Rate


def python_of(venv: str) -> Path:
    """The interpreter of `.venv-<venv>`; it need not exist."""
    return ROOT / f".venv-{venv}" / "bin" / "python"


@dataclass(frozen=True)
class Peer:
    """An operation of a peer, for `compare`: times it once more, over there."""

    process: PeerProcess
    operation: str

    @property
    def versions(self) -> dict[str, str]:
        """Of the peer's packages, as its environment has them."""
        return self.process.versions

    def __call__(self) -> Rate:
        return self.process.ask(self.operation)


class PeerProcess:
    """`benchmarks/peers/<script>` in `.venv-<venv>`; `peer(operation)` is a callable for `compare`."""

    def __init__(self, venv: str, script: str, *arguments: str) -> None:
        self._name = script
        command = [str(python_of(venv)), str(ROOT / "benchmarks" / "peers" / script), *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.versions: dict[str, str] = self._answer()["versions"]

    @classmethod
    def where_installed(cls, venv: str, script: str, *arguments: str) -> PeerProcess | None:
        """None where `make peers` has not made the environment."""
        return cls(venv, script, *arguments) if python_of(venv).exists() else None

    def peer(self, operation: str) -> Peer:
        """What times `operation` once more, in the peer."""
        return Peer(self, operation)

    def ask(self, operation: str) -> Rate:
        """The peer's rate of `operation`, by its own clock."""
        assert self._process.stdin is not None
        self._process.stdin.write(operation + "\n")
        self._process.stdin.flush()
        return Rate(self._answer()["per_second"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self._name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()
