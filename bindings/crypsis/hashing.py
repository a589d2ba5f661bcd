# SPDX-License-Identifier: Apache-2.0
"""SHA-256, SM3 and BLAKE3 over batches of messages.

    digests = crypsis.hashing.sha256(table["id"], digest_size=16, domain=b"my-protocol v1")

A batch is one of
- a NumPy array uint8[n, width]: each row a message. Rows may lie apart (a slice of wider rows), the bytes of
  a row may not;
- a pyarrow Array or ChunkedArray of string, large_string, binary, large_binary or fixed_size_binary: each
  value's bytes. Slices cost nothing and nothing is copied;
- a pyarrow Array or ChunkedArray of integers: each value as the shortest little-endian two's complement
  number of at least 8 bytes. So every value that an int64 holds has 8 bytes whatever the column's type, int8
  to uint64, and equal values in columns of different types have equal digests; a uint64 of 2^63 or above has
  9 bytes, the last one zero. Columns narrower than 64 bits are widened, which takes 8 bytes a row.

`domain` (1 to 62 bytes) separates uses: SHA-256 and SM3 hash one 64-byte block before each message, made of
the length of `domain` in one byte, `domain`, and zeros (computed once a call, so it is free); BLAKE3 runs its
derive_key mode with `domain` as the context string. `key` makes a keyed function: HMAC [RFC 2104] with 1 to
64 bytes for SHA-256 and SM3, BLAKE3's keyed mode with exactly 32 bytes. One or the other, not both.

Running time depends on the lengths of the messages, not on their bytes nor on the key. Every backend gives
the same bytes.

Sources: FIPS 180-4 (SHA-256), GB/T 32905-2016 (SM3), "BLAKE3: one function, fast everywhere" (2021).
"""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crypsis import _core

ByteArray: TypeAlias = npt.NDArray[np.uint8]
_Part: TypeAlias = tuple[ByteArray, npt.NDArray[Any] | None]

ALGORITHMS = ("sha256", "sm3", "blake3")
MAX_DOMAIN_BYTES = 62

_NO_BYTES: ByteArray = np.empty(0, np.uint8)


def digest(
    algorithm: str,
    data: Any,
    *,
    digest_size: int = 32,
    domain: bytes | None = None,
    key: bytes | None = None,
    out: ByteArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> ByteArray:
    """Digest of every message in `data` (see the module), uint8[n, digest_size], in the order of `data`.

    algorithm: "sha256", "sm3" or "blake3". digest_size: 16 to 32, the leading bytes of the 32-byte digest.
    out: a C-contiguous uint8[n, digest_size] that does not overlap `data`; it is returned. backend: one of
    `crypsis.backends.runnable("hashing", algorithm)`, the best one for this batch if None. threads:
    CRYPSIS_NUM_THREADS, else the CPUs of the process, if None. The GIL is released.

    Raises TypeError for a kind of data or a type of column that it does not take, ValueError for nulls,
    shapes and lengths out of range, BackendUnavailable for a backend that cannot run here. On an error `out`
    is untouched.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm is {algorithm!r}: use one of {', '.join(ALGORITHMS)}")
    if isinstance(digest_size, bool) or not isinstance(digest_size, int) or not 16 <= digest_size <= 32:
        raise ValueError(f"digest_size is {digest_size!r}: use 16 to 32 bytes")
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ValueError(f"threads is {threads!r}: use a whole number from 1, or None")
    domain_bytes = _secret("domain", domain, MAX_DOMAIN_BYTES)
    key_bytes = _secret("key", key, 64)
    parts = _parts(data)
    n_items = sum(len(part) if offsets is None else len(offsets) - 1 for part, offsets in parts)
    if out is None:
        out = np.empty((n_items, digest_size), np.uint8)
    else:
        _check_out(out, (n_items, digest_size), parts)
    _core.hashing.digest(
        algorithm, parts, out, domain=domain_bytes, key=key_bytes, backend=backend or "", threads=threads or 0
    )
    return out


def sha256(data: Any, **options: Any) -> ByteArray:
    """SHA-256 [FIPS 180-4] of every message; the options are those of `digest`."""
    return digest("sha256", data, **options)


def sm3(data: Any, **options: Any) -> ByteArray:
    """SM3 [GB/T 32905-2016] of every message; the options are those of `digest`."""
    return digest("sm3", data, **options)


def blake3(data: Any, **options: Any) -> ByteArray:
    """BLAKE3 of every message; the options are those of `digest`."""
    return digest("blake3", data, **options)


def _secret(name: str, value: bytes | None, limit: int) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{name} is {type(value).__name__}: give bytes")
    value = bytes(value)
    if not 1 <= len(value) <= limit:
        raise ValueError(f"{name} has {len(value)} bytes: use 1 to {limit}, or None for none")
    return value


def _check_out(out: ByteArray, shape: tuple[int, int], parts: list[_Part]) -> None:
    if not isinstance(out, np.ndarray) or out.dtype != np.uint8:
        kind = f"{out.dtype} array" if isinstance(out, np.ndarray) else type(out).__name__
        raise TypeError(f"out is {kind}: give a NumPy uint8 array")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}: give uint8[{shape[0]}, {shape[1]}]")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError("out is not C-contiguous and writeable: allocate it with numpy.empty")
    if any(np.may_share_memory(out, array) for part in parts for array in part if array is not None):
        raise ValueError("out overlaps data: give memory of its own")


def _parts(data: Any) -> list[_Part]:
    """What the kernel reads, one a chunk, without copies: (bytes, offsets), or (rows, None) of one width."""
    if isinstance(data, np.ndarray):
        if data.dtype != np.uint8:
            raise TypeError(f"data is a {data.dtype} array: give uint8[n, width], or pyarrow.array(data)")
        if data.ndim != 2:
            raise ValueError(f"data has shape {data.shape}: give uint8[n, width], one message a row")
        return [(data, None)]
    if hasattr(data, "__cuda_array_interface__"):
        raise TypeError(
            "data lies on a GPU: CUDA for hashing is not in this version, pass cupy.asnumpy(data)"
        )
    pa = sys.modules.get("pyarrow")  # who has no pyarrow loaded cannot hold one of its arrays
    if pa is not None and isinstance(data, pa.Array | pa.ChunkedArray):
        if not pa.types.is_null(data.type):  # a column of nulls alone has no type to cast from
            _check_type(pa, data.type)
        if data.null_count:
            raise ValueError(
                f"data has {data.null_count} nulls, which have no digest: use drop_null() or fill_null()"
            )
        chunks = data.chunks if isinstance(data, pa.ChunkedArray) else [data]
        return [_arrow_part(pa, data.type, chunk) for chunk in chunks if len(chunk)]
    if pa is not None and isinstance(data, pa.Table | pa.RecordBatch):
        raise TypeError(f"data is a {type(data).__name__}: pass one column, such as data['id']")
    raise TypeError(f"data is {type(data).__name__}: give a NumPy uint8[n, width] or a pyarrow array")


def _check_type(pa: Any, kind: Any) -> None:
    types = pa.types
    strings = (types.is_string, types.is_binary, types.is_large_string, types.is_large_binary)
    if any(is_kind(kind) for is_kind in (*strings, types.is_fixed_size_binary, types.is_integer)):
        return
    if types.is_dictionary(kind):
        remedy = f"use dictionary_decode(), or cast({kind.value_type})"
    elif str(kind) in ("string_view", "binary_view"):
        remedy = f"use cast(pyarrow.large_{str(kind).removesuffix('_view')}())"
    else:
        remedy = (
            "cast to a string, a binary or an integer type; the canonical text of a value is yours to choose"
        )
    raise TypeError(f"data has type {kind}: {remedy}")


def _arrow_part(pa: Any, kind: Any, chunk: Any) -> _Part:
    types = pa.types
    n = len(chunk)
    if types.is_string(kind) or types.is_binary(kind):
        return _arrow_strings(chunk, np.dtype(np.int32))
    if types.is_large_string(kind) or types.is_large_binary(kind):
        return _arrow_strings(chunk, np.dtype(np.int64))
    if types.is_fixed_size_binary(kind):
        width = kind.byte_width
        values = _view(chunk.buffers()[1], np.dtype(np.uint8), chunk.offset * width, n * width)
        return values.reshape(n, width), None
    if types.is_uint64(kind):
        return _uint64_part(_view(chunk.buffers()[1], np.dtype(np.uint64), chunk.offset, n))
    wide = chunk.cast(pa.int64())
    return _view(wide.buffers()[1], np.dtype(np.int64), wide.offset, n).view(np.uint8).reshape(n, 8), None


def _arrow_strings(chunk: Any, offset_type: np.dtype[Any]) -> _Part:
    _, offsets, data = chunk.buffers()
    n_data_bytes = data.size if data is not None else 0
    return (
        _view(data, np.dtype(np.uint8), 0, n_data_bytes),
        _view(offsets, offset_type, chunk.offset, len(chunk) + 1),
    )


def _uint64_part(values: npt.NDArray[np.uint64]) -> _Part:
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


def _view(buffer: Any, kind: np.dtype[Any], first: int, count: int) -> npt.NDArray[Any]:
    """`count` items from item `first` of an Arrow buffer, not copied."""
    if count == 0 or buffer is None:
        return _NO_BYTES.view(kind)
    return np.frombuffer(buffer, kind, count, first * kind.itemsize)
