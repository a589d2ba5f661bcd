# SPDX-License-Identifier: Apache-2.0
"""Parquet and Arrow IPC (file and stream; Feather v2 is the former) as sources."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.data.parts import Partition
from crypsis.mpc.data.sources import (
    BATCH_ROWS,
    FileSource,
    check_columns,
    file_error,
    one_line,
    plain_batch,
    plain_schema,
)

_BUFFER_BYTES: Final = 1 << 20
_FOOTER_THREADS: Final = 16
_FILE_MAGIC: Final = b"ARROW1"
_FEATHER1_MAGIC: Final = b"FEA1"


@contextmanager
def _reading(path: str, what: str) -> Iterator[None]:
    """Turns Arrow's errors on a damaged file into CorruptData, and the operating system's into DataError."""
    try:
        yield
    except pa.ArrowNotImplementedError as error:
        raise DataError(
            f"{path}: uses a feature of {what} that is not supported: {one_line(error)}"
        ) from error
    except (pa.ArrowException, EOFError) as error:
        raise CorruptData(
            f"{path}: cannot be read as {what}: truncated, damaged or another format ({one_line(error)}); "
            "get the file again, or set its format"
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise file_error(path, error) from error
        # Arrow reports a damaged page or message as an OSError without a number.
        raise CorruptData(
            f"{path}: truncated or damaged {what} ({one_line(error)}); get the file again"
        ) from error


def _distinct(schema: pa.Schema, path: str) -> pa.Schema:
    check_columns(schema.names, schema.names, path)
    return plain_schema(schema)


class ParquetSource(FileSource):
    """Parquet files. Columns that are not asked for are not read; `n_rows` comes from the footers.

    `partitions` gives each file columns of text with one value, after its own. Files without rows are passed over,
    unless none has any.
    """

    format_name = "parquet"

    def __init__(
        self,
        paths: Sequence[str],
        columns: Sequence[str] | None,
        *,
        partitions: Sequence[Partition] | None = None,
    ) -> None:
        self._partitions = dict(zip(paths, partitions or [()] * len(paths), strict=True))
        self._schemas: dict[str, pa.Schema] = {}
        super().__init__(paths, columns)

    def _prepare(self) -> None:
        # Footers are read side by side: on a network file system, thousands would take minutes one after another.
        with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
            counts = list(pool.map(self._footer, self.files))
        self.n_rows = sum(counts)
        if self.n_rows:
            self._stamps = [stamp for stamp, count in zip(self._stamps, counts, strict=True) if count]
            self.files = tuple(stamp.path for stamp in self._stamps)

    def _footer(self, path: str) -> int:
        """The number of rows; keeps the schema."""
        with _reading(path, "Parquet"), pq.ParquetFile(path) as file:
            schema, n_rows = _distinct(file.schema_arrow, path), int(file.metadata.num_rows)
        for name, _ in self._partitions[path]:
            if name in schema.names:
                raise DataError(
                    f"{path}: column {name!r} is in the file and in a directory's name; name the files "
                    "in a list to have only the files' columns"
                )
            schema = schema.append(pa.field(name, pa.string()))
        self._schemas[path] = schema
        return n_rows

    def _file_schema(self, path: str) -> pa.Schema:
        return self._schemas.pop(path)

    def _file_batches(self, path: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        fixed = dict(self._partitions[path])
        own = [name for name in schema.names if name not in fixed]
        # Without pre-buffering and with a read buffer, a row group is streamed page by page.
        with (
            _reading(path, "Parquet"),
            pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file,
        ):
            if not own:  # Arrow reads no rows where it reads no columns
                for start in range(0, file.metadata.num_rows, BATCH_ROWS):
                    n_rows = min(BATCH_ROWS, file.metadata.num_rows - start)
                    columns = [_constant(fixed[name], n_rows) for name in schema.names]
                    yield pa.RecordBatch.from_arrays(columns, schema=schema)
                return
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=own):
                columns = [
                    _constant(fixed[name], batch.num_rows) if name in fixed else batch.column(name)
                    for name in schema.names
                ]
                yield plain_batch(pa.RecordBatch.from_arrays(columns, names=schema.names), schema, path)

    def digest(self) -> str:
        """As for all files; with columns from directories, SHA-256 of a line for each file: its SHA-256 in hexadecimal,
        two spaces, and its columns as the JSON text of an array of [name, value]."""
        if not any(self._partitions.values()):
            return super().digest()
        state = hashlib.sha256()
        for stamp in self._stamps:
            one = hashlib.sha256()
            stamp.hash_into(one)
            columns = json.dumps(self._partitions[stamp.path], separators=(",", ":"))
            state.update(f"{one.hexdigest()}  {columns}\n".encode())
        return state.hexdigest()


def _constant(value: str | None, n_rows: int) -> pa.Array:
    return (
        pa.nulls(n_rows, pa.string()) if value is None else pa.repeat(pa.scalar(value, pa.string()), n_rows)
    )


class IpcSource(FileSource):
    """Arrow IPC files and streams, told apart by their first bytes. Memory holds one record batch of the
    file.
    """

    format_name = "arrow"

    def _open(self, stream: Any, path: str, names: list[str] | None) -> Any:
        magic = stream.read(len(_FILE_MAGIC))
        stream.seek(0)
        if magic.startswith(_FEATHER1_MAGIC):
            raise DataError(f"{path}: Feather version 1; write it again as Feather version 2 or Parquet")
        opener = pa.ipc.open_file if magic == _FILE_MAGIC else pa.ipc.open_stream
        if names is None:
            return opener(stream)
        full = opener(stream).schema
        stream.seek(0)
        fields = [full.get_field_index(name) for name in names]
        return opener(stream, options=pa.ipc.IpcReadOptions(included_fields=fields))

    def _file_schema(self, path: str) -> pa.Schema:
        with _reading(path, "Arrow IPC"), pa.OSFile(path, "rb") as stream:
            return _distinct(self._open(stream, path, None).schema, path)

    def _file_batches(self, path: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with _reading(path, "Arrow IPC"), pa.OSFile(path, "rb") as stream:
            reader = self._open(stream, path, schema.names)
            batches = (
                (reader.get_batch(i) for i in range(reader.num_record_batches))
                if hasattr(reader, "num_record_batches")
                else reader
            )
            for batch in batches:
                batch.validate()
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    yield plain_batch(batch.slice(start, BATCH_ROWS).select(schema.names), schema, path)
