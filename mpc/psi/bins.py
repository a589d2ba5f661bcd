# SPDX-License-Identifier: Apache-2.0
"""What a worker does with outer bins: load one, exchange it, write which of its rows matched.

The function `work` is what `crypsis.mpc.jobs` runs at both parties, in this process, in others or on other machines.
Its `spec` (values that JSON has) is all it knows of the job; files are found in the work directory, which every worker
of a party must see.

A bin's result is a file of row ids in the work directory: without alignment the rows whose key the peer has, aligned
the row of each output row of the bin's part of an inner join. It appears complete and on the disk, then the bin is
reported done, with the file's name: every attempt has one of its own, so that none changes what the ledger knows.

Whoever exchanges a bin again may come with other keys. Honest parties do not; against a malicious one attempts are
counted in the work directory, for the whole life of the job, and come to an end. What counts is a message that depends
on the bin's keys: the first is about to be sent when `count_attempt` is called.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import partition
from crypsis.errors import DataError, ProtocolAbort
from crypsis.mpc.data import count_pairs, pair_rows, write_index
from crypsis.mpc.data.joins import Side
from crypsis.mpc.data.spill import RECORD_BYTES, SpillFile, iter_bin, read_bin
from crypsis.mpc.jobs.workdir import write_durably
from crypsis.mpc.place import HOST, Place, place_named
from crypsis.mpc.psi.conveyor import Conveyor
from crypsis.mpc.psi.layout import Layout
from crypsis.mpc.psi.options import Role
from crypsis.mpc.psi.vole import Index, KeyBins, open_session
from crypsis.mpc.psi.vole.room import largest_bin
from crypsis.mpc.transport import Channel

COUNTS = 5  # stream: rows a matched key, uint32 in the agreed order
_COUNTS_PER_MESSAGE = 1 << 19
RESULT_PREFIX = "result-"
MAX_ATTEMPTS = 6
"""At a bin of a malicious job, over all runs of it. A bin that is only read ahead when a run ends does not count."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class BinJob:
    """What a worker knows of its party's job."""

    role: Role
    layout: Layout
    job_id: str
    work_dir: str
    spills: dict[int, SpillFile]
    broadcast: bool
    aligned: bool
    own_side: Side
    chunk_records: int
    max_output_rows: int
    threads: int | None
    device: str = "cpu"
    room: int | None = None  # bytes of a GPU

    def as_spec(self) -> dict[str, Any]:
        """As values that JSON has."""
        layout = self.layout
        spec = {name: getattr(self, name) for name in self.__dataclass_fields__}
        spec["layout"] = {name: getattr(layout, name) for name in layout.__dataclass_fields__}
        spec["spills"] = [
            [spill.bin, spill.path, spill.n_records, spill.n_bytes, spill.sha256]
            for spill in self.spills.values()
        ]
        return spec

    @classmethod
    def of(cls, spec: dict[str, Any]) -> BinJob:
        """From `as_spec`."""
        values = dict(spec)
        values["layout"] = Layout(**values["layout"])
        values["spills"] = {row[0]: SpillFile(*row) for row in values["spills"]}
        return cls(**values)


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A bin in memory: its distinct keys, and its rows unless there are too many of them."""

    keys: KeyBins
    groups: partition.Groups | None
    place: Place


def work(
    channel: Channel, spec: dict[str, Any], bins: Iterator[int], done: Callable[[int, dict[str, Any]], None]
) -> None:
    """Exchanges the bins it is given, one after the other, and reports each when its result is on the disk."""
    job = BinJob.of(spec)
    place = place_named(job.device, job.room)
    session = open_session(
        channel,
        job.role,
        job.layout,
        session=bytes.fromhex(job.job_id),
        broadcast=job.broadcast,
        threads=job.threads,
        place=place,
    )
    crew = session.crew()
    loaded: Conveyor[tuple[int, _Loaded]] = crew.conveyor(1)
    held: dict[int, _Loaded] = {}

    def load() -> None:
        for bin in bins:
            loaded.put((bin, _load(job, place, bin)))
        loaded.finish()

    def keys() -> Iterator[tuple[int, KeyBins]]:
        for bin, one in loaded:
            held[bin] = one
            yield bin, one.keys

    def count(bin: int) -> None:
        if job.layout.security == "malicious":
            count_attempt(job.work_dir, bin)

    crew.start("load", load, awaited=False)  # it may be waiting for the driver's next bin
    try:
        with closing(session.run(keys(), crew=crew, before_keys=count)) as matches:
            for bin, matched in matches:
                result = _record(job, channel, bin, held.pop(bin), matched)
                done(bin, result | {"device": place.name})
    except BaseException as error:
        if crew.error is not None and crew.error is not error and not isinstance(crew.error, GeneratorExit):
            raise crew.error from error
        raise


def _load(job: BinJob, place: Place, bin: int) -> _Loaded:
    """Keys go where they are worked on, their rows stay on the host. A bin that duplicates make larger than a session
    reckons with is grouped on the host: only its distinct keys fit a GPU for certain."""
    spill = job.spills[bin]
    if spill.n_records <= job.chunk_records:
        records = read_bin(spill)
        at = HOST if place is not HOST and spill.n_records > largest_bin(job.layout) else place
        with place.stage("load"):
            made = partition.group(at.from_host(records), job.layout.inner, threads=job.threads)
            groups = partition.Groups(made.keys, *map(at.to_host, made[1:]))
            keys = groups.keys if at is place else place.from_host(groups.keys)
        return _Loaded(KeyBins(keys, groups.starts), groups, place)
    if job.aligned:
        raise DataError(
            f"{spill.path}: a bin of {spill.n_records} rows, most of them duplicates, does not fit the memory; raise "
            "`memory`, or switch alignment off"
        )
    keys = _load_distinct(job, spill)
    with place.stage("load"):
        return _Loaded(KeyBins(place.from_host(keys.keys), keys.starts), None, place)


def count_attempt(work_dir: str, bin: int) -> None:
    """Writes down, on the disk when it returns, that the next message shows what depends on the bin's keys, once more.
    Raises DataError for more than MAX_ATTEMPTS."""
    path = os.path.join(work_dir, f"attempts-{bin:05d}")
    n_before = os.path.getsize(path) if os.path.exists(path) else 0  # a byte each
    if n_before >= MAX_ATTEMPTS:
        raise DataError(
            f"bin {bin} was exchanged {n_before} times and never finished: a malicious peer that breaks off tests "
            "other keys each time; find out why the runs ended, then remove both work directories to start over"
        )
    write_durably(path, bytes(n_before + 1))


def _load_distinct(job: BinJob, spill: SpillFile) -> KeyBins:
    """Of a bin with very many duplicates only the distinct keys, which its bound limits; rows are read again later. On
    the host, where such a bin may take as long as it takes."""
    distinct = np.empty((0, RECORD_BYTES), np.uint8)
    groups = None
    for records in iter_bin(spill, job.chunk_records):
        groups = partition.group(np.concatenate([distinct, records]), job.layout.inner, threads=job.threads)
        distinct = groups.keys
    if groups is None:
        raise DataError(
            f"{spill.path}: empty where {spill.n_records} rows were recorded; remove the work directory"
        )
    return KeyBins(groups.keys, groups.starts)


def _record(
    job: BinJob, channel: Channel, bin: int, loaded: _Loaded, matched: Index | None
) -> dict[str, Any]:
    """Writes the bin's result; what the ledger is told of it."""
    result: dict[str, Any] = {"unique": len(loaded.keys.keys)}
    if matched is None:
        return result | {"matched": None, "rows": 0, "sha256": "", "name": ""}
    groups = loaded.groups
    rows: Iterable[npt.NDArray[Any]]
    if groups is None:
        with loaded.place.stage("record"):
            distinct = loaded.place.to_host(loaded.keys.keys)
        rows = _rows_again(job, job.spills[bin], KeyBins(distinct, loaded.keys.starts), matched)
    elif job.aligned:
        rows = _aligned_rows(job, channel, groups, matched)
    else:
        rows = [_rows_of(groups, matched)]
    name = f"{RESULT_PREFIX}{bin:05d}-{secrets.token_hex(8)}.bin"
    file = write_index(os.path.join(job.work_dir, name), rows)
    return result | {"matched": len(matched), "rows": file.n_rows, "sha256": file.sha256, "name": name}


def _rows_of(groups: partition.Groups, matched: Index) -> npt.NDArray[np.uint32]:
    """All rows of the matched keys."""
    if len(groups.rows) == len(groups.keys):
        rows: npt.NDArray[np.uint32] = groups.rows[matched]
        return rows
    wanted = np.zeros(len(groups.keys), np.bool_)
    wanted[matched] = True
    return np.ascontiguousarray(groups.rows[np.repeat(wanted, np.diff(groups.row_starts))])


def _rows_again(
    job: BinJob, spill: SpillFile, distinct: KeyBins, matched: Index
) -> Iterator[npt.NDArray[np.uint32]]:
    """As `_rows_of` for a bin whose rows do not fit: reads it once more, a chunk at a time."""
    inner = job.layout.inner
    wanted = np.zeros(len(distinct.keys), np.bool_)
    wanted[matched] = True
    starts = np.concatenate([[0], np.cumsum(wanted)])[distinct.starts.astype(np.int64)].astype(np.uint64)
    keys, _ = partition.sort_tags(distinct.keys[wanted], starts, threads=job.threads)
    for records in iter_bin(spill, job.chunk_records):
        groups = partition.group(records, inner, threads=job.threads)
        found, _ = partition.match(groups.keys, groups.starts, keys, starts, threads=job.threads)
        yield _rows_of(groups, found)


def _aligned_rows(
    job: BinJob, channel: Channel, groups: partition.Groups, matched: Index
) -> Iterator[npt.NDArray[Any]]:
    """The bin's part of the aligned output."""
    peer = _exchange_counts(job, channel, np.diff(groups.row_starts)[matched].astype("<u4"))
    n_pairs = count_pairs(groups.row_starts, matched, peer)
    if n_pairs > job.max_output_rows:
        raise DataError(
            f"one bin of the join has {n_pairs} rows, more than max_output_rows={job.max_output_rows}, because "
            "duplicates multiply; remove duplicate keys, switch alignment off, or raise the limit"
        )
    return pair_rows(groups.row_starts, groups.rows, matched, peer, own_side=job.own_side)


def _exchange_counts(job: BinJob, channel: Channel, own: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The peer's rows for each matched key. Message by message, the receiver first: both sides sending at once could
    fill both windows and wait for ever."""
    peer = np.empty(len(own), np.uint32)
    for begin in range(0, len(own), _COUNTS_PER_MESSAGE):
        part = own[begin : begin + _COUNTS_PER_MESSAGE]
        if job.role == "receiver":
            channel.send(COUNTS, part.data.cast("B"))
        raw = channel.recv(COUNTS)
        if job.role == "sender":
            channel.send(COUNTS, part.data.cast("B"))
        if len(raw) != part.nbytes:
            raise ProtocolAbort(
                f"{channel.peer} sent {len(raw)} bytes of row counts where {part.nbytes} were due; ended"
            )
        peer[begin : begin + len(part)] = np.frombuffer(raw, "<u4")
    if len(peer) and int(peer.min()) == 0:
        raise ProtocolAbort(f"{channel.peer} sent a row count of 0 for a key it matched; ended")
    return peer
