# SPDX-License-Identifier: Apache-2.0
"""Noise on decrypted results that others get to see: how much hides a ciphertext's error, and how it is drawn.

[LM21]: the error of a decrypted value is a linear function of the secret key that an observer of ciphertext and result
can compute. [LMSS22] adds noise to each coefficient of the decrypted polynomial that makes results with and without
the error nearly the same distribution. They take a Gaussian and count 40 bits as [MW18] do, who square advantages:
a statistical distance of 2^-22.8. Here the distance itself is 2^-40, over everything that a key ever decrypts for
others.

The noise f is the sum of four independent integers, uniform in [-2^b, 2^b): exact, constant-time, and smooth. Let P be
its distribution, J = 4 sum_j (sqrt P(j + 1) - sqrt P(j))^2, which is 3.1157 / 4^(b + 1) to 5 digits. The Hellinger
distance H, H^2 = sum (sqrt P - sqrt Q)^2, is a norm's, so a shift by e has H <= |e| sqrt(J) / 2; affinities
1 - H^2 / 2 of independent coefficients and of successive, even adaptive, results multiply, so that

    statistical distance <= H <= ||e|| sqrt(J) / 2 = 0.8826 ||e|| / 2^(b + 1),

||e|| the Euclidean norm of all coefficients of all errors. Uniform noise alone, as the smudging lemma is mostly used,
has the sum of their magnitudes there: sqrt(coefficients) times as much.

For `queries` decrypted ciphertexts ||e|| is taken to be t sqrt(queries), t = TAIL times the standard deviation of a
slot in units of the scale, by `noise.Estimate`: that is the root mean square of the norm of one error's coefficients,
sqrt(N V), from which the norm of N >= 1024 coefficients does not stray by a factor of 2. The noise is added to the
exact integers, before they become doubles: a sum of rounded numbers would not be covered.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from crypsis import ntt, sampling
from crypsis._arguments import integer, kind
from crypsis._ckks.noise import Estimate
from crypsis._homomorphic.wiping import wiping
from crypsis.errors import PrecisionError

if TYPE_CHECKING:
    from crypsis._ckks.array import CkksArray
    from crypsis._ckks.coins import Filling

STATISTICAL_BITS = 40
TERMS = 4
FISHER = 3.116
"""J times 4^(b + 1), rounded up."""
QUERIES = 1024
TAIL = 2.0
SIGMAS = 6.0
"""What the noise of a slot, a sum of thousands, exceeds in one of 10^8."""
MAX_QUERIES = 1 << 60

Residues = npt.NDArray[np.uint64]


def bits_for(norm: float) -> int:
    """The smallest b that hides errors of this Euclidean norm together."""
    width = math.sqrt(FISHER) / 2 * norm * 2.0 ** (STATISTICAL_BITS - 1)
    return math.ceil(math.log2(width)) if width > 1 else 0


def deviation_of(bits: int) -> float:
    """Standard deviation of f, nearly."""
    return math.sqrt(TERMS / 12) * 2.0 ** (bits + 1)


def draw(bits: int, basis: ntt.Basis, coins: Filling, rows: int = 1) -> Residues:
    """f for that many ciphertexts: `uint64[rows, limbs, N]`, NTT domain. Constant-time."""
    n = 1 << basis.log_n
    with wiping() as secret:
        stream = secret(np.empty((TERMS, rows, n, sampling.WIDE_BYTES), np.uint8))
        coins.fill(stream)
        terms = secret(sampling.flood(stream, bits, basis))
        noise: Residues = secret.result(terms[0].copy())
        for term in terms[1:]:
            ntt.add(noise, term, basis, out=noise)
        return ntt.forward(noise, basis, out=noise)


def flood_bits(array: CkksArray, estimate: Estimate | None, queries: int) -> int:
    """b of what is added to each coefficient.

    ValueError without an estimate, with one of another scale, or for more ciphertexts than `queries`; PrecisionError
    where the noise would leave less than a bit of the values.
    """
    integer("queries", queries, 1, MAX_QUERIES)
    if array.size > queries:
        raise ValueError(
            f"the array has {array.size} ciphertexts, queries is {queries}: each is a result that is handed out; give"
            " queries= as many as this key ever decrypts for others"
        )
    if estimate is None:
        estimate = array.estimate
    if estimate is None:
        raise ValueError(
            "the array came from elsewhere, so its noise is not known: give estimate=, from the same operations on"
            " crypsis.ckks.Estimate.fresh(parameters, magnitude=...)"
        )
    if not isinstance(estimate, Estimate):
        raise TypeError(f"estimate is {kind(estimate)}: give a crypsis.ckks.Estimate")
    if estimate.parameters != array.parameters or not math.isclose(estimate.scale, array.scale, rel_tol=1e-9):
        raise ValueError(
            f"the estimate is of scale 2^{math.log2(estimate.scale):.2f} with {estimate.parameters!r}, the array has"
            f" 2^{math.log2(array.scale):.2f} with {array.parameters!r}: make the estimate by the same operations"
        )
    bits = bits_for(TAIL * estimate.error * array.scale * math.sqrt(queries))
    # A slot of the result is off by this, in units of the values.
    error = SIGMAS * deviation_of(bits) * math.sqrt(array.parameters.n) / array.scale
    most = min(estimate.magnitude, array.parameters.limit(array.level, array.scale))
    if not error < most / 2 or bits > sampling.MAX_FLOOD_BITS:
        raise PrecisionError(
            f"share_safe adds an error of up to 2^{math.log2(error):.1f}, for a statistical distance of"
            f" 2^-{STATISTICAL_BITS}, to values below {most:.4g}: nothing of them would be left; take parameters with a"
            " larger log_scale, as crypsis.ckks.SHARED, or fewer queries"
        )
    return bits
