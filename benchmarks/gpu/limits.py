# SPDX-License-Identifier: Apache-2.0
"""What a multiprocessor can do a clock, and how much of it one item needs.

The limit of a case is multiprocessors * clock * rate / need.

The rates are those of Hopper's tables as far as published; `wide` is inferred (32 lanes a clock, half rate), which the
unit of that name measures. Needs are counts of the algorithm, not of our machine code: 100 % means no overhead at all.
"""

from __future__ import annotations

from dataclasses import dataclass

PER_CLOCK = {"wide": 32.0, "alu": 64.0}
"""Lane operations a clock of one multiprocessor: IMAD.WIDE; IADD3, LOP3 and SHF together."""
ALU_OPS = {"sha256": 1024, "sm3": 1068, "blake3": 456}
"""Rotations, shifts and logic of one compression; every addition goes to the FMA pipe (kernels/hashing/NOTES.md)."""


@dataclass(frozen=True)
class Need:
    """Lane operations of a unit for one item, and the sum that says so."""

    unit: str
    per_item: float
    what: str

    def per_second(self, multiprocessors: int, clock_hz: float, per_clock: float | None = None) -> float:
        """The most items a second; `per_clock` where the unit was measured."""
        rate = PER_CLOCK[self.unit] if per_clock is None else per_clock
        return multiprocessors * clock_hz * rate / self.per_item


def mul_wides(bits: int) -> int:
    """IMAD.WIDE of one Montgomery product."""
    n = -(-bits // 32)
    return 2 * n * n + n


def sqr_wides(bits: int) -> int:
    """IMAD.WIDE of one Montgomery squaring that uses the symmetry."""
    n = -(-bits // 32)
    return n * (n + 1) // 2 + n * n + n


def powm_wides(bits: int, exponent_bits: int) -> float:
    """IMAD.WIDE of one power by sliding windows, the best width."""
    counts = (exponent_bits / w + 2 ** (w - 1) for w in range(1, 12))
    return exponent_bits * sqr_wides(bits) + min(counts) * mul_wides(bits)


def mul(bits: int) -> Need:
    return Need("wide", mul_wides(bits), "2 n^2 + n IMAD.WIDE, n limbs of 32 bits")


def powm(bits: int, exponent_bits: int, times: int = 1) -> Need:
    what = "e squarings of n (n + 1) / 2 + n^2 + n and e / w + 2^(w - 1) products of 2 n^2 + n IMAD.WIDE"
    return Need(
        "wide", times * powm_wides(bits, exponent_bits), what if times == 1 else f"{times} x ({what})"
    )


def comb(bits: int, exponent_bits: int, window: int, times: int = 1) -> Need:
    products = times * -(-exponent_bits // window)
    return Need(
        "wide",
        products * mul_wides(bits),
        f"{products} products of {bits} bits (windows of {window}), 2 n^2 + n IMAD.WIDE each",
    )


def transforms(log_n: int, count: int = 1) -> Need:
    n = count * log_n << (log_n - 1)
    return Need("wide", 7.0 * n, f"{n} butterflies of 5 wide products and 4 IMAD, which count half")


def compression(algorithm: str) -> Need:
    n = ALU_OPS[algorithm]
    return Need("alu", n, f"{n} operations of the integer pipe a compression, one compression a message")
