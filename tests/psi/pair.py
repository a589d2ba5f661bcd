# SPDX-License-Identifier: Apache-2.0
"""Two parties in one process, what each of them saw, and the plaintext join they are compared with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from crypsis.mpc.psi import PsiOptions, PsiResult, intersect
from crypsis.mpc.transport import Channel, ChannelOptions, ChannelStats, memory_pair

WAIT_S = 300


class Recorder(Channel):
    """A channel that keeps what was sent on each stream, and sends through `tamper` if one is given."""

    def __init__(self, inner: Channel, tamper: Callable[[int, bytes], list[bytes]] | None = None) -> None:
        self._inner = inner
        self._tamper = tamper
        self.party, self.peer = inner.party, inner.peer
        self.sent: dict[int, list[bytes]] = {}

    def send(self, stream: int, payload: Any) -> None:
        """Records, then sends."""
        raw = bytes(payload)
        self.sent.setdefault(stream, []).append(raw)
        for part in self._tamper(stream, raw) if self._tamper is not None else [raw]:
            self._inner.send(stream, part)

    def recv(self, stream: int) -> memoryview:
        """As the inner channel."""
        return self._inner.recv(stream)

    def close(self) -> None:
        """As the inner channel."""
        self._inner.close()

    def abort(self, reason: str) -> None:
        """As the inner channel."""
        self._inner.abort(reason)

    @property
    def stats(self) -> ChannelStats:
        """As the inner channel."""
        return self._inner.stats


@dataclass(frozen=True)
class Ran:
    """One party's side of a finished job."""

    result: PsiResult
    channel: Recorder

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The output table as rows."""
        assert self.result.table is not None
        return self.result.table.to_pylist()


def spawn(function: Callable[[], Any]) -> Future[Any]:
    """Runs in a daemon thread, so that a hang fails a test instead of stopping the run."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def recorded_pair(**tampers: Any) -> tuple[Recorder, Recorder]:
    """The receiver's and the sender's end."""
    ends = memory_pair("bank", "telco", options=ChannelOptions(patience_s=5))
    return Recorder(ends[0], tampers.get("receiver")), Recorder(ends[1], tampers.get("sender"))


def both(
    receiver: Callable[[Channel], Any], sender: Callable[[Channel], Any], **tampers: Any
) -> list[Future[Any]]:
    """Runs two parties to their ends, results or errors; each function gets its channel and ends it."""
    channels = recorded_pair(**tampers)

    def party(function: Callable[[Channel], Any], channel: Channel) -> Any:
        with channel:
            return function(channel)

    futures = [spawn(lambda f=f, c=c: party(f, c)) for f, c in zip((receiver, sender), channels, strict=True)]
    for future in futures:
        future.exception(WAIT_S)
    return futures


def psi_pair(
    receiver: pa.Table,
    sender: pa.Table,
    *,
    on: Any = "id",
    sender_on: Any = None,
    indicator: str | None = None,
    **options: Any,
) -> tuple[Ran, Ran]:
    """Both parties' `intersect` with the same options; returns when both channels are closed."""
    kept: dict[str, Recorder] = {}

    def party(table: pa.Table, keys: Any, role: str) -> Callable[[Channel], PsiResult]:
        def run(channel: Channel) -> PsiResult:
            assert isinstance(channel, Recorder)
            kept[role] = channel
            return intersect(table, keys, channel, role=role, indicator=indicator, threads=1, **options)

        return run

    futures = both(party(receiver, on, "receiver"), party(sender, sender_on or on, "sender"))
    results = [future.result() for future in futures]
    return Ran(results[0], kept["receiver"]), Ran(results[1], kept["sender"])


def errors_of(futures: list[Future[Any]]) -> tuple[BaseException, BaseException]:
    """What both parties ended with, which must be errors."""
    errors = [future.exception() for future in futures]
    assert errors[0] is not None
    assert errors[1] is not None
    return errors[0], errors[1]


def options_for(role: Any, **options: Any) -> PsiOptions:
    """Options with one string key, for protocol tests below `intersect`."""
    from crypsis.mpc.data import KeySpec

    return PsiOptions(role=role, keys=(KeySpec("id"),), threads=1, **options)


def plain_join(left: list[Any], right: list[Any], join: str) -> list[tuple[int | None, int | None]]:
    """Nested loops: (left row, right row) of each row of the join, None for a missing one; None keys match nothing."""
    pairs = [(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if a is not None and a == b]
    left_alone = [(i, None) for i in range(len(left)) if all(i != p[0] for p in pairs)]
    right_alone = [(None, j) for j in range(len(right)) if all(j != p[1] for p in pairs)]
    rows: list[tuple[int | None, int | None]] = [] if join == "difference" else list(pairs)
    if join in ("left", "full", "difference"):
        rows += left_alone
    if join in ("right", "full", "difference"):
        rows += right_alone
    return rows
