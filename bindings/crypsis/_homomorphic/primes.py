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
