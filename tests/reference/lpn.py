# SPDX-License-Identifier: Apache-2.0
"""The LPN encoders of `crypsis.vole` by their definitions, standard library only; blocks are integers.

`aes(key, block)`: AES-128 on 16 bytes, given by the caller (tests/reference/aes.py).
"""

from collections.abc import Callable

Aes = Callable[[bytes, bytes], bytes]

PRIMAL_WEIGHT = 10
RANDOM_TAPS = 24


def stream(aes: Aes, key: bytes, n_bytes: int) -> bytes:
    """Counter mode with little-endian counters from 0."""
    n_blocks = -(-n_bytes // 16)
    return b"".join(aes(key, i.to_bytes(16, "little")) for i in range(n_blocks))[:n_bytes]


def words(data: bytes, n_bytes: int) -> list[int]:
    return [int.from_bytes(data[i : i + n_bytes], "little") for i in range(0, len(data), n_bytes)]


def primal_positions(aes: Aes, seed: bytes, n_rows: int, log_table: int) -> list[list[int]]:
    """Row by row, ten positions below 2^log_table: low bits of 16-bit words, of 32-bit words above 2^16."""
    size = 2 if log_table <= 16 else 4
    flat = words(stream(aes, seed, n_rows * PRIMAL_WEIGHT * size), size)
    mask = (1 << log_table) - 1
    return [
        [word & mask for word in flat[i * PRIMAL_WEIGHT : (i + 1) * PRIMAL_WEIGHT]] for i in range(n_rows)
    ]


def primal_encode(aes: Aes, seed: bytes, table: list[int], noise: list[int]) -> list[int]:
    out = list(noise)
    for i, row in enumerate(primal_positions(aes, seed, len(noise), len(table).bit_length() - 1)):
        for position in row:
            out[i] ^= table[position]
    return out


def part(seed: bytes, number: int) -> bytes:
    return bytes([seed[0] ^ number]) + seed[1:]


def times_x(a: int, field: int = 128) -> int:
    """X a in GF(2^128) or GF(2^64)."""
    return (a << 1 & (1 << field) - 1) ^ {128: 0x87, 64: 0x1B}[field] * (a >> field - 1)


def convolute(aes: Aes, key: bytes, x: list[int], field: int = 128) -> list[int]:
    """One pass: block i is added to i + j for each bit j - 1 of its tap word, and X times it to i + 25."""
    n = len(x)
    taps = words(stream(aes, key, 4 * n), 4)
    y = [*x, *[0] * (RANDOM_TAPS + 1)]
    for i in range(n):
        for j in range(1, RANDOM_TAPS + 1):
            if taps[i] >> (j - 1) & 1:
                y[i + j] ^= y[i]
        y[i + RANDOM_TAPS + 1] ^= times_x(y[i], field)
    for i in range(RANDOM_TAPS + 1):
        y[i] ^= y[n + i]
    return y[:n]


def expander_rows(aes: Aes, seed: bytes, n_out: int, weight: int, log_code: int) -> list[list[int]]:
    flat = words(stream(aes, part(seed, 3), 4 * n_out * weight), 4)
    mask = (1 << log_code) - 1
    return [[word & mask for word in flat[i * weight : (i + 1) * weight]] for i in range(n_out)]


def expand_convolute(
    aes: Aes, seed: bytes, vector: list[int], weight: int, n_out: int, field: int = 128
) -> list[int]:
    x = convolute(aes, part(seed, 2), convolute(aes, part(seed, 1), vector, field), field)
    out = []
    for row in expander_rows(aes, seed, n_out, weight, len(vector).bit_length() - 1):
        total = 0
        for position in row:
            total ^= x[position]
        out.append(total)
    return out


def correlated_tree(aes: Aes, key: bytes, seed: int, delta: int, depth: int) -> tuple[list[int], list[int]]:
    """(leaves, sum of the left nodes of each level): children of x are H(x) and H(x) ^ x [GYWZXLZ23, Fig. 3]."""

    def hashed(x: int) -> int:
        low, high = x & (1 << 64) - 1, x >> 64
        sigma = (low ^ high) << 64 | high
        return int.from_bytes(aes(key, sigma.to_bytes(16, "little")), "little") ^ sigma

    level, sums = [seed, seed ^ delta], []
    for _ in range(depth):
        total = 0
        for left in level[::2]:
            total ^= left
        sums.append(total)
        if len(sums) < depth:
            level = [child for x in level for child in (hashed(x), hashed(x) ^ x)]
    return level, sums
