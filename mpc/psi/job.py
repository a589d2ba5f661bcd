# SPDX-License-Identifier: Apache-2.0
"""A PSI job from one's own rows to one's own output rows: digest, agree, exchange, plan the join."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crypsis.errors import DataError, ProtocolAbort
from crypsis.mpc.data import (
    JoinPlan,
    KeySpec,
    KeyTable,
    Source,
    TableSource,
    digest_keys,
    gather_table,
    plan_join,
    select_rows,
    unmatched_rows,
)
from crypsis.mpc.data.gather import output_schema
from crypsis.mpc.place import Place, place_named
from crypsis.mpc.psi import ecdh, vole
from crypsis.mpc.psi.agree import MAX_ROWS, agree
from crypsis.mpc.psi.devices import AUTO, find_devices
from crypsis.mpc.psi.layout import Layout
from crypsis.mpc.psi.matching import Positions
from crypsis.mpc.psi.options import Progress, PsiOptions
from crypsis.mpc.transport import Channel
from crypsis.mpc.transport.agreement import count_field, recv_json, send_json

_log = logging.getLogger("crypsis.psi")

COUNTS = 4  # stream: rows per matched key, uint32 in the agreed order
_COUNTS_PER_MESSAGE = 1 << 19


@contextmanager
def timed_phase(seconds: dict[str, float], name: str, progress: Progress | None) -> Iterator[None]:
    """Adds the wall time spent inside to `seconds[name]`; tells the log and `progress` that it begins and
    ends."""
    begin = time.perf_counter()
    _log.info("%s: begun", name)
    if progress is not None:
        progress(name, 0, 0)
    try:
        yield
    finally:
        took = time.perf_counter() - begin
        seconds[name] = seconds.get(name, 0.0) + took
        _log.info("%s: %.2f s", name, took)
        if progress is not None:
            progress(name, 1, 1)


@dataclass
class PsiOutcome:
    """What one party ends with.

    `rows`: own row ids in output order (-1: only the peer's payload fills the row) and which are matched;
    None if this party learns nothing.
    `n_matched`: distinct keys in common; None likewise.
    `seconds`: wall time by phase.
    """

    rows: JoinPlan | None = None
    n_matched: int | None = None
    n_rows: int = 0
    n_null: int = 0
    n_unique: int = 0
    n_peer_unique: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str, progress: Progress | None = None) -> Iterator[None]:
        """Adds the time spent inside to `seconds[name]`, and tells `progress` that it begins and ends."""
        with timed_phase(self.seconds, name, progress):
            yield


@dataclass(frozen=True)
class PsiResult:
    """The intersection as a table of one's own rows (None for a party that learns nothing), and how it came
    about."""

    table: pa.Table | None
    outcome: PsiOutcome


def run(
    source: Source, channel: Channel, options: PsiOptions, *, progress: Progress | None = None
) -> PsiOutcome:
    """Runs the job against the peer on `channel`; own row ids refer to `source` in reading order.

    Raises BackendUnavailable for a device that cannot be used, DataError for one's own input, ConfigError when the
    parties' configurations differ (both sides), ChannelError and ProtocolAbort when the peer is lost or misbehaves,
    DeviceError when the device is. The channel is left open: see `agree.confirm`.
    """
    devices = find_devices(options.device)
    _log.info("device %s: %s", devices, devices.why)
    if devices.asked == AUTO and progress is not None:
        progress(f"device {devices}: {devices.why}", 1, 1)
    place = place_named(devices.used[0])
    outcome = PsiOutcome()
    with outcome.phase("read and digest keys"):
        keys = digest_keys(
            source,
            options.keys,
            null_policy=options.null_policy,
            algorithm=options.hash,
            salt=job_salt(options),
            progress=progress,
            threads=options.threads,
        )
    outcome.n_rows, outcome.n_null, outcome.n_unique = keys.n_rows, keys.n_null, keys.n_unique
    with outcome.phase("agree", progress):
        outcome.n_peer_unique = agree(channel, options, keys.n_unique)
    with outcome.phase("exchange"):
        matched = _exchange(keys, channel, options, outcome.n_peer_unique, progress, place)
    if matched is None:
        return outcome
    outcome.n_matched = len(matched)
    with outcome.phase("join", progress):
        if options.aligned:
            peer_counts, peer_unmatched = _exchange_counts(channel, options, keys, matched)
            outcome.rows = plan_join(
                keys,
                matched,
                peer_counts,
                join=options.join,
                own_side=options.own_side,
                peer_unmatched_rows=peer_unmatched,
                max_output_rows=options.max_output_rows,
            )
        else:
            outcome.rows = select_rows(keys, matched, join=options.join, own_side=options.own_side)
    return outcome


def _exchange(
    keys: KeyTable,
    channel: Channel,
    options: PsiOptions,
    n_peer: int,
    progress: Progress | None,
    place: Place,
) -> Positions | None:
    """Own keys that the peer has too, in an order both share; None for a sender without broadcast. Uses up the
    digests."""
    if options.protocol == "ecdh":
        return ecdh.EcdhPsi(channel, options, n_peer, progress, place).run(keys).own
    is_receiver = options.role == "receiver"
    layout = Layout(
        n_receiver=keys.n_unique if is_receiver else n_peer,
        n_sender=n_peer if is_receiver else keys.n_unique,
        security=options.security,
        setting=options.setting,
    )
    matched = vole.intersect_digests(
        channel,
        options.role,
        keys.digests,
        layout,
        broadcast=options.broadcast,
        threads=options.threads,
        progress=progress,
        place=place,
    )
    keys.release_digests()
    return matched


def intersect(
    table: pa.Table | Source,
    on: str | KeySpec | Sequence[str | KeySpec],
    channel: Channel,
    *,
    progress: Progress | None = None,
    indicator: str | None = None,
    **options: object,
) -> PsiResult:
    """PSI of an Arrow table with the peer's on `channel`; returns one's own matching rows.

    `on`: key columns, a name standing for KeySpec(name, "string"). Further keywords are fields of PsiOptions
    (`role` is required). Raises TypeError and ConfigError for wrong arguments before a byte is sent, then as
    `run`. `indicator` names a bool column to add, true where the row's key is in both sets.

    A sender that is told nothing (no `broadcast`) is done when all is sent: what the receiver finds wrong after that
    is raised there by `channel.close()`.

        result = intersect(table, "id", channel, role="receiver")
        result.table, result.outcome.n_matched
    """
    names: list[Any] = list(on) if isinstance(on, list | tuple) else [on]
    specs = tuple(k if isinstance(k, KeySpec) else KeySpec(k) for k in names)
    if not isinstance(table, pa.Table | Source):
        raise TypeError(f"table is {type(table).__name__}: give a pyarrow Table or a crypsis.mpc.data.Source")
    if not isinstance(channel, Channel):
        raise TypeError(f"channel is {type(channel).__name__}: give a crypsis.mpc.transport.Channel")
    source = TableSource(table) if isinstance(table, pa.Table) else table
    job = PsiOptions(keys=specs, **options)  # type: ignore[arg-type]
    output_schema(source, None, indicator)
    outcome = run(source, channel, job, progress=progress)
    if outcome.rows is None:
        return PsiResult(None, outcome)
    whole = pa.Table.from_batches(source.batches(), schema=source.schema)
    return PsiResult(gather_table(whole, outcome.rows, indicator=indicator), outcome)


def job_salt(options: PsiOptions) -> bytes:
    """Separates the digests of different jobs: b"" for an unnamed job."""
    return hashlib.sha256(b"crypsis/psi/job/v1/" + options.job.encode()).digest() if options.job else b""


def _exchange_counts(
    channel: Channel, options: PsiOptions, keys: KeyTable, matched: Positions
) -> tuple[npt.NDArray[np.uint32], int]:
    """Both sides: rows per matched key, and for outer joins how many rows have no partner."""
    counts = np.diff(keys.starts)[matched]
    if len(counts) and int(counts.max()) >= 1 << 32:
        raise DataError(f"one key has {int(counts.max())} rows: at most {(1 << 32) - 1} can be joined")
    outer = options.join in ("full", "difference") or options.join == options.own_side
    own_unmatched = len(unmatched_rows(keys, matched)) if outer else 0
    send_json(channel, {"type": "counts", "unmatched_rows": own_unmatched})
    peer_unmatched = count_field(recv_json(channel, "counts"), "unmatched_rows", MAX_ROWS)
    peer_counts = np.empty(len(matched), dtype=np.uint32)
    # Message by message, the receiver first: both sides sending at once could fill both windows and wait for ever.
    for begin in range(0, len(counts), _COUNTS_PER_MESSAGE):
        part = counts[begin : begin + _COUNTS_PER_MESSAGE].astype("<u4")
        if options.role == "receiver":
            channel.send(COUNTS, part.data.cast("B"))
        raw = channel.recv(COUNTS)
        if options.role == "sender":
            channel.send(COUNTS, part.data.cast("B"))
        if len(raw) != part.nbytes:
            raise ProtocolAbort(
                f"{channel.peer} sent {len(raw)} bytes of row counts where {part.nbytes} were due; ended"
            )
        peer_counts[begin : begin + len(part)] = np.frombuffer(raw, dtype="<u4")
    if len(peer_counts) and int(peer_counts.min()) == 0:
        raise ProtocolAbort(f"{channel.peer} sent a row count of 0 for a key it matched; ended")
    return peer_counts, peer_unmatched
