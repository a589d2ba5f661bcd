# SPDX-License-Identifier: Apache-2.0
"""Which own row stands in each row of the output, so that both parties' files line up row by row.

After the protocol both parties know the matched keys in one agreed order and, for each, how many rows the
peer has. The aligned output has up to three blocks, the same at both parties:

    1. matched keys in the agreed order; a key with a rows at the left party and b at the right has a*b output
       rows, the left row index varying slowest (inner, left, right, full)
    2. the left party's rows without partner, in its row order; null rows at the right party (left, full,
       difference)
    3. the right party's rows without partner; null rows at the left party (right, full, difference)

Rows with a NULL key have no partner. `difference` is full without inner.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from crypsis.errors import DataError
from crypsis.mpc.data.grouping import KeyTable

Join = Literal["inner", "left", "right", "full", "difference"]
Side = Literal["left", "right"]
JOINS: Final = get_args(Join)
SIDES: Final = get_args(Side)
# An output far larger than one's own table is nearly always a mistake about keys, or a peer that claims absurd counts.
DEFAULT_GROWTH: Final = 16
DEFAULT_EXTRA_ROWS: Final = 1 << 24
NULL_ROW: Final = -1

_CHUNK_ROWS: Final = 1 << 21
Rows = npt.NDArray[np.signedinteger[Any]]
Ints = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class JoinPlan:
    """Own row id of each output row, -1 for a null row; int32, or int64 from 2^31 own rows.

    Row i has partners on both sides when i < n_matched (from `plan_join`) or where `matched` is true
    (`select_rows`).
    """

    rows: Rows
    n_matched: int
    matched: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """Number of output rows."""
        return len(self.rows)

    def is_matched(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """bool[stop - start]: the indicator column of the output rows start..stop-1."""
        if self.matched is not None:
            return self.matched[start:stop]
        return np.arange(start, stop) < self.n_matched


def check_join(join: str, side: str | None = None) -> None:
    if join not in JOINS:
        raise ValueError(f"join must be one of {', '.join(JOINS)}, not {join!r}")
    if side is not None and side not in SIDES:
        raise ValueError(f"own_side must be 'left' or 'right', not {side!r}")


def join_size(join: Join, matched_pairs: int, left_unmatched: int, right_unmatched: int) -> int:
    """Rows of the aligned output; `matched_pairs` is the sum over matched keys of a*b. Same at both
    parties.
    """
    check_join(join)
    size = matched_pairs if join != "difference" else 0
    if join in ("left", "full", "difference"):
        size += left_unmatched
    if join in ("right", "full", "difference"):
        size += right_unmatched
    return size


def matched_pairs(keys: KeyTable, matched: Ints, peer_counts: Ints | None) -> int:
    """Sum over the matched keys of (own rows) * (peer rows), exact beyond 64 bits."""
    own = keys.counts[matched]
    if peer_counts is None:
        return int(own.sum(dtype=np.uint64))
    # Products of 32-bit halves cannot overflow a float's exponent: the float sum says whether uint64 is
    # exact.
    if float(np.dot(own.astype(np.float64), np.asarray(peer_counts, np.float64))) < 2.0**63:
        return int(np.dot(own.astype(np.uint64), np.asarray(peer_counts, np.uint64)))
    return sum(int(a) * int(b) for a, b in zip(own, peer_counts, strict=True))


def count_unmatched(keys: KeyTable, matched: Ints) -> int:
    """Number of own rows without partner, rows with a NULL key included: what the peer needs for null
    rows.
    """
    return keys.n_rows - int(keys.counts[matched].sum(dtype=np.uint64))


def unmatched_rows(keys: KeyTable, matched: Ints) -> Rows:
    """Own rows without partner, rows with a NULL key included, ascending."""
    return _rows_where(~_has_partner(keys, matched))


def matched_rows(keys: KeyTable, matched: Ints) -> Rows:
    """Own rows with a partner, each once, ascending."""
    return _rows_where(_has_partner(keys, matched))


def plan_join(
    keys: KeyTable,
    matched: Ints,
    peer_counts: Ints | None = None,
    *,
    join: Join = "inner",
    own_side: Side = "left",
    peer_unmatched_rows: int = 0,
    max_output_rows: int | None = None,
) -> JoinPlan:
    """The own row of each row of the aligned output.

    matched              integers[m]: indices into keys.digests in the order that both parties agreed on,
                         distinct
    peer_counts          integers[m]: rows that the peer has for each, at least 1; None: one each
    peer_unmatched_rows  rows of the peer without partner (its `count_unmatched`): as many null rows here

    Raises DataError when the output would exceed `max_output_rows` (default 16 times the own rows plus
    2^24), ValueError for wrong arguments.
    """
    check_join(join, own_side)
    matched, peer_counts = _check_matched(keys, matched, peer_counts)
    if peer_unmatched_rows < 0:
        raise ValueError(f"peer_unmatched_rows must not be negative, got {peer_unmatched_rows}")
    pairs = matched_pairs(keys, matched, peer_counts)
    own_unmatched = count_unmatched(keys, matched)
    left, right = (
        (own_unmatched, peer_unmatched_rows) if own_side == "left" else (peer_unmatched_rows, own_unmatched)
    )
    size = checked_size(
        join_size(join, pairs, left, right), keys.n_rows, max_output_rows, n_keys=len(matched), n_pairs=pairs
    )
    rows = np.empty(size, row_type(keys.n_rows))
    n_matched = 0
    if join != "difference":
        for part in pair_rows(keys.starts, keys.rows, matched, peer_counts, own_side=own_side):
            rows[n_matched : n_matched + len(part)] = part
            n_matched += len(part)
    own = unmatched_rows(keys, matched) if keeps_own(join, own_side) else None
    blocks = ("left", "right") if join in ("full", "difference") else (join,) if join in SIDES else ()
    position = n_matched
    for side in blocks:
        block = own if side == own_side and own is not None else None
        end = position + (len(block) if block is not None else peer_unmatched_rows)
        rows[position:end] = block if block is not None else NULL_ROW
        position = end
    return JoinPlan(rows, n_matched)


def checked_size(size: int, n_rows: int, max_output_rows: int | None, *, n_keys: int, n_pairs: int) -> int:
    """`size`, the rows of an aligned output at a party of `n_rows` rows, if it is within `max_output_rows` (None: 16
    times the own rows plus 2^24); else DataError, saying that `n_keys` matched keys give `n_pairs` pairs.
    """
    limit = DEFAULT_GROWTH * n_rows + DEFAULT_EXTRA_ROWS if max_output_rows is None else max_output_rows
    if size > limit:
        raise DataError(
            f"the join has {size} rows, more than max_output_rows={limit}: {n_keys} matched keys give "
            f"{n_pairs} pairs because duplicates multiply; "
            "remove duplicate keys, switch alignment off, or raise the limit"
        )
    return size


def _check_matched(keys: KeyTable, matched: Ints, peer_counts: Ints | None) -> tuple[Ints, Ints | None]:
    matched = np.asarray(matched)
    if matched.size == 0:
        matched = matched.astype(np.int64)
    if matched.ndim != 1 or matched.dtype.kind not in "iu":
        raise ValueError(f"matched must be a vector of integers, not {matched.dtype}{list(matched.shape)}")
    if len(matched):
        low, high = int(matched.min()), int(matched.max())
        if low < 0 or high >= keys.n_unique:
            raise ValueError(f"matched has an index in {low}..{high}, outside 0..{keys.n_unique - 1}")
        seen = np.zeros(keys.n_unique, np.bool_)
        seen[matched] = True
        if int(np.count_nonzero(seen)) != len(matched):
            raise ValueError("matched names a key twice")
    if peer_counts is None:
        return matched, None
    peer_counts = np.asarray(peer_counts)
    if peer_counts.shape != matched.shape or (peer_counts.size and peer_counts.dtype.kind not in "iu"):
        raise ValueError(
            f"peer_counts must be {len(matched)} integers, not {peer_counts.dtype}{list(peer_counts.shape)}"
        )
    if peer_counts.size and int(peer_counts.min()) < 1:
        raise ValueError("peer_counts must be at least 1 for each matched key")
    return matched, peer_counts.astype(np.int64, copy=False)


def select_rows(keys: KeyTable, matched: Ints, *, join: Join = "inner", own_side: Side = "left") -> JoinPlan:
    """The own rows that occur in the join, each once, in own row order: the output without alignment.

    Nothing of the peer's multiplicities or rows without partner shows in it.
    """
    check_join(join, own_side)
    matched, _ = _check_matched(keys, matched, None)
    has_partner = _has_partner(keys, matched)
    if join == "difference":
        rows = _rows_where(~has_partner)
    elif keeps_own(join, own_side):
        rows = np.arange(keys.n_rows, dtype=row_type(keys.n_rows))
    else:
        rows = _rows_where(has_partner)
    indicator = has_partner[rows]
    return JoinPlan(rows, int(np.count_nonzero(indicator)), indicator)


def keeps_own(join: Join, own_side: Side) -> bool:
    """Whether own rows without partner are part of the result."""
    return join in (own_side, "full", "difference")


def row_type(n_rows: int) -> np.dtype[np.signedinteger[Any]]:
    return np.dtype(np.int32 if n_rows < 1 << 31 else np.int64)


def _rows_where(mask: npt.NDArray[np.bool_]) -> Rows:
    return np.flatnonzero(mask).astype(row_type(len(mask)), copy=False)


def _has_partner(keys: KeyTable, matched: Ints) -> npt.NDArray[np.bool_]:
    """bool[n_rows]: rows whose key is matched."""
    is_matched = np.zeros(keys.n_unique, np.bool_)
    is_matched[matched] = True
    mask = np.zeros(keys.n_rows, np.bool_)
    if keys.n_unique == len(keys.rows):  # all distinct: rows and keys correspond
        mask[keys.rows[is_matched]] = True
    else:
        mask[keys.rows[np.repeat(is_matched, keys.counts)]] = True
    return mask


def pair_rows(
    row_starts: Ints,
    rows: Ints,
    matched: Ints,
    peer_counts: Ints | None = None,
    *,
    own_side: Side = "left",
) -> Iterator[Ints]:
    """Own row ids of block 1 of the aligned output, a limited number at a time: what a KeyTable, or one bin, gives.

    row_starts, rows  the rows of key i are rows[row_starts[i]:row_starts[i + 1]], ascending (`KeyTable`,
                      `crypsis.partition.group`)
    matched           indices of matched keys in the order that both parties agreed on
    peer_counts       rows that the peer has for each; None: one each

    The concatenation over bins, in one order at both parties, is block 1. Yields arrays of the type of `rows`; their
    total length is `count_pairs` of the same arguments, which is the caller's to check beforehand.
    """
    check_join("inner", own_side)
    simple = len(row_starts) == len(rows) + 1 and (
        peer_counts is None or not len(peer_counts) or int(peer_counts.max()) == 1
    )
    if not simple:
        count_pairs(row_starts, matched, peer_counts)  # refuses what overflows 64 bits below
    for begin in range(0, len(matched), _CHUNK_ROWS):
        part = matched[begin : begin + _CHUNK_ROWS]
        if simple:  # all keys distinct at both parties
            yield rows[part]
            continue
        first = row_starts[part].astype(np.int64)
        own = row_starts[part + 1].astype(np.int64) - first
        peer = np.ones_like(own)
        if peer_counts is not None:
            peer = peer_counts[begin : begin + _CHUNK_ROWS].astype(np.int64)
        ends = np.cumsum(own * peer)
        for start in range(0, int(ends[-1]), _CHUNK_ROWS):
            yield rows[_pair_index(first, own, peer, ends, start, own_side)]


def _pair_index(
    first: Ints, own: Ints, peer: Ints, ends: Ints, start: int, own_side: Side
) -> npt.NDArray[np.int64]:
    """Indices to `rows` of the output rows start..start+_CHUNK_ROWS-1 of some keys, whose rows end at `ends`."""
    stop = min(start + _CHUNK_ROWS, int(ends[-1]))
    low = int(np.searchsorted(ends, start, side="right"))
    high = int(np.searchsorted(ends, stop, side="left")) + 1
    begins = ends[low:high] - own[low:high] * peer[low:high]
    sizes = np.minimum(ends[low:high], stop) - np.maximum(begins, start)
    key = np.repeat(np.arange(low, high), sizes)
    place = np.arange(start, stop) - np.repeat(begins, sizes)  # among the own * peer rows of the key
    index: npt.NDArray[np.int64] = first[key]
    index += place // peer[key] if own_side == "left" else place % own[key]
    return index


def count_pairs(row_starts: Ints, matched: Ints, peer_counts: Ints | None = None) -> int:
    """The sum over matched keys of (own rows) * (peer rows). Raises DataError beyond 2^62, which no disk holds."""
    own = row_starts[matched + 1].astype(np.int64) - row_starts[matched].astype(np.int64)
    if peer_counts is None:
        return int(own.sum())
    if float(np.dot(own.astype(np.float64), np.asarray(peer_counts, np.float64))) >= 2.0**62:
        raise DataError(
            "the join has more than 2^62 rows because duplicates multiply; remove duplicate keys or switch "
            "alignment off"
        )
    return int(np.dot(own, np.asarray(peer_counts).astype(np.int64)))
