# SPDX-License-Identifier: Apache-2.0
"""Shamir's shares of 32-byte secrets [Sha79], in the field of the first prime above 2^256."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import gmpy2

from crypsis.errors import ProtocolAbort

PRIME = gmpy2.mpz(2**256 + 297)
SECRET_BYTES = 32
SHARE_BYTES = 33


def split(secret: bytes, need: int, points: Sequence[int]) -> list[bytes]:
    """A share for each point (distinct, 1 to 2^32): any `need` of them give the secret, fewer say nothing of it."""
    coefficients = [gmpy2.mpz(int.from_bytes(secret, "big"))]
    coefficients += [gmpy2.mpz(secrets.randbelow(int(PRIME))) for _ in range(need - 1)]
    shares = []
    for point in points:
        value = gmpy2.mpz(0)
        for coefficient in reversed(coefficients):
            value = (value * point + coefficient) % PRIME
        shares.append(int(value).to_bytes(SHARE_BYTES, "big"))
    return shares


def check(share: bytes) -> bytes:
    """The share, if it is an element of the field. ProtocolAbort otherwise."""
    if len(share) != SHARE_BYTES or int.from_bytes(share, "big") >= PRIME:
        raise ProtocolAbort("a share is not an element of the field; ended")
    return share


def combine(shares: Mapping[int, bytes], need: int) -> bytes:
    """The secret of the shares by point. ProtocolAbort where they are fewer than `need`, or of no 32-byte secret."""
    if len(shares) < need:
        raise ProtocolAbort(f"there are {len(shares)} shares of a secret and {need} are needed")
    points = tuple(sorted(shares))[:need]
    total = gmpy2.mpz(0)
    for point, factor in zip(points, _factors(points), strict=True):
        total += int.from_bytes(shares[point], "big") * factor
    secret = int(total % PRIME)
    if secret >> (8 * SECRET_BYTES):
        raise ProtocolAbort("the shares of a secret do not fit each other: somebody sent a wrong one; ended")
    return secret.to_bytes(SECRET_BYTES, "big")


@lru_cache(maxsize=64)
def _factors(points: tuple[int, ...]) -> tuple[gmpy2.mpz, ...]:
    """Lagrange's, at 0."""
    return tuple(_product(points, point) for point in points)


def _product(points: Iterable[int], own: int) -> gmpy2.mpz:
    above, below = gmpy2.mpz(1), gmpy2.mpz(1)
    for point in points:
        if point != own:
            above = above * point % PRIME
            below = below * (point - own) % PRIME
    return above * gmpy2.invert(below, PRIME) % PRIME
