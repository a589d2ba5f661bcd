# SPDX-License-Identifier: Apache-2.0
"""Noise that hides what a decryption share would say about the secrets: how much, and how it is drawn.

A share c1 s_i is c0's complement but for the error e of the ciphertext: whoever knows the other shares and the result
learns e from it, and e is a linear function of s_i. [AJL+12]'s smudging: e + f and f are nearly the same distribution
when f is much wider than e, so a share with f added can be made up from the result alone. [MTBH21, IV-E] takes a
Gaussian f with the variance of e times 2^40; here f is wider, for a statistical distance of 2^-40 over everything that
a key ever decrypts.

The distribution of f, and why it hides errors e up to a statistical distance of 0.8826 ||e|| / 2^(b + 1), are those of
`crypsis._ckks.sharing`; for a million ciphertexts of 2^13 coefficients it needs 16 bits less than uniform noise would.

e of one fresh encryption under the joint key of n parties has coefficients of variance

    V = sigma^2 (1 + 4 n N / 3) + 1/12        e u + e_0 + e_1 s, e and s sums of n; the rounding of the encoding

and a sum of m (counted with their integer weights) at most m^2 V, whatever the summands have to do with each other.
||e|| of N >= 1024 coefficients stays below twice the root of its mean square.
"""

from __future__ import annotations

import math

from crypsis._ckks.noise import ROUNDING, SECRET
from crypsis._ckks.parameters import SIGMA, Parameters
from crypsis._ckks.sharing import FISHER, SIGMAS, TAIL, bits_for, deviation_of, draw

__all__ = ["FISHER", "TAIL", "draw", "flood_bits", "fresh_deviation", "result_deviation", "result_error"]


def fresh_deviation(parameters: Parameters, n_parties: int) -> float:
    """Standard deviation of a coefficient's error in a fresh encryption under a key of `n_parties` shares."""
    return math.sqrt(SIGMA**2 * (1 + 2 * n_parties * SECRET * parameters.n) + ROUNDING)


def flood_bits(parameters: Parameters, n_parties: int, n_summands: int, n_ciphertexts: int) -> int:
    """The smallest b for shares of `n_ciphertexts` ciphertexts, each the sum of up to `n_summands` fresh ones."""
    coefficients = parameters.n * n_ciphertexts
    norm = TAIL * n_summands * fresh_deviation(parameters, n_parties) * math.sqrt(coefficients)
    return bits_for(norm)


def result_deviation(parameters: Parameters, n_parties: int, n_summands: int, bits: int) -> float:
    """Standard deviation of a slot of the result, in units of the encrypted integers."""
    fresh = n_summands * fresh_deviation(parameters, n_parties)
    flood = math.sqrt(n_parties) * deviation_of(bits)
    return math.sqrt(parameters.n) * math.hypot(fresh, flood)


def result_error(parameters: Parameters, n_parties: int, n_summands: int, bits: int, scale: float) -> float:
    """Six standard deviations of a slot of the result, in units of the values; it is Gaussian, being flooded."""
    return SIGMAS * result_deviation(parameters, n_parties, n_summands, bits) / scale
