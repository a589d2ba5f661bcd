# SPDX-License-Identifier: Apache-2.0
"""Integer helpers: `phe.util`'s names and results. Numbers of any size, one at a time, variable-time.

gmpy2 does the work where it is installed, Python's integers where not.
"""

from __future__ import annotations

import base64
import importlib
import math
import secrets
from types import ModuleType

gmpy2: ModuleType | None
try:
    gmpy2 = importlib.import_module("gmpy2")
except ImportError:  # GPU hosts have none
    gmpy2 = None

HAVE_GMP = gmpy2 is not None
HAVE_CRYPTO = False
"""Whether pycrypto makes the primes: never here."""

MILLER_RABIN_ROUNDS = 25


def _primes_below(limit: int) -> list[int]:
    sieve = bytearray([1]) * limit
    sieve[:2] = b"\0\0"
    for i in range(2, math.isqrt(limit) + 1):
        if sieve[i]:
            sieve[i * i :: i] = bytes(len(range(i * i, limit, i)))
    return [i for i in range(limit) if sieve[i]]


first_primes = _primes_below(17864)
"""The first 2048 primes."""
_SMALL_PRODUCT = math.prod(first_primes[:200])


def powmod(a: int, b: int, c: int) -> int:
    """a^b mod c. ValueError where b is negative and a not invertible, or c is 0."""
    if a == 1:
        return 1
    if gmpy2 is None or b < 0 or c <= 0 or max(a, b, c) < 1 << 64:
        return pow(a, b, c)
    return int(gmpy2.powmod(a, b, c))


def mulmod(a: int, b: int, c: int) -> int:
    """a * b mod c. ZeroDivisionError for c = 0."""
    if gmpy2 is None or max(a, b, c) < 1 << 1000:
        return a * b % c
    return int(gmpy2.mpz(a) * b % c)


def invert(a: int, b: int) -> int:
    """The inverse of a modulo b. ZeroDivisionError where there is none."""
    if not (isinstance(a, int) and isinstance(b, int)):
        raise TypeError(f"cannot invert {type(a).__name__} modulo {type(b).__name__}: give integers")
    if abs(b) < 2:
        raise ZeroDivisionError(f"there are no inverses modulo {b}")
    try:
        return int(gmpy2.invert(a, abs(b))) if gmpy2 else pow(a, -1, abs(b))
    except (ZeroDivisionError, ValueError):
        raise ZeroDivisionError("the number has no inverse: it shares a factor with the modulus") from None


def getprimeover(N: int) -> int:  # noqa: N803  (python-paillier's name)
    """A random prime p > 2^(N - 1), of N bits but for N below about 10, where it may be the next prime above 2^N.

    A random start of N bits, then the first prime from there. For keys, `generate_paillier_keypair` draws anew for
    each candidate instead.
    """
    if N < 1:
        raise ValueError(f"N is {N}: give a positive number of bits")
    if N == 1:
        return 2
    candidate = 1 << (N - 1) | secrets.randbits(N - 1) | 1
    while not is_prime(candidate):
        candidate += 2
    return candidate


def isqrt(N: int) -> int:  # noqa: N803
    """The integer square root. ValueError for negative numbers."""
    return math.isqrt(N)


def improved_i_sqrt(n: int) -> int:
    """The integer square root."""
    return math.isqrt(n)


def miller_rabin(n: int, k: int) -> bool:
    """Whether an n > 3 passes k rounds of the Miller-Rabin test with random bases. ValueError for smaller n."""
    if n <= 3:
        raise ValueError(f"n is {n}: give a number above 3")
    if n % 2 == 0:
        return False
    twos = ((n - 1) & -(n - 1)).bit_length() - 1
    odd = (n - 1) >> twos
    return all(_passes(2 + secrets.randbelow(n - 3), n, odd, twos) for _ in range(k))


def _passes(base: int, n: int, odd: int, twos: int) -> bool:
    x = powmod(base, odd, n)
    if x in (1, n - 1):
        return True
    for _ in range(twos - 1):
        x = x * x % n
        if x == n - 1:
            return True
    return False


def is_prime(n: int, mr_rounds: int = MILLER_RABIN_ROUNDS) -> bool:
    """Whether n is prime, wrong for a composite with probability at most 4^-mr_rounds."""
    if n <= first_primes[-1]:
        return n in first_primes
    n = int(n)
    if math.gcd(n, _SMALL_PRODUCT) != 1:
        return False
    if gmpy2 is not None:  # GMP runs Baillie-PSW in place of the first 24 rounds
        return bool(gmpy2.is_prime(n, max(25, mr_rounds)))
    return miller_rabin(n, mr_rounds)


def extended_euclidean_algorithm(a: int, b: int) -> tuple[int, int, int]:
    """(r, s, t) with r = s a + t b, r a greatest common divisor."""
    r, r_next, s, s_next, t, t_next = a, b, 1, 0, 0, 1
    while r_next:
        quotient = r // r_next
        r, r_next = r_next, r - quotient * r_next
        s, s_next = s_next, s - quotient * s_next
        t, t_next = t_next, t - quotient * t_next
    return r, s, t


def base64url_encode(payload: bytes | str) -> str:
    """URL-safe base64 without padding, as JSON Web Keys have it [RFC 7515, 2]."""
    data = payload.encode() if isinstance(payload, str) else payload
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def base64url_decode(payload: str) -> bytes:
    """The bytes of `base64url_encode`'s text, padded or not. ValueError for what is no base64."""
    missing = -len(payload.rstrip("=")) % 4
    if missing == 3:
        raise ValueError(
            f"base64 text of {len(payload)} characters is cut off: no text of bytes has that length"
        )
    return base64.urlsafe_b64decode(payload.rstrip("=") + "=" * missing)


def int_to_base64(source: int) -> str:
    """A positive integer as big-endian bytes in URL-safe base64. ValueError for others."""
    if source.__index__() <= 0:
        raise ValueError(f"{source} is not positive: only positive integers have this form")
    return base64url_encode(source.to_bytes(-(-source.bit_length() // 8), "big"))


def base64_to_int(source: str) -> int:
    """The integer of `int_to_base64`'s text. ValueError for what is no base64, or empty."""
    data = base64url_decode(source)
    if not data:
        raise ValueError("the base64 text is empty: it holds no number")
    return int.from_bytes(data, "big")
