# SPDX-License-Identifier: Apache-2.0
"""What an item cannot do without, counted from the algorithms, by the backend that does it. A count leaves out what a
backend may do in another way or beside: so it is what there is at least. The sources are the NOTES.md of each slug; the
units, `limits.UNITS`.
"""

from __future__ import annotations

import platform
from math import ceil

from crypsis import okamoto_uchiyama

SCANNED_WINDOW = 7
"""Bits that one look-up takes at most where a table is read whole (csrc/bigint/dispatch.cpp)."""
DIRECT_WINDOW = 10
"""The same where a table is addressed (`bigint.FixedBase`)."""


class Counts(dict[str, float]):
    """Backend -> how many. Sums and multiples are of each."""

    def __add__(self, other: Counts) -> Counts:
        return Counts({backend: self[backend] + other[backend] for backend in self})

    def __mul__(self, times: float) -> Counts:
        return Counts({backend: times * count for backend, count in self.items()})

    __rmul__ = __mul__


# hashing, a block of 64 bytes whose message has 16: in lanes of 32 bits (csrc/hashing/NOTES.md). AVX2 rotates by two
# shifts and a union, or a shuffle for whole bytes, and has no logic of three operands; SHA-NI does two rounds at once;
# portable: additions and logic alone, as ARM64 rotates for nothing beside a logical instruction. Lanes leave out zero
# words: 85 and 140 operations of SHA-256, 77 of BLAKE3.
SHA256 = Counts(
    avx512=(64 * 17 + 48 * 11 + 8 - 85) / 16,
    avx2=(64 * (2 * 11 + 3 + 4 + 7) + 48 * (2 * 9 + 3) + 8 - 140) / 8,
    sha_ni=32,
    portable=64 * (2 * 2 + 3 + 3 + 7) + 48 * (2 * 2 + 3) + 8,
)
BLAKE3 = Counts(
    avx512=(7 * 8 * 14 + 8 - 77) / 16, avx2=(7 * 8 * 18 + 8 - 77) / 8, portable=7 * 8 * (6 + 4) + 8
)
SM3 = Counts(avx512=(64 * 20 + 52 * 7 + 8) / 16)  # 16 lanes only

# curve25519: the 251 steps of a ladder (953 vector operations for eight points, 190 products for one), without the
# doublings and the inversion around them, 1 % more.
LADDER = Counts(avx512=251 * 953 / 8, portable=251 * 190)


# bigint


def product(n_bits: int) -> Counts:
    """A Montgomery product: k = floor(64 limbs / 52) + 1 digits, low and high halves; whole words in portable code."""
    limbs = ceil(n_bits / 64)
    k = 64 * limbs // 52 + 1
    return Counts(avx512=4 * k * k + k, portable=2 * limbs * limbs + limbs)


def squaring(n_bits: int) -> Counts:
    """The same of a number with itself: the products of different digits once only."""
    limbs = ceil(n_bits / 64)
    k = 64 * limbs // 52 + 1
    return Counts(avx512=3 * k * k + 2 * k, portable=limbs * (limbs + 1) / 2 + limbs * limbs + limbs)


def plain_product(n_bits: int) -> Counts:
    """Of numbers not in Montgomery form: two such products, or Barrett's method, a product and two halves of one."""
    limbs = ceil(n_bits / 64)
    return Counts(avx512=2 * product(n_bits)["avx512"], portable=2 * limbs * limbs)


def power(n_bits: int, exponent_bits: int) -> Counts:
    """By fixed windows, of the width that takes least: a table of 2^w powers, of which two cost nothing and half of the
    others squarings, then w squarings and a product a window after the first."""

    def by(w: int) -> Counts:
        more = ceil(exponent_bits / w) - 1
        half = (1 << w) // 2 - 1
        return (w * more + half) * squaring(n_bits) + (more + half) * product(n_bits)

    ways = [by(w) for w in range(1, 9)]
    return Counts({backend: min(way[backend] for way in ways) for backend in ways[0]})


def fixed_power(n_bits: int, exponent_bits: int, window: int = SCANNED_WINDOW) -> Counts:
    """By tables of one base: a product a window after the first."""
    return (ceil(exponent_bits / window) - 1) * product(n_bits)


# Paillier and Okamoto-Uchiyama, by the bits of the key (bindings/crypsis/_homomorphic).


def encrypt_public(bits: int, window: int = SCANNED_WINDOW) -> Counts:
    """hs^r modulo n^2 for r of half the key's bits, from tables; 1 + m n, a product; and the product of both."""
    return fixed_power(2 * bits, bits // 2, window) + 2 * product(2 * bits)


def encrypt_owner(bits: int) -> Counts:
    """The power modulo p^2 and q^2, put together by a product there and one modulo n^2 each; then as above."""
    return 2 * (fixed_power(bits, bits // 2) + product(bits)) + 4 * product(2 * bits)


def decrypt_paillier(bits: int) -> Counts:
    """c out of Montgomery form; modulo p^2 and q^2 it is reduced, raised to p - 1, and the logarithm and its share of m
    are three products."""
    return product(2 * bits) + 2 * (_reduce(2 * bits, bits) + power(bits, bits // 2) + 3 * product(bits))


def short_power(bits: int) -> Counts:
    """Okamoto-Uchiyama's blinding, H^r."""
    return fixed_power(bits, okamoto_uchiyama.short_exponent_bits(bits))


def encrypt_short(bits: int, message_bits: int) -> Counts:
    """H^r, G^(m + 2^k) G^(-2^k) where messages have up to k bits, and the product of both."""
    return short_power(bits) + fixed_power(bits, message_bits + 1) + 2 * product(bits)


def decrypt_short(bits: int) -> Counts:
    """c out of Montgomery form; modulo p^2, two thirds of the key's bits, it is reduced, raised to t, and the logarithm
    is two products."""
    square = 2 * okamoto_uchiyama.prime_bits(bits)
    exponent_bits = okamoto_uchiyama.short_exponent_bits(bits)
    return product(bits) + _reduce(bits, square) + power(square, exponent_bits) + 2 * product(square)


def _reduce(bits: int, square_bits: int) -> Counts:
    """By Horner's rule: a product for each piece of whole limbs below p^2 after the first."""
    return (ceil(ceil(bits / 64) / ((square_bits - 1) // 64)) - 1) * product(square_bits)


# ntt. A butterfly's operations in vectors of 8 or 4, and a product by a known factor or by an unknown one modulo a
# prime (csrc/ntt/NOTES.md, "Count"). With IFMA `vpmullq` counts as one, which it is on some CPUs, and three on others.
# Bringing x back counts where every stage does it; permutations and last reductions are left out. In portable code a
# product of which one half is wanted is an instruction on x86-64, as a whole one is; ARM64 has an instruction a half.
HALF = 1.0 if platform.machine() in ("x86_64", "AMD64") else 0.5


def butterfly(prime_bits: int) -> Counts:
    """(x, y) -> (x + y w, x - y w)."""
    ifma, avx2 = (5, 8) if prime_bits < 50 else (7, 9.5) if prime_bits == 50 else (9, 23)
    return Counts(avx512ifma=ifma / 8, avx512=16 / 8, avx2=avx2 / 4, portable=3 * HALF)


KNOWN = Counts(avx512ifma=3 / 8, avx512=12 / 8, avx2=6 / 4, portable=3 * HALF)
UNKNOWN = Counts(avx512ifma=4 / 8, avx512=12 / 8, avx2=6 / 4, portable=1 + 2 * HALF)


def forward(log_n: int, prime_bits: int) -> Counts:
    """A transform: log N stages of N / 2 butterflies."""
    return log_n * (1 << log_n) / 2 * butterfly(prime_bits)


def inverse(log_n: int, prime_bits: int) -> Counts:
    """The first stage has no products (two operations are left), and all numbers are multiplied at the end."""
    n = 1 << log_n
    return (log_n - 1) * n / 2 * butterfly(prime_bits) + n * KNOWN


# Silent VOLE, both parties of one, at weight 7: random reads and AES blocks (mpc/ot/silent_vole.py, "Cost"). OKVS: the
# places of a key.
VOLE_READS = 21
VOLE_BLOCKS = 12 + 3 * 7 / 4
OKVS_READS = 3
