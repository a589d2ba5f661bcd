# SPDX-License-Identifier: Apache-2.0
"""BGV with the message in the low bits [BGV12] over Python's integers: slow, obvious, exact.

A polynomial of Z[x] / (x^N + 1) is a list of N integers. q is any product of odd primes, t a power of two.
"""

from __future__ import annotations

from collections.abc import Sequence

Polynomial = list[int]


def multiply(a: Sequence[int], b: Sequence[int]) -> Polynomial:
    """a b, x^N = -1."""
    n = len(a)
    result = [0] * n
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            if i + j < n:
                result[i + j] += x * y
            else:
                result[i + j - n] -= x * y
    return result


def add(a: Sequence[int], b: Sequence[int]) -> Polynomial:
    return [x + y for x, y in zip(a, b, strict=True)]


def inverted(a: Sequence[int]) -> Polynomial:
    """a(1/x)."""
    return [a[0], *(-x for x in a[:0:-1])]


def compose(residues: Sequence[Sequence[int]], primes: Sequence[int]) -> Polynomial:
    """The integers in (-q / 2, q / 2) with these residues, a row a prime."""
    values, modulus = [0] * len(residues[0]), 1
    for row, prime in zip(residues, primes, strict=True):
        inverse = pow(modulus, -1, prime)
        values = [v + modulus * ((r - v) * inverse % prime) for v, r in zip(values, row, strict=True)]
        modulus *= prime
    return [v - modulus if v > modulus // 2 else v for v in values]


def phase(first: Sequence[int], second: Sequence[int], secret: Sequence[int], q: int) -> Polynomial:
    """c_0 + c_1 s in (-q / 2, q / 2): m + t e."""
    values = [v % q for v in add(first, multiply(second, secret))]
    return [v - q if v > q // 2 else v for v in values]


def packed(values: Sequence[int], bits: int) -> bytes:
    """Numbers of `bits` bits one after the other, from the lowest bit on, filled up to a multiple of 64 numbers."""
    total = sum(value << (bits * i) for i, value in enumerate(values))
    return total.to_bytes(8 * bits * -(-len(values) // 64), "little")
