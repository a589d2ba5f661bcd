# SPDX-License-Identifier: Apache-2.0
"""What the tests of embedding and sampling share: moduli, inputs, and a transform of 64-bit precision."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

EPSILON = 2.0**-53


@dataclass(frozen=True)
class Moduli:
    """What embedding and sampling read of a basis: any odd numbers in range serve, no transform needs them."""

    log_n: int
    primes: tuple[int, ...]

    @property
    def n(self) -> int:
        return 1 << self.log_n

    def __len__(self) -> int:
        return len(self.primes)


# Both ends of the range, the sizes that parameters use, and numbers with long runs of ones and zeros.
PRIMES = (
    2**60 - 93,
    2**60 - 2**14 + 1,
    2**59 + 55,
    2**50 - 27,
    2**45 - 55,
    2**40 + 15,
    2**31 - 1,
    2**30 - 35,
    2**20 + 7,
    0x0AAAAAAAAAAAAAA5 | 1,
)


def random_bytes(label: str, *shape: int) -> np.ndarray:
    """uint8 of SHAKE-128 of the label."""
    digest = hashlib.shake_128(f"crypsis embedding {label}".encode()).digest(int(np.prod(shape)))
    return np.frombuffer(digest, np.uint8).reshape(shape)


def random_reals(label: str, *shape: int) -> np.ndarray:
    """float64 in [-1, 1): multiples of 2^-52, the same on every machine."""
    words = random_bytes(label, *shape, 8).view(np.int64)[..., 0]
    return (words >> 11) * 2.0**-52


def random_slots(label: str, *shape: int) -> np.ndarray:
    return random_reals(label + " re", *shape) + 1j * random_reals(label + " im", *shape)


def _twist(n: int) -> np.ndarray:
    """exp(pi i k / 2 n) for k < n in long doubles."""
    angle = np.longdouble("3.14159265358979323846264338327950288") * np.arange(n) / (2 * n)
    return np.cos(angle) + 1j * np.sin(angle)


def _places(n: int) -> np.ndarray:
    """(5^j - 1) / 4 mod n: where a plain transform of the twisted numbers has slot j."""
    powers = np.empty(n, np.int64)
    power = 1
    for j in range(n):
        powers[j] = power
        power = power * 5 % (4 * n)
    return (powers - 1) // 4


def long_slots(coefficients: np.ndarray) -> np.ndarray:
    """The slots in long doubles, through NumPy's transform: clongdouble[..., N / 2]."""
    n = coefficients.shape[-1] // 2
    c = coefficients.astype(np.longdouble)
    values = np.fft.ifft((c[..., :n] + 1j * c[..., n:]) * _twist(n), norm="forward")
    assert values.dtype == np.clongdouble
    return values[..., _places(n)]


def long_coefficients(slots: np.ndarray) -> np.ndarray:
    """And back: longdouble[..., N] from all N / 2 slots."""
    n = slots.shape[-1]
    values = np.empty(slots.shape, np.clongdouble)
    values[..., _places(n)] = slots
    packed = np.fft.fft(values, norm="forward") * np.conj(_twist(n))
    return np.concatenate([packed.real, packed.imag], axis=-1)


def higham_bound(n: int) -> float:
    """Relative error of a transform's result as a vector [Higham02, Theorem 24.2], two roundings more for the scale."""
    eta = EPSILON + 4 * EPSILON / (1 - 4 * EPSILON) * (2**0.5 + EPSILON)
    stages = max(1, n.bit_length() - 1)
    return stages * eta / (1 - stages * eta) + 2 * EPSILON


def relative_error(found: np.ndarray, right: np.ndarray) -> float:
    """2-norm of the difference over that of what is right."""
    difference = (found - right).ravel()
    return float(np.sqrt(np.sum(np.abs(difference) ** 2) / np.sum(np.abs(right.ravel()) ** 2)))


def residues(values: list[int], primes: tuple[int, ...]) -> np.ndarray:
    return np.array([[v % p for v in values] for p in primes], np.uint64)
