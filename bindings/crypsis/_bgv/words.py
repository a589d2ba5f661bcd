# SPDX-License-Identifier: Apache-2.0
"""Plaintext values as words of 64 bits, to residues and back. Constant-time in the values."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, ntt, sampling
from crypsis._bgv.parameters import LIMB_BITS, Parameters
from crypsis._homomorphic.wiping import wiping

Words = npt.NDArray[np.uint64]
Residues = npt.NDArray[np.uint64]

HALF_BITS = 25
"""Residues, below 2^50, are cut into two."""
DIGIT_BITS = 22
"""Products of a half and a digit, 33 of them, have an exact sum in a double."""
DIGITS = 6
LOW_DIGIT = (1 << DIGIT_BITS) - 1


def check(name: str, values: Any, parameters: Parameters, axes: int, shape: str) -> Words:
    """`uint64[..., limbs]` with that many axes."""
    array: Words = _arguments.array(name, values, np.uint64)
    if array.ndim != axes or array.shape[-1] != parameters.limbs:
        raise ValueError(f"{name} has shape {array.shape}: give uint64{shape}")
    return array


def to_residues(values: Words, parameters: Parameters) -> Residues:
    """`uint64[count, n, limbs]`, any n, taken mod t -> `uint64[count, primes, n]`."""
    basis = parameters.basis
    count, n = values.shape[:2]
    with wiping() as secret:
        wide = secret(np.zeros((count, len(basis), n, 2), np.uint64))
        wide[..., : parameters.limbs] = values[:, None]
        spare = LIMB_BITS * parameters.limbs - parameters.plain_bits
        if spare:
            wide[..., parameters.limbs - 1] &= np.uint64((1 << (LIMB_BITS - spare)) - 1)
        if sys.byteorder == "big":
            wide.byteswap(inplace=True)
        numbers = wide.view(np.uint8).reshape(count, len(basis), n, sampling.WIDE_BYTES)
        # What makes a residue of 128 random bits does so with any number.
        residues: Residues = sampling.uniform(numbers, basis)
        return residues


def fractions(values: Words, parameters: Parameters) -> Words:
    """floor(2^64 m / t) of `uint64[..., limbs]`."""
    bits = parameters.plain_bits
    if bits <= LIMB_BITS:
        return values[..., 0] << np.uint64(LIMB_BITS - bits)
    if bits == 2 * LIMB_BITS:
        return values[..., 1].copy()
    high = values[..., 1] << np.uint64(2 * LIMB_BITS - bits)
    high |= values[..., 0] >> np.uint64(bits - LIMB_BITS)
    return high


@lru_cache(maxsize=64)
def basis_of(parameters: Parameters, n: int) -> ntt.Basis:
    """The primes with the smallest degree that is at least n: for work on n coefficients, element by element."""
    log_n = max(ntt.MIN_LOG_N, (n - 1).bit_length())
    return parameters.basis if log_n == parameters.log_n else ntt.Basis(log_n, parameters.basis.primes)


def padded(x: Residues, basis: ntt.Basis) -> Residues:
    """`uint64[..., n]`, contiguous and with zeros up to the basis's N: x itself where it is that already."""
    n = x.shape[-1]
    if n == basis.n and x.flags.c_contiguous:
        return x
    wide: Residues = np.zeros((*x.shape[:-1], basis.n), np.uint64)
    wide[..., :n] = x
    return wide


def compose(x: Residues, parameters: Parameters) -> Words:
    """`uint64[count, primes, n]`, any n, of integers below q / 4 in size -> mod t, `uint64[count, n, limbs]`.

    x = sum_i y_i q / p_i - k q with y_i = x_i (q / p_i)^-1 mod p_i, where k is sum_i y_i / p_i rounded: that is within
    1/4 of k but for 2^-48. All of it mod 2^128, in digits of 22 bits whose sums doubles hold exactly.
    """
    primes = parameters.basis.primes
    rests = [parameters.q // prime for prime in primes]
    constants = [rest << shift for shift in (0, HALF_BITS) for rest in rests] + [-parameters.q]
    digits = [
        [constant % 2**128 >> DIGIT_BITS * j & LOW_DIGIT for j in range(DIGITS)] for constant in constants
    ]
    table = np.array(digits, np.float64).T
    count, limbs, n = x.shape
    basis = basis_of(parameters, n)
    inverses = [pow(rest, -1, prime) for rest, prime in zip(rests, primes, strict=True)]
    with wiping() as secret:
        wide = padded(x, basis)
        if wide is not x:
            secret(wide)
        y = secret(ntt.scale(wide, inverses, basis))[..., :n]
        parts = secret(np.empty((count, len(constants), n), np.float64))
        parts[:, limbs:-1] = y >> np.uint64(HALF_BITS)
        parts[:, :-1][:, :limbs] = y & np.uint64((1 << HALF_BITS) - 1)
        weights = np.array([1.0 / prime for prime in primes])
        parts[:, -1] = np.rint(secret(weights @ y.astype(np.float64)))
        sums = secret(secret(table @ parts).astype(np.uint64))
        low, high = secret(np.zeros((2, count, n), np.uint64))
        for j in range(DIGITS):
            _add_shifted(low, high, sums[:, j], DIGIT_BITS * j)
        words = secret(np.stack((low, high), axis=-1))
        result: Words = secret.result(np.ascontiguousarray(words[..., : parameters.limbs]).copy())
    spare = LIMB_BITS * parameters.limbs - parameters.plain_bits
    if spare:
        result[..., -1] &= np.uint64((1 << (LIMB_BITS - spare)) - 1)
    return result


def _add_shifted(low: Words, high: Words, value: Words, shift: int) -> None:
    """(high, low) += value 2^shift, mod 2^128."""
    if shift >= LIMB_BITS:
        high += value << np.uint64(shift - LIMB_BITS)
        return
    part = value << np.uint64(shift)
    low += part
    high += low < part
    if shift:
        high += value >> np.uint64(LIMB_BITS - shift)
