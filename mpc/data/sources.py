# SPDX-License-Identifier: Apache-2.0
"""Sources: tables in files or in memory, read as record batches in bounded memory, as often as needed.

A job reads a source twice: once for the key columns (`crypsis.mpc.data.keys`) and once, after the protocol,
for the payload (`crypsis.mpc.data.gather`). Row ids are positions in the concatenation of the files in
`Source.files` order, so a file that changes between the two passes is refused.
"""

from __future__ import annotations

import abc
import bisect
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from crypsis.errors import CorruptData, DataError

BATCH_ROWS: Final = 65_536
_READ_SIZE: Final = 1 << 20


@dataclass(frozen=True)
class FileStamp:
    """What is remembered of a file to notice that it changed: size in bytes, modification time, inode."""

    path: str
    n_bytes: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: str) -> FileStamp:
        """Raises DataError when `path` does not exist, may not be read or is not a plain file."""
        try:
            with open(path, "rb") as file:
                stat = os.fstat(file.fileno())
        except OSError as error:
            raise file_error(path, error) from error
        return cls(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)

    def check(self) -> None:
        """Raises DataError when the file is no longer what it was."""
        if FileStamp.of(self.path) != self:
            raise DataError(
                f"{self.path}: the file changed during the job; run the job again on a file at rest"
            )

    def hash_into(self, state: Any) -> None:
        """Adds the bytes of the file to a hash object. Raises DataError when it is no longer what it was."""
        self.check()
        try:
            with open(self.path, "rb") as file:
                while block := file.read(_READ_SIZE):
                    state.update(block)
        except OSError as error:
            raise file_error(self.path, error) from error
        self.check()


def file_error(path: str, error: OSError) -> DataError:
    """The DataError for an operating-system error on an input file."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file; check the path")
    if isinstance(error, PermissionError):
        return DataError(f"{path}: permission denied; make it readable for this user")
    if isinstance(error, IsADirectoryError):
        return DataError(f"{path}: is a directory, not a file")
    return DataError(f"{path}: cannot be read: {error.strerror or one_line(error)}")


def one_line(error: BaseException) -> str:
    """First line of an exception's text, for messages of one line."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


class Source(abc.ABC):
    """A table that can be streamed more than once.

    `schema` describes what `batches()` yields: dictionary, run-end and view encodings are decoded. `files` is
    empty for a table in memory. `n_rows` is None until it is known, at the latest after one full pass.
    """

    schema: pa.Schema
    files: tuple[str, ...] = ()
    n_rows: int | None = None

    @abc.abstractmethod
    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Streams the rows in row-id order, `columns` in the order given (default: all). Raises DataError."""

    def key_batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """As `batches`, but text formats give the text as it stands in the file, without inferred types."""
        return self.batches(columns)

    @abc.abstractmethod
    def digest(self) -> str:
        """SHA-256 in hexadecimal over the bytes of the files in order, for the audit report."""

    @abc.abstractmethod
    def locate(self, row: int) -> str:
        """Where row id `row` stands, for error messages: file and row counted from 1 without the header."""

    @property
    def n_bytes(self) -> int:
        """Size of the input in bytes: of the files, or of the Arrow buffers."""
        return 0

    @property
    def title(self) -> str:
        """What messages about the whole table call it."""
        return self.files[0] if self.files else "the table"

    def require_columns(self, columns: Sequence[str]) -> None:
        """Raises DataError when one of `columns` is missing, naming those that exist."""
        check_columns(self.schema.names, columns, self.title)


def check_columns(names: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """Raises DataError when `names` lacks one of `wanted`, or has it twice."""
    for column in wanted:
        count = names.count(column)
        if count == 0:
            raise DataError(f"{where}: no column {column!r}; the columns are {listed(names)}")
        if count > 1:
            raise DataError(f"{where}: column {column!r} exists {count} times; rename all but one")


def listed(names: Sequence[str], limit: int = 20) -> str:
    """Column names for a message, cut after `limit`."""
    shown = ", ".join(repr(n) for n in names[:limit])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > limit else shown or "(none)"


def plain_type(data_type: pa.DataType) -> pa.DataType:
    """The decoded twin of an encoded type: dictionary, run-end encoded, string_view, binary_view."""
    if pa.types.is_dictionary(data_type) or pa.types.is_run_end_encoded(data_type):
        return plain_type(data_type.value_type)
    if data_type == pa.string_view():
        return pa.string()
    if data_type == pa.binary_view():
        return pa.binary()
    return data_type


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """`schema` with every column decoded, nullable, and without file metadata."""
    return pa.schema([pa.field(f.name, plain_type(f.type)) for f in schema])


def plain_batch(batch: pa.RecordBatch, schema: pa.Schema, path: str) -> pa.RecordBatch:
    """`batch` with its columns cast to those of `schema` where their encoding differs."""
    columns = []
    for column, field in zip(batch.columns, schema, strict=True):
        try:
            while pa.types.is_run_end_encoded(column.type):
                column = pa.compute.run_end_decode(column)
            columns.append(column if column.type == field.type else column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise CorruptData(
                f"{path}: column {field.name!r} of type {column.type} cannot be decoded"
            ) from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)


class FileSource(Source):
    """Shared by the file formats: the files' stamps, row offsets, digest and the check for equal schemas."""

    format_name: str = ""

    def __init__(self, paths: Sequence[str], columns: Sequence[str] | None) -> None:
        self._stamps = [FileStamp.of(path) for path in paths]
        self.files = tuple(paths)
        self._file_starts: list[int] = []
        self._prepare()
        first = self._file_schema(self.files[0])
        for path in self.files[1:]:
            check_same_schema(first, self._file_schema(path), self.files[0], path)
        names = list(columns) if columns is not None else first.names
        check_columns(first.names, names, self.files[0])
        self.schema = pa.schema([first.field(name) for name in names])

    def _prepare(self) -> None:
        """Runs before the first schema is read; for what a format needs to know of all files."""

    @abc.abstractmethod
    def _file_schema(self, path: str) -> pa.Schema:
        """Decoded schema of one file."""

    @abc.abstractmethod
    def _file_batches(self, path: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows of one file, columns as in `schema`."""

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        names = list(columns) if columns is not None else self.schema.names
        self.require_columns(names)
        return self._stream(pa.schema([self.schema.field(name) for name in names]))

    def _stream(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        starts: list[int] = []
        row = 0
        for stamp in self._stamps:
            stamp.check()
            starts.append(row)
            self._file_starts = starts
            try:
                for batch in self._file_batches(stamp.path, schema):
                    row += batch.num_rows
                    yield batch
            except OSError as error:
                stamp.check()
                raise file_error(stamp.path, error) from error
            stamp.check()
        if self.n_rows is not None and self.n_rows != row:
            raise CorruptData(
                f"{listed(self.files, 3)}: {row} rows were read where {self.n_rows} were announced; "
                "the input changed or is damaged"
            )
        self.n_rows = row

    def locate(self, row: int) -> str:
        index = max(bisect.bisect_right(self._file_starts, row) - 1, 0)
        start = self._file_starts[index] if self._file_starts else 0
        return f"{self.files[index]}: row {row - start + 1}"

    def digest(self) -> str:
        state = hashlib.sha256()
        for stamp in self._stamps:
            stamp.hash_into(state)
        return state.hexdigest()

    @property
    def n_bytes(self) -> int:
        return sum(stamp.n_bytes for stamp in self._stamps)


def check_same_schema(first: pa.Schema, other: pa.Schema, first_path: str, other_path: str) -> None:
    """Raises DataError naming the first column that differs in name, order or type."""
    if first.equals(other):
        return
    for a, b in zip(first, other, strict=False):
        if a.name != b.name:
            raise DataError(
                f"{other_path}: has column {b.name!r} where {first_path} has {a.name!r}; "
                "files read together need the same columns in the same order"
            )
        if a.type != b.type:
            raise DataError(
                f"{other_path}: column {a.name!r} has type {b.type} where {first_path} has {a.type}; "
                "write both files with one type"
            )
    if len(first) != len(other):
        longer, path = (first, other_path) if len(first) > len(other) else (other, first_path)
        missing = longer.names[min(len(first), len(other))]
        raise DataError(
            f"{path}: no column {missing!r}, which the other files have; files read together need it"
        )


class TableSource(Source):
    """A table in memory. `digest()` is SHA-256 over its Arrow IPC stream, which depends on its chunking."""

    def __init__(self, table: pa.Table) -> None:
        if not isinstance(table, pa.Table):
            raise TypeError(f"TableSource needs a pyarrow.Table, not {type(table).__name__}")
        self._table = table
        self.schema = plain_schema(table.schema)
        self.n_rows = table.num_rows

    @property
    def n_bytes(self) -> int:
        return int(self._table.nbytes)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        names = list(columns) if columns is not None else self.schema.names
        self.require_columns(names)
        return self._stream(names)

    def _stream(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([self.schema.field(name) for name in names])
        for batch in self._table.select(names).to_batches(max_chunksize=BATCH_ROWS):
            yield plain_batch(batch, schema, "the table")

    def locate(self, row: int) -> str:
        return f"the table: row {row + 1}"

    def digest(self) -> str:
        sink = _HashSink()
        with pa.PythonFile(sink, mode="w") as file, pa.ipc.new_stream(file, self._table.schema) as writer:
            writer.write_table(self._table)
        return sink.state.hexdigest()


class _HashSink:
    """The part of a file object that pyarrow writes to, ending in SHA-256."""

    closed = False

    def __init__(self) -> None:
        self.state = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.state.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Nothing is held."""
