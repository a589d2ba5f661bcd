# SPDX-License-Identifier: Apache-2.0
"""Keys, numbers and conversions that the tests of crypsis.bgv share."""

from __future__ import annotations

from typing import Any

import numpy as np

from crypsis import backends, bgv, ntt
from reference import bgv as reference

TINY = bgv.Parameters(4, (43,) * 5, 128, insecure_allow_weak=True)
SMALL = bgv.Parameters(6, (50, 50, 45), 40, insecure_allow_weak=True)
ODD = bgv.Parameters(3, (46,) * 5, 100, insecure_allow_weak=True)
SLUGS = ("ntt", "rns", "sampling", "aes")


def forced() -> list[str]:
    """Values of CRYPSIS_BACKEND that force each of the kernels, the best of each slug first."""
    lists = {slug: backends.runnable(slug) for slug in SLUGS}
    longest = max(map(len, lists.values()))
    return [
        ",".join(f"{slug}:{names[min(i, len(names) - 1)]}" for slug, names in lists.items())
        for i in range(longest)
    ]


def values(rng: np.random.Generator, parameters: bgv.Parameters, *shape: int) -> np.ndarray:
    """Uniform mod t."""
    words = rng.integers(0, 2**64, (*shape, parameters.limbs), np.uint64)
    spare = 64 * parameters.limbs - parameters.plain_bits
    words[..., -1] >>= np.uint64(spare)
    return words


def ints(words: np.ndarray) -> Any:
    """`uint64[..., limbs]` as Python integers `object[...]`."""
    total = np.zeros(words.shape[:-1], object)
    for limb in range(words.shape[-1]):
        total += words[..., limb].astype(object) << (64 * limb)
    return total


def polynomials(data: np.ndarray, parameters: bgv.Parameters) -> list[list[int]]:
    """`uint64[count, primes, N]` in the NTT domain as centred integers."""
    found = ntt.inverse(np.ascontiguousarray(data), parameters.basis)
    return [reference.compose(rows.tolist(), parameters.basis.primes) for rows in found]


def secret_of(key: bgv.SecretKey) -> list[int]:
    return polynomials(key._s[None], key.parameters)[0]


def phases(key: bgv.SecretKey, array: Any) -> list[list[int]]:
    """m + t e of ciphertexts or products, by the kernels' transforms and the reference's composition."""
    basis = key.parameters.basis
    sums = ntt.multiply_add(array.second, key._s, array.first, basis)
    return polynomials(sums, key.parameters)


def hidden_phases(key: bgv.SecretKey, hidden: bgv.Hidden) -> list[list[int]]:
    """m + t e of hidden products, at their coefficients."""
    basis = key.parameters.basis
    product = ntt.inverse(ntt.multiply(hidden.second, key._s, basis), basis)
    places = hidden.coefficients
    primes = np.array(basis.primes, np.uint64)[:, None]
    sums = (product[..., places.start : places.stop : places.step] + hidden.first) % primes
    return [reference.compose(rows.tolist(), basis.primes) for rows in sums]
