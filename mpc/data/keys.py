# SPDX-License-Identifier: Apache-2.0
"""From key columns to a `KeyTable`: 16-byte row digests, grouped, with the row ids that carry each.

For a row with key columns c_1..c_k (k >= 1) and agreed types t_1..t_k, with H = `crypsis.hashing.digest`:

    d_j = H(encode(c_j), domain = "crypsis/key/v1/" + t_j)                                     32 bytes
    row = H(d_1 || ... || d_k, domain = "crypsis/row/v1/" + k + "/" + S)                       16 bytes

`encode` is `crypsis.mpc.data.encode`, k in decimal, S empty or, when a salt is agreed, the first 16 bytes of
H(salt, domain = "crypsis/salt/v1") in lower-case hexadecimal. Fixed-width d_j and k in the domain keep single
and composite keys, and different splits of the same text over columns, apart. 16 bytes: two of 2^32 rows in
all collide with probability 2^-65.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crypsis import hashing
from crypsis.errors import DataError
from crypsis.mpc.data.encode import KEY_TYPES, BadValue, KeyType, check_key_type, encode
from crypsis.mpc.data.grouping import DIGEST_BYTES, DigestBuffer, KeyTable, group
from crypsis.mpc.data.sources import Source

__all__ = ["KeySpec", "KeyTable", "NullPolicy", "digest_keys", "row_digests"]

NullPolicy = Literal["ignore", "error"]
# phase, rows done, rows in all (0 when unknown)
Progress = Callable[[str, int, int], None]


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
    threads: int | None = None,
) -> npt.NDArray[np.uint8]:
    """uint8[n, 16] digests of the rows of key columns without NULLs; the formula of the module's docstring.

    Raises BadValue (with the row) for a value that does not fit its type.
    """
    suffix = b""
    if salt:
        text = pa.array([salt], pa.binary())
        salted = hashing.digest(algorithm, text, digest_size=16, domain=b"crypsis/salt/v1", threads=1)
        suffix = salted.tobytes().hex().encode()
    parts: list[npt.NDArray[np.uint8]] = [
        hashing.digest(algorithm, encode(column, t), domain=b"crypsis/key/v1/" + t.encode(), threads=threads)
        for column, t in zip(columns, types, strict=True)
    ]
    joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    domain = b"crypsis/row/v1/%d/" % len(parts) + suffix
    result: npt.NDArray[np.uint8] = hashing.digest(
        algorithm, joined, digest_size=DIGEST_BYTES, domain=domain, threads=threads
    )
    return result


def digest_keys(
    source: Source,
    keys: Sequence[KeySpec],
    *,
    null_policy: NullPolicy = "ignore",
    algorithm: str = "sha256",
    salt: bytes = b"",
    progress: Progress | None = None,
    threads: int | None = None,
) -> KeyTable:
    """Streams the key columns of a `Source` once and groups equal keys; keeps digests and row ids only.

    null_policy  "ignore": a row with NULL in any key column matches nothing and is counted; "error": it is
                 refused
    salt         agreed public bytes that make the digests of one job useless for another
    progress     called as progress("digest keys", rows done, rows in all or 0) after each batch

    Memory at n rows: about 36 n bytes at the peak, 24 n for the result when keys are unique. Raises DataError
    naming column and row; ValueError for wrong arguments.
    """
    specs = list(keys)
    if not specs:
        raise ValueError("at least one key column is needed")
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"key column {name!r} is given twice; name each once")
    if null_policy not in ("ignore", "error"):
        raise ValueError(f"null_policy must be 'ignore' or 'error', not {null_policy!r}")
    source.require_columns(names)
    types: list[KeyType] = [spec.type for spec in specs]

    buffer = DigestBuffer(source.n_rows)
    nulls: list[npt.NDArray[np.uint64]] = []
    start = 0
    for batch in source.key_batches(names):
        if start == 0:
            for field, spec in zip(batch.schema, specs, strict=True):
                check_key_type(field.type, spec.type, spec.name)
        columns, valid = _drop_nulls(batch)
        if valid is not None:
            missing = np.flatnonzero(~valid)
            if null_policy == "error":
                column = next(
                    n for n, c in zip(names, batch.columns, strict=True) if not c[int(missing[0])].is_valid
                )
                raise DataError(
                    f"{source.locate(start + int(missing[0]))}: key column {column!r} is NULL; "
                    "fill it, or set the NULL policy to 'ignore'"
                )
            nulls.append((missing + start).astype(np.uint64))
        if len(columns[0]):
            buffer.append(
                _batch_digests(source, names, columns, types, start, valid, algorithm, salt, threads)
            )
        start += batch.num_rows
        if progress is not None:
            progress("digest keys", start, source.n_rows or 0)
    null_rows = np.concatenate(nulls) if nulls else np.empty(0, np.uint64)
    return group(buffer, n_rows=start, null_rows=null_rows)


def _batch_digests(
    source: Source,
    names: list[str],
    columns: list[pa.Array],
    types: list[KeyType],
    start: int,
    valid: npt.NDArray[np.bool_] | None,
    algorithm: str,
    salt: bytes,
    threads: int | None,
) -> npt.NDArray[np.uint8]:
    try:
        return row_digests(columns, types, algorithm=algorithm, salt=salt, threads=threads)
    except BadValue:
        for name, column, key_type in zip(names, columns, types, strict=True):
            try:
                encode(column, key_type)
            except BadValue as error:
                row = error.row if valid is None else int(np.flatnonzero(valid)[error.row])
                raise DataError(
                    f"{source.locate(start + row)}: key column {name!r}: the value {error.what}"
                ) from None
        raise


def _drop_nulls(batch: pa.RecordBatch) -> tuple[list[pa.Array], npt.NDArray[np.bool_] | None]:
    """The columns without the rows that have a NULL, and the mask of rows kept (None: all)."""
    columns = batch.columns
    if not any(column.null_count for column in columns):
        return columns, None
    valid = columns[0].is_valid()
    for column in columns[1:]:
        valid = pc.and_(valid, column.is_valid())
    return [column.filter(valid) for column in columns], valid.to_numpy(zero_copy_only=False)
