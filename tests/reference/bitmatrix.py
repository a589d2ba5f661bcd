# SPDX-License-Identifier: Apache-2.0
"""Bit matrices and GF(2^m) as Python integers: slow and obvious. Standard library only."""

from __future__ import annotations

# The polynomials as integers, bit i the coefficient of x^i.
MODULI = {
    1: 0b10,
    2: 0b111,
    3: 0b1011,
    4: 0b10011,
    5: 0b100101,
    6: 0b1000011,
    7: 0b10000011,
    8: 0b100011011,
    64: (1 << 64) | 0b11011,
    128: (1 << 128) | 0b10000111,
}


def to_bits(packed: bytes) -> list[int]:
    """Least significant bit of a byte first."""
    return [byte >> i & 1 for byte in packed for i in range(8)]


def from_bits(bits: list[int]) -> bytes:
    """The inverse, the last byte filled with zeros."""
    return bytes(sum(bit << i for i, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))


def transpose(rows: list[bytes], n_columns: int) -> list[bytes]:
    bits = [to_bits(row) for row in rows]
    return [from_bits([row[column] for row in bits]) for column in range(n_columns)]


def carryless(a: int, b: int) -> int:
    """The product of two polynomials over GF(2)."""
    product = 0
    while b:
        product ^= a * (b & 1)
        a, b = a << 1, b >> 1
    return product


def reduce(a: int, modulus: int) -> int:
    """The remainder of long division."""
    degree = modulus.bit_length() - 1
    for i in range(a.bit_length() - 1, degree - 1, -1):
        if a >> i & 1:
            a ^= modulus << (i - degree)
    return a


def multiply(a: int, b: int, m: int) -> int:
    """In GF(2^m)."""
    return reduce(carryless(a, b), MODULI[m])


def power(a: int, n: int, m: int) -> int:
    result = reduce(1, MODULI[m])
    for _ in range(n):
        result = multiply(result, a, m)
    return result


def is_irreducible(polynomial: int) -> bool:
    """By trial division with every polynomial of at most half the degree: for small ones."""
    degree = polynomial.bit_length() - 1
    return all(reduce(polynomial, d) != 0 for d in range(2, 1 << (degree // 2 + 1)))


def gcm_to_crypsis(block: bytes) -> bytes:
    """GCM's element to ours: there, the *most* significant bit of byte 0 is the coefficient of x^0 [SP 800-38D, 6.3].

    Reversing the bits within every byte turns one order into the other; the modulus is the same polynomial.
    """
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in block)


def pack_elements(elements: list[int], k: int) -> bytes:
    return from_bits([element >> i & 1 for element in elements for i in range(k)])
