# SPDX-License-Identifier: Apache-2.0
"""Modular arithmetic on Python integers, the obvious way; the truth that every backend of `bigint` is compared with."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from math import gcd


def limbs_of(n: int) -> int:
    """64-bit limbs of a value mod n."""
    return -(-n.bit_length() // 64)


def montgomery_factor(n: int) -> int:
    """R mod n."""
    return pow(2, 64 * limbs_of(n), n)


def prod(values: Iterable[int], n: int) -> int:
    result = 1 % n
    for value in values:
        result = result * value % n
    return result


def running(values: Sequence[int], starts: Sequence[int], n: int) -> list[int]:
    """Running products inside the segments that begin at `starts` (the last entry ends the last one)."""
    result = []
    for begin, end in itertools.pairwise(starts):
        result += [prod(values[begin : j + 1], n) for j in range(begin, end)]
    return result


def multi_power(bases: Sequence[int], exponents: Sequence[int], n: int) -> int:
    return prod((pow(base, exponent, n) for base, exponent in zip(bases, exponents, strict=True)), n)


def by_bin(
    values: Sequence[int], bins: Sequence[int], n_bins: int, n: int, mask: Sequence[bool], cumulative: bool
) -> list[int]:
    """Product of the values in each bin, or in each bin and those before it."""
    kept = [(value, at) for value, at, keep in zip(values, bins, mask, strict=True) if keep and at >= 0]
    return [
        prod((value for value, at in kept if at == b or (cumulative and at < b)), n) for b in range(n_bins)
    ]


def first_not_invertible(values: Sequence[int], n: int) -> int | None:
    return next((i for i, value in enumerate(values) if gcd(value, n) != 1), None)
