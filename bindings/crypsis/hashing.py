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
  9 bytes, the last one zero. Columns narrower than 64 bits are widened, which takes 8 bytes a row;
- on a GPU (`crypsis.cuda`): a CuPy array uint8[n, width], or a tuple (offsets, bytes) of CuPy arrays, int32 or int64
  [n + 1] and uint8[m], message i being bytes[offsets[i]:offsets[i + 1]]. The digests are a CuPy array there.

`domain` (1 to 62 bytes) separates uses: SHA-256 and SM3 hash one 64-byte block before each message, made of
the length of `domain` in one byte, `domain`, and zeros (computed once a call, so it is free); BLAKE3 runs its
derive_key mode with `domain` as the context string. `key` makes a keyed function: HMAC [RFC 2104] with 1 to
64 bytes for SHA-256 and SM3, BLAKE3's keyed mode with exactly 32 bytes. One or the other, not both.

Running time depends on the lengths of the messages, not on their bytes nor on the key. Every backend gives
the same bytes.

Sources: FIPS 180-4 (SHA-256), GB/T 32905-2016 (SM3), "BLAKE3: one function, fast everywhere" (2021).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core, _messages
from crypsis.cuda._dispatch import follow_data

ByteArray: TypeAlias = npt.NDArray[np.uint8]

ALGORITHMS = ("sha256", "sm3", "blake3")
MAX_DOMAIN_BYTES = 62


@follow_data("hashing")
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
    digest_size, domain_bytes, key_bytes = checked_options(algorithm, digest_size, domain, key)
    n_threads, backend_name = _arguments.threads(threads), _arguments.backend(backend)
    parts = _messages.read("data", data)
    shape = (_messages.count(parts), digest_size)
    result: ByteArray = np.empty(shape, np.uint8) if out is None else _arguments.output(out, shape)
    if _messages.overlap(parts, result):
        raise ValueError("out overlaps data: give memory of its own")
    _core.hashing.digest(
        algorithm, parts, result, domain=domain_bytes, key=key_bytes, backend=backend_name, threads=n_threads
    )
    return result


def sha256(data: Any, **options: Any) -> ByteArray:
    """SHA-256 [FIPS 180-4] of every message; the options are those of `digest`."""
    return digest("sha256", data, **options)


def sm3(data: Any, **options: Any) -> ByteArray:
    """SM3 [GB/T 32905-2016] of every message; the options are those of `digest`."""
    return digest("sm3", data, **options)


def blake3(data: Any, **options: Any) -> ByteArray:
    """BLAKE3 of every message; the options are those of `digest`."""
    return digest("blake3", data, **options)


def measure_operations(algorithm: str, repeats: int, *, backend: str | None = None) -> int:
    """For benchmarks: the instruction that bounds the backend of `algorithm`, on registers, `repeats` loops of it, and
    nothing else; returns how many there were. Additions of 32-bit words (portable), of eight (avx2) or sixteen (avx512)
    at once, and pairs of SHA-256's rounds (sha_ni)."""
    repeats = _arguments.integer("repeats", repeats, 1, 1 << 32)
    found: int = _core.hashing.measure_operations(algorithm, _arguments.backend(backend), repeats)
    return found


def checked_options(
    algorithm: str, digest_size: int, domain: bytes | None, key: bytes | None
) -> tuple[int, bytes, bytes]:
    """(digest_size, domain, key) of a call, empty bytes for None; private. Raises TypeError, ValueError."""
    if not isinstance(algorithm, str):
        raise TypeError(
            f"algorithm is {_arguments.kind(algorithm)}: give a str, one of {', '.join(ALGORITHMS)}"
        )
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm is {algorithm!r}: use one of {', '.join(ALGORITHMS)}")
    size = _arguments.integer("digest_size", digest_size, 16, 32)
    return size, _secret("domain", domain, MAX_DOMAIN_BYTES), _secret("key", key, 64)


def _secret(name: str, value: bytes | None, limit: int) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{name} is {type(value).__name__}: give bytes")
    value = bytes(value)
    if not 1 <= len(value) <= limit:
        raise ValueError(f"{name} has {len(value)} bytes: use 1 to {limit}, or None for none")
    return value
