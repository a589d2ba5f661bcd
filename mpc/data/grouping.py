# SPDX-License-Identifier: Apache-2.0
"""Groups 16-byte digests: sorts them, finds equal ones, keeps the row ids of each.

The sort key is the first eight bytes as a big-endian number, for which NumPy has vector sorts; the order is
then made exact where those are equal. Temporaries are freed as soon as they are used: at n rows the peak is
about 36 n bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

DIGEST_BYTES: Final = 16
_GROW_ROWS: Final = 1 << 20
_CHUNK: Final = 1 << 20
_LIMIT32: Final = 1 << 32

Index = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, eq=False)
class KeyTable:
    """The distinct keys of a table and the rows that carry each.

    digests  uint8[u, 16], distinct, ascending by bytes
    starts   uint32 or uint64[u + 1]; the rows of key i are rows[starts[i]:starts[i + 1]], ascending
    rows     uint32 (uint64 from 2^32 rows) [n_rows - n_null] row ids
    n_rows   rows of the table; n_null of them have a NULL in a key column and are in no group
    """

    digests: npt.NDArray[np.uint8]
    starts: Index
    rows: Index
    n_rows: int
    n_null: int

    @property
    def n_unique(self) -> int:
        """Number of distinct keys."""
        return len(self.starts) - 1

    def release_digests(self) -> None:
        """Frees the digests, 16 bytes a key, once a protocol has no more use for them; joins need the rest only."""
        object.__setattr__(self, "digests", np.empty((0, DIGEST_BYTES), np.uint8))

    @property
    def counts(self) -> Index:
        """How many rows carry each key; same type as `starts`."""
        return np.diff(self.starts)


class DigestBuffer:
    """A growing uint8[n, 16] array. It grows in place by fixed steps: realloc moves pages, it does not
    copy them.
    """

    def __init__(self, n_rows: int | None = None) -> None:
        self._array = np.empty((n_rows or 0, DIGEST_BYTES), np.uint8)
        self._used = 0

    def append(self, digests: npt.NDArray[np.uint8]) -> None:
        """Adds uint8[m, 16] digests."""
        end = self._used + len(digests)
        if end > len(self._array):
            self._array.resize((max(end, len(self._array) + _GROW_ROWS), DIGEST_BYTES), refcheck=False)
        self._array[self._used : end] = digests
        self._used = end

    def take(self) -> npt.NDArray[np.uint8]:
        """The digests; the buffer is empty afterwards."""
        array, self._array = self._array, np.empty((0, DIGEST_BYTES), np.uint8)
        array.resize((self._used, DIGEST_BYTES), refcheck=False)
        self._used = 0
        return array


def group(buffer: DigestBuffer, *, n_rows: int, null_rows: npt.NDArray[np.uint64]) -> KeyTable:
    """The KeyTable of the digests in `buffer`, in row order; `null_rows` are the rows that have none.
    Empties it.
    """
    digests = buffer.take()
    order = _sorted_order(digests)
    result = _take(digests, order)
    del digests
    starts, result = _unique(result)
    if len(null_rows):
        has_key = np.ones(n_rows, np.bool_)
        has_key[null_rows] = False
        row_of = np.flatnonzero(has_key).astype(_index_type(n_rows), copy=False)
        del has_key
        rows = row_of[order]
    else:
        rows = order.astype(_index_type(n_rows), copy=False)
    return KeyTable(result, starts, rows, n_rows, len(null_rows))


def _index_type(n: int) -> np.dtype[np.unsignedinteger[Any]]:
    return np.dtype(np.uint32 if n < _LIMIT32 else np.uint64)


def _word(digests: npt.NDArray[np.uint8], which: int) -> npt.NDArray[np.uint64]:
    """Bytes 0..7 (which = 0) or 8..15 of each digest as native numbers in byte order."""
    return digests.view(">u8")[:, which].astype(np.uint64)


def _sorted_order(digests: npt.NDArray[np.uint8]) -> Index:
    """Permutation that sorts by digest, then by position."""
    n = len(digests)
    high = _word(digests, 0)
    order: Index = np.argsort(high).astype(_index_type(n), copy=False)
    if n < 2:
        return order
    high = high[order]
    # in_tie[i]: position i has the same first word as a neighbour.
    equal = high[1:] == high[:-1]
    in_tie = np.zeros(n, np.bool_)
    in_tie[1:] = equal
    in_tie[:-1] |= equal
    del equal
    ties = np.flatnonzero(in_tie).astype(_index_type(n), copy=False)
    del in_tie
    if len(ties):
        high = high[ties]
        order[ties] = _ordered_ties(digests, order[ties], high)
    return order


def _ordered_ties(digests: npt.NDArray[np.uint8], rows: Index, high: npt.NDArray[np.uint64]) -> Index:
    """`rows`, sorted by `high` in runs of at least two, sorted inside each run by second word, then row."""
    new_run = np.ones(len(rows), np.bool_)
    new_run[1:] = high[1:] != high[:-1]
    if len(digests) < _LIMIT32:
        # Equal words are nearly always equal keys, so rows in ascending order are nearly always the answer:
        # sort (run, row) packed in one word.
        packed = np.cumsum(new_run, dtype=np.uint64)
        packed <<= np.uint64(32)
        packed |= rows
        packed.sort()
        rows = (packed & np.uint64(_LIMIT32 - 1)).astype(np.uint32)
        del packed
        low = _low_words(digests, rows)
        if not np.any((low[1:] != low[:-1]) & ~new_run[1:]):
            return rows
    low = _low_words(digests, rows)
    return rows[np.lexsort((rows, low, high))]


def _low_words(digests: npt.NDArray[np.uint8], rows: Index) -> npt.NDArray[np.uint64]:
    low: npt.NDArray[np.uint64] = digests.view(">u8")[:, 1][rows].astype(np.uint64)
    return low


def _take(digests: npt.NDArray[np.uint8], order: Index) -> npt.NDArray[np.uint8]:
    """digests[order]; in chunks, because NumPy widens a 32-bit index array as a whole."""
    result = np.empty_like(digests)
    whole, out = digests.view("V16")[:, 0], result.view("V16")[:, 0]
    for start in range(0, len(order), _CHUNK):
        out[start : start + _CHUNK] = whole[order[start : start + _CHUNK]]
    return result


def _unique(digests: npt.NDArray[np.uint8]) -> tuple[Index, npt.NDArray[np.uint8]]:
    """(starts, distinct digests) of sorted digests; reuses the memory of `digests`."""
    n = len(digests)
    first = np.ones(n, np.bool_)
    words = digests.view(np.uint64)
    for start in range(1, n, _CHUNK):
        end = min(start + _CHUNK, n)
        first[start:end] = np.any(words[start:end] != words[start - 1 : end - 1], axis=1)
    n_unique = int(np.count_nonzero(first))
    starts = np.empty(n_unique + 1, _index_type(n))
    used = 0
    for start in range(0, n, _CHUNK):
        chosen = np.flatnonzero(first[start : start + _CHUNK])
        starts[used : used + len(chosen)] = chosen + start
        if n_unique < n:  # moves rows towards the front only, so nothing is overwritten before it is read
            digests[used : used + len(chosen)] = digests[start : start + _CHUNK][chosen]
        used += len(chosen)
    starts[n_unique] = n
    if n_unique < n:
        del words
        digests.resize((n_unique, DIGEST_BYTES), refcheck=False)
    return starts, digests
