# SPDX-License-Identifier: Apache-2.0
"""Inputs that ours and a peer's process both make for themselves, and the digests by which answers are compared."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
KEY = bytes(range(16))


def _coins(seed: int) -> random.Random:
    """The same everywhere: nothing here is secret."""
    return random.Random(seed)  # noqa: S311


def rows(n: int, width: int = 16, *, seed: int = 1) -> Bytes:
    """uint8[n, width]; the first rows are the same for every n."""
    return np.random.default_rng(seed).integers(0, 256, (n, width), dtype=np.uint8)


def scalar() -> bytes:
    """An X25519 secret."""
    return hashlib.sha256(b"crypsis bench: scalar").digest()


def modulus(n_bits: int) -> int:
    """Odd, of exactly n_bits bits."""
    return _coins(n_bits).getrandbits(n_bits) | 1 << (n_bits - 1) | 1


def numbers(n_bits: int, n: int, *, seed: int = 1) -> list[int]:
    """Below modulus(n_bits); the first are the same for every n."""
    source, bound = _coins(seed), modulus(n_bits)
    return [source.randrange(1, bound) for _ in range(n)]


def exponent(n_bits: int) -> int:
    """One of half the size, as in decrypting with the primes."""
    return _coins(-n_bits).getrandbits(n_bits // 2) | 1 << (n_bits // 2 - 1)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_of_numbers(values: Iterable[int]) -> str:
    return digest(b",".join(b"%x" % int(value) for value in values))
