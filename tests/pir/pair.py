# SPDX-License-Identifier: Apache-2.0
"""Two parties of a private list query in one process, what each of them sent, and a dealer of random OTs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from crypsis.mpc.data import KeySpec, TableSource
from crypsis.mpc.pir.job import Asked, OwnerOutcome, QuerierOutcome, prepare_list, run_owner, run_querier
from crypsis.mpc.pir.options import OwnerOptions, QuerierOptions, QueryOptions
from crypsis.mpc.pir.ot_source import OtSource, softspoken_source
from crypsis.mpc.pir.output import joined
from crypsis.mpc.transport import Channel, ChannelOptions, ChannelStats, memory_pair

WAIT_S = 300


class Dealer:
    """Both sides draw the same keys from the session: no message, no secret, for tests of what is above the OTs."""

    def __init__(self, session: bytes) -> None:
        self._random = np.random.default_rng(np.frombuffer(session, np.uint32))

    def _pairs(self, n: int) -> np.ndarray:
        return self._random.integers(0, 256, (n, 2, 16), np.uint8)


class DealerSender(Dealer):
    def keys(self, n_items: int) -> np.ndarray:
        return self._pairs(n_items)


class DealerReceiver(Dealer):
    def keys(self, choices: np.ndarray) -> np.ndarray:
        return self._pairs(len(choices))[np.arange(len(choices)), choices]


DEALER = OtSource(
    sender=lambda channel, session, threads: DealerSender(session),
    receiver=lambda channel, session, threads: DealerReceiver(session),
)


class Recorder(Channel):
    """A channel that keeps what was sent on each stream, and sends through `tamper` if one is given."""

    def __init__(self, inner: Channel, tamper: Callable[[int, bytes], list[bytes]] | None = None) -> None:
        self._inner = inner
        self._tamper = tamper
        self.party, self.peer = inner.party, inner.peer
        self.sent: dict[int, list[bytes]] = {}
        self.order: list[tuple[int, int]] = []
        self.ended = ""

    def send(self, stream: int, payload: Any) -> None:
        raw = bytes(payload)
        self.sent.setdefault(stream, []).append(raw)
        self.order.append((stream, len(raw)))
        for part in self._tamper(stream, raw) if self._tamper is not None else [raw]:
            self._inner.send(stream, part)

    def recv(self, stream: int) -> memoryview:
        return self._inner.recv(stream)

    def close(self) -> None:
        self.ended = "closed"
        self._inner.close()

    def abort(self, reason: str) -> None:
        self.ended = reason
        self._inner.abort(reason)

    @property
    def stats(self) -> ChannelStats:
        return self._inner.stats


@dataclass(frozen=True)
class Ran:
    """A finished job."""

    table: pa.Table
    querier: QuerierOutcome
    owner: OwnerOutcome
    querier_channel: Recorder
    owner_channel: Recorder

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.table.to_pylist()


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


def both(
    owner: Callable[[Channel], Any], querier: Callable[[Channel], Any], /, **tampers: Any
) -> tuple[Future[Any], Future[Any], Recorder, Recorder]:
    """Runs two parties to their ends, results or errors."""
    ends = memory_pair("exchange", "broker", options=ChannelOptions(patience_s=5))
    channels = Recorder(ends[0], tampers.get("owner")), Recorder(ends[1], tampers.get("querier"))

    def party(function: Callable[[Channel], Any], channel: Channel) -> Any:
        with channel:
            return function(channel)

    futures = [spawn(lambda f=f, c=c: party(f, c)) for f, c in zip((owner, querier), channels, strict=True)]
    for future in futures:
        future.exception(WAIT_S)
    return futures[0], futures[1], channels[0], channels[1]


QUERY = ("prefix_bits", "hash", "null_policy", "list_name")
OWNER = ("columns", "capacity", "max_rows", "text_bytes", "max_queries")


def options_of(on: Any, options: dict[str, Any]) -> QueryOptions:
    names = on if isinstance(on, list) else [on]
    keys = tuple(k if isinstance(k, KeySpec) else KeySpec(k) for k in names)
    chosen = {name: value for name, value in options.items() if name in QUERY}
    return QueryOptions(**{"list_name": "test", "threads": 1, "keys": keys, **chosen})


def start(
    list_table: pa.Table,
    asked_table: pa.Table,
    *,
    on: Any = "id",
    querier_on: Any = None,
    ots: OtSource = DEALER,
    owner_differs: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[Future[Any], Future[Any], Recorder, Recorder]:
    """Both parties' jobs, to their ends; `owner_differs` are options of the owner only."""
    tampers = {name: options.pop(name) for name in ("owner", "querier") if name in options}
    own = {name: value for name, value in options.items() if name in OWNER}
    asker = {name: value for name, value in options.items() if name not in OWNER + QUERY}

    def owner(channel: Channel) -> OwnerOutcome:
        query, settings = options_of(on, {**options, **(owner_differs or {})}), OwnerOptions(**own)
        return run_owner(
            prepare_list(TableSource(list_table), query, settings), channel, query, settings, ots=ots
        )

    def querier(channel: Channel) -> Asked:
        query = options_of(querier_on or on, options)
        return run_querier(TableSource(asked_table), channel, query, QuerierOptions(**asker), ots=ots)

    return both(owner, querier, **tampers)


def query_pair(list_table: pa.Table, asked_table: pa.Table, **options: Any) -> Ran:
    """A job that ends well."""
    owner, querier, owner_channel, querier_channel = start(list_table, asked_table, **options)
    owner_outcome = owner.result()
    outcome = querier.result().open()
    table = joined(TableSource(asked_table), outcome)
    return Ran(table, outcome, owner_outcome, querier_channel, owner_channel)


REAL = softspoken_source
