# SPDX-License-Identifier: Apache-2.0
"""Encryption under the secret key and decryption, a block of polynomials at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import ntt
from crypsis._bgv import words
from crypsis._bgv.ciphertexts import Ciphertexts, Hidden
from crypsis._bgv.parameters import Parameters, blocks
from crypsis._ckks.coins import Coins, expand, public_seed
from crypsis._homomorphic.wiping import wiping

Residues = npt.NDArray[np.uint64]
Words = npt.NDArray[np.uint64]


def times_t(residues: Residues, parameters: Parameters, basis: ntt.Basis) -> Residues:
    """t times any words, in place. basis: of the parameters' primes."""
    return ntt.scale(residues, 1 << parameters.plain_bits, basis, out=residues)


def zero(parameters: Parameters, noise: npt.NDArray[np.int8]) -> Residues:
    """t e in the NTT domain: `int8[..., N]` -> `uint64[..., primes, N]`."""
    residues = times_t(ntt.from_signed(noise, parameters.basis), parameters, parameters.basis)
    return ntt.forward(residues, parameters.basis, out=residues)


def encrypt(parameters: Parameters, s: Residues, key_id: bytes, values: Any, coins: Coins) -> Ciphertexts:
    """See `SecretKey.encrypt`."""
    array = words.check("values", values, parameters, 3, f"[count, n, {parameters.limbs}]")
    count, given = array.shape[:2]
    if given > parameters.n:
        raise ValueError(
            f"values has shape {array.shape}: a ciphertext has {parameters.n} coefficients at most"
        )
    basis, n = parameters.basis, parameters.n
    seed = public_seed()
    body = ntt.empty((count, len(basis), n))
    for part in blocks(count, parameters):
        with wiping() as held:
            size = part.stop - part.start
            noise = held(coins.noise((size, n)))
            # m or m - t, so that its mean is 0: see crypsis._bgv.noise.
            fractions = held(words.fractions(array[part], parameters))
            drawn = held(coins.bytes((size, given, 8)).view(np.uint64)[..., 0])
            noise[:, :given] -= held(drawn < fractions).view(np.int8)
            first = held(times_t(held(ntt.from_signed(noise, basis)), parameters, basis))
            message = held(np.zeros(first.shape, np.uint64))
            message[..., :given] = held(words.to_residues(array[part], parameters))
            ntt.add(first, message, basis, out=first)
            ntt.forward(first, basis, out=first)
            # The product, with a known from its seed, would tell s.
            mask = held(expand(seed, (size,), basis, first=part.start))
            ntt.multiply(mask, s, basis, out=mask)
            ntt.subtract(first, mask, basis, out=body[part])
    return Ciphertexts(parameters, key_id, body, seed)


def decrypt(parameters: Parameters, s: Residues, hidden: Hidden) -> Words:
    """See `SecretKey.decrypt`."""
    basis, places = parameters.basis, hidden.coefficients
    count, small = len(hidden), words.basis_of(parameters, len(places))
    result = np.empty((count, len(places), parameters.limbs), np.uint64)
    for part in blocks(count, parameters):
        with wiping() as held:
            sums = held(ntt.multiply(hidden.second[part], s, basis))
            ntt.inverse(sums, basis, out=sums)
            chosen = held(words.padded(sums[..., places.start : places.stop : places.step], small))
            ntt.add(chosen, words.padded(hidden.first[part], small), small, out=chosen)
            result[part] = held(words.compose(chosen[..., : len(places)], parameters))
    return result
