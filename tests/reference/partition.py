# SPDX-License-Identifier: Apache-2.0
"""Bins, groups, sorted tags and matches with dictionaries and sorted(): slow and obvious. Standard library only."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate, pairwise
from math import comb


def inner_bin(key: bytes, n_bins: int) -> int:
    return int.from_bytes(key[:8], "little") * n_bins >> 64


def outer_bin(digest: bytes, n_bins: int) -> int:
    return int.from_bytes(digest[12:16], "little") * n_bins >> 32


def starts_of(bins: list[int], n_bins: int) -> list[int]:
    counts = [0] * n_bins
    for b in bins:
        counts[b] += 1
    return [0, *accumulate(counts)]


def by_bin(keys: list[bytes], n_bins: int) -> tuple[list[bytes], list[int], list[int]]:
    """(keys by inner bin, the index of each, starts)."""
    order = sorted(range(len(keys)), key=lambda i: inner_bin(keys[i], n_bins))
    starts = starts_of([inner_bin(key, n_bins) for key in keys], n_bins)
    return [keys[i] for i in order], order, starts


def records(digests: list[bytes], rows: list[int], n_bins: int) -> tuple[list[bytes], list[int]]:
    """(records by outer bin, starts)."""
    pairs = sorted(zip(digests, rows, strict=True), key=lambda pair: outer_bin(pair[0], n_bins))
    starts = starts_of([outer_bin(digest, n_bins) for digest in digests], n_bins)
    return [digest[:12] + row.to_bytes(4, "little") for digest, row in pairs], starts


def group(records: list[bytes], n_bins: int) -> tuple[list[bytes], list[int], list[int], list[int]]:
    """(distinct keys, starts, row starts, rows)."""
    rows_of: dict[bytes, list[int]] = {}
    for record in records:
        rows_of.setdefault(record[:12], []).append(int.from_bytes(record[12:], "little"))
    digests = sorted(
        rows_of, key=lambda d: (int.from_bytes(d[:8], "little"), int.from_bytes(d[8:], "little"))
    )
    starts = starts_of([inner_bin(digest, n_bins) for digest in digests], n_bins)
    row_starts = [0, *accumulate(len(rows_of[digest]) for digest in digests)]
    rows = [row for digest in digests for row in sorted(rows_of[digest])]
    return [digest + bytes(4) for digest in digests], starts, row_starts, rows


def sort_tags(tags: list[bytes], starts: list[int]) -> tuple[list[bytes], list[int]]:
    """(tags ascending in each bin, the index of each)."""
    order: list[int] = []
    for begin, end in pairwise(starts):
        order += sorted(range(begin, end), key=lambda i: tags[i])
    return [tags[i] for i in order], order


def match(
    own: list[bytes], own_starts: list[int], peer: list[bytes], peer_starts: list[int]
) -> list[tuple[int, int]]:
    """Pairs (index in own, index in peer), by the latter; own tags distinct in each bin."""
    pairs = []
    for b in range(len(own_starts) - 1):
        index = {own[i]: i for i in range(own_starts[b], own_starts[b + 1])}
        for i in range(peer_starts[b], peer_starts[b + 1]):
            if peer[i] in index:
                pairs.append((index[peer[i]], i))
    return pairs


def tail(n: int, n_bins: int, m: int) -> Fraction:
    """P[Binomial(n, 1 / n_bins) > m]."""
    total = sum(comb(n, k) * (n_bins - 1) ** (n - k) for k in range(m + 1, n + 1))
    return Fraction(total, n_bins**n)


def bin_bound(n: int, n_bins: int, statistical: int) -> int:
    """The smallest m with n_bins P[X > m] <= 2^-statistical."""
    limit = Fraction(1, n_bins * 2**statistical)
    return next(m for m in range(n + 1) if tail(n, n_bins, m) <= limit)
