# SPDX-License-Identifier: Apache-2.0
"""From a source and a join plan to the output file."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from crypsis.errors import DataError
from crypsis.mpc.data.ahead import run_ahead
from crypsis.mpc.data.gather import (
    MIN_LIMIT,
    Plan,
    RowIndex,
    bytes_per_row,
    check_indicator,
    check_rows,
    filtered,
    gather,
    output_schema,
    row_index,
    with_indicator,
)
from crypsis.mpc.data.gather_files import ORDER_BYTES, gather_plan
from crypsis.mpc.data.keys import Progress
from crypsis.mpc.data.opening import PathLike, format_of
from crypsis.mpc.data.plans import FilePlan, RowMask, in_memory
from crypsis.mpc.data.sinks import OutputFile, check_form, write_batches
from crypsis.mpc.data.sources import Source

MEMORY_LIMIT: Final = 256 << 20


class _StoppedError(Exception):
    """Ends the thread that gathers rows for a writer that has failed; nobody sees it."""


@dataclass(frozen=True)
class OutputInfo:
    """A written file: its path, rows, SHA-256 of its bytes in hexadecimal, and size in bytes."""

    path: str
    n_rows: int
    sha256: str
    n_bytes: int


def check_output(
    source: Source,
    path: PathLike,
    *,
    format: str = "auto",
    columns: Sequence[str] | None = None,
    indicator: str | None = None,
    null_rep: str = "",
    overwrite: bool = False,
) -> None:
    """Raises DataError now for what would stop `write_output` with the same arguments at the end of a job:
    columns that are not there or have no form in the format, directory, rights, existing file.
    """
    target = os.fspath(path)
    check_form(target, _schema(source, target, columns, indicator), format_of(target, format), null_rep)
    with OutputFile(target, overwrite=overwrite):
        pass


def _schema(source: Source, target: str, columns: Sequence[str] | None, indicator: str | None) -> pa.Schema:
    schema = output_schema(source, columns, indicator)
    if len(schema) == (indicator is not None):
        raise DataError(f"{target}: no column to write; name at least one")
    return schema


def write_output(
    source: Source,
    rows: Plan | RowIndex,
    path: PathLike,
    *,
    format: str = "auto",
    columns: Sequence[str] | None = None,
    indicator: str | None = None,
    null_rep: str = "",
    overwrite: bool = False,
    memory_limit: int = MEMORY_LIMIT,
    progress: Progress | None = None,
    before_commit: Callable[[OutputInfo], None] | None = None,
) -> OutputInfo:
    """Writes row rows[i] of `source` as output row i, all NULL where rows[i] is -1; or what a mask or a plan in files
    says (`crypsis.mpc.data.plans`).

    format        "parquet", "csv", "arrow" (IPC file), or "auto" by the suffix of `path`
    columns       columns of the source to write, in this order; default all
    indicator     name of a bool column to append: whether the row has a partner (needs a plan or a mask)
    null_rep      CSV only: the text for NULL
    memory_limit  bytes of payload held at a time, see `crypsis.mpc.data.gather`
    progress      called as progress("write output", source rows done, source rows in all or 0), from another thread
    before_commit called with what is returned when the complete file is on the disk and not yet under its name; what it
                  raises is passed on, and no file is left

    The file appears under `path` only when it is complete and on the disk; on any error nothing is left.
    Raises DataError for what is wrong with input, output or disk, ValueError or TypeError for wrong
    arguments.
    """
    target = os.fspath(path)
    chosen = format_of(target, format)
    check_indicator(rows, indicator)
    schema = _schema(source, target, columns, indicator)
    check_form(target, schema, chosen, null_rep)
    names = schema.names[:-1] if indicator is not None else schema.names
    check_rows(rows, source.n_rows)
    if memory_limit < MIN_LIMIT:
        raise ValueError(f"memory_limit must be at least {MIN_LIMIT} bytes, got {memory_limit}")
    directory = os.path.dirname(os.path.abspath(target))

    stopped = threading.Event()

    def advance(done: int) -> None:
        if (
            stopped.is_set()
        ):  # the rows are wanted no more; without this, an interrupt would wait for the whole source
            raise _StoppedError
        if progress is not None:
            progress("write output", done, source.n_rows or 0)

    batches = _batches(source, rows, names, indicator, memory_limit, directory, advance)
    with OutputFile(target, overwrite=overwrite) as file:
        # Rows are gathered in a thread, while those before them are written.
        with contextlib.closing(run_ahead(batches, depth=1)) as ahead:
            try:
                written = write_batches(file, ahead, schema, chosen, null_rep=null_rep, n_rows=len(rows))
            except BaseException:
                stopped.set()
                raise
        try:
            file.sync()
            info = OutputInfo(target, written, file.sha256, file.n_bytes)
            if before_commit is not None:
                before_commit(info)
            file.commit()
        except OSError as error:
            raise DataError(f"{target}: writing failed: {error.strerror}; no output was kept") from error
    return info


def _batches(
    source: Source,
    rows: Plan | RowIndex,
    names: Sequence[str],
    indicator: str | None,
    memory_limit: int,
    directory: str,
    advance: Callable[[int], None],
) -> Iterator[pa.RecordBatch]:
    """The output rows in order, with the indicator column if one is named."""
    if isinstance(rows, RowMask):
        yield from filtered(source, rows, names, indicator, advance)
        return
    ordered: Iterator[pa.RecordBatch]
    if isinstance(rows, FilePlan) and len(rows) * ORDER_BYTES > memory_limit // 4:
        ordered = gather_plan(
            source,
            rows,
            names,
            bytes_per_row=bytes_per_row(source, names),
            memory_limit=memory_limit,
            directory=directory,
            advance=advance,
        )
    else:
        if isinstance(rows, FilePlan):
            memory_limit -= len(rows) * ORDER_BYTES
            rows = in_memory(rows)
        index = row_index(rows, source.n_rows)
        ordered = gather(
            source, index, names, memory_limit=memory_limit, directory=directory, advance=advance
        )
    start = 0
    for batch in ordered:
        yield with_indicator(batch, rows, start, indicator)
        start += batch.num_rows
