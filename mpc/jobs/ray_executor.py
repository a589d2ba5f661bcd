# SPDX-License-Identifier: Apache-2.0
"""`RayExecutor`: each worker is an actor on this party's own Ray cluster. Needs `pip install 'crypsis[ray]'`.

The driver listens on a port of its own for each worker that it starts, until that worker has called and shown
the key it was given. Messages between the two are in plain text: they stay inside the party's cluster.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from typing import Any

from crypsis.errors import BackendUnavailable, ConfigError
from crypsis.mpc.jobs.executors import Executor
from crypsis.mpc.jobs.link import Link, LinkClosed, admit, call_driver
from crypsis.mpc.jobs.relay import Relay
from crypsis.mpc.jobs.task import Task, WorkerLost
from crypsis.mpc.transport import Channel

_log = logging.getLogger("crypsis.jobs")

_POLL_S = 0.2
_WATCH_S = 1.0
_STARTS = 3
_KEY_BYTES = 32


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise BackendUnavailable(
            "executor 'ray' needs Ray, which is not installed: pip install 'crypsis[ray]', on every machine of"
            " the cluster; executor 'local' does without"
        ) from None
    return ray


class RayWorker:
    """The actor: one worker, for one task."""

    def run(self, host: str, port: int, key: bytes) -> None:
        """Call the driver and serve it."""
        from crypsis.mpc.jobs.worker import leave, serve

        link = call_driver(host, port, key)
        try:
            serve(link, on_lost=leave)
        finally:
            link.close()


class RayExecutor(Executor):
    """Workers are Ray actors.

    address      of the cluster, as `ray.init` takes it; None: a cluster on this machine for this job alone. A
                 Ray that the program has initialised already is used as it is
    host         where workers reach this driver; None: this node's address as Ray knows it
    num_cpus, num_gpus, resources   what one worker takes up, as Ray counts it
    runtime_env  of the workers, as Ray has it

    Raises BackendUnavailable (no Ray), ConfigError (the cluster cannot be joined).
    """

    def __init__(
        self,
        *,
        address: str | None = None,
        host: str | None = None,
        num_cpus: float = 1,
        num_gpus: float = 0,
        resources: dict[str, float] | None = None,
        runtime_env: dict[str, Any] | None = None,
    ) -> None:
        self._ray = _import_ray()
        self._own = not self._ray.is_initialized()
        if self._own:
            self._init(address)
        self._host = host or self._ray.util.get_node_ip_address()
        options: dict[str, Any] = {
            "num_cpus": num_cpus,
            "num_gpus": num_gpus,
            "max_restarts": 0,  # a lost worker is replaced by the scheduler, with a session of its own
            "max_task_retries": 0,
        }
        if resources:
            options["resources"] = resources
        if runtime_env:
            options["runtime_env"] = runtime_env
        self._actor_class = self._ray.remote(**options)(RayWorker)
        self._actors: dict[int, Any] = {}

    def _init(self, address: str | None) -> None:
        """Joins the cluster, or starts one: on a busy machine that may take longer than Ray waits, so three times."""
        for attempt in range(1, _STARTS + 1):
            try:
                # "local": without it Ray would join what RAY_ADDRESS names, or a cluster that was started here before.
                self._ray.init(address=address or "local", include_dashboard=False, log_to_driver=True)
                return
            except Exception as error:  # Ray raises bare Exceptions here, too
                self._ray.shutdown()
                text = " ".join(str(error).split())[:200]
                if address is not None or attempt == _STARTS:
                    raise ConfigError(
                        f"the Ray cluster {address or 'on this machine'} cannot be joined ({text});"
                        " start it, or correct the address"
                    ) from None
                _log.warning("a Ray cluster on this machine could not be started (%s); once more", text)

    @property
    def actors(self) -> dict[int, Any]:
        """The actor handles of the workers that run now, by session number."""
        return dict(self._actors)

    def run(self, channel: Channel, task: Task) -> None:
        ray = self._ray
        key = secrets.token_bytes(_KEY_BYTES)
        with socket.create_server(
            (self._host, 0), family=socket.AF_INET6 if ":" in self._host else socket.AF_INET
        ) as server:
            actor = self._actor_class.remote()
            try:
                self._actors[task.number] = actor
                task.on_cancel(lambda: ray.kill(actor))
                ref = actor.run.remote(self._host, server.getsockname()[1], key)
                link = self._accept(server, key, ref, task)
            except BaseException:
                self._bury(task.number)
                raise
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(ref, link, over), daemon=True)
        watcher.start()
        try:
            Relay(link, channel, task).run()
        except LinkClosed:
            raise WorkerLost(f"worker {task.number}: {self._obituary(ref)}") from None
        finally:
            over.set()
            link.close()
            self._bury(task.number)
            watcher.join(2 * _WATCH_S)

    def _accept(self, server: socket.socket, key: bytes, ref: Any, task: Task) -> Link:
        """Wait for the worker, which may have to wait for a place in the cluster."""
        server.settimeout(_POLL_S)
        while True:
            if task.cancelled:
                raise WorkerLost(f"worker {task.number} was ended before it began")
            try:
                caller, _ = server.accept()
            except TimeoutError:
                if self._has_ended(ref):
                    raise WorkerLost(f"worker {task.number}: {self._obituary(ref)}") from None
                continue
            link = admit(caller, key)
            if link is not None:
                return link

    def _has_ended(self, ref: Any, timeout: float = 0.0) -> bool:
        ready, _ = self._ray.wait([ref], timeout=timeout)
        return bool(ready)

    def _watch(self, ref: Any, link: Link, over: threading.Event) -> None:
        """Close the link when Ray says that the actor died: a machine that lost its power closes nothing."""
        while not over.is_set():
            if self._has_ended(ref, _WATCH_S):
                try:
                    self._ray.get(ref)
                except Exception:  # whatever it is, the worker is gone
                    link.close()
                return

    def _obituary(self, ref: Any) -> str:
        if not self._has_ended(ref, 5.0):
            return "its connection broke"
        try:
            self._ray.get(ref)
        except Exception as error:  # Ray's own report, of whatever class
            return f"its actor died ({type(error).__name__}: {' '.join(str(error).split())[:300]})"
        return "its actor ended"

    def _bury(self, number: int) -> None:
        actor = self._actors.pop(number, None)
        if actor is not None:
            self._ray.kill(actor)

    def close(self) -> None:
        """Leave the cluster, if this executor joined it."""
        if self._own:
            self._own = False
            self._ray.shutdown()
