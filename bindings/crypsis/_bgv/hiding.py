# SPDX-License-Identifier: Apache-2.0
"""What makes a product safe to give back to the key's owner; see `crypsis._bgv.noise` for why and how much."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crypsis import ntt, sampling
from crypsis._arguments import integer, kind
from crypsis._bgv import noise, words
from crypsis._bgv.ciphertexts import Hidden, Products, check_coefficients
from crypsis._bgv.encrypting import times_t, zero
from crypsis._bgv.keys import COINS, PublicKey, check_key
from crypsis._bgv.parameters import Parameters, blocks
from crypsis._ckks.coins import Coins
from crypsis._ckks.sharing import TERMS
from crypsis._homomorphic.wiping import wiping

Residues = npt.NDArray[np.uint64]
Words = npt.NDArray[np.uint64]


def hide(
    products: Products,
    public_key: PublicKey,
    masks: Words,
    noise_bits: int,
    *,
    coefficients: range | None = None,
    coins: Coins | None = None,
) -> Hidden:
    """Products as their key's owner may see them: it learns product + mask mod t at `coefficients`, and nothing else.

    masks: `uint64[count, len(coefficients), limbs]`, added mod t: where they are uniform and used once, so is what the
    owner decrypts. noise_bits: from `Parameters.noise_bits` with public bounds of the plains, since the owner can see
    how much noise there is. coefficients: of each polynomial, that travel; all by default. coins: for tests.

    Added are an encryption of 0 under the public key, so that the second half is another one that looks uniform
    (ring-LWE), and t f with f the sum of four uniform integers of [-2^noise_bits, 2^noise_bits), which leaves of the
    noise, that the plains are in, less than 2^-40 in statistical distance. This holds towards an owner who made its key
    and ciphertexts as it should; those with other noise could reach through.

    ValueError for more noise_bits than there is room for, or fewer than these products need: then the plains are larger
    than the bounds that noise_bits is from. InvalidCiphertext for another key. Constant-time.
    """
    if not isinstance(products, Products):
        raise TypeError(f"products is {kind(products)}: give what crypsis.bgv.matmul returned")
    if not isinstance(public_key, PublicKey):
        raise TypeError(
            f"public_key is {kind(public_key)}: give the crypsis.bgv.PublicKey of the ciphertexts' owner"
        )
    check_key(public_key, products)
    parameters = products.parameters
    places = check_coefficients(coefficients, parameters)
    masks = words.check("masks", masks, parameters, 3, f"[count, coefficients, {parameters.limbs}]")
    count = len(products)
    if masks.shape[:2] != (count, len(places)):
        raise ValueError(
            f"masks has shape {masks.shape}: give uint64[{count}, {len(places)}, {parameters.limbs}], a value for each"
            " coefficient of each product"
        )
    bits = _check_bits(noise_bits, products, len(places))
    basis = parameters.basis
    first = ntt.empty((count, len(basis), len(places)))
    second = ntt.empty((count, len(basis), parameters.n))
    for part in blocks(count, parameters):
        _hide(products, public_key, masks, bits, places, coins or COINS, part, first, second)
    return Hidden(parameters, products.key_id, first, second, places)


def _check_bits(noise_bits: int, products: Products, places: int) -> int:
    parameters = products.parameters
    bits = integer("noise_bits", noise_bits, 0, sampling.MAX_FLOOD_BITS)
    if bits > parameters.max_noise_bits:
        raise ValueError(
            f"noise_bits is {bits}: a result would no longer decrypt, these parameters have room for"
            f" {parameters.max_noise_bits}; give what Parameters.noise_bits gives"
        )
    squared = float(products.squared.max(initial=0.0))
    needed = noise.bits_for(squared, parameters.n, places, 1)
    if bits < needed:
        raise ValueError(
            f"noise_bits is {bits}: to hide these products takes {needed} at least; give Parameters.noise_bits with"
            " bounds that the plains keep"
        )
    return bits


def _hide(
    products: Products,
    key: PublicKey,
    masks: Words,
    bits: int,
    places: range,
    coins: Coins,
    part: slice,
    first: Residues,
    second: Residues,
) -> None:
    """Some rows of `hide`."""
    parameters: Parameters = products.parameters
    basis, n, size = parameters.basis, parameters.n, part.stop - part.start
    small = words.basis_of(parameters, len(places))
    with wiping() as held:
        u = held(ntt.from_signed(held(coins.ternary((size, n))), basis))
        ntt.forward(u, basis, out=u)
        error = held(zero(parameters, held(coins.noise((size, n)))))
        ntt.multiply_add(u, key._mask, error, basis, out=error)
        ntt.add(error, products.second[part], basis, out=second[part])
        # No error of its own: f is a larger one.
        body = held(ntt.multiply_add(u, key._body, products.first[part], basis))
        ntt.inverse(body, basis, out=body)
        some = held(words.padded(body[..., places.start : places.stop : places.step], small))
        stream = held(coins.bytes((TERMS, size, len(places), sampling.WIDE_BYTES)))
        terms = held(sampling.flood(stream, bits, basis))
        flood = held(words.padded(held(terms.sum(axis=0)), small))  # of residues below 2^50: no carry
        ntt.add(some, times_t(flood, parameters, small), small, out=some)
        mask = held(words.padded(held(words.to_residues(masks[part], parameters)), small))
        first[part] = ntt.add(some, mask, small, out=some)[..., : len(places)]
