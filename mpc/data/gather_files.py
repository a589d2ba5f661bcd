# SPDX-License-Identifier: Apache-2.0
"""Puts payload rows into the order of a `FilePlan` in bounded memory, whatever the number of rows.

Nothing of the order is held in memory. Three passes over sequential files, two of them temporary:

    1. the plan is read; each (own row, output row) goes to the piece of a range of own rows
    2. the source is read, one range at a time; its rows go, with their output rows, to windows of the output
    3. one window after the other is read back, permuted and given out

Ranges and windows are as large as a share of the memory limit. The temporary files have no name, so nothing of them is
left even after a crash; they take 8 bytes an output row (16 beyond 2^32 rows) and the payload in Arrow format.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crypsis.mpc.data.plans import FilePlan
from crypsis.mpc.data.sources import Source, changed_input
from crypsis.mpc.data.storage import no_space

Advance = Callable[[int], None]

ORDER_BYTES: Final = 32
"""An output row while an order in memory is sorted: beyond a quarter of the limit, files take its place."""

_LIMIT32: Final = 1 << 32
_MAX_RANGES: Final = 1 << 15
_MAX_WINDOW_BYTES: Final = 1 << 30  # keeps the 32-bit offsets of Arrow strings far from their end
_POSITION: Final = "position"


@dataclass(frozen=True)
class Shares:
    """How the memory limit is divided; rows are own rows in a range, output rows in a window or in hand."""

    pairs_in_hand: int
    range_rows: int
    window_rows: int
    slice_rows: int

    @classmethod
    def of(cls, n_output: int, n_source: int, bytes_per_row: float, memory_limit: int) -> Shares:
        """A sixth for a range of the source (held twice while it is joined), a sixth for a window of the output (twice
        too: as read, as joined), the rest for rows on their way in pieces of a sixteenth, the writer and the allocator.
        Pairs are sorted before any payload is read, at 50 bytes each.
        """
        share = max(int(min(memory_limit // 6, _MAX_WINDOW_BYTES) / bytes_per_row), 1)
        window = max(share, -(-n_output // _MAX_RANGES))
        span = max(share, -(-n_source // _MAX_RANGES))
        in_hand = max(min(memory_limit // 96, n_output), 1)
        slice_rows = max(int(memory_limit // 16 / bytes_per_row), 1)
        return cls(in_hand, span, window, slice_rows)


def temporary_bytes(n_rows: int, bytes_per_row: float, memory_limit: int) -> int:
    """What the temporary files of an output of n_rows rows in another order than the input's take at most; 0 where it
    is put in order in memory."""
    payload = int(n_rows * bytes_per_row)
    if n_rows * ORDER_BYTES <= memory_limit // 4 and 2 * payload <= memory_limit // 3:
        return 0
    return n_rows * (16 if n_rows >= _LIMIT32 else 8) + payload


@dataclass
class _Pieces:
    """Byte ranges of a temporary file, by group."""

    file: Any
    groups: list[list[tuple[int, int]]]
    end: int = field(default=0)

    def append(self, group: int, data: Any) -> None:
        """Adds `data`, a buffer, to the file and to its group."""
        view = memoryview(data).cast("B")
        n_bytes = len(view)
        self.file.seek(self.end)
        while view:
            view = view[self.file.write(view) :]
        self.groups[group].append((self.end, n_bytes))
        self.end += n_bytes

    def read(self, group: int) -> Iterator[npt.NDArray[np.uint8]]:
        """What was added to the group, piece by piece."""
        for start, n_bytes in self.groups[group]:
            data = np.empty(n_bytes, np.uint8)
            self.file.seek(start)
            view = data.data
            while view:
                n_read = self.file.readinto(view)
                if not n_read:
                    raise OSError(0, "a temporary file ends early")
                view = view[n_read:]
            yield data


def gather_plan(
    source: Source,
    plan: FilePlan,
    names: Sequence[str],
    *,
    bytes_per_row: float,
    memory_limit: int,
    directory: str,
    advance: Advance,
) -> Iterator[pa.RecordBatch]:
    """Batches of the columns `names` in the order of `plan`.

    bytes_per_row  estimate of the payload
    memory_limit   bytes held at a time; directory: where the temporary files go; advance: called with the number of
                   source rows done
    """
    n = len(plan)
    shares = Shares.of(n, plan.n_source_rows, bytes_per_row, memory_limit)
    wide = max(n, plan.n_source_rows) >= _LIMIT32
    number = np.dtype(np.uint64 if wide else np.uint32)
    schema = pa.schema([source.schema.field(name) for name in names])
    try:
        with (
            tempfile.TemporaryFile(dir=directory, buffering=0) as pair_file,
            tempfile.TemporaryFile(dir=directory, buffering=0) as row_file,
        ):
            pairs = _Pieces(pair_file, [[] for _ in range(-(-plan.n_source_rows // shares.range_rows))])
            _distribute_pairs(plan, pairs, shares, number, advance)
            windows = _Pieces(row_file, [[] for _ in range(-(-n // shares.window_rows))])
            _distribute_rows(source, plan, names, pairs, windows, shares, number, advance)
            pairs.file.close()
            spilled = pa.schema([*schema, pa.field(_POSITION, pa.from_numpy_dtype(number))])
            for window in range(len(windows.groups)):
                start = window * shares.window_rows
                size = min(shares.window_rows, n - start)
                yield from _window(windows.read(window), spilled, schema, start, size, shares.slice_rows)
    except OSError as error:
        needed = temporary_bytes(n, bytes_per_row, 0)
        raise no_space(directory, error, f"about {needed >> 20} MiB of temporary files are needed") from error


def _distribute_pairs(
    plan: FilePlan, pairs: _Pieces, shares: Shares, number: np.dtype[Any], advance: Advance
) -> None:
    """Pass 1. A piece is n rows, then n output rows, as one array of 2 n numbers."""
    held: list[tuple[int, npt.NDArray[Any]]] = []
    n_held = 0
    for position, rows in plan.chunks():
        held.append((position, rows))
        n_held += len(rows)
        advance(0)
        if n_held >= shares.pairs_in_hand:
            _write_pairs(held, pairs, shares.range_rows, number)
            held, n_held = [], 0
    _write_pairs(held, pairs, shares.range_rows, number)


def _write_pairs(
    held: list[tuple[int, npt.NDArray[Any]]], pairs: _Pieces, range_rows: int, number: np.dtype[Any]
) -> None:
    if not held:
        return
    rows = np.concatenate([part for _, part in held])
    positions = np.concatenate([np.arange(at, at + len(part), dtype=number) for at, part in held])
    if rows.dtype.kind == "i":
        real = rows >= 0
        rows, positions = rows[real], positions[real]
    rows = rows.astype(number, copy=False)
    order, bounds = _grouped(rows, range_rows, len(pairs.groups))
    rows, positions = rows[order], positions[order]
    for group in np.flatnonzero(np.diff(bounds)):
        here = slice(int(bounds[group]), int(bounds[group + 1]))
        pairs.append(int(group), np.concatenate([rows[here], positions[here]]))


def _grouped(
    numbers: npt.NDArray[Any], size: int, n_groups: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(stable order by number // size, bounds of the groups in it); 16-bit keys, for which NumPy has a radix sort."""
    group = (numbers // numbers.dtype.type(size)).astype(np.uint16)
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group, minlength=n_groups)
    return order, np.concatenate([[0], np.cumsum(counts)])


def _distribute_rows(
    source: Source,
    plan: FilePlan,
    names: Sequence[str],
    pairs: _Pieces,
    windows: _Pieces,
    shares: Shares,
    number: np.dtype[Any],
    advance: Advance,
) -> None:
    """Pass 2."""
    for group, table in enumerate(_ranges(source, plan.n_source_rows, names, shares.range_rows, advance)):
        first = number.type(group * shares.range_rows)
        held: list[npt.NDArray[Any]] = []
        n_held = 0
        for piece in pairs.read(group):
            both = piece.view(number).reshape(2, -1)
            both[0] -= first
            while n_held + both.shape[1] >= shares.slice_rows:  # one row may be wanted very often
                n_more = shares.slice_rows - n_held
                _write_rows(table, [*held, both[:, :n_more]], windows, shares.window_rows)
                both = both[:, n_more:]
                held, n_held = [], 0
            held.append(both)
            n_held += both.shape[1]
        if n_held:
            _write_rows(table, held, windows, shares.window_rows)
        pairs.groups[group] = []


def _ranges(
    source: Source, n_rows: int, names: Sequence[str], range_rows: int, advance: Advance
) -> Iterator[pa.Table]:
    """The rows of the source, `range_rows` in each table."""
    schema = pa.schema([source.schema.field(name) for name in names])
    held: list[pa.RecordBatch] = []
    n_held = done = 0
    for batch in source.batches(names):
        if done + batch.num_rows > n_rows:
            break
        start = 0
        while start < batch.num_rows:
            size = min(batch.num_rows - start, range_rows - n_held)
            held.append(batch.slice(start, size))
            start += size
            n_held += size
            if n_held == range_rows:
                yield pa.Table.from_batches(held, schema=schema).combine_chunks()
                held, n_held = [], 0
        done += batch.num_rows
        advance(done)
    else:
        if held:
            yield pa.Table.from_batches(held, schema=schema).combine_chunks()
        if done == n_rows:
            return
    raise changed_input(n_rows)


def _write_rows(table: pa.Table, held: list[npt.NDArray[Any]], windows: _Pieces, window_rows: int) -> None:
    """Takes the rows held[.][0] of `table` and appends each to the window of its output row held[.][1]."""
    rows, positions = np.concatenate(held, axis=1)
    order, bounds = _grouped(positions, window_rows, len(windows.groups))
    taken = table.take(pa.array(rows[order])).append_column(_POSITION, pa.array(positions[order]))
    start = 0
    for batch in taken.to_batches():  # one, unless texts go beyond 2 GiB
        stop = start + batch.num_rows
        for window in range(len(windows.groups)):
            begin, end = max(int(bounds[window]), start), min(int(bounds[window + 1]), stop)
            if begin < end:
                windows.append(window, batch.slice(begin - start, end - begin).serialize())
        start = stop


def _window(
    pieces: Iterator[npt.NDArray[np.uint8]],
    spilled: pa.Schema,
    schema: pa.Schema,
    start: int,
    n: int,
    slice_rows: int,
) -> Iterator[pa.RecordBatch]:
    """Output rows start..start+n-1; those that no piece has are null rows."""
    batches = [pa.ipc.read_record_batch(pa.py_buffer(data), spilled) for data in pieces]
    where: npt.NDArray[Any] = np.full(n, -1, np.int32 if n < 1 << 31 else np.int64)
    begin = 0
    for batch in batches:
        positions = batch.column(batch.num_columns - 1).to_numpy()
        where[positions - positions.dtype.type(start)] = np.arange(begin, begin + len(positions))
        begin += len(positions)
    columns = list(range(len(schema)))  # by number: the source may have a column of the last one's name
    table = pa.Table.from_batches([b.select(columns) for b in batches], schema=schema).combine_chunks()
    batches.clear()
    for first in range(0, n, slice_rows):
        part = where[first : first + slice_rows]
        indices = pa.array(part, mask=part < 0) if begin < n else pa.array(part)
        yield from table.take(indices).combine_chunks().to_batches()
