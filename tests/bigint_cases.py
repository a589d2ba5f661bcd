# SPDX-License-Identifier: Apache-2.0
"""Moduli and values that hunt for carries; shared by the tests of `bigint`."""

from __future__ import annotations

import random

import numpy as np
import pytest

from crypsis import backends, bigint

every_backend = pytest.mark.parametrize("backend", backends.runnable("bigint"))

# Around whole limbs of 64 bits, whole digits of 52 bits, and each shape of blocks in both kernels: 4 to 16 limbs
# are unrolled, more go eight at a time; 832 and 1664 bits are whole in both radices.
EDGE_BITS = sorted(
    {256, 257, 259, 260, 261, 311, 312, 313, 319, 320, 321, 383, 384, 448, 449, 512, 513}
    | {520, 572, 573, 576, 577, 640, 704, 768, 831, 832, 833, 896, 960, 1023, 1024, 1025}
    | {1039, 1040, 1041, 1088, 1152, 1216, 1280, 1344, 1408, 1472, 1536, 1600, 1663, 1664, 1665}
)
COMMON_BITS = [1024, 1536, 2048, 3072, 4096]


def moduli(n_bits: int) -> list[int]:
    """Odd moduli of exactly n_bits: all ones, a top bit and a one, alternating long runs, random."""
    top = 1 << (n_bits - 1)
    runs = sum(((1 << 40) - 1) << at for at in range(0, n_bits, 97))
    rng = random.Random(n_bits)
    return [
        (1 << n_bits) - 1,
        top | 1,
        (top | (runs % top)) | 1,
        top | rng.getrandbits(n_bits - 1) | 1,
    ]


def values(n: int, count: int, seed: int = 1) -> list[int]:
    """`count` values below n: the ends first, then sparse ones, runs of ones, random ones."""
    rng = random.Random(seed)
    n_bits = n.bit_length()
    found = [0, n - 1, 1, n - 2, 2, n // 2, n // 2 + 1, n >> 1, (1 << (n_bits - 1)) - 1, 1 << (n_bits - 2)]
    for bit in (51, 52, 63, 64, 104, 128, n_bits - 53, n_bits - 65):
        found += [(1 << bit) - 1, 1 << bit, n - (1 << bit)]
    for _ in range(8):
        length, at = rng.randrange(1, n_bits), rng.randrange(n_bits)
        found += [(((1 << length) - 1) << at) % n, n - 1 - (((1 << length) - 1) << at) % n]
    while len(found) < count:
        found.append(rng.randrange(n))
    return [value % n for value in found[:count]]


def rows(numbers: list[int], modulus: bigint.Modulus) -> np.ndarray:
    return bigint.from_ints(numbers, modulus.limbs)
