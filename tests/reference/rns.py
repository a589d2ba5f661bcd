# SPDX-License-Identifier: Apache-2.0
"""The residue number system of CKKS [CHKKS18, HK20] over Python's integers: slow, obvious, exact.

A polynomial of Z[X] / (X^N + 1) is a list of N integers; its residues are one list of N integers for each modulus,
coefficients in their natural order (never transformed). Nothing here is approximate: the digit of a polynomial is the
centred residue modulo the product of the digit's moduli, divisions round to the nearest integer. All moduli are odd, so
that no centred residue and no rounding is ambiguous.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Polynomial = list[int]
Residues = list[list[int]]  # [modulus][coefficient]


@dataclass(frozen=True)
class Chain:
    """q_0 .. q_(L-1), special p_0 .. p_(k-1), digits of `alpha` moduli each (the last may have fewer)."""

    moduli: tuple[int, ...]
    special: tuple[int, ...]
    alpha: int = 1

    def full(self, level: int) -> tuple[int, ...]:
        return self.moduli[: level + 1] + self.special

    def digits(self, level: int) -> list[tuple[int, ...]]:
        """The moduli of each digit that are left at a level."""
        left = self.moduli[: level + 1]
        return [left[i : i + self.alpha] for i in range(0, len(left), self.alpha)]


def centred(value: int, modulus: int) -> int:
    """The residue of least magnitude modulo an odd number: in [-(modulus - 1) / 2, (modulus - 1) / 2]."""
    half = (modulus - 1) // 2
    return (value + half) % modulus - half


def divide_round(value: int, divisor: int) -> int:
    """The integer nearest to value / divisor, for an odd divisor."""
    return (value - centred(value, divisor)) // divisor


def reduce(polynomial: Sequence[int], moduli: Sequence[int]) -> Residues:
    return [[c % m for c in polynomial] for m in moduli]


def combine(residues: Residues, moduli: Sequence[int]) -> Polynomial:
    """The centred polynomial with these residues (Chinese remainder theorem)."""
    product = math.prod(moduli)
    weights = [product // m * pow(product // m, -1, m) for m in moduli]
    columns = zip(*residues, strict=True)
    return [centred(sum(w * r for w, r in zip(weights, c, strict=True)), product) for c in columns]


def decompose(c: Residues, chain: Chain, level: int) -> list[Polynomial]:
    """The digits of c as integers: digit j is c modulo the product of the moduli of digit j, centred."""
    digits = []
    for j, moduli in enumerate(chain.digits(level)):
        digits.append(combine(c[j * chain.alpha : j * chain.alpha + len(moduli)], moduli))
    return digits


def automorphism(polynomial: Sequence[int], galois: int) -> Polynomial:
    """X -> X^galois for an odd galois: X^N = -1."""
    n = len(polynomial)
    out = [0] * n
    for i, c in enumerate(polynomial):
        to = i * galois % (2 * n)
        out[to % n] += -c if to >= n else c
    return out


def multiply(a: Sequence[int], b: Sequence[int]) -> Polynomial:
    """The product in Z[X] / (X^N + 1); by one product of integers, X = 2^bits [Kronecker]."""
    n = len(a)
    largest = max(map(abs, a), default=0) * max(map(abs, b), default=0) * n + 1
    bits = largest.bit_length() + 2
    product = sum(c << (bits * i) for i, c in enumerate(a)) * sum(c << (bits * i) for i, c in enumerate(b))
    out = [0] * n
    for i in range(2 * n - 1):
        c = product & ((1 << bits) - 1)
        if c >> (bits - 1):
            c -= 1 << bits
        product = (product - c) >> bits
        out[i % n] += -c if i >= n else c
    return out


def add(a: Sequence[int], b: Sequence[int]) -> Polynomial:
    return [x + y for x, y in zip(a, b, strict=True)]


def inner_product(
    digits: Sequence[Polynomial], key: Sequence[Sequence[Residues]], chain: Chain, level: int, galois: int = 1
) -> list[Residues]:
    """Sum over the digits of digit(X^galois) * key, for both halves of the key: residues over full(level).

    key[digit][half][modulus]: residues over q_0 .. q_(L-1), p_0 .. p_(k-1).
    """
    n_all = len(chain.moduli)
    rows = [*range(level + 1), *range(n_all, n_all + len(chain.special))]
    halves = []
    for half in range(2):
        residues = []
        for row, m in zip(rows, chain.full(level), strict=True):
            total = [0] * len(digits[0])
            for digit, keys in zip(digits, key, strict=False):
                moved = automorphism([c % m for c in digit], galois)
                total = add(total, multiply(moved, keys[half][row]))
            residues.append([c % m for c in total])
        halves.append(residues)
    return halves


def divide_special(x: Residues, chain: Chain, level: int) -> Residues:
    """round(x / P), P the product of the special moduli."""
    whole = combine(x, chain.full(level))
    return reduce([divide_round(c, math.prod(chain.special)) for c in whole], chain.moduli[: level + 1])


def rescale(x: Residues, chain: Chain, level: int) -> Residues:
    """round(x / q_level)."""
    whole = combine(x, chain.moduli[: level + 1])
    return reduce([divide_round(c, chain.moduli[level]) for c in whole], chain.moduli[:level])


def to_float(value: int) -> float:
    """The nearest double, ties to even; infinite from 2^1024 - 2^970 on."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def compose(x: Residues, chain: Chain, level: int) -> list[float]:
    return [to_float(c) for c in combine(x, chain.moduli[: level + 1])]
