# SPDX-License-Identifier: Apache-2.0
"""Guest and hosts in one process, each in a thread of its own, over channels in memory that record what was sent."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

from tests.homomorphic_keys import okamoto_uchiyama_2048, paillier_2048
from tests.psi.pair import Recorder

from crypsis.errors import CrypsisError
from crypsis.mpc.learning import CipherOptions, Session
from crypsis.mpc.transport import memory_pair

OU = CipherOptions(scheme="okamoto-uchiyama", key_bits=2048)
PAILLIER = CipherOptions(scheme="paillier", key_bits=2048)
WAIT_S = 300


def session_of(role: Any, channels: Any, cipher: CipherOptions, **options: Any) -> Session:
    """A session with the fixed key of the tests, since making one takes a second."""
    session = Session(role, channels, cipher=cipher, **options)
    private = okamoto_uchiyama_2048() if cipher.scheme == "okamoto-uchiyama" else paillier_2048()
    if cipher.key_bits == private.public_key.n_bits:
        session.use_key(private)
    return session


def run(
    guest: Callable[[Session], Any],
    hosts: Mapping[str, Callable[[Session], Any]],
    *,
    cipher: CipherOptions = OU,
    host_cipher: CipherOptions | None = None,
    recorded: dict[str, list[Recorder]] | None = None,
    tamper: Callable[[int, bytes], list[bytes]] | None = None,
) -> dict[str, Any]:
    """Runs every party and returns its result, or the exception it ended with, by name; the guest is "guest".

    recorded: filled with each party's recording channels. tamper: changes what the hosts send, stream by stream.
    """
    results: dict[str, Any] = {}
    to_hosts: dict[str, Recorder] = {}
    tasks: list[tuple[str, Callable[[], Any], list[Recorder]]] = []
    for name, work in hosts.items():
        left, right = (Recorder(channel) for channel in memory_pair("guest", name))
        to_hosts[name] = left
        far = Recorder(right, tamper) if tamper is not None else right
        session = session_of("host", far, host_cipher or cipher)
        tasks.append((name, lambda session=session, work=work: work(session), [right]))
    session = session_of("guest", to_hosts, cipher)
    tasks.append(("guest", lambda: guest(session), list(to_hosts.values())))

    def one(name: str, task: Callable[[], Any], channels: list[Recorder]) -> None:
        try:
            results[name] = task()
        except Exception as error:
            results[name] = error
            for channel in channels:
                channel.abort(str(error))
        else:
            for channel in channels:
                with contextlib.suppress(CrypsisError):  # the peer has failed: that is its result
                    channel.close()

    threads = [threading.Thread(target=one, args=task, daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        if thread.is_alive():
            raise TimeoutError(f"a party still runs; results so far: {results}")
    if recorded is not None:
        recorded.update({name: channels for name, _, channels in tasks})
    return results


def run_two(
    guest: Callable[[Session], Any], host: Callable[[Session], Any], **options: Any
) -> tuple[Any, Any]:
    """(the guest's result, the host's), or raises the guest's exception, then the host's."""
    results = run(guest, {"host": host}, **options)
    for name in ("guest", "host"):
        if isinstance(results[name], Exception):
            raise results[name]
    return results["guest"], results["host"]
