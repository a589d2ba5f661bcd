# SPDX-License-Identifier: Apache-2.0
"""SHA-256, SM3, BLAKE3 and HMAC as the documents say them. Slow, obvious, one message at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

MASK = 0xFFFFFFFF


def rotl(x: int, n: int) -> int:
    n %= 32
    return ((x << n) | (x >> (32 - n))) & MASK


def rotr(x: int, n: int) -> int:
    return rotl(x, 32 - n)


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % p for p in found):
            found.append(candidate)
        candidate += 1
    return found


def _cube_root(n: int) -> int:
    low, high = 0, 1 << (n.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= n else (low, middle - 1)
    return low


# The first 32 bits of the fractional parts of roots of primes [FIPS 180-4, 4.2.2 and 5.3.3].
SHA256_IV = [math.isqrt(p << 64) & MASK for p in _primes(8)]
SHA256_K = [_cube_root(p << 96) & MASK for p in _primes(64)]


def _pad(message: bytes) -> bytes:
    """The padding of [FIPS 180-4, 5.1.1] and [GB/T 32905-2016, 5.2]: 1, zeros, the bit length in 64 bits."""
    zeros = -(len(message) + 9) % 64
    return message + b"\x80" + bytes(zeros) + (8 * len(message)).to_bytes(8, "big")


def _blocks(message: bytes) -> list[list[int]]:
    padded = _pad(message)
    words = [int.from_bytes(padded[i : i + 4], "big") for i in range(0, len(padded), 4)]
    return [words[i : i + 16] for i in range(0, len(words), 16)]


def sha256(message: bytes) -> bytes:
    state = list(SHA256_IV)
    for block in _blocks(message):
        w = list(block)
        for t in range(16, 64):
            s0 = rotr(w[t - 15], 7) ^ rotr(w[t - 15], 18) ^ (w[t - 15] >> 3)
            s1 = rotr(w[t - 2], 17) ^ rotr(w[t - 2], 19) ^ (w[t - 2] >> 10)
            w.append((s1 + w[t - 7] + s0 + w[t - 16]) & MASK)
        a, b, c, d, e, f, g, h = state
        for t in range(64):
            big1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)
            t1 = h + big1 + ((e & f) ^ (~e & g)) + SHA256_K[t] + w[t]
            big0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)
            t2 = big0 + ((a & b) ^ (a & c) ^ (b & c))
            a, b, c, d, e, f, g, h = (t1 + t2) & MASK, a, b, c, (d + t1) & MASK, e, f, g
        state = [(x + y) & MASK for x, y in zip(state, (a, b, c, d, e, f, g, h), strict=True)]
    return b"".join(x.to_bytes(4, "big") for x in state)


SM3_IV = [
    int(x, 16)
    for x in ["7380166f", "4914b2b9", "172442d7", "da8a0600", "a96f30bc", "163138aa", "e38dee4d", "b0fb0e4e"]
]


def sm3(message: bytes) -> bytes:
    """[GB/T 32905-2016, 5.3]."""
    state = list(SM3_IV)
    for block in _blocks(message):
        w = list(block)
        for j in range(16, 68):
            x = w[j - 16] ^ w[j - 9] ^ rotl(w[j - 3], 15)
            w.append(x ^ rotl(x, 15) ^ rotl(x, 23) ^ rotl(w[j - 13], 7) ^ w[j - 6])
        prime = [w[j] ^ w[j + 4] for j in range(64)]
        a, b, c, d, e, f, g, h = state
        for j in range(64):
            constant = 0x79CC4519 if j < 16 else 0x7A879D8A
            ss1 = rotl((rotl(a, 12) + e + rotl(constant, j)) & MASK, 7)
            ss2 = ss1 ^ rotl(a, 12)
            ff = a ^ b ^ c if j < 16 else (a & b) | (a & c) | (b & c)
            gg = e ^ f ^ g if j < 16 else (e & f) | (~e & g)
            tt1 = (ff + d + ss2 + prime[j]) & MASK
            tt2 = (gg + h + ss1 + w[j]) & MASK
            d, c, b, a = c, rotl(b, 9), a, tt1
            h, g, f, e = g, rotl(f, 19), e, tt2 ^ rotl(tt2, 9) ^ rotl(tt2, 17)
        state = [x ^ y for x, y in zip(state, (a, b, c, d, e, f, g, h), strict=True)]
    return b"".join(x.to_bytes(4, "big") for x in state)


CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
KEYED_HASH, DERIVE_KEY_CONTEXT, DERIVE_KEY_MATERIAL = 16, 32, 64
PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
COLUMNS_AND_DIAGONALS = [
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
]


def _blake3_compress(cv: list[int], block: bytes, counter: int, flags: int) -> list[int]:
    """[BLAKE3, 2.2], the first eight words of the output."""
    padded = block + bytes(64 - len(block))
    m = [int.from_bytes(padded[i : i + 4], "little") for i in range(0, 64, 4)]
    v = cv + SHA256_IV[:4] + [counter & MASK, counter >> 32, len(block), flags]
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(COLUMNS_AND_DIAGONALS):
            for word, r1, r2 in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                v[a] = (v[a] + v[b] + word) & MASK
                v[d] = rotr(v[d] ^ v[a], r1)
                v[c] = (v[c] + v[d]) & MASK
                v[b] = rotr(v[b] ^ v[c], r2)
        m = [m[p] for p in PERMUTATION]
    return [v[i] ^ v[i + 8] for i in range(8)]


def _to_bytes(words: list[int]) -> bytes:
    return b"".join(x.to_bytes(4, "little") for x in words)


def _blake3_node(key: list[int], data: bytes, first_chunk: int, flags: int, root: int) -> list[int]:
    """A subtree [BLAKE3, 2.1]: the left has the most chunks, a power of two, that leave the right some."""
    if len(data) <= 1024:
        blocks = [data[i : i + 64] for i in range(0, len(data), 64)] or [b""]
        cv = key
        for i, block in enumerate(blocks):
            start = CHUNK_START if i == 0 else 0
            end = CHUNK_END | root if i == len(blocks) - 1 else 0
            cv = _blake3_compress(cv, block, first_chunk, flags | start | end)
        return cv
    n_left = 1 << ((len(data) - 1) // 1024).bit_length() - 1
    left = _blake3_node(key, data[: 1024 * n_left], first_chunk, flags, 0)
    right = _blake3_node(key, data[1024 * n_left :], first_chunk + n_left, flags, 0)
    return _blake3_compress(key, _to_bytes(left + right), 0, flags | PARENT | root)


def blake3(message: bytes, *, key: bytes = b"", context: bytes = b"") -> bytes:
    if key:
        words = [int.from_bytes(key[i : i + 4], "little") for i in range(0, 32, 4)]
        return _to_bytes(_blake3_node(words, message, 0, KEYED_HASH, ROOT))
    if context:
        derived = _blake3_node(SHA256_IV, context, 0, DERIVE_KEY_CONTEXT, ROOT)
        return _to_bytes(_blake3_node(derived, message, 0, DERIVE_KEY_MATERIAL, ROOT))
    return _to_bytes(_blake3_node(SHA256_IV, message, 0, 0, ROOT))


def hmac(function: Callable[[bytes], bytes], key: bytes, message: bytes) -> bytes:
    """[RFC 2104, 2] for keys up to the block of 64 bytes."""
    padded = key + bytes(64 - len(key))
    inner = function(bytes(b ^ 0x36 for b in padded) + message)
    return function(bytes(b ^ 0x5C for b in padded) + inner)


def digest(algorithm: str, message: bytes, *, domain: bytes = b"", key: bytes = b"") -> bytes:
    """What `crypsis.hashing.digest` promises for one message."""
    if algorithm == "blake3":
        return blake3(message, key=key, context=domain)
    function = {"sha256": sha256, "sm3": sm3}[algorithm]
    if key:
        return hmac(function, key, message)
    if domain:
        return function(bytes([len(domain)]) + domain + bytes(63 - len(domain)) + message)
    return function(message)
