# SPDX-License-Identifier: Apache-2.0
"""The canonical embedding by direct evaluation, O(N^2) or slower, and exact roundings and roots of unity."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction


def root(n: int, exponent: int) -> complex:
    """zeta^exponent, zeta = exp(pi i / n): the angle is reduced below 45 degrees, where cmath is right to an ulp."""
    exponent %= 2 * n
    turns, rest = divmod(4 * exponent, 2 * n)  # quarters, and 4 times what is left
    angle = math.pi * (rest / 4) / n
    return (1, 1j, -1, -1j)[turns] * cmath.exp(1j * angle)


def galois(n: int, j: int) -> int:
    """The exponent of slot j: 5^j mod 2 n."""
    return pow(5, j, 2 * n)


def evaluate(coefficients: Sequence[float], exponent: int) -> complex:
    """The polynomial at zeta^exponent, sums rounded once."""
    n = len(coefficients)
    terms = [c * root(n, exponent * k) for k, c in enumerate(coefficients)]
    return complex(math.fsum(t.real for t in terms), math.fsum(t.imag for t in terms))


def to_slots(coefficients: Sequence[float]) -> list[complex]:
    """Values at zeta^(5^j) for j < n / 2."""
    n = len(coefficients)
    return [evaluate(coefficients, galois(n, j)) for j in range(n // 2)]


def to_coefficients(slots: Sequence[complex], n: int) -> list[float]:
    """The real polynomial of degree below n with these slots, then zeros: (2 / n) Re sum z_j conj(zeta^(5^j k))."""
    found = []
    for k in range(n):
        terms = [(z * root(n, -galois(n, j) * k)).real for j, z in enumerate(slots)]
        found.append(math.fsum(terms) * 2 / n)
    return found


def nearest(value: float) -> int:
    """The nearest integer, ties to even, of a double of any size: exact."""
    return round(Fraction(value))


def to_residues(coefficients: Sequence[float], primes: Sequence[int]) -> list[list[int]]:
    """nearest(c) mod p, a row a prime."""
    return [[nearest(c) % p for c in coefficients] for p in primes]


def multiply(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """a b mod x^n + 1."""
    n = len(a)
    terms: list[list[float]] = [[] for _ in range(n)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            terms[(i + j) % n].append(x * y if i + j < n else -x * y)
    return [math.fsum(row) for row in terms]


def automorphism(a: Sequence[float], exponent: int) -> list[float]:
    """a(x^exponent) mod x^n + 1, the exponent odd."""
    n = len(a)
    out = [0.0] * n
    for k, c in enumerate(a):
        turns, place = divmod(exponent * k, n)
        out[place] = -c if turns % 2 else c
    return out


def exact_root(order: int, exponent: int) -> tuple[float, float]:
    """cos and sin of 2 pi exponent / order rounded to nearest, by 60 digits of their series."""
    with localcontext() as context:
        context.prec = 60
        angle = 2 * _pi() * (exponent % order) / order
        return float(_series(angle, 0)), float(_series(angle, 1))


def _pi() -> Decimal:
    """Machin's formula."""

    def arctan_inverse(x: int) -> Decimal:
        term = total = Decimal(1) / x
        k = 1
        while abs(term) > Decimal(10) ** -58:
            term /= -x * x
            k += 2
            total += term / k
        return total

    return 4 * (4 * arctan_inverse(5) - arctan_inverse(239))


def _series(angle: Decimal, first: int) -> Decimal:
    """The cosine (first = 0) or sine (1)."""
    term = angle if first else Decimal(1)
    total, k = term, first
    while abs(term) > Decimal(10) ** -58 or k < 20:
        term = -term * angle * angle / ((k + 1) * (k + 2))
        k += 2
        total += term
    return total
