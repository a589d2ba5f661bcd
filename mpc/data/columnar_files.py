# SPDX-License-Identifier: Apache-2.0
"""Parquet and Arrow IPC (file and stream; Feather v2 is the former) as sources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from crypsis.errors import CorruptData, DataError
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
    """Parquet files. Columns that are not asked for are not read; `n_rows` comes from the footers."""

    format_name = "parquet"

    def _prepare(self) -> None:
        n_rows = 0
        for path in self.files:
            with _reading(path, "Parquet"), pq.ParquetFile(path) as file:
                n_rows += file.metadata.num_rows
        self.n_rows = n_rows

    def _file_schema(self, path: str) -> pa.Schema:
        with _reading(path, "Parquet"), pq.ParquetFile(path) as file:
            return _distinct(file.schema_arrow, path)

    def _file_batches(self, path: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        # Without pre-buffering and with a read buffer, a row group is streamed page by page.
        with (
            _reading(path, "Parquet"),
            pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file,
        ):
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=schema.names):
                yield plain_batch(batch.select(schema.names), schema, path)


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
