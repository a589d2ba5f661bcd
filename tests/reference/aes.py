# SPDX-License-Identifier: Apache-2.0
"""AES-128 as FIPS 197 says it, with the S-box computed from the field; modes and hashes one block at a time."""

from __future__ import annotations

from functools import cache

MODULUS = 0x11B  # x^8 + x^4 + x^3 + x + 1 [FIPS 197, 4.2]
ROUNDS = 10
SEGMENT_BLOCKS = 2048


def multiply(a: int, b: int) -> int:
    """The product in GF(2^8)."""
    product = 0
    for i in range(8):
        if b >> i & 1:
            product ^= a << i
    for i in range(14, 7, -1):
        if product >> i & 1:
            product ^= MODULUS << (i - 8)
    return product


@cache
def substitute(byte: int) -> int:
    """The S-box [FIPS 197, 5.1.1]: the inverse (0 for 0), then the affine map."""
    inverse = next((x for x in range(1, 256) if multiply(byte, x) == 1), 0)
    result = 0
    for i in range(8):
        bits = (inverse >> (i + k) % 8 & 1 for k in (0, 4, 5, 6, 7))
        result |= (sum(bits) + (0x63 >> i) & 1) << i
    return result


def expand(key: bytes) -> list[bytes]:
    """Eleven round keys [FIPS 197, 5.2]."""
    words = [key[4 * i : 4 * i + 4] for i in range(4)]
    constant = 1
    for i in range(4, 4 * (ROUNDS + 1)):
        word = words[i - 1]
        if i % 4 == 0:
            word = bytes(substitute(b) for b in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = multiply(constant, 2)
        words.append(xor(words[i - 4], word))
    return [b"".join(words[4 * r : 4 * r + 4]) for r in range(ROUNDS + 1)]


def xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def encrypt(key: bytes, block: bytes) -> bytes:
    """The cipher [FIPS 197, 5.1]; byte 4 c + r of a block is row r and column c of the state."""
    keys = expand_cached(key)
    state = xor(block, keys[0])
    for r in range(1, ROUNDS + 1):
        state = bytes(substitute(b) for b in state)
        state = bytes(state[(i + 4 * (i % 4)) % 16] for i in range(16))
        if r < ROUNDS:
            state = b"".join(mix_column(state[4 * c : 4 * c + 4]) for c in range(4))
        state = xor(state, keys[r])
    return state


@cache
def expand_cached(key: bytes) -> list[bytes]:
    return expand(key)


def mix_column(a: bytes) -> bytes:
    matrix = (2, 3, 1, 1)
    column = []
    for i in range(4):
        byte = 0
        for j in range(4):
            byte ^= product(matrix[(j - i) % 4], a[j])
        column.append(byte)
    return bytes(column)


@cache
def product(a: int, b: int) -> int:
    return multiply(a, b)


def mmo(key: bytes, x: bytes) -> bytes:
    """pi(x) + x [GKWY20]."""
    return xor(encrypt(key, x), x)


def tmmo(key: bytes, x: bytes, tweak: int) -> bytes:
    """pi(pi(x) + i) + pi(x) [GKWY20]."""
    y = encrypt(key, x)
    return xor(encrypt(key, xor(y, (tweak % 2**128).to_bytes(16, "little"))), y)


def ctr(key: bytes, counter: int, n_bytes: int) -> bytes:
    """The key stream of counter mode [SP 800-38A, 6.5]."""
    n_blocks = -(-n_bytes // 16)
    counters = (((counter + i) % 2**128).to_bytes(16, "big") for i in range(n_blocks))
    return b"".join(encrypt(key, c) for c in counters)[:n_bytes]


def ggm_level(left: bytes, right: bytes, parents: list[bytes]) -> list[bytes]:
    return [mmo(key, parent) for parent in parents for key in (left, right)]


def stream(seed: bytes, begin: int, end: int) -> bytes:
    """Bytes [begin, end) of the generator's stream for a seed of 32 bytes: key, then the first counter."""
    result, position = b"", 0
    size = 16 * (SEGMENT_BLOCKS - 2)
    while position < end:
        key, counter = seed[:16], int.from_bytes(seed[16:], "big")
        low, high = max(begin, position), min(end, position + size)
        if low < high:  # only the blocks that are wanted: this is slow code
            first = (low - position) // 16
            skip = low - position - 16 * first
            result += ctr(key, counter + 2 + first, skip + high - low)[skip:]
        seed = ctr(key, counter, 32)
        position += size
    return result
