# SPDX-License-Identifier: Apache-2.0
"""Rows, tags and bins that the tests of partition share, on the CPU and on a GPU, where Hypothesis need not be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def random_rows(seed: int, n: int, width: int = 16) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (n, width), dtype=np.uint8)


def from_hex(text: str, width: int = 16) -> Array:
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, width).copy()


def as_list(rows: Array) -> list[bytes]:
    return [row.tobytes() for row in rows]


def as_starts(starts: list[int]) -> Array:
    return np.array(starts, np.uint64)


def halves(n: int, n_bins: int, seed: int) -> list[int]:
    """Uneven bins, some empty."""
    cuts = np.random.default_rng(seed).integers(0, n + 1, n_bins - 1)
    return [0, *sorted(cuts.tolist()), n]


def distinct_rows(seed: int, n: int, width: int) -> Array:
    rows = random_rows(seed, n, width)
    rows[:, 3:8] = np.arange(n, dtype=">u8").view(np.uint8).reshape(n, 8)[:, 3:]
    return rows


# Inputs that no keyed hash makes

N = 3000  # above the sizes from which a bucket is sorted by radix


def with_rows(digests: Array, seed: int = 0) -> Array:
    """Records with all row ids in mixed order."""
    digests.view(np.uint32)[:, 3] = np.random.default_rng(seed).permutation(len(digests))
    return digests


def equal() -> Array:
    return np.full((N, 16), 0xAB, np.uint8)


def half_equal() -> Array:
    rows = random_rows(1, N)
    rows[::2] = rows[0]
    return rows


def equal_first_eight() -> Array:
    rows = random_rows(2, N)
    rows[:, :8] = 0xFF
    return rows


def equal_but_the_last() -> Array:
    rows = np.full((N, 16), 0x5A, np.uint8)
    rows[:, 11] = np.arange(N) % 251
    rows[:, 15] = np.arange(N) % 7
    return rows


def two_ends() -> Array:
    """The least and the greatest key, and their neighbours."""
    rows = np.zeros((N, 16), np.uint8)
    rows[1::2] = 255
    rows[::5, 0] ^= 1
    rows[::7, 7] ^= 1
    rows[::11, 12] ^= 1
    return rows


def at_bin_limits() -> Array:
    """le64 values on both sides of where inner bins begin, for 2 to 99 bins."""
    values = []
    for n_bins in range(2, 100):
        for b in range(1, min(n_bins, 16)):
            limit = -(-(b << 64) // n_bins)
            values += [limit - 1, limit, limit + 1]
    rows = random_rows(3, len(values))
    rows.view(np.uint64)[:, 0] = np.array(values, np.uint64)
    rows.view(np.uint32)[:, 3] = np.array([v >> 32 for v in values], np.uint32)
    return rows


def crowded() -> Array:
    """Buckets of 20 to 40 that are alike in more and more bits."""
    rows = random_rows(4, N)
    for i in range(0, N - 40, 40):
        rows[i : i + 20 + i // 40 % 20, : i // 40 % 13] = rows[i, : i // 40 % 13]
    return rows


def one_bit_apart() -> Array:
    rows = np.zeros((128 * 20, 16), np.uint8)
    rows[np.arange(len(rows)), np.arange(len(rows)) // 8 % 16] = 1 << (np.arange(len(rows)) % 8)
    return rows


CASES: dict[str, Callable[[], Array]] = {
    f.__name__: f
    for f in (
        equal,
        half_equal,
        equal_first_eight,
        equal_but_the_last,
        two_ends,
        at_bin_limits,
        crowded,
        one_bit_apart,
    )
}
