# SPDX-License-Identifier: Apache-2.0
"""Paillier and Okamoto-Uchiyama on Python integers, from their definitions: slow, for tests only.

No CRT, no Montgomery form, no fixed bases; decryption by the Carmichael function as [Pai99] writes it. [OU98].
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd, lcm

import gmpy2


def power(base: int, exponent: int, modulus: int) -> int:
    """base^exponent mod modulus; the exponent may be negative."""
    return int(gmpy2.powmod(base, exponent, modulus))


def encrypt(n: int, message: int, r: int) -> int:
    """(1 + n)^m r^n mod n^2 [Pai99]; m is any integer, taken mod n."""
    return power(1 + n, message % n, n * n) * power(r, n, n * n) % (n * n)


def encrypt_short(n: int, h: int, message: int, a: int) -> int:
    """(1 + n)^m (h^n)^a mod n^2 [DJN10]."""
    return power(1 + n, message % n, n * n) * power(power(h, n, n * n), a, n * n) % (n * n)


def decrypt(p: int, q: int, ciphertext: int) -> int:
    """m mod n: L(c^lambda mod n^2) / L(g^lambda mod n^2) with L(x) = (x - 1) / n [Pai99]."""
    n, order = p * q, lcm(p - 1, q - 1)
    top = (power(ciphertext, order, n * n) - 1) // n
    bottom = (power(1 + n, order, n * n) - 1) // n
    return top * power(bottom, -1, n) % n


def signed(value: int, modulus: int) -> int:
    """The representative from -modulus/2 to modulus/2."""
    return value - modulus if value > modulus // 2 else value


def units(n: int) -> list[int]:
    """The invertible residues mod n."""
    return [r for r in range(1, n) if gcd(r, n) == 1]


def encrypt_ou(n: int, g: int, h: int, message: int, r: int) -> int:
    """g^m h^r mod n [OU98]; m may be negative."""
    return power(g, message, n) * power(h, r, n) % n


def decrypt_ou(p: int, g: int, ciphertext: int) -> int:
    """m mod p: L(c^(p-1) mod p^2) / L(g^(p-1) mod p^2) mod p with L(x) = (x - 1) / p [OU98]."""
    top = (power(ciphertext, p - 1, p * p) - 1) // p
    bottom = (power(g, p - 1, p * p) - 1) // p
    return top * power(bottom, -1, p) % p


def encode_float(value: float) -> tuple[int, int]:
    """(mantissa, exponent) with value = mantissa * 16^exponent exactly and exponent = floor(lsb / 4).

    lsb is the binary place of the last of the 53 bits of the mantissa; it is found here by halving and doubling.
    """
    exact = Fraction(value)
    place = 0  # |value| = f * 2^place with 1/2 <= f < 1
    size = abs(exact)
    while size and size >= 1:
        size /= 2
        place += 1
    while size and size < Fraction(1, 2):
        size *= 2
        place -= 1
    exponent = (place - 53) // 4
    mantissa = exact / Fraction(16) ** exponent
    if mantissa.denominator != 1:
        raise ValueError(f"{value!r} has more than 53 bits")
    return int(mantissa), exponent
