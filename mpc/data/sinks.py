# SPDX-License-Identifier: Apache-2.0
"""Writers for Parquet, CSV and Arrow IPC, and the file that appears under its name only when it is
complete.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crypsis.errors import DataError
from crypsis.mpc.data.sources import one_line

GROUP_ROWS: Final = 1 << 20
GROUP_BYTES: Final = 64 << 20
_SAMPLE_ROWS: Final = 1 << 16
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OutputFile:
    """A file object that hashes what it writes to a temporary file beside `path`.

    `commit` flushes to the disk and renames; leaving the `with` block without it removes the temporary file.
    The permissions are those of the process's umask.
    """

    def __init__(self, path: str, *, overwrite: bool) -> None:
        self.path = path
        self._overwrite = overwrite
        self._directory = os.path.dirname(os.path.abspath(path))
        self._check_free()
        if not os.path.isdir(self._directory):
            raise DataError(f"{path}: the directory {self._directory} does not exist; create it first")
        self._temporary = os.path.join(
            self._directory, f".{os.path.basename(path)[:200]}.{secrets.token_hex(6)}.partial"
        )
        self._state = hashlib.sha256()
        self.n_bytes = 0
        try:
            self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written: {error.strerror}; check the directory's permissions"
            ) from error
        self._open = True

    def _check_free(self) -> None:
        if os.path.isdir(self.path):
            raise DataError(f"{self.path}: is a directory; name a file")
        if not self._overwrite and os.path.lexists(self.path):
            raise DataError(f"{self.path}: exists already; remove it, choose another name, or pass overwrite")

    closed = False  # pyarrow asks; the descriptor outlives the writer's close()

    def write(self, data: Any) -> int:
        """Writes all of `data`; part of the interface that pyarrow expects."""
        view = memoryview(data).cast("B")
        n_bytes = len(view)
        self._state.update(view)
        while view:
            view = view[os.write(self._fd, view) :]
        self.n_bytes += n_bytes
        return n_bytes

    def flush(self) -> None:
        """Nothing is buffered here."""

    def close(self) -> None:
        """The writer is done; `commit` is what finishes the file."""

    @property
    def sha256(self) -> str:
        """Of what was written so far, in hexadecimal."""
        return self._state.hexdigest()

    def sync(self) -> None:
        """Puts what was written on the disk, where it may turn out not to fit."""
        os.fsync(self._fd)

    def commit(self) -> str:
        """Puts the complete file under its name; returns SHA-256 of its bytes in hexadecimal."""
        self.sync()
        os.close(self._fd)
        self._open = False
        self._check_free()
        os.replace(self._temporary, self.path)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return self.sha256

    def __enter__(self) -> OutputFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            os.close(self._fd)
            self._open = False
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary)


def check_form(path: str, schema: pa.Schema, format: str, null_rep: str) -> None:
    """Raises DataError, naming `path`, for columns or a text for NULL that the format cannot hold."""
    if format != "csv":
        if null_rep:
            raise DataError(f"{path}: null_rep is for CSV output; remove it, or write CSV")
        return
    if any(c in null_rep for c in ',"\r\n'):
        raise DataError(
            f"{path}: null_rep is {null_rep!r}: a comma, a quote or a line end cannot stand in it; choose another"
        )
    for field in schema:
        if not _has_text(field.type):
            raise DataError(
                f"{path}: column {field.name!r} of type {field.type} has no CSV form; "
                "write Parquet, or leave the column out"
            )


def write_batches(
    file: OutputFile,
    batches: Iterator[pa.RecordBatch],
    schema: pa.Schema,
    format: str,
    *,
    null_rep: str,
    n_rows: int,
) -> int:
    """Writes all batches in the format; returns the number of rows. A full disk raises DataError with what
    it takes.
    """
    written = 0
    try:
        with contextlib.closing(_writer(file, schema, format, null_rep)) as writer:
            for table in _grouped(batches, schema):
                writer.write_table(table)
                written += table.num_rows
    except pa.ArrowException as error:
        raise DataError(
            f"{file.path}: a column cannot be written as {format} ({one_line(error)}); leave it out or convert it"
        ) from error
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise DataError(
                f"{file.path}: writing failed: {error.strerror or error}; no output was kept"
            ) from error
        share = written / n_rows if written and n_rows else 0.0
        needed = f"about {int(file.n_bytes / share) >> 10} KiB" if share else "more space"
        raise DataError(
            f"{file.path}: no space left after {file.n_bytes} bytes ({error.strerror}); {needed} needed, "
            "free some or write elsewhere; no output was kept"
        ) from error
    return written


def _grouped(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Small batches joined to row groups of GROUP_ROWS rows or GROUP_BYTES bytes."""
    held: list[pa.RecordBatch] = []
    n_rows = n_bytes = 0
    for batch in batches:
        held.append(batch)
        n_rows += batch.num_rows
        n_bytes += batch.nbytes
        if n_rows >= GROUP_ROWS or n_bytes >= GROUP_BYTES:
            yield pa.Table.from_batches(held, schema=schema)
            held, n_rows, n_bytes = [], 0, 0
    if held:
        yield pa.Table.from_batches(held, schema=schema)


def _writer(file: OutputFile, schema: pa.Schema, format: str, null_rep: str) -> Any:
    if format == "csv":
        return _CsvWriter(file, schema, null_rep)
    if format == "parquet":
        return _ParquetWriter(file, schema)
    return pa.ipc.new_file(pa.PythonFile(file, mode="w"), schema)


class _ParquetWriter:
    """Parquet, with dictionaries for the columns that seem to repeat themselves.

    Arrow's writer begins every row group of every column with a dictionary and gives up when it is large: for ids that
    is a fifth of the time of writing, for nothing. The first table tells.
    """

    def __init__(self, file: OutputFile, schema: pa.Schema) -> None:
        self._sink = pa.PythonFile(file, mode="w")
        self._schema = schema
        self._begun = False
        self._writer: Any = None

    def write_table(self, table: pa.Table) -> None:
        """Appends `table` as one row group."""
        if not self._begun:
            self._begin(_repetitive(table))
        self._writer.write_table(table, row_group_size=max(table.num_rows, 1))

    def close(self) -> None:
        """Writes the footer; a file without rows has one too."""
        if not self._begun:
            self._begin(True)
        if self._writer is not None:  # None where the beginning failed
            self._writer.close()

    def _begin(self, use_dictionary: list[str] | bool) -> None:
        self._begun = True
        self._writer = pq.ParquetWriter(self._sink, self._schema, use_dictionary=use_dictionary)


def _repetitive(table: pa.Table) -> list[str] | bool:
    """The columns of which at most half of the first values are distinct; True: all, or no more is known."""
    sample = table.slice(0, _SAMPLE_ROWS)
    if sample.num_rows < _SAMPLE_ROWS // 16 or any(pa.types.is_nested(t) for t in table.schema.types):
        return True
    names = []
    for name, column in zip(sample.column_names, sample.columns, strict=True):
        try:
            n_distinct = pc.count_distinct(column).as_py()
        except pa.ArrowNotImplementedError:  # a type that Arrow cannot compare
            n_distinct = 0
        if n_distinct <= sample.num_rows // 2:
            names.append(name)
    return names


class _CsvWriter:
    """CSV per RFC 4180 with LF line ends, quoted where needed, so that `CsvSource` reads back the same table.

    A text is quoted when it holds a comma, a quote or a line end, is empty, or equals the text for NULL.
    """

    def __init__(self, file: OutputFile, schema: pa.Schema, null_rep: str) -> None:
        self._file = file
        # A line that is empty counts as no row to most readers, so a lone NULL column writes a quoted empty
        # text.
        self._null = '""' if len(schema) == 1 and not null_rep else null_rep
        self._plain_null = null_rep
        header = self._quoted(pa.array(schema.names, pa.string()))
        self._file.write((",".join(header.to_pylist()) + "\n").encode())

    def write_table(self, table: pa.Table) -> None:
        """Appends the rows of `table`."""
        for batch in table.to_batches(max_chunksize=1 << 16):
            texts = [self._text(column) for column in batch.columns]
            comma, newline, nothing = (pa.scalar(c, pa.large_string()) for c in (",", "\n", ""))
            lines = pc.binary_join_element_wise(*texts, comma)
            lines = pc.binary_join_element_wise(lines, nothing, newline)
            if isinstance(lines, pa.ChunkedArray):
                lines = lines.combine_chunks()
            self._write_lines(lines)

    def _write_lines(self, lines: pa.Array) -> None:
        _, offsets, data = lines.buffers()
        if not len(lines):
            return
        view = memoryview(offsets).cast("q")
        self._file.write(data.slice(view[lines.offset], view[lines.offset + len(lines)] - view[lines.offset]))

    def close(self) -> None:
        """Nothing is buffered."""

    def _text(self, column: pa.Array) -> pa.Array:
        """large_string: a column as CSV fields."""
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            text = self._quoted(column.cast(pa.large_string()))
        elif pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            text = self._quoted(_utf8(column))
        else:
            text = column.cast(pa.string()).cast(pa.large_string())
        return pc.fill_null(text, pa.scalar(self._null, pa.large_string()))

    def _quoted(self, text: pa.Array) -> pa.Array:
        needed = pc.or_(pc.match_substring_regex(text, r'[,"\r\n]'), pc.equal(text, pa.scalar("", text.type)))
        needed = pc.or_(needed, pc.equal(text, pa.scalar(self._plain_null, text.type)))
        if not pc.any(needed).as_py():
            return text
        doubled = pc.replace_substring(text, '"', '""')
        quote, nothing = pa.scalar('"', text.type), pa.scalar("", text.type)
        return pc.if_else(needed, pc.binary_join_element_wise(quote, doubled, quote, nothing), text)


def _utf8(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid as error:
        raise DataError(
            "a binary column holds bytes that are not UTF-8 text; write Parquet instead of CSV"
        ) from error


def _has_text(t: pa.DataType) -> bool:
    return not (
        pa.types.is_nested(t) or pa.types.is_fixed_size_binary(t) or isinstance(t, pa.BaseExtensionType)
    )
