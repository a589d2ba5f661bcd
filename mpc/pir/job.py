# SPDX-License-Identifier: Apache-2.0
"""A private list query from one's own rows to one's own output rows: `serve` at the owner, `ask` at the querier."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crypsis import backends
from crypsis.errors import DataError, ProtocolAbort
from crypsis.mpc.data import KeySpec, KeyTable, Source, TableSource, digest_keys
from crypsis.mpc.pir import ot_query
from crypsis.mpc.pir.agree import Agreed, agree_as_owner, agree_as_querier
from crypsis.mpc.pir.entries import DIGEST_BYTES
from crypsis.mpc.pir.lists import PreparedList, prepare
from crypsis.mpc.pir.options import OwnerOptions, QuerierOptions, QueryOptions
from crypsis.mpc.pir.ot_source import OtSource, softspoken_source
from crypsis.mpc.pir.records import decode_records
from crypsis.mpc.psi.job import timed_phase
from crypsis.mpc.psi.options import Progress
from crypsis.mpc.transport import Channel
from crypsis.ristretto255 import random_bytes

_log = logging.getLogger("crypsis.query")


@dataclass
class OwnerOutcome:
    """What the owner ends with: what was agreed, its list, wall time by phase."""

    agreed: Agreed
    prepared: PreparedList
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class QuerierOutcome:
    """What the querier ends with, once the channel is closed.

    `first`, `count`: int64[n_rows], which rows of `payload` belong to each own row; count is 0 where the key is not on
    the list or NULL.
    """

    agreed: Agreed
    payload: pa.Table
    first: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    n_rows: int
    n_null: int
    n_unique: int
    n_found: int
    seconds: dict[str, float] = field(default_factory=dict)


def prepare_list(
    source: Source,
    options: QueryOptions,
    own: OwnerOptions,
    *,
    progress: Progress | None = None,
) -> PreparedList:
    """The owner's list, prepared before there is a peer; may be served many times. Raises DataError, ConfigError."""
    return prepare(
        source,
        options.keys,
        salt=options.salt,
        prefix_bits=options.prefix_bits,
        columns=own.columns,
        capacity=own.capacity,
        max_rows=own.max_rows,
        text_bytes=own.text_bytes,
        hash=options.hash,
        null_policy=options.null_policy,
        threads=options.threads,
        progress=progress,
    )


def run_owner(
    prepared: PreparedList,
    channel: Channel,
    options: QueryOptions,
    own: OwnerOptions,
    *,
    ots: OtSource = softspoken_source,
    admit: Callable[[int], None] | None = None,
    progress: Progress | None = None,
) -> OwnerOutcome:
    """Answers one job on `channel`, which stays open. `admit` is called with the number of queries before any is
    answered and may refuse by raising. Raises ConfigError where the configurations differ, ChannelError and
    ProtocolAbort when the peer is lost or cheats."""
    seconds: dict[str, float] = {}
    with _phase(seconds, "agree", progress):
        agreed = agree_as_owner(channel, options, own, prepared)
        if admit is not None:
            admit(agreed.n_queries)
    if agreed.n_queries:
        with _phase(seconds, "set up", progress):
            source = ots.sender(channel, agreed.shape.session, options.threads)
        with _phase(seconds, "answer", None):
            ot_query.answer(
                channel,
                agreed.shape,
                agreed.n_queries,
                source,
                prepared.bucket,
                threads=backends.n_threads(options.threads),
                progress=_counter(progress, "answer", agreed.n_queries),
            )
    return OwnerOutcome(agreed, prepared, seconds)


@dataclass
class Asked:
    """What the querier has before the channel is closed. Nothing the peer can see may depend on what `open` finds."""

    agreed: Agreed
    keys: KeyTable
    answers: ot_query.Answers | None
    place: npt.NDArray[np.int64]
    seconds: dict[str, float]

    def open(self, *, progress: Progress | None = None) -> QuerierOutcome:
        """Decrypts the answers; call it when the channel is closed. Raises ProtocolAbort for damaged answers."""
        with _phase(self.seconds, "open answers", progress):
            return self._open()

    def _open(self) -> QuerierOutcome:
        agreed, keys = self.agreed, self.keys
        found = np.zeros(keys.n_unique, np.bool_)
        records = np.zeros((0, agreed.shape.width), np.uint8)
        if self.answers is not None:
            all_found, damaged, opened = self.answers.open()
            mine = self.place[: keys.n_unique]
            found = all_found[mine]
            if damaged[mine].any():
                raise ProtocolAbort(
                    f"{int(damaged[mine].sum())} answers are damaged: the owner of the list is faulty or malicious; "
                    "there is no output. Telling the owner which, or that, tells it about what was asked"
                )
            records = opened[mine][found]
        counts, payload = decode_records(records, agreed.columns, agreed.max_rows)
        of_key = np.zeros(keys.n_unique, np.int64)
        of_key[found] = counts
        begin = np.concatenate([[0], np.cumsum(of_key)])[:-1].astype(np.int64)
        first, count = np.zeros((2, keys.n_rows), np.int64)
        key_of = np.repeat(np.arange(keys.n_unique), keys.counts.astype(np.int64))
        first[keys.rows] = begin[key_of]
        count[keys.rows] = of_key[key_of]
        return QuerierOutcome(
            agreed=agreed,
            payload=payload,
            first=first,
            count=count,
            n_rows=keys.n_rows,
            n_null=keys.n_null,
            n_unique=keys.n_unique,
            n_found=int(found.sum()),
            seconds=self.seconds,
        )


def run_querier(
    source: Source,
    channel: Channel,
    options: QueryOptions,
    own: QuerierOptions,
    *,
    ots: OtSource = softspoken_source,
    accept: Callable[[Agreed], None] | None = None,
    progress: Progress | None = None,
) -> Asked:
    """Asks for the keys of `source`, each distinct one once, in a secret random order and among made-up ones if
    `pad_queries` says so. The channel stays open: close it, then `open` what was received. `accept` is called with what
    was agreed before anything is asked, and may refuse by raising. Raises DataError for one's own input, ConfigError,
    ChannelError and ProtocolAbort as `run_owner`."""
    seconds: dict[str, float] = {}
    with _phase(seconds, "read and digest keys", None):
        keys = digest_keys(
            source,
            options.keys,
            null_policy=options.null_policy,
            algorithm=options.hash,
            salt=options.salt,
            progress=progress,
            threads=options.threads,
        )
    n = keys.n_unique
    if own.pad_queries is not None and n > own.pad_queries:
        raise DataError(
            f"there are {n} distinct keys and pad_queries is {own.pad_queries}: raise it, or ask fewer"
        )
    n_queries = n if own.pad_queries is None else own.pad_queries
    with _phase(seconds, "agree", progress):
        agreed = agree_as_querier(channel, options, own, n_queries)
        if accept is not None:
            accept(agreed)
    if not n_queries:
        return Asked(agreed, keys, None, np.zeros(0, np.int64), seconds)
    # The keys' own order is that of their digests: with it, a query's number would narrow its digest down.
    order = np.argsort(random_bytes(n_queries, 8).view(np.uint64)[:, 0])
    place = np.empty(n_queries, np.int64)
    place[order] = np.arange(n_queries)
    digests = np.concatenate([keys.digests, random_bytes(n_queries - n, DIGEST_BYTES)])[order]
    with _phase(seconds, "set up", progress):
        receiver = ots.receiver(channel, agreed.shape.session, options.threads)
    with _phase(seconds, "ask", None):
        answers = ot_query.ask(
            channel, agreed.shape, digests, receiver, progress=_counter(progress, "ask", n_queries)
        )
    return Asked(agreed, keys, answers, place, seconds)


def serve(
    table: pa.Table | Source,
    on: str | KeySpec | Sequence[str | KeySpec],
    channel: Channel,
    *,
    list_name: str,
    prefix_bits: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> OwnerOutcome:
    """Answers one job of the peer on `channel` about an Arrow table, and closes it.

    `on`: key columns, a name standing for KeySpec(name, "string"). Further keywords are fields of QueryOptions and
    OwnerOptions.
    """
    shared, own = _split(options, OwnerOptions)
    query = QueryOptions(keys=_specs(on), list_name=list_name, prefix_bits=prefix_bits, **shared)
    settings = OwnerOptions(**own)
    with channel:
        prepared = prepare_list(_source(table), query, settings, progress=progress)
        return run_owner(prepared, channel, query, settings, progress=progress)


def ask(
    table: pa.Table | Source,
    on: str | KeySpec | Sequence[str | KeySpec],
    channel: Channel,
    *,
    list_name: str,
    prefix_bits: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> QuerierOutcome:
    """Asks the peer on `channel` about the keys of an Arrow table, closes the channel, and opens the answers.

    `joined` makes a table of the result. Further keywords are fields of QueryOptions and QuerierOptions.
    """
    shared, own = _split(options, QuerierOptions)
    query = QueryOptions(keys=_specs(on), list_name=list_name, prefix_bits=prefix_bits, **shared)
    settings = QuerierOptions(**own)
    with channel:
        asked = run_querier(_source(table), channel, query, settings, progress=progress)
    return asked.open(progress=progress)


def _phase(seconds: dict[str, float], name: str, progress: Progress | None) -> AbstractContextManager[None]:
    return timed_phase(seconds, name, progress)


def _counter(progress: Progress | None, phase: str, total: int) -> Any:
    return None if progress is None else lambda done: progress(phase, done, total)


def _split(options: dict[str, Any], kind: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    own = {name: value for name, value in options.items() if name in kind.__dataclass_fields__}
    return {name: value for name, value in options.items() if name not in own}, own


def _specs(on: str | KeySpec | Sequence[str | KeySpec]) -> tuple[KeySpec, ...]:
    names: list[Any] = list(on) if isinstance(on, list | tuple) else [on]
    return tuple(name if isinstance(name, KeySpec) else KeySpec(name) for name in names)


def _source(table: pa.Table | Source) -> Source:
    if not isinstance(table, pa.Table | Source):
        raise TypeError(f"table is {type(table).__name__}: give a pyarrow Table or a crypsis.mpc.data.Source")
    return TableSource(table) if isinstance(table, pa.Table) else table
