# SPDX-License-Identifier: Apache-2.0
"""Noise that hides what a decryption share would say about the secrets: how much, and how it is drawn.

A share c1 s_i is c0's complement but for the error e of the ciphertext: whoever knows the other shares and the result
learns e from it, and e is a linear function of s_i. [AJL+12]'s smudging: e + f and f are nearly the same distribution
when f is much wider than e, so a share with f added can be made up from the result alone. [MTBH21, IV-E] takes a
Gaussian f with the variance of e times 2^40; here f is wider, for a statistical distance of 2^-40 over everything that
a key ever decrypts.

f is the sum of four independent integers, uniform in [-2^b, 2^b): exact, constant-time, and smooth. Let P be its
distribution, J = 4 sum_j (sqrt P(j + 1) - sqrt P(j))^2, which is 3.1157 / 4^(b + 1) to 5 digits. The Hellinger
distance H, H^2 = sum (sqrt P - sqrt Q)^2, is a norm's, so a shift by e has H <= |e| sqrt(J) / 2; affinities
1 - H^2 / 2 of independent coefficients and of successive, even adaptive, shares multiply, so that

    statistical distance <= H <= ||e|| sqrt(J) / 2 = 0.8826 ||e|| / 2^(b + 1),

||e|| the Euclidean norm of all coefficients of all errors. Uniform noise alone, as the lemma is mostly used, has the
sum of their magnitudes there: sqrt(coefficients) times as much, 16 bits for a million ciphertexts of 2^13
coefficients.

e of one fresh encryption under the joint key of n parties has coefficients of variance

    V = sigma^2 (1 + 4 n N / 3) + 1/12        e u + e_0 + e_1 s, e and s sums of n; the rounding of the encoding

and a sum of m (counted with their integer weights) at most m^2 V, whatever the summands have to do with each other.
||e|| of N >= 1024 coefficients stays below twice the root of its mean square (see `crypsis._ckks.sharing`).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from crypsis import aes, ntt, sampling
from crypsis._ckks.noise import ROUNDING, SECRET
from crypsis._ckks.parameters import SIGMA, Parameters
from crypsis._ckks.sharing import SIGMAS
from crypsis._homomorphic.wiping import wiping

STATISTICAL_BITS = 40
TERMS = 4
FISHER = 3.116
"""J times 4^(b + 1), rounded up."""
TAIL = 2.0

Residues = npt.NDArray[np.uint64]


def fresh_deviation(parameters: Parameters, n_parties: int) -> float:
    """Standard deviation of a coefficient's error in a fresh encryption under a key of `n_parties` shares."""
    return math.sqrt(SIGMA**2 * (1 + 2 * n_parties * SECRET * parameters.n) + ROUNDING)


def flood_bits(parameters: Parameters, n_parties: int, n_summands: int, n_ciphertexts: int) -> int:
    """The smallest b for shares of `n_ciphertexts` ciphertexts, each the sum of up to `n_summands` fresh ones."""
    coefficients = parameters.n * n_ciphertexts
    norm = TAIL * n_summands * fresh_deviation(parameters, n_parties) * math.sqrt(coefficients)
    return max(0, math.ceil(STATISTICAL_BITS - 1 + math.log2(math.sqrt(FISHER) / 2 * norm)))


def result_deviation(parameters: Parameters, n_parties: int, n_summands: int, bits: int) -> float:
    """Standard deviation of a slot of the result, in units of the encrypted integers."""
    fresh = n_summands * fresh_deviation(parameters, n_parties)
    flood = math.sqrt(n_parties * TERMS / 12) * 2.0 ** (bits + 1)
    return math.sqrt(parameters.n) * math.hypot(fresh, flood)


def result_error(parameters: Parameters, n_parties: int, n_summands: int, bits: int, scale: float) -> float:
    """Six standard deviations of a slot of the result, in units of the values; it is Gaussian, being flooded."""
    return SIGMAS * result_deviation(parameters, n_parties, n_summands, bits) / scale


def draw(bits: int, basis: ntt.Basis, generator: aes.Generator) -> Residues:
    """f for one ciphertext: `uint64[limbs, N]`, NTT domain. Constant-time."""
    n = 1 << basis.log_n
    with wiping() as secret:
        stream = secret(np.empty((TERMS, n, sampling.WIDE_BYTES), np.uint8))
        generator.fill(stream)
        terms = secret(sampling.flood(stream, bits, basis))
        noise: Residues = secret.result(terms[0].copy())
        for term in terms[1:]:
            ntt.add(noise, term, basis, out=noise)
        return ntt.forward(noise, basis, out=noise)
