# SPDX-License-Identifier: Apache-2.0
"""Executors: where a worker function runs. In this process, in processes of this machine, or (ray_executor.py)
on a cluster. docs/cluster.md compares them.

Only the driver has certificates and a connection to the peer. Workers elsewhere reach it over a link and the
relay.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from crypsis.mpc.jobs.link import Link, LinkClosed
from crypsis.mpc.jobs.relay import Relay
from crypsis.mpc.jobs.task import Task, WorkerLost, function_named
from crypsis.mpc.transport import Channel

LEAVE_S = 5.0
"""A worker process that has reported its end is given so long to leave by itself."""


class Executor(ABC):
    """Runs worker functions. May be used for several jobs, one after the other; a context manager."""

    @abstractmethod
    def run(self, channel: Channel, task: Task) -> None:
        """Run `task.work` on `channel` and return when it has ended; called in a thread of the driver's.

        Raises what the worker function raised, or WorkerLost. When it returns or raises, the worker no longer
        runs. `task.cancel` ends it promptly.
        """

    def close(self) -> None:  # noqa: B027 (most have nothing to give back)
        """Give back what the executor holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class InlineExecutor(Executor):
    """Workers are threads of this process, directly on the channel: no copy, and no protection either.

    A thread cannot be killed: a cancelled worker ends at its next use of the channel or of its bins.
    """

    def run(self, channel: Channel, task: Task) -> None:
        task.on_cancel(lambda: channel.abort("the worker is no longer wanted"))
        function_named(task.work)(channel, task.spec, task.bins(), task.done)


class ProcessExecutor(Executor):
    """Each worker is a fresh Python process on this machine, joined to the driver by a socket pair.

    A fresh interpreter and not a fork, which gRPC's threads would not survive; and not multiprocessing's
    "spawn", which would run the driver's main script once more in each worker.

    environment  variables set for the workers, such as {"CRYPSIS_NUM_THREADS": "1"}
    """

    def __init__(self, *, environment: Mapping[str, str] | None = None) -> None:
        self._environment = dict(environment or {})

    def run(self, channel: Channel, task: Task) -> None:
        ours, theirs = socket.socketpair()
        try:
            process = self._start(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        link = Link(ours)
        in_order = False
        try:
            task.on_cancel(process.kill)
            Relay(link, channel, task).run()
            in_order = True
        except LinkClosed:
            raise WorkerLost(f"worker {task.number}: {_obituary(process)}") from None
        finally:
            link.close()
            _wait(process, LEAVE_S if in_order else 0.0)

    def _start(self, end: socket.socket) -> subprocess.Popen[bytes]:
        # The worker finds the modules that the driver finds; -P: and nothing in the current folder beyond them.
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "crypsis.mpc.jobs.worker", str(end.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=(end.fileno(),),
            env={**os.environ, "PYTHONPATH": path, **self._environment},
        )


def _wait(process: subprocess.Popen[bytes], patience_s: float) -> None:
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _obituary(process: subprocess.Popen[bytes]) -> str:
    """How a process whose link broke came to its end."""
    _wait(process, 1.0)
    code = process.returncode
    if code < 0:
        return f"its process was killed by signal {-code}"
    return f"its process ended with exit code {code}; see its messages above"
