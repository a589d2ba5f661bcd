# SPDX-License-Identifier: Apache-2.0
"""Random polynomials from streams of bytes, by the definitions."""

from __future__ import annotations


def numbers(stream: bytes, n_bytes: int) -> list[int]:
    """The stream as little-endian numbers of n_bytes bytes."""
    return [int.from_bytes(stream[i : i + n_bytes], "little") for i in range(0, len(stream), n_bytes)]


def uniform(stream: bytes, p: int) -> list[int]:
    return [x % p for x in numbers(stream, 16)]


def flood(stream: bytes, bits: int, p: int) -> list[int]:
    return [(x % (1 << (bits + 1)) - (1 << bits)) % p for x in numbers(stream, 16)]


def ternary(stream: bytes) -> list[int]:
    return [3 * x // (1 << 64) - 1 for x in numbers(stream, 8)]


def binomial(stream: bytes) -> list[int]:
    return [
        (x % (1 << 21)).bit_count() - (x // (1 << 21) % (1 << 21)).bit_count() for x in numbers(stream, 6)
    ]
