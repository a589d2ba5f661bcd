# SPDX-License-Identifier: Apache-2.0
"""From key columns to 16-byte row digests, as a stream of blocks in reading order.

With H = `crypsis.hashing.digest`, agreed types t_1..t_k and S empty or, when a salt is agreed, the first 16 bytes of
H(salt, domain = "crypsis/salt/v1") in lower-case hexadecimal, a row with the key columns c_1..c_k has the digest

    k = 1:  row = H(encode(c_1), domain = "crypsis/row1/v2/" + t_1 + "/" + S)                  16 bytes
    k > 1:  d_j = H(encode(c_j), domain = "crypsis/key/v1/" + t_j)                             32 bytes
            row = H(d_1 || ... || d_k, domain = "crypsis/row/v1/" + k + "/" + S)               16 bytes

`encode` is `crypsis.mpc.data.encode`, k in decimal. One column, the usual case, costs one hash. The domains keep
types, single and composite keys apart; fixed-width d_j and k in the domain keep different splits of the same text
over columns apart. 16 bytes: two of 2^32 rows in all collide with probability 2^-65.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crypsis import hashing
from crypsis.errors import DataError
from crypsis.mpc.data.ahead import run_ahead
from crypsis.mpc.data.encode import KEY_TYPES, BadValue, KeyType, check_key_type, encode
from crypsis.mpc.data.grouping import DIGEST_BYTES
from crypsis.mpc.data.sources import Source

BLOCK_ROWS: Final = 1 << 18
_LIMIT32 = 1 << 32

NullPolicy = Literal["ignore", "error"]
# phase, rows done, rows in all (0 when unknown)
Progress = Callable[[str, int, int], None]
Digests = npt.NDArray[np.uint8]
RowIds = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class KeySpec:
    """One key column: its name in one's own data, and the type that both parties agreed on for it."""

    name: str
    type: KeyType = "string"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"KeySpec.name must be a string, not {type(self.name).__name__}")
        if self.type not in KEY_TYPES:
            raise ValueError(f"KeySpec.type must be one of {', '.join(KEY_TYPES)}, not {self.type!r}")


def row_digests(
    columns: Sequence[pa.Array],
    types: Sequence[KeyType],
    *,
    algorithm: str = "sha256",
    salt: bytes = b"",
    out: Digests | None = None,
    threads: int | None = None,
) -> Digests:
    """uint8[n, 16] digests of the rows of key columns without NULLs; the formula of the module's docstring.

    `out`, if given, is a C-contiguous uint8[n, 16] to write to. Raises BadValue (with the row) for a value that does
    not fit its type.
    """
    return _hash_rows(columns, types, algorithm, _salt_text(algorithm, salt), out, threads)


def _salt_text(algorithm: str, salt: bytes) -> bytes:
    """S of the module's docstring."""
    if not salt:
        return b""
    text = pa.array([salt], pa.binary())
    salted = hashing.digest(algorithm, text, digest_size=16, domain=b"crypsis/salt/v1", threads=1)
    return salted.tobytes().hex().encode()


def _hash_rows(
    columns: Sequence[pa.Array],
    types: Sequence[KeyType],
    algorithm: str,
    salt_text: bytes,
    out: Digests | None,
    threads: int | None,
) -> Digests:
    if len(columns) == 1 == len(types):
        domain = b"crypsis/row1/v2/%s/%s" % (types[0].encode(), salt_text)
        data: Any = encode(columns[0], types[0])
    else:
        parts: list[Digests] = [
            hashing.digest(
                algorithm, encode(column, t), domain=b"crypsis/key/v1/" + t.encode(), threads=threads
            )
            for column, t in zip(columns, types, strict=True)
        ]
        domain = b"crypsis/row/v1/%d/%s" % (len(parts), salt_text)
        data = np.concatenate(parts, axis=1)
    result: Digests = hashing.digest(
        algorithm, data, digest_size=DIGEST_BYTES, domain=domain, out=out, threads=threads
    )
    return result


class DigestStream:
    """An iterator over (digests uint8[m, 16], rows uint32[m]) in reading order, m up to about 2^18.

    rows    row ids, ascending; uint64 in blocks that reach beyond row 2^32. Rows with a NULL key are left out.
    n_rows  rows of the source that stand before the end of the last block given out; all when the stream has ended
    n_null  those of them that have a NULL in a key column

    The arrays are the consumer's to keep. The source is read in a thread, a few batches ahead; `close` ends it early.
    """

    def __init__(
        self,
        source: Source,
        specs: Sequence[KeySpec],
        *,
        null_policy: NullPolicy = "ignore",
        algorithm: str = "sha256",
        salt: bytes = b"",
        progress: Progress | None = None,
        threads: int | None = None,
    ) -> None:
        self._source = source
        self._specs = list(specs)
        if not self._specs:
            raise ValueError("at least one key column is needed")
        self._names = [spec.name for spec in self._specs]
        for name in self._names:
            if self._names.count(name) > 1:
                raise ValueError(f"key column {name!r} is given twice; name each once")
        if null_policy not in ("ignore", "error"):
            raise ValueError(f"null_policy must be 'ignore' or 'error', not {null_policy!r}")
        source.require_columns(self._names)
        self._types: list[KeyType] = [spec.type for spec in self._specs]
        self._null_policy = null_policy
        self._algorithm = algorithm
        self._salt_text = _salt_text(algorithm, salt)
        self._progress = progress
        self._threads = threads
        self.n_rows = 0
        self.n_null = 0
        self._blocks = self._stream()

    def __iter__(self) -> DigestStream:
        return self

    def __next__(self) -> tuple[Digests, RowIds]:
        return next(self._blocks)

    def close(self) -> None:
        """Stops reading; nothing more comes."""
        self._blocks.close()

    def _stream(self) -> Generator[tuple[Digests, RowIds], None, None]:
        """Generator of the blocks: batches are hashed into one block until it is full or the next does not fit."""
        digests: Digests = np.empty((0, DIGEST_BYTES), np.uint8)
        rows: RowIds = np.empty(0, np.uint32)
        used = 0
        batches = run_ahead(self._source.key_batches(self._names))
        try:
            for batch in batches:
                if self.n_rows == 0:
                    for field, spec in zip(batch.schema, self._specs, strict=True):
                        check_key_type(field.type, spec.type, spec.name)
                start = self.n_rows
                columns, valid = self._without_nulls(batch, start)
                end = used + len(columns[0])
                row_type = np.uint32 if start + batch.num_rows <= _LIMIT32 else np.uint64
                if end > len(digests) or rows.dtype != row_type:
                    if used:
                        yield digests[:used], rows[:used]
                    size = max(end - used, BLOCK_ROWS)
                    digests, rows = np.empty((size, DIGEST_BYTES), np.uint8), np.empty(size, row_type)
                    used, end = 0, end - used
                self._hash(columns, valid, start, digests[used:end])
                ids = np.arange(start, start + batch.num_rows, dtype=row_type)
                rows[used:end] = ids if valid is None else ids[valid]
                used = end
                self.n_rows += batch.num_rows
                self.n_null += batch.num_rows - len(columns[0])
                if self._progress is not None:
                    self._progress("digest keys", self.n_rows, self._source.n_rows or 0)
                if used >= BLOCK_ROWS:
                    yield digests[:used], rows[:used]
                    digests, rows, used = digests[:0], rows[:0], 0
        finally:
            batches.close()
        if used:
            yield digests[:used], rows[:used]

    def _without_nulls(
        self, batch: pa.RecordBatch, start: int
    ) -> tuple[list[pa.Array], npt.NDArray[np.bool_] | None]:
        """The columns without the rows that have a NULL, and the mask of rows kept (None: all)."""
        columns = batch.columns
        if not any(column.null_count for column in columns):
            return columns, None
        valid = columns[0].is_valid()
        for column in columns[1:]:
            valid = pc.and_(valid, column.is_valid())
        mask: npt.NDArray[np.bool_] = valid.to_numpy(zero_copy_only=False)
        if self._null_policy == "error":
            row = int(np.argmin(mask))
            name = next(n for n, c in zip(self._names, columns, strict=True) if not c[row].is_valid)
            raise DataError(
                f"{self._source.locate(start + row)}: key column {name!r} is NULL; "
                "fill it, or set the NULL policy to 'ignore'"
            )
        return [column.filter(valid) for column in columns], mask

    def _hash(
        self, columns: list[pa.Array], valid: npt.NDArray[np.bool_] | None, start: int, out: Digests
    ) -> None:
        if not len(out):
            return
        try:
            _hash_rows(columns, self._types, self._algorithm, self._salt_text, out, self._threads)
        except BadValue:
            for name, column, key_type in zip(self._names, columns, self._types, strict=True):
                try:
                    encode(column, key_type)
                except BadValue as error:
                    row = error.row if valid is None else int(np.flatnonzero(valid)[error.row])
                    raise DataError(
                        f"{self._source.locate(start + row)}: key column {name!r}: the value {error.what}"
                    ) from None
            raise


def digest_stream(
    source: Source,
    specs: Sequence[KeySpec],
    *,
    null_policy: NullPolicy = "ignore",
    algorithm: str = "sha256",
    salt: bytes = b"",
    progress: Progress | None = None,
    threads: int | None = None,
) -> DigestStream:
    """Reads the key columns of `source` once: an iterator over blocks (digests, row ids), see `DigestStream`.

    null_policy  "ignore": a row with NULL in any key column matches nothing and is counted; "error": it is
                 refused
    salt         agreed public bytes that make the digests of one job useless for another
    progress     called as progress("digest keys", rows done, rows in all or 0) after each batch

    Memory: a few batches of key columns and one block. Raises DataError naming column and row, now for columns that
    do not exist and during the iteration for the rest; ValueError for wrong arguments.
    """
    return DigestStream(
        source,
        specs,
        null_policy=null_policy,
        algorithm=algorithm,
        salt=salt,
        progress=progress,
        threads=threads,
    )
