# SPDX-License-Identifier: Apache-2.0
"""A peer as a process of its own that times itself: it may need another Python, crash, or hang.

It says {"ready": true, "versions": {...}} once, then answers each line (an operation) with {"per_second": rate} and,
where its answer can be compared, {"answer": hex digest}; or with {"error": text}. benchmarks/peers/serve.py and
crypsis.mpc.bench.runner are such processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crypsis.mpc.bench.rows import Rate

ROOT = Path(__file__).resolve().parents[2]
"""The checkout that this file is in, if it is in one: peers' environments and scripts lie there."""
START_SECONDS = 60.0
_LONGEST_LINE = 1 << 20
_RATES = (1e-30, 1e30)  # beyond these a rate is no rate; within them what is made of it stays finite
_LOOK_S = 0.25  # how often to look whether it is still there
_KEPT = 4096  # bytes of what it last said on stderr
_FOLDERS = re.compile(r"(?<![\w.])~?/(?:[^\s/'\":,;()]+/)+")


class PeerFailed(RuntimeError):
    """The peer crashed, hung or answered with an error; the text says which."""


class PeerGone(PeerFailed):
    """It crashed, hung, or says what is no answer: there is nothing left to ask."""


def in_a_line(told: object) -> str:
    """A peer's words in one short line without folders: rows keep it, and rows are published."""
    text = "".join(c if c.isprintable() else " " for c in _FOLDERS.sub("", str(told)))
    text = " ".join(text.split())
    return text if len(text) <= 300 else f"{text[:140]} ... {text[-150:]}"


def _quoted(data: bytes) -> str:
    return repr(in_a_line(data[:100].decode(errors="replace")))


def python_of(venv: str) -> Path:
    """The interpreter of `.venv-<venv>`; it need not exist."""
    return ROOT / f".venv-{venv}" / "bin" / "python"


@dataclass(frozen=True)
class Answer:
    """What a peer says to an operation."""

    rate: Rate
    digest: str | None


@dataclass(frozen=True)
class PeerCall:
    """An operation of a peer, for `compare` of benchmarks/: times it once more, over there."""

    process: Process
    operation: str

    @property
    def versions(self) -> dict[str, str]:
        """Of the peer's packages, as its environment has them."""
        return self.process.versions

    def __call__(self) -> Rate:
        return self.process.ask(self.operation).rate


class Process:
    """The process. limit_s, start_s: how long it may be silent after an operation, and at first, before it is ended."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        limit_s: float = 120.0,
        start_s: float = START_SECONDS,
    ) -> None:
        self._name, self._limit_s, self._buffer, self._last_words = name, limit_s, b"", b""
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to hear; and what it starts goes with it
        )
        self._open = [stream for stream in (self._process.stdout, self._process.stderr) if stream is not None]
        try:
            versions = self._receive(start_s)["versions"]
            self.versions: dict[str, str] = {str(name): str(text) for name, text in versions.items()}
        except (KeyError, AttributeError) as error:
            self.kill()
            raise PeerGone(f"{name} does not say its versions") from error
        except BaseException:
            self.kill()
            raise

    def peer(self, operation: str) -> PeerCall:
        """What times `operation` once more, in the peer."""
        return PeerCall(self, operation)

    def ask(self, operation: str) -> Answer:
        """Times `operation` once over there. PeerFailed for an error of that operation, PeerGone for the rest."""
        assert self._process.stdin is not None
        if self._buffer or self._read(0.0):  # it would pass for the answer
            raise self._gone(f"says {_quoted(self._buffer)} unasked")
        try:
            self._process.stdin.write(operation.encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._gone("ended") from None
        told = self._receive(self._limit_s)
        rate, digest = told.get("per_second"), told.get("answer")
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            rate = 0
        if not _RATES[0] < rate < _RATES[1] or not isinstance(digest, str | None):
            raise self._gone(f"says {str(told)[:100]!r}, which is no answer")
        return Answer(Rate(float(rate)), digest)

    def _read(self, wait_s: float) -> bool:
        """Whether something came to stdout within wait_s, or before something did to stderr. PeerGone at its end."""
        ready = select.select(self._open, [], [], wait_s)[0]
        for stream in ready:
            data = os.read(stream.fileno(), 1 << 16)
            if stream is self._process.stderr:
                self._last_words = (self._last_words + data)[-_KEPT:]
                if not data:
                    self._open.remove(stream)
            elif data:
                self._buffer += data
            else:
                raise self._gone("ended")
        return self._process.stdout in ready

    def _receive(self, limit_s: float) -> dict[str, Any]:
        end = time.monotonic() + limit_s
        while b"\n" not in self._buffer:
            left = end - time.monotonic()
            came = self._read(max(0.0, min(left, _LOOK_S)))
            ended = self._process.poll() is not None  # what it started may keep its output open
            if not came and ended and not self._read(0.0):
                raise self._gone("ended")
            if not came and left <= 0:
                raise self._gone(f"hung: it said nothing for {limit_s:g} s")
            if len(self._buffer) > _LONGEST_LINE:
                raise self._gone("says too much in a line")
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise self._gone(f"says {_quoted(line)}, which is no answer")
        if "error" in told:
            raise PeerFailed(f"{self._name}: {in_a_line(told['error'])}")
        return told

    def _gone(self, why: str) -> PeerGone:
        if why == "ended":
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
            why = self._end()
        self.kill()
        return PeerGone(f"{self._name} {why}")

    def _end(self) -> str:
        """How it ended, with the last line that it wrote to stderr."""
        code = self._process.poll()
        if code is None:
            return "closed its input or its output"
        with contextlib.suppress(OSError):
            if select.select(self._open[1:], [], [], 0.0)[0]:
                self._last_words += os.read(self._open[1].fileno(), 1 << 16)
        said = in_a_line((self._last_words.decode(errors="replace").strip().splitlines() or [""])[-1])
        ends = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return f"crashed: it ended {ends}" + (f": {said}" if said else "")

    def kill(self) -> None:
        """Ends the process and what it started, at once."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._drop()

    def close(self) -> None:
        """Lets the process end."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        self.kill()

    def _drop(self) -> None:
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()


class PeerProcess(Process):
    """`benchmarks/peers/<script>` in `.venv-<venv>`; `peer(operation)` is a callable for `compare`."""

    def __init__(self, venv: str, script: str, *arguments: str) -> None:
        super().__init__(
            script, [str(python_of(venv)), str(ROOT / "benchmarks" / "peers" / script), *arguments]
        )

    @classmethod
    def where_installed(cls, venv: str, script: str, *arguments: str) -> PeerProcess | None:
        """None where `make peers` has not made the environment."""
        return cls(venv, script, *arguments) if python_of(venv).exists() else None
