# SPDX-License-Identifier: Apache-2.0
"""CSV files as a source: every column is text unless asked otherwise, so an id `00123` stays what it is.

Arrow's reader does the work; what it does not tell (which line, which byte) is found by a second look at the
file when an error has occurred. Messages name places, never the text of a cell: it may be personal.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.data.sources import FileSource, file_error

BLOCK_BYTES: Final = 4 << 20
COMPRESSED: Final = (".gz", ".bz2", ".zst", ".lz4")
_INFERRED: Final = (pa.int64(), pa.float64(), pa.date32())
_NOT_A_NUMBER: Final = r"^[+-]?0[0-9]|^-0$|[^0-9eE+.-]"


@dataclass(frozen=True, kw_only=True)
class CsvOptions:
    """How a CSV file is read.

    delimiter      one character; None: a tab for `.tsv`, else a comma
    header         whether the first record names the columns; without one they are f0, f1, ...
    column_names   names for a file without a header
    quote_char     one character; a doubled one inside a quoted field stands for itself
    null_values    unquoted texts that mean NULL; a quoted one is text
    infer_types    gives int64, float64 or date32 to columns whose every value is one, at the cost of one more
                   pass; a column with leading zeros stays text, and keys are always read as text
    """

    delimiter: str | None = None
    header: bool = True
    column_names: tuple[str, ...] | None = None
    quote_char: str = '"'
    null_values: tuple[str, ...] = ("",)
    infer_types: bool = False

    def __post_init__(self) -> None:
        for name, value in (("delimiter", self.delimiter), ("quote_char", self.quote_char)):
            if value is not None and (len(value) != 1 or value in "\r\n" or not value.isascii()):
                raise ValueError(f"CsvOptions.{name} must be one ASCII character, not {value!r}")
        if self.header and self.column_names is not None:
            raise ValueError("CsvOptions.column_names is for files without a header; set header=False")


class CsvSource(FileSource):
    """CSV files, UTF-8 with or without a byte order mark, optionally compressed (.gz, .bz2, .zst, .lz4)."""

    format_name = "csv"

    def __init__(
        self, paths: Sequence[str], columns: Sequence[str] | None, options: CsvOptions | None
    ) -> None:
        self._options = options or CsvOptions()
        super().__init__(paths, columns)
        self._text_schema = self.schema
        if self._options.infer_types:
            self.schema = self._infer()

    def key_batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        self.require_columns(columns)
        return self._stream(pa.schema([self._text_schema.field(name) for name in columns]))

    def _delimiter(self, path: str) -> str:
        if self._options.delimiter is not None:
            return self._options.delimiter
        return "\t" if plain_name(path).endswith(".tsv") else ","

    def _records(self, path: str, *, strict: bool = False) -> Any:
        """Python's reader over the file: slow, and the one that knows line numbers."""
        stream = io.TextIOWrapper(io.BufferedReader(_open(path)), encoding="utf-8-sig", newline="")
        return csv.reader(
            stream, delimiter=self._delimiter(path), quotechar=self._options.quote_char, strict=strict
        )

    def _first_record(self, path: str) -> tuple[list[str] | None, int]:
        """The first record that is not an empty line, and how many empty lines stand before it."""
        csv.field_size_limit(max(csv.field_size_limit(), BLOCK_BYTES))
        _check_encoding_mark(path)
        try:
            for n_empty, record in enumerate(self._records(path, strict=True)):
                if record:
                    return record, n_empty
            return None, 0
        except UnicodeDecodeError as error:
            raise _undecodable(path) from error
        except csv.Error as error:
            raise CorruptData(f"{path}: line 1: {error}; check the quotes") from error
        except OSError as error:
            raise file_error(path, error) from error

    def _file_schema(self, path: str) -> pa.Schema:
        return self._schema_and_skip(path)[0]

    def _schema_and_skip(self, path: str) -> tuple[pa.Schema, int]:
        """The file's columns, and the lines before its first row: empty ones and the header."""
        first, n_empty = self._first_record(path)
        names = self._options.column_names
        if first is None:
            if names is None:
                raise DataError(
                    f"{path}: the file is empty; a CSV file needs a header line (or column_names)"
                )
            first = list(names)
        elif not self._options.header:
            if names is not None and len(names) != len(first):
                raise DataError(f"{path}: line 1 has {len(first)} fields, column_names has {len(names)}")
            first = list(names) if names is not None else [f"f{i}" for i in range(len(first))]
        for name in first:
            if first.count(name) > 1:
                raise DataError(f"{path}: column {name!r} exists twice in the header; rename one")
        schema = pa.schema([pa.field(name, pa.string()) for name in first])
        return schema, n_empty + 1 if self._options.header else 0

    def _file_batches(self, path: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        own_schema, n_skipped = self._schema_and_skip(path)
        names = own_schema.names
        if not self._has_rows(path):
            return
        # The last column is always read: an unclosed quote at the end of the file shows only there.
        wanted = list(dict.fromkeys([*schema.names, names[-1]]))
        last: pa.RecordBatch | None = None
        try:
            with _open(path) as stream:
                for batch in self._reader(stream, path, names, wanted, n_skipped):
                    if batch.num_rows:
                        last = batch
                        yield _convert(batch, schema, path)
        except pa.ArrowInvalid as error:
            raise self._explain(path, len(names), error) from error
        if last is not None:
            self._check_closed(
                path,
                last.column(len(wanted) - 1 if names[-1] == wanted[-1] else wanted.index(names[-1]))[
                    -1
                ].as_py(),
            )

    def _reader(self, stream: Any, path: str, names: list[str], wanted: list[str], n_skipped: int) -> Any:
        return pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(
                block_size=BLOCK_BYTES,
                column_names=names,
                skip_rows_after_names=n_skipped,  # Arrow counts empty lines here
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=self._delimiter(path), quote_char=self._options.quote_char, newlines_in_values=True
            ),
            convert_options=pacsv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                include_columns=wanted,
                null_values=list(self._options.null_values),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _has_rows(self, path: str) -> bool:
        records = (record for record in self._records(path) if record)
        try:
            return (
                sum(1 for _ in zip(range(1 + self._options.header), records, strict=False))
                > self._options.header
            )
        except (UnicodeDecodeError, csv.Error):
            return True  # the real reader says what is wrong, and where

    def _check_closed(self, path: str, value: str | None) -> None:
        """Arrow takes an unclosed quoted field at the end of a file for a field; it is a truncated file."""
        if value is None or plain_name(path) != path.lower():
            return
        quote = self._options.quote_char
        text = (quote + value.replace(quote, quote * 2)).encode()
        try:
            with open(path, "rb") as file:
                file.seek(max(os.fstat(file.fileno()).st_size - len(text) - 1, 0))
                tail = file.read()
        except OSError as error:
            raise file_error(path, error) from error
        if tail.endswith(text) and tail[:1] in (self._delimiter(path).encode(), b"\n", b"\r", quote.encode()):
            raise CorruptData(
                f"{path}: the file ends inside a quoted field; it is truncated, or a quote is not closed"
            )

    def _explain(self, path: str, n_columns: int, error: Exception) -> DataError:
        """The place of an error that Arrow reported without one."""
        text = str(error)
        if "UTF8" in text or "UTF-8" in text:
            return _undecodable(path)
        if "straddl" in text or "out of sync" in text:
            return CorruptData(
                f"{path}: a record is longer than {BLOCK_BYTES >> 20} MiB or a quoted field is not closed; "
                "check the quotes, or set input.csv.quote_char to the one the file uses"
            )
        records = self._records(path)
        try:
            for record in records:
                if record and len(record) != n_columns:
                    return CorruptData(
                        f"{path}: line {records.line_num}: {len(record)} fields, not {n_columns}; "
                        "check the delimiter and the quotes"
                    )
        except UnicodeDecodeError:
            return _undecodable(path)
        except csv.Error as cause:
            return CorruptData(f"{path}: line {records.line_num}: {cause}")
        return CorruptData(
            f"{path}: cannot be read as CSV ({type(error).__name__}); check the delimiter and the quotes"
        )

    def _infer(self) -> pa.Schema:
        """One pass over all rows: a column keeps the first of `_INFERRED` that every value of it is."""
        candidates = {name: list(_INFERRED) for name in self.schema.names}
        seen: set[str] = set()
        for batch in self._stream(self.schema):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if column.null_count < len(column):
                    seen.add(name)
                candidates[name] = [t for t in candidates[name] if _is_all(column, t)]
        return pa.schema(
            [
                pa.field(
                    f.name, candidates[f.name][0] if f.name in seen and candidates[f.name] else pa.string()
                )
                for f in self.schema
            ]
        )


def _is_all(column: pa.Array, data_type: pa.DataType) -> bool:
    """Whether each value that is not NULL is a `data_type` written so that no digit is lost."""
    if data_type != pa.date32() and pc.any(pc.match_substring_regex(column, _NOT_A_NUMBER)).as_py():
        return False
    try:
        column.cast(data_type)
    except pa.ArrowInvalid:
        return False
    return True


def _convert(batch: pa.RecordBatch, schema: pa.Schema, path: str) -> pa.RecordBatch:
    columns = []
    for field in schema:
        column = batch.column(field.name)
        try:
            columns.append(column if column.type == field.type else column.cast(field.type))
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{path}: column {field.name!r} no longer holds only {field.type}; the file changed"
            ) from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def plain_name(path: str) -> str:
    """File name in lower case without a compression suffix."""
    lower = path.lower()
    return next((lower[: -len(s)] for s in COMPRESSED if lower.endswith(s)), lower)


def _open(path: str) -> Any:
    """The decompressed bytes of `path` as a file object."""
    try:
        return pa.input_stream(path, compression="detect", buffer_size=1 << 20)
    except OSError as error:
        raise file_error(path, error) from error


def _check_encoding_mark(path: str) -> None:
    with _open(path) as stream:
        try:
            start = stream.read(4)
        except OSError as error:
            raise file_error(path, error) from error
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path}: the file is UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)")


def _undecodable(path: str) -> DataError:
    """Names the byte offset and the line of the first byte that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, line = 0, 1
    with _open(path) as stream:
        while True:
            block = stream.read(1 << 20)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                place = offset - pending + error.start
                line += block.count(b"\n", 0, max(error.start - pending, 0))
                return CorruptData(
                    f"{path}: line {line}: byte {place} of the file is not UTF-8; "
                    "convert the file to UTF-8 first (for example iconv -f GB18030 -t UTF-8)"
                )
            if not block:
                return CorruptData(f"{path}: not UTF-8 text")
            offset += len(block)
            line += block.count(b"\n")
