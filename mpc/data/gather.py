# SPDX-License-Identifier: Apache-2.0
"""Puts payload rows into output order, in bounded memory.

The aligned order of an output is a permutation of the rows, so neither a single forward pass nor random
access to a CSV file gives it. What happens depends on sizes:

- rows in ascending order (no alignment): one pass that filters;
- payload within the memory limit: one pass that collects, then one permutation;
- otherwise: one pass that distributes rows over windows of the output in an unnamed temporary file in the
  output's directory (it has no name, so nothing of it is left even after a crash), then one window after the
  other is read back and permuted. It takes as much disk as the payload in Arrow format.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crypsis.errors import DataError
from crypsis.mpc.data.joins import JoinPlan
from crypsis.mpc.data.plans import FilePlan, RowMask, in_memory
from crypsis.mpc.data.sources import Source, changed_input, plain_schema

MIN_LIMIT: Final = 1 << 20
_MAX_WINDOW_BYTES: Final = 1 << 30  # keeps the 32-bit offsets of Arrow strings far from their end
_COPIES: Final = 3  # a window in hand: as collected, as joined, as permuted
_SLICE_ROWS: Final = 1 << 18

RowIndex = npt.NDArray[Any]
Plan = JoinPlan | RowMask | FilePlan
Advance = Callable[[int], None]


def row_index(rows: JoinPlan | RowIndex, n_rows: int | None) -> RowIndex:
    """The row ids of a plan or an array, checked: integers, -1 for a null row, below `n_rows` where that
    is known.
    """
    index = rows.rows if isinstance(rows, JoinPlan) else np.asarray(rows)
    if index.size == 0:
        index = index.astype(np.int64)
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise ValueError(f"row ids must be a vector of integers, not {index.dtype}{list(index.shape)}")
    if len(index):
        low, high = int(index.min()), int(index.max())
        if low < -1 or (n_rows is not None and high >= n_rows):
            raise ValueError(
                f"row ids are in {low}..{high}, outside -1..{'?' if n_rows is None else n_rows - 1}"
            )
    return index


def check_rows(rows: Plan | RowIndex, n_rows: int | None) -> None:
    """Raises ValueError for a mask or a plan in files that was made for another number of rows than `n_rows`."""
    made_for = (
        rows.n_rows
        if isinstance(rows, RowMask)
        else rows.n_source_rows
        if isinstance(rows, FilePlan)
        else None
    )
    if made_for is not None and n_rows is not None and made_for != n_rows:
        raise ValueError(f"the plan is for {made_for} rows, the source has {n_rows}")


def output_schema(source: Source, columns: Sequence[str] | None, indicator: str | None) -> pa.Schema:
    """Columns of the output: those of the source (or `columns`), then the indicator."""
    names = list(columns) if columns is not None else source.schema.names
    source.require_columns(names)
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"output column {name!r} is named twice; name it once")
    fields = [source.schema.field(name) for name in names]
    if indicator is not None:
        if indicator in names:
            raise DataError(
                f"the indicator column {indicator!r} exists already in the input; choose another name"
            )
        fields.append(pa.field(indicator, pa.bool_()))
    return pa.schema(fields)


def check_indicator(rows: Plan | RowIndex, indicator: str | None) -> None:
    """An indicator needs a JoinPlan: bare row ids do not tell which rows have a partner."""
    if indicator is not None and not isinstance(rows, JoinPlan | RowMask | FilePlan):
        raise TypeError("an indicator column needs the JoinPlan itself, not only its row ids")


def with_indicator(
    batch: Any, rows: JoinPlan | FilePlan | RowIndex, start: int, indicator: str | None
) -> Any:
    """`batch` (a RecordBatch or Table holding output rows from `start`) with the bool column added."""
    if indicator is None or not isinstance(rows, JoinPlan | FilePlan):
        return batch
    values = pa.array(rows.is_matched(start, start + batch.num_rows))
    return batch.append_column(pa.field(indicator, pa.bool_()), values)


def gather_table(
    table: pa.Table,
    rows: Plan | RowIndex,
    *,
    columns: Sequence[str] | None = None,
    indicator: str | None = None,
) -> pa.Table:
    """`table` in output order: row rows[i], all NULL where that is -1, plus the indicator column if one is
    named.
    """
    check_indicator(rows, indicator)
    check_rows(rows, table.num_rows)
    if isinstance(rows, RowMask | FilePlan):
        rows = in_memory(rows)
    index = row_index(rows, table.num_rows)
    if columns is not None:
        table = table.select(list(columns))
    if indicator is not None and indicator in table.column_names:
        raise DataError(
            f"the indicator column {indicator!r} exists already in the table; choose another name"
        )
    indices = pa.array(index, mask=index < 0)
    taken = [_take_column(table.column(i), indices) for i in range(table.num_columns)]
    fields = [pa.field(f.name, c.type, metadata=f.metadata) for f, c in zip(table.schema, taken, strict=True)]
    if not fields:
        raise ValueError("the table has no columns")
    return with_indicator(pa.Table.from_arrays(taken, schema=pa.schema(fields)), rows, 0, indicator)


def _take_column(column: pa.ChunkedArray, indices: pa.Array) -> pa.ChunkedArray:
    plain = plain_schema(pa.schema([pa.field("column", column.type)])).field(0).type
    if pa.types.is_run_end_encoded(column.type):
        column = pa.chunked_array([pa.compute.run_end_decode(chunk) for chunk in column.chunks], type=plain)
    if column.type != plain:
        column = column.cast(plain)
    wide = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}.get(plain)
    if wide is None or column.nbytes < _MAX_WINDOW_BYTES:
        return column.take(indices)
    # Strings beyond the reach of 32-bit offsets: take with 64-bit ones, come back in pieces.
    taken = column.cast(wide).take(indices)
    return pa.chunked_array(
        [
            c.cast(plain)
            for i in range(0, len(taken), _SLICE_ROWS)
            for c in taken.slice(i, _SLICE_ROWS).chunks
        ],
        type=plain,
    )


def filtered(
    source: Source, mask: RowMask, names: Sequence[str], indicator: str | None, advance: Advance
) -> Iterator[pa.RecordBatch]:
    """The rows of the source that `mask` keeps, in one pass, with the indicator column if one is named."""
    start = 0
    for batch in source.batches(names):
        n = batch.num_rows
        if start + n > mask.n_rows:
            raise changed_input(mask.n_rows)
        if indicator is not None:
            batch = batch.append_column(pa.field(indicator, pa.bool_()), mask.partnered(start, n))
        kept = mask.kept(start, n)
        if kept is not None:
            batch = batch.filter(kept)
        start += n
        advance(start)
        if batch.num_rows:
            yield batch
    if start != mask.n_rows:
        raise changed_input(mask.n_rows)


def gather(
    source: Source,
    index: RowIndex,
    names: Sequence[str],
    *,
    memory_limit: int,
    directory: str,
    advance: Advance,
) -> Iterator[pa.RecordBatch]:
    """Batches of the columns `names` of the rows `index`, in order; -1 gives a row of NULLs.

    memory_limit  bytes of payload held at a time (besides 12 bytes a row for the order), at least MIN_LIMIT
    directory     where the temporary file goes, if one is needed
    advance       called with the number of source rows done after each batch of the source
    """
    if _is_ascending(index):
        yield from _filter(source, index, names, advance)
        return
    order = np.argsort(index).astype(np.uint32 if len(index) < 1 << 32 else np.uint64)
    ascending = index[order]
    n_null = _first_at_least(ascending, 0)
    per_row = bytes_per_row(source, names)
    budget = min(memory_limit // _COPIES, _MAX_WINDOW_BYTES)
    window_rows = max(int(budget / per_row), 1)
    chosen = _chosen(source, ascending[n_null:], order[n_null:], names, advance)
    if len(index) <= window_rows:
        parts = list(chosen)
        yield from _permuted(source, names, [p[0] for p in parts], [p[1] for p in parts], 0, len(index))
        return
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            spill = _Spill(file, window_rows, -(-len(index) // window_rows))
            held: list[tuple[pa.RecordBatch, RowIndex]] = []
            for batch, positions in chosen:
                held.append((batch, positions))
                if sum(b.nbytes for b, _ in held) >= budget // 2:
                    spill.write(held)
                    held = []
            spill.write(held)
            for window in range(spill.n_windows):
                start = window * window_rows
                batches, places = spill.read(window)
                yield from _permuted(
                    source, names, batches, places, start, min(window_rows, len(index) - start)
                )
    except OSError as error:
        raise DataError(
            f"{directory}: the temporary file for the output cannot be written: {error.strerror or error}; "
            f"about {int(per_row * len(index)) >> 20} MiB are needed there, or raise memory_limit"
        ) from error


def _is_ascending(index: RowIndex) -> bool:
    return len(index) == 0 or (int(index[0]) >= 0 and bool(np.all(index[1:] >= index[:-1])))


def _filter(
    source: Source, index: RowIndex, names: Sequence[str], advance: Advance
) -> Iterator[pa.RecordBatch]:
    start = position = 0
    for batch in source.batches(names):
        end = _first_at_least(index, start + batch.num_rows)
        if end > position:
            yield batch.take(pa.array(index[position:end] - start))
        start += batch.num_rows
        position = end
        advance(start)
    _check_all_found(position, len(index))


def _chosen(
    source: Source, ascending: RowIndex, order: RowIndex, names: Sequence[str], advance: Advance
) -> Iterator[tuple[pa.RecordBatch, RowIndex]]:
    """The wanted rows of each batch of the source, with the output position of each."""
    start = position = 0
    for batch in source.batches(names):
        end = _first_at_least(ascending, start + batch.num_rows)
        for begin in range(position, end, _SLICE_ROWS):  # one source row may be wanted very often
            stop = min(begin + _SLICE_ROWS, end)
            yield batch.take(pa.array(ascending[begin:stop] - start)), order[begin:stop]
        start += batch.num_rows
        position = end
        advance(start)
    _check_all_found(position, len(ascending))


def _first_at_least(ascending: RowIndex, row: int) -> int:
    """Number of row ids below `row`. The type is matched, or NumPy would widen the whole array for each search."""
    if row > np.iinfo(ascending.dtype).max:
        return len(ascending)
    return int(np.searchsorted(ascending, ascending.dtype.type(row)))


def _check_all_found(found: int, wanted: int) -> None:
    if found != wanted:
        raise DataError(
            "the input has fewer rows than when its keys were read; run the job again on files at rest"
        )


def bytes_per_row(source: Source, names: Sequence[str]) -> float:
    """Estimate from the first batch, and from the size of the files when the number of rows is known."""
    estimate = 1.0
    first = next(iter(source.batches(names)), None)
    if first is not None and first.num_rows:
        estimate = max(estimate, first.nbytes / first.num_rows)
    if source.n_rows and len(names) == len(source.schema):
        estimate = max(estimate, source.n_bytes / source.n_rows)
    return estimate


def _permuted(
    source: Source,
    names: Sequence[str],
    batches: list[pa.RecordBatch],
    places: list[RowIndex],
    start: int,
    n: int,
) -> Iterator[pa.RecordBatch]:
    """Output rows start..start+n-1 from their rows in any order; positions that are not among `places` are
    NULL.
    """
    schema = pa.schema([source.schema.field(name) for name in names])
    where = np.full(n, -1, np.int64)
    begin = 0
    for place in places:
        where[place - start] = np.arange(begin, begin + len(place))
        begin += len(place)
    table = pa.Table.from_batches(batches, schema=schema).combine_chunks()
    batches.clear()
    for first in range(0, n, _SLICE_ROWS):
        part = where[first : first + _SLICE_ROWS]
        yield from table.take(pa.array(part, mask=part < 0)).combine_chunks().to_batches()


class _Spill:
    """Rows distributed over windows of the output, in one temporary file."""

    def __init__(self, file: BinaryIO | Any, window_rows: int, n_windows: int) -> None:
        self._file = file
        self._window_rows = window_rows
        self.n_windows = n_windows
        self._pieces: list[list[tuple[int, int, RowIndex]]] = [[] for _ in range(n_windows)]
        self._schema: pa.Schema | None = None
        self._offset = 0

    def write(self, held: list[tuple[pa.RecordBatch, RowIndex]]) -> None:
        """Appends the rows of `held`, each to the window of its output position."""
        if not held:
            return
        table = pa.Table.from_batches([batch for batch, _ in held])
        self._schema = table.schema
        positions = np.concatenate([place for _, place in held])
        window = positions // self._window_rows
        by_window = np.argsort(window)
        bounds = np.searchsorted(window[by_window], np.arange(self.n_windows + 1))
        batch = table.combine_chunks().take(pa.array(by_window)).combine_chunks().to_batches()[0]
        for w in np.flatnonzero(np.diff(bounds)):
            begin, end = int(bounds[w]), int(bounds[w + 1])
            data = batch.slice(begin, end - begin).serialize()
            self._file.write(data)
            self._pieces[w].append((self._offset, data.size, positions[by_window[begin:end]]))
            self._offset += data.size

    def read(self, window: int) -> tuple[list[pa.RecordBatch], list[RowIndex]]:
        """The rows of one window, and their output positions."""
        batches = []
        for offset, size, _ in self._pieces[window]:
            self._file.seek(offset)
            batches.append(pa.ipc.read_record_batch(pa.py_buffer(self._file.read(size)), self._schema))
        places = [place for _, _, place in self._pieces[window]]
        self._pieces[window] = []
        return batches, places
