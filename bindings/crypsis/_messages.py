# SPDX-License-Identifier: Apache-2.0
"""Batches of messages, as `crypsis.hashing` describes them, for every kernel that hashes. Private.

`read` checks a batch and gives its parts, which the compiled code takes without a copy: `(bytes, offsets)`,
message i being `bytes[offsets[i]:offsets[i + 1]]`, or `(rows, None)`, uint8[n, width] with a message a row.
"""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crypsis._arguments import kind, refuse_gpu

ByteArray: TypeAlias = npt.NDArray[np.uint8]
Part: TypeAlias = tuple[ByteArray, npt.NDArray[Any] | None]

_NO_BYTES: ByteArray = np.empty(0, np.uint8)


def count(parts: list[Part]) -> int:
    """Messages in all parts."""
    return sum(len(part) if offsets is None else len(offsets) - 1 for part, offsets in parts)


def overlap(parts: list[Part], array: npt.NDArray[Any]) -> bool:
    """Whether `array` may share memory with what is read."""
    return any(np.may_share_memory(array, ours) for part in parts for ours in part if ours is not None)


def read(name: str, data: Any) -> list[Part]:
    """The parts of the batch `data`, which messages call `name`; one a chunk, empty chunks left out."""
    if isinstance(data, np.ndarray):
        if data.dtype != np.uint8:
            raise TypeError(f"{name} is {kind(data)}: give uint8[n, width], or pyarrow.array({name})")
        if data.ndim != 2:
            raise ValueError(f"{name} has shape {data.shape}: give uint8[n, width], one message a row")
        return [(data, None)]
    refuse_gpu(name, data)
    pa = sys.modules.get("pyarrow")  # who has no pyarrow loaded cannot hold one of its arrays
    if pa is not None and isinstance(data, pa.Array | pa.ChunkedArray):
        if not pa.types.is_null(data.type):  # a column of nulls alone has no type to cast from
            _check_type(pa, name, data.type)
        if data.null_count:
            raise ValueError(
                f"{name} has {data.null_count} nulls, which have no digest: use drop_null() or fill_null()"
            )
        chunks = data.chunks if isinstance(data, pa.ChunkedArray) else [data]
        return [_arrow_part(pa, data.type, chunk) for chunk in chunks if len(chunk)]
    if pa is not None and isinstance(data, pa.Table | pa.RecordBatch):
        raise TypeError(f"{name} is a {type(data).__name__}: pass one column, such as {name}['id']")
    raise TypeError(f"{name} is {type(data).__name__}: give a NumPy uint8[n, width] or a pyarrow array")


def _check_type(pa: Any, name: str, column_type: Any) -> None:
    types = pa.types
    strings = (types.is_string, types.is_binary, types.is_large_string, types.is_large_binary)
    if any(matches(column_type) for matches in (*strings, types.is_fixed_size_binary, types.is_integer)):
        return
    if types.is_dictionary(column_type):
        remedy = f"use dictionary_decode(), or cast({column_type.value_type})"
    elif str(column_type) in ("string_view", "binary_view"):
        remedy = f"use cast(pyarrow.large_{str(column_type).removesuffix('_view')}())"
    else:
        remedy = (
            "cast to a string, a binary or an integer type; the canonical text of a value is yours to choose"
        )
    raise TypeError(f"{name} has type {column_type}: {remedy}")


def _arrow_part(pa: Any, column_type: Any, chunk: Any) -> Part:
    types = pa.types
    n = len(chunk)
    if types.is_string(column_type) or types.is_binary(column_type):
        return _arrow_strings(chunk, np.dtype(np.int32))
    if types.is_large_string(column_type) or types.is_large_binary(column_type):
        return _arrow_strings(chunk, np.dtype(np.int64))
    if types.is_fixed_size_binary(column_type):
        width = column_type.byte_width
        values = _view(chunk.buffers()[1], np.dtype(np.uint8), chunk.offset * width, n * width)
        return values.reshape(n, width), None
    if types.is_uint64(column_type):
        return _uint64_part(_view(chunk.buffers()[1], np.dtype(np.uint64), chunk.offset, n))
    wide = chunk.cast(pa.int64())
    return _view(wide.buffers()[1], np.dtype(np.int64), wide.offset, n).view(np.uint8).reshape(n, 8), None


def _arrow_strings(chunk: Any, offset_type: np.dtype[Any]) -> Part:
    _, offsets, data = chunk.buffers()
    n_data_bytes = data.size if data is not None else 0
    return (
        _view(data, np.dtype(np.uint8), 0, n_data_bytes),
        _view(offsets, offset_type, chunk.offset, len(chunk) + 1),
    )


def _uint64_part(values: npt.NDArray[np.uint64]) -> Part:
    rows = values.view(np.uint8).reshape(len(values), 8)
    large = values >> np.uint64(63) != 0
    if not large.any():
        return rows, None
    # A ninth byte, zero, keeps a large value apart from the negative number with the same 8 bytes.
    wide = np.zeros((len(values), 9), np.uint8)
    wide[:, :8] = rows
    used = np.ones(wide.shape, np.bool_)
    used[:, 8] = large
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum(8 + large.astype(np.int64), out=offsets[1:])
    return wide[used], offsets


def _view(buffer: Any, dtype: np.dtype[Any], first: int, count: int) -> npt.NDArray[Any]:
    """`count` items from item `first` of an Arrow buffer, not copied."""
    if count == 0 or buffer is None:
        return _NO_BYTES.view(dtype)
    return np.frombuffer(buffer, dtype, count, first * dtype.itemsize)
