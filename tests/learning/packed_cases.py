# SPDX-License-Identifier: Apache-2.0
"""Messages of `crypsis.mpc.learning.linear.packed`, opened with the secret keys of both parties."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pytest

from crypsis import bgv, ntt
from crypsis.errors import CrypsisError
from crypsis.mpc.learning.linear import packed

N = packed.PARAMETERS.n


@dataclass
class Keys:
    """Secret keys in the order in which they were made."""

    made: list[bgv.SecretKey]

    def named(self, name: bytes) -> bgv.SecretKey:
        """The one with that id."""
        return next(key for key in self.made if key.id == name)


def recording_keys(patch: pytest.MonkeyPatch) -> Keys:
    """Keeps the keys that parties make from now on."""
    keys = Keys([])
    generate = bgv.SecretKey.generate

    def kept(*given: Any) -> bgv.SecretKey:
        keys.made.append(generate(*given))
        return keys.made[-1]

    patch.setattr(bgv.SecretKey, "generate", kept)
    return keys


def parsed(raw: bytes, keys: Keys, layouts: list[bgv.Layout]) -> bgv.Ciphertexts | bgv.Hidden | None:
    """What a message is: it is read with every key as everything that a product of those layouts sends."""
    found = []
    for key in keys.made:
        for count in range(1, packed.BLOCK + 1):
            for read, options in _forms(layouts):
                try:
                    found.append(read.from_bytes(raw, key.public_key, count, **options))
                except CrypsisError:
                    continue
    return found[0] if found else None


def _forms(layouts: list[bgv.Layout]) -> list[tuple[Any, dict[str, Any]]]:
    places = {layout.forward_coefficients for layout in layouts}
    places |= {layout.backward_coefficients for layout in layouts}
    return [(bgv.Ciphertexts, {}), *((bgv.Hidden, {"coefficients": each}) for each in places)]


def sums(key: bgv.SecretKey, message: bgv.Ciphertexts | bgv.Hidden) -> list[list[int]]:
    """c_0 + c_1 s of each polynomial, at the coefficients that travel, from -q / 2 to q / 2: m + t (noise)."""
    basis = packed.PARAMETERS.basis
    product = ntt.inverse(ntt.multiply(message.second, key._s, basis), basis)
    if isinstance(message, bgv.Hidden):
        places, first = message.coefficients, message.first
    else:
        places, first = range(N), ntt.inverse(message.first, basis)
    total = first.astype(object) + product[..., places.start : places.stop : places.step].astype(object)
    q, result = prod(basis.primes), []
    factors = [q // prime * pow(q // prime, -1, prime) for prime in basis.primes]
    for polynomial in total:
        values = [
            sum(int(r) * f for r, f in zip(column, factors, strict=True)) % q for column in polynomial.T
        ]
        result.append([value - q if value > q // 2 else value for value in values])
    return result


def check_hidden(key: bgv.SecretKey, message: bgv.Hidden, noise_bits: int) -> np.ndarray:
    """That the noise is a flood of that many bits; the plaintexts, bit by bit: float64[values, 128]."""
    values = [value for polynomial in sums(key, message) for value in polynomial]
    noises = [value >> 128 for value in values]
    assert all(abs(noise) < 1 << noise_bits + 3 for noise in noises)
    # A sum of four uniform numbers is below a 64th of its bound with probability 0.01 or so.
    small = sum(abs(noise) < 1 << noise_bits - 4 for noise in noises)
    assert small <= 2 + 0.1 * len(noises), "the noise, which tells the evaluator's matrix, is not flooded"
    return np.array([[value >> bit & 1 for bit in range(128)] for value in values], dtype=float)


def check_uniform(bits: np.ndarray) -> None:
    """That each bit is 1 half of the time, up to 6.5 standard deviations."""
    assert np.abs(bits.mean(axis=0) - 0.5).max() * 2 * np.sqrt(len(bits)) < 6.5


def unhidden(
    products: bgv.Products, key: bgv.PublicKey, masks: Any, noise_bits: int, *, coefficients: range
) -> bgv.Hidden:
    """What `bgv.hide` must not be: masks alone."""
    basis, chosen = (
        packed.PARAMETERS.basis,
        np.s_[..., coefficients.start : coefficients.stop : coefficients.step],
    )
    first = ntt.inverse(products.first, basis)[chosen]
    primes = np.array(basis.primes, dtype=object)[:, None]
    number = masks[..., 0].astype(object) + (masks[..., 1].astype(object) << 64)
    added = (first.astype(object) + number[:, None, :]) % primes
    return bgv.Hidden(
        packed.PARAMETERS, products.key_id, added.astype(np.uint64), products.second, coefficients
    )
