# SPDX-License-Identifier: Apache-2.0
"""Noise on decrypted results that others get to see: IND-CPA-D security by differential privacy [LMSS22].

[LM21]: the error of a decrypted value is a linear function of the secret key that an observer of ciphertext and result
can compute. [LMSS22] adds to each coefficient of the decrypted polynomial a Gaussian of standard deviation

    sigma = sqrt(12 tau) 2^(s / 2) t

where t bounds the Euclidean norm of the error's coefficients, tau is the number of decryptions that are handed out and
s the bits of statistical security as [MW18] count them, who square the advantage of telling things apart: the
Kullback-Leibler divergence is tau t^2 / (2 sigma^2) = 2^-s / 24 at most, the statistical distance, by Pinsker,
sqrt(2^-s / 48): 2^-22.8 for s = 40, and 2^-40 with a tau 2^35 times as large. However much they compute. Here
s = 40, and t is TAIL times the standard deviation of a slot, in units of the scale, by `noise.Estimate`: that is the
root mean square of the norm, sqrt(N V), from which the norm of N >= 1024 coefficients does not stray by a factor of 2.
The noise is added to the exact integers, before they become doubles: a sum of rounded numbers would not be covered.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from crypsis._arguments import integer, kind
from crypsis._ckks.coins import Coins
from crypsis._ckks.noise import Estimate
from crypsis._homomorphic.wiping import wiping
from crypsis.errors import PrecisionError

if TYPE_CHECKING:
    from crypsis._ckks.array import CkksArray

STATISTICAL_BITS = 40
QUERIES = 1024
TAIL = 2.0
SIGMAS = 6.0
"""What a Gaussian exceeds in one of 10^8 slots."""
MAX_QUERIES = 1 << 60
MAX_DEVIATION = 2.0**58
"""10 times as much fits an int64."""
DITHER_BITS = 10
"""A double of 10 MAX_DEVIATION is a multiple of 2^9."""


def flood_deviation(array: CkksArray, estimate: Estimate | None, queries: int) -> float:
    """The standard deviation of what is added to each coefficient.

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
    bound = TAIL * estimate.error * array.scale
    deviation = math.sqrt(12 * queries) * math.exp2(STATISTICAL_BITS / 2) * bound
    # A slot of the result is off by this, in units of the values.
    error = SIGMAS * deviation * math.sqrt(array.parameters.n) / array.scale
    if deviation > MAX_DEVIATION:
        raise PrecisionError(
            f"share_safe needs noise of standard deviation 2^{math.log2(deviation):.1f}, more than"
            f" 2^{math.log2(MAX_DEVIATION):.0f}, which is the most there is: decrypt sums of fewer"
            " ciphertexts, give a smaller magnitude, or fewer queries"
        )
    if not error < estimate.magnitude / 2:
        raise PrecisionError(
            f"share_safe adds an error of up to 2^{math.log2(error):.1f} to values below {estimate.magnitude:.4g}:"
            " nothing of them would be left; take parameters with a larger log_scale, as crypsis.ckks.SHARED, or fewer"
            " queries"
        )
    return deviation


def gaussian(shape: tuple[int, ...], deviation: float, coins: Coins) -> npt.NDArray[np.int64]:
    """`int64` of that shape (of even size): Gaussian noise by Box and Muller's method, rounded to integers.

    From 53 bits for the angle and 64 for the radius: it reaches 9.4 standard deviations. Beyond 2^53 doubles are
    multiples of powers of two, and their last bits would hide nothing: a uniform number of DITHER_BITS bits is added.
    Not constant-time.
    """
    size = math.prod(shape)
    with wiping() as held:
        drawn = held(coins.bytes((8 * size,))).view(np.uint64)
        radius = held(drawn[: size // 2].astype(np.float64))
        radius += 0.5
        radius *= 2.0**-64
        np.log(radius, out=radius)
        radius *= -2.0
        np.sqrt(radius, out=radius)
        radius *= deviation
        angle = held(held(drawn[size // 2 :] >> np.uint64(11)).astype(np.float64))
        angle *= 2.0**-52 * math.pi
        noise = held(np.empty(size))
        np.multiply(radius, held(np.cos(angle)), out=noise[: size // 2])
        np.multiply(radius, held(np.sin(angle)), out=noise[size // 2 :])
        np.rint(noise, out=noise)
        whole: npt.NDArray[np.int64] = noise.astype(np.int64)
        dither = held(coins.bytes((2 * size,))).view(np.uint16)
        dither &= (1 << DITHER_BITS) - 1
        whole += dither
        whole -= 1 << (DITHER_BITS - 1)
        return whole.reshape(shape)
