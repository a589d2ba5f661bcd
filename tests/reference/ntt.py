# SPDX-License-Identifier: Apache-2.0
"""The ring Z_p[x] / (x^N + 1) and its transform on Python integers, by the definitions."""

from __future__ import annotations

from collections.abc import Sequence

BASES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)


def is_prime(n: int) -> bool:
    """Fermat's and Miller's tests with thirteen bases: right for all n below 3.3 10^24 [SW17]."""
    if n < 2:
        return False
    for base in BASES:
        if n % base == 0:
            return n == base
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in BASES:
        powers = [pow(base, odd << i, n) for i in range(twos)]
        if powers[0] != 1 and n - 1 not in powers:
            return False
    return True


def find_primes(log_n: int, bits: Sequence[int]) -> list[int]:
    """The largest prime below 2^bits that is 1 mod 2N and not found before, for each entry."""
    found: list[int] = []
    for size in bits:
        candidates = range((1 << size) - (2 << log_n) + 1, 1 << (size - 1), -(2 << log_n))
        found.append(next(p for p in candidates if p not in found and is_prime(p)))
    return found


def smallest_root(log_n: int, p: int) -> int:
    """The smallest psi with psi^N = -1 mod p."""
    n = 1 << log_n
    root = next(r for r in (pow(g, (p - 1) // (2 * n), p) for g in range(2, p)) if pow(r, n, p) == p - 1)
    square, smallest = root * root % p, root
    for _ in range(n):
        root = root * square % p
        smallest = min(smallest, root)
    return smallest


def reverse_bits(i: int, n_bits: int) -> int:
    return int(format(i, f"0{n_bits}b")[::-1], 2)


def evaluate(a: Sequence[int], x: int, p: int) -> int:
    """a(x) mod p by Horner's rule."""
    value = 0
    for coefficient in reversed(a):
        value = (value * x + coefficient) % p
    return value


def direct(a: Sequence[int], log_n: int, p: int) -> list[int]:
    """The transform by its definition, N^2 products: a(psi^(2 brev(j) + 1)) for each j."""
    psi = smallest_root(log_n, p)
    return [evaluate(a, pow(psi, 2 * reverse_bits(j, log_n) + 1, p), p) for j in range(len(a))]


def forward(a: Sequence[int], log_n: int, p: int) -> list[int]:
    """The same by halving: a mod (x^(N/2) - r) and a mod (x^(N/2) + r), where r^2 = -1, and so on."""
    psi = smallest_root(log_n, p)

    def remainders(part: list[int], exponent: int) -> list[int]:
        """Of a polynomial modulo x^len(part) - psi^exponent: its values at the roots, bit-reversed."""
        half = len(part) // 2
        if half == 0:
            return part
        root = pow(psi, exponent // 2, p)
        low, high = part[:half], part[half:]
        plus = [(x + root * y) % p for x, y in zip(low, high, strict=True)]
        minus = [(x - root * y) % p for x, y in zip(low, high, strict=True)]
        return remainders(plus, exponent // 2) + remainders(minus, exponent // 2 + (1 << log_n))

    return remainders(list(a), 1 << log_n)


def inverse(values: Sequence[int], log_n: int, p: int) -> list[int]:
    """The polynomial with these values: the halving, backwards."""
    psi = smallest_root(log_n, p)
    half_inverse = pow(2, -1, p)

    def combine(part: list[int], exponent: int) -> list[int]:
        half = len(part) // 2
        if half == 0:
            return part
        plus = combine(part[:half], exponent // 2)
        minus = combine(part[half:], exponent // 2 + (1 << log_n))
        back = pow(psi, -(exponent // 2), p)
        low = [(x + y) * half_inverse % p for x, y in zip(plus, minus, strict=True)]
        high = [(x - y) * half_inverse * back % p for x, y in zip(plus, minus, strict=True)]
        return low + high

    return combine(list(values), 1 << log_n)


def product(a: Sequence[int], b: Sequence[int], p: int) -> list[int]:
    """a b mod (x^N + 1, p), N^2 products."""
    n = len(a)
    result = [0] * n
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            sign = 1 if i + j < n else -1
            result[(i + j) % n] = (result[(i + j) % n] + sign * x * y) % p
    return result


def automorphism(a: Sequence[int], galois: int, p: int) -> list[int]:
    """a(x^galois) on coefficients."""
    n = len(a)
    result = [0] * n
    for i, x in enumerate(a):
        exponent = i * galois % (2 * n)
        result[exponent % n] = x % p if exponent < n else -x % p
    return result
