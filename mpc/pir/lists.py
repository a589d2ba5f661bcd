# SPDX-License-Identifier: Apache-2.0
"""The owner's list, prepared once: digests in order, so that a bucket is a slice, and a record for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crypsis import ristretto255
from crypsis.errors import ConfigError, DataError
from crypsis.mpc.data import KeySpec, KeyTable, Source, digest_keys
from crypsis.mpc.pir.entries import DIGEST_BYTES
from crypsis.mpc.pir.ot_query import bucket_bound, bucket_of
from crypsis.mpc.pir.records import MAX_COLUMNS, Column, columns_of, encode_records, encode_rows

MAX_CAPACITY = 1 << 31

Bytes = npt.NDArray[np.uint8]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class PreparedList:
    """A list ready to answer.

    columns  uint8[16, u], the sorted digests byte by byte
    records  uint8[u, width]
    starts   int64[2^k + 1]; bucket b is starts[b]:starts[b + 1]
    fill     uint8[16, bound], random digests that fill buckets up
    """

    payload: tuple[Column, ...]
    max_rows: int
    capacity: int
    prefix_bits: int
    bound: int
    columns: Bytes
    records: Bytes
    starts: npt.NDArray[np.int64]
    fill: Bytes
    n_rows: int
    n_null: int

    @property
    def n_unique(self) -> int:
        """Distinct keys."""
        return len(self.records)

    def bucket(self, number: int) -> tuple[Bytes, Bytes]:
        """(`uint8[16, bound]` digests, `uint8[bound, width]` records), the same work whatever the bucket holds."""
        begin, end = int(self.starts[number]), int(self.starts[number + 1])
        missing = self.bound - (end - begin)
        digests = np.concatenate([self.columns[:, begin:end], self.fill[:, :missing]], axis=1)
        nothing = np.zeros((missing, self.records.shape[1]), np.uint8)
        return digests, np.concatenate([self.records[begin:end], nothing])


def round_capacity(n_keys: int) -> int:
    """The public capacity of a list of n keys, by default: at least 16, then rounded up to four leading bits."""
    if n_keys <= 16:
        return 16
    step = 1 << max((n_keys - 1).bit_length() - 4, 0)
    return -(-n_keys // step) * step


def prepare(
    source: Source,
    keys: Sequence[KeySpec],
    *,
    salt: bytes,
    prefix_bits: int,
    columns: Sequence[str] | None = None,
    capacity: int | None = None,
    max_rows: int = 1,
    text_bytes: int | None = None,
    hash: str = "sha256",
    null_policy: str = "ignore",
    threads: int | None = None,
    progress: Progress | None = None,
) -> PreparedList:
    """Reads the list of `source`: digests of `keys`, records of `columns` (default: all but the keys).

    capacity: keys the list may have, public; default `round_capacity`. max_rows: rows a key may have, public.
    text_bytes: bytes of a text, public; default: of the longest, rounded up to 16. Memory: the payload twice. Raises
    DataError for what does not fit, naming the row.
    """
    table = digest_keys(
        source,
        keys,
        null_policy=null_policy,  # type: ignore[arg-type]
        algorithm=hash,
        salt=salt,
        threads=threads,
        progress=progress,
    )
    names = _payload_names(source, keys, columns)
    payload = pa.Table.from_batches(
        source.batches(names), schema=pa.schema([source.schema.field(n) for n in names])
    )
    described = columns_of(payload, text_bytes)
    if capacity is None:
        capacity = round_capacity(table.n_unique)
    if table.n_unique > capacity:
        raise DataError(f"the list has {table.n_unique} keys and capacity is {capacity}: raise capacity")
    _check_rows(source, table, max_rows)
    rows = encode_rows(payload, described) if names else np.zeros((table.n_rows, 0), np.uint8)
    ordered = rows[table.rows]
    records = encode_records(ordered, table.starts[:-1], table.counts, max_rows)
    bound = bucket_bound(capacity, prefix_bits)
    starts = np.searchsorted(
        bucket_of(table.digests, prefix_bits), np.arange((1 << prefix_bits) + 1, dtype=np.uint32)
    ).astype(np.int64)
    largest = int(np.diff(starts).max())
    if largest > bound:
        raise ConfigError(
            f"a bucket of the list has {largest} keys where {bound} fit: choose another name for the list, or a larger "
            "capacity (random digests do this once in 2^40 times)"
        )
    return PreparedList(
        payload=described,
        max_rows=max_rows,
        capacity=capacity,
        prefix_bits=prefix_bits,
        bound=bound,
        columns=np.ascontiguousarray(table.digests.T),
        records=records,
        starts=starts,
        fill=ristretto255.random_bytes(DIGEST_BYTES, bound),
        n_rows=table.n_rows,
        n_null=table.n_null,
    )


def _payload_names(source: Source, keys: Sequence[KeySpec], columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        of_keys = {key.name for key in keys}
        names = [name for name in source.schema.names if name not in of_keys]
    else:
        names = list(columns)
    source.require_columns(names)
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"payload column {name!r} is named twice; name it once")
    if len(names) > MAX_COLUMNS:
        raise DataError(f"the list has {len(names)} payload columns: name at most {MAX_COLUMNS}")
    return names


def _check_rows(source: Source, table: KeyTable, max_rows: int) -> None:
    counts = table.counts
    if len(counts) and int(counts.max()) > max_rows:
        key = int(counts.argmax())
        row = int(table.rows[int(table.starts[key]) + max_rows])
        raise DataError(
            f"{source.locate(row)}: a key has {int(counts[key])} rows and max_rows is {max_rows}: raise max_rows, or "
            "keep one row a key"
        )
