# SPDX-License-Identifier: Apache-2.0
"""Records of fixed width: what the querier gets of a row, so that no length tells anything.

A record holds up to `max_rows` rows of the payload columns, since several rows of a list may have one key:

    count     2 bytes, little-endian; 0 where there is no such record
    rows      `max_rows` times, one column after the other:
                  valid   1 byte, 0 (NULL) or 1
                  value   of a type of fixed width: its bytes as Arrow has them, little-endian; bool is one byte
                          of text or bytes: the length in 4 bytes, then `width` bytes, zeros after the value

Unused bytes are zero. Decoding trusts nothing: the owner of a list may be malicious.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crypsis.errors import DataError, ProtocolAbort

MAX_TEXT_BYTES = 1 << 16
MAX_ROWS = 256
MAX_COLUMNS = 256
_COUNT_BYTES = 2
_FIXED = {
    str(kind): kind
    for kind in (
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.float32(), pa.float64(), pa.date32(), pa.date64()),
        *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
        *(pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")),
    )
}
_DECIMAL = re.compile(r"decimal128\(([1-9]|[12]\d|3[0-8]), (\d|[12]\d|3[0-8])\)")
_TEXT = {"string": pa.string(), "binary": pa.binary()}
_PLAIN = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Column:
    """A payload column as both parties know it: name, Arrow type by name, and bytes of a value."""

    name: str
    type: str
    width: int

    @property
    def is_text(self) -> bool:
        """string or binary."""
        return self.type in _TEXT

    @property
    def arrow_type(self) -> Any:
        """The Arrow type."""
        return _arrow_type(self.type)

    @property
    def n_bytes(self) -> int:
        """Bytes in a row of a record."""
        return 1 + self.width + (4 if self.is_text else 0)


def columns_of(table: pa.Table, text_bytes: int | None) -> tuple[Column, ...]:
    """The columns of a list's payload. Texts take `text_bytes`, or the longest one rounded up to 16. Raises DataError
    for types that have no fixed form and for longer texts."""
    found = []
    for name, column in zip(table.schema.names, table.columns, strict=True):
        kind = _PLAIN.get(column.type, column.type)
        if str(kind) in _TEXT:
            longest = pc.max(pc.binary_length(column)).as_py() or 0
            if text_bytes is not None and longest > text_bytes:
                row = pc.index(pc.greater(pc.binary_length(column), text_bytes), True).as_py()
                raise DataError(
                    f"column {name!r} has a value of {longest} bytes (row {row + 1} of the list has more than "
                    f"{text_bytes}): raise text_bytes, or leave the column out"
                )
            width = text_bytes if text_bytes is not None else max(16, -(-longest // 16) * 16)
            if width > MAX_TEXT_BYTES:
                raise DataError(
                    f"column {name!r} has a value of {longest} bytes: at most {MAX_TEXT_BYTES} fit"
                )
            found.append(Column(name, str(kind), width))
        elif pa.types.is_boolean(kind):
            found.append(Column(name, "bool", 1))
        elif str(kind) in _FIXED or _DECIMAL.fullmatch(str(kind)):
            found.append(Column(name, str(kind), kind.bit_width // 8))
        else:
            raise DataError(
                f"column {name!r} is of type {kind}, which no record holds: convert it or leave it out"
            )
    return tuple(found)


def columns_from_peer(value: object) -> tuple[Column, ...]:
    """Columns from a peer's message, a list of [name, type, width]; raises ProtocolAbort for anything else."""
    if not isinstance(value, list) or len(value) > MAX_COLUMNS:
        raise ProtocolAbort("the peer sent no list of columns; ended")
    found = []
    for item in value:
        good = isinstance(item, list) and [type(part) for part in item] == [str, str, int]
        if not good or not item[0] or len(item[0]) > 1024 or not 0 < item[2] <= MAX_TEXT_BYTES:
            raise ProtocolAbort(f"the peer sent a column {str(item)[:60]!r}; ended")
        kind = _arrow_type(item[1])
        if kind is None or (item[1] not in _TEXT and item[2] != max(1, kind.bit_width // 8)):
            raise ProtocolAbort(
                f"the peer sent a column of type {item[1][:40]!r}, {item[2]} bytes wide; ended"
            )
        found.append(Column(*item))
    if len({column.name for column in found}) != len(found):
        raise ProtocolAbort("the peer sent two columns of one name; ended")
    return tuple(found)


def row_bytes(columns: Sequence[Column]) -> int:
    """Bytes of one row in a record."""
    return sum(column.n_bytes for column in columns)


def record_bytes(columns: Sequence[Column], max_rows: int) -> int:
    """Bytes of a record."""
    return _COUNT_BYTES + max_rows * row_bytes(columns)


def encode_rows(table: pa.Table, columns: Sequence[Column]) -> Bytes:
    """`uint8[n, row_bytes]` of a table whose columns are those."""
    out = np.zeros((table.num_rows, row_bytes(columns)), np.uint8)
    at = 0
    for column, values in zip(columns, table.columns, strict=True):
        array = _whole(values.cast(column.arrow_type))
        out[:, at] = array.is_valid().to_numpy(zero_copy_only=False)
        _encode(column, array, out[:, at + 1 : at + column.n_bytes])
        at += column.n_bytes
    return out


def encode_records(rows: Bytes, first: npt.NDArray[Any], counts: npt.NDArray[Any], max_rows: int) -> Bytes:
    """`uint8[u, record_bytes]`: record i holds rows[first[i]] and the counts[i] - 1 rows after it."""
    width = rows.shape[1]
    out = np.zeros((len(counts), _COUNT_BYTES + max_rows * width), np.uint8)
    out[:, :_COUNT_BYTES] = counts.astype("<u2").view(np.uint8).reshape(-1, 2)
    for j in range(max_rows):
        having = np.flatnonzero(counts > j)
        begin = _COUNT_BYTES + j * width
        out[having, begin : begin + width] = rows[first[having].astype(np.int64) + j]
    return out


def decode_records(
    records: Bytes, columns: Sequence[Column], max_rows: int
) -> tuple[npt.NDArray[np.int64], pa.Table]:
    """(rows of each record int64[n], all rows one after the other). Raises ProtocolAbort for what `encode_records` does
    not write."""
    counts = np.ascontiguousarray(records[:, :_COUNT_BYTES]).view("<u2")[:, 0].astype(np.int64)
    if len(counts) and (int(counts.min()) < 1 or int(counts.max()) > max_rows):
        raise ProtocolAbort(f"a record of the peer has {int(counts.max())} rows; 1 to {max_rows} were due")
    width = row_bytes(columns)
    used = np.arange(max_rows) < counts[:, None]
    rows = records[:, _COUNT_BYTES:].reshape(len(records), max_rows, width)[used]
    arrays, at = [], 0
    for column in columns:
        arrays.append(_decode(column, rows[:, at : at + column.n_bytes]))
        at += column.n_bytes
    return counts, pa.table(arrays, names=[column.name for column in columns]) if arrays else _nothing(
        len(rows)
    )


def _nothing(n_rows: int) -> pa.Table:
    """A table of n rows without columns."""
    return pa.table({"x": np.zeros(n_rows, np.bool_)}).select([])


def _arrow_type(name: str) -> Any:
    if name == "bool":
        return pa.bool_()
    decimal = _DECIMAL.fullmatch(name)
    if decimal:
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    return _FIXED.get(name) or _TEXT.get(name)


def _whole(values: pa.ChunkedArray) -> pa.Array:
    array = values.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    return array


def _encode(column: Column, array: pa.Array, out: Bytes) -> None:
    n = len(array)
    if n == 0:
        return
    if column.is_text:
        data = array.cast(pa.binary()).fill_null(b"")
        _, offsets, values = data.buffers()
        ends = np.frombuffer(offsets, np.int32)[data.offset : data.offset + n + 1].astype(np.int64)
        lengths = np.diff(ends)
        out[:, :4] = lengths.astype("<u4").view(np.uint8).reshape(-1, 4)
        if values is not None:
            used = np.arange(column.width) < lengths[:, None]
            out[:, 4:][used] = np.frombuffer(values, np.uint8)[ends[0] : ends[-1]]
        return
    if column.type == "bool":
        out[:, 0] = array.fill_null(False).to_numpy(zero_copy_only=False)
        return
    raw = np.frombuffer(array.buffers()[1], np.uint8)[: (array.offset + n) * column.width]
    out[:] = raw.reshape(-1, column.width)[array.offset :]
    out[~array.is_valid().to_numpy(zero_copy_only=False)] = 0


def _decode(column: Column, rows: Bytes) -> pa.Array:
    n = len(rows)
    valid, data = rows[:, 0], np.ascontiguousarray(rows[:, 1:])
    if n and int(valid.max()) > 1:
        raise ProtocolAbort(f"a record of the peer has a damaged column {column.name!r}")
    bitmap = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    try:
        if column.is_text:
            lengths = np.ascontiguousarray(data[:, :4]).view("<u4")[:, 0].astype(np.int64)
            if n and int(lengths.max()) > column.width:
                raise ProtocolAbort(f"a record of the peer has a text longer than its column {column.name!r}")
            ends = np.concatenate([[0], np.cumsum(lengths)])
            used = np.arange(column.width) < lengths[:, None]
            values = np.ascontiguousarray(data[:, 4:])[used].tobytes()
            wide = pa.Array.from_buffers(
                pa.large_binary(), n, [bitmap, pa.py_buffer(ends.tobytes()), pa.py_buffer(values)]
            )
            array = wide.cast(column.arrow_type)
        elif column.type == "bool":
            if n and int(data.max()) > 1:
                raise ProtocolAbort(f"a record of the peer has a damaged column {column.name!r}")
            array = pa.array(data[:, 0].astype(np.bool_), mask=valid == 0)
        else:
            array = pa.Array.from_buffers(column.arrow_type, n, [bitmap, pa.py_buffer(data.tobytes())])
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        raise ProtocolAbort(
            f"a record of the peer has a value that is no {column.type} in column {column.name!r}"
        ) from error
    return array
