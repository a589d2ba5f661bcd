# SPDX-License-Identifier: Apache-2.0
"""Random primes for key generation, by gmpy2. Not constant-time: the search itself depends on the candidates."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable
from types import ModuleType

from crypsis.errors import BackendUnavailable

ROUNDS = 40
"""GMP's test is Baillie-PSW, then ROUNDS - 24 Miller-Rabin rounds with random bases: the error is below 4^-16 at worst,
and far smaller for random candidates of these sizes [DLP93]."""


def random_prime(n_bits: int, accept: Callable[[int], bool] = lambda candidate: True) -> int:
    """A uniform prime of exactly `n_bits` bits with its two top bits set, among those that `accept` takes."""
    top = 3 << (n_bits - 2)
    while True:
        candidate = top | secrets.randbits(n_bits - 2) | 1
        if accept(candidate) and is_prime(candidate):
            return candidate


def is_prime(candidate: int) -> bool:
    """Whether a random candidate is prime."""
    return bool(_gmpy2().is_prime(candidate, ROUNDS))


def probably_prime(candidate: int) -> bool:
    """A quick check of primes read from a file: Fermat tests to a few bases, standard library only."""
    return (
        candidate > 3
        and candidate % 2 == 1
        and all(pow(b, candidate - 1, candidate) == 1 for b in (2, 3, 5, 7))
    )


MIN_KEY_BITS = 2048
"""112 bits of security [SP 800-57]; 3072, the default of key generation, is 128 bits. What only
`insecure_allow_small_key` admits is shorter."""
PRIME_BITS_TOLERANCE = 16
"""How far the prime factors may be from half the bits of n, for keys of other libraries. Key generation here and in
python-paillier takes exactly half."""
DISTANCE_BITS = 100
"""Primes of k bits are at least 2^(k - 100) apart, as FIPS 186-5, A.1.3 asks for of RSA primes: against Fermat's
factoring."""


def apart(p: int, q: int) -> bool:
    """Whether two primes of like length are far enough from each other."""
    return bool(abs(p - q) >> max(min(p, q).bit_length() - DISTANCE_BITS, 1))


def check_apart(p: int, q: int) -> None:
    """ValueError where they are not."""
    if not apart(p, q):
        raise ValueError(
            f"the prime factors p and q of n differ by a number of {(p - q).bit_length()} bits only: at least"
            f" {min(p, q).bit_length() - DISTANCE_BITS + 1} are needed against factoring; make a new key with"
            " generate_keypair"
        )


def check_balanced(p: int, q: int) -> None:
    """ValueError for factors of n = p q that are easier to find than n is long: a short one, or two near each other.

    n below MIN_KEY_BITS, which is insecure anyway, is not looked at.
    """
    n_bits = (p * q).bit_length()
    if n_bits < MIN_KEY_BITS:
        return
    half, shorter = n_bits // 2, min(p, q).bit_length()
    if shorter < half - PRIME_BITS_TOLERANCE:
        raise ValueError(
            f"a prime factor of n has {shorter} bits, n has {n_bits}: the primes must have {half} bits each, or up to"
            f" {PRIME_BITS_TOLERANCE} fewer; make a new key with generate_keypair"
        )
    check_apart(p, q)


def jacobi(a: int, n: int) -> int:
    """The Jacobi symbol (a | n), n odd and positive. Public values, not constant-time."""
    result = 1
    a %= n
    while a:
        while a % 2 == 0:
            a //= 2
            if n % 8 in (3, 5):
                result = -result
        a, n = n, a
        if a % 4 == 3 and n % 4 == 3:
            result = -result
        a %= n
    return result if n == 1 else 0


def _gmpy2() -> ModuleType:
    try:
        gmpy2 = importlib.import_module("gmpy2")
    except ImportError:
        raise BackendUnavailable(
            "generating keys needs gmpy2, which is not installed: pip install gmpy2, or make the keys elsewhere"
        ) from None
    return gmpy2
