# SPDX-License-Identifier: Apache-2.0
"""How much noise hides what a product was computed from, and what a modulus has room for.

A product decrypts to sum_k X_k (m_k + t e_k), and the owner of the key, who knows m_k and e_k, would learn the X_k from
what is left of it above t. Three things hide them. A plaintext mask, uniform mod t, hides what is below. For what is
above, write m_k' for the representative of m_k that was encrypted, m_k or m_k - t. With the mask r, coefficient i is

    (sum X m' + r) + t (v_i + f_i),    v = sum X e + u e_pk + s e_1,

u e_pk + s e_1 being that of the encryption of 0 that is added. Given the residue mod t, which r makes uniform, the
quotient by t is f_i plus a number within 1 of w_i = v_i + (sum X m')_i / t: noise f that hides any shift that large,
hides X. `crypsis._ckks.sharing` has f, the sum of four uniform integers in [-2^b, 2^b), and shows that the statistical
distance of all coefficients of all results together is at most 0.8826 ||w|| / 2^(b + 1), ||w|| their Euclidean norm.

The norm. e_k are centred binomial, sub-Gaussian of variance 10.5. m_k' is m_k - t with probability m_k / t, else m_k:
its mean is 0 and it is sub-Gaussian of variance t^2 / 4, whatever m_k is. u is sub-Gaussian of variance 1, e_1 of 10.5.
So w is a linear image of independent sub-Gaussian coordinates: with tau = the sum of its coefficients' variances,

    P(||w||^2 > tau (1 + 2 sqrt(x) + 2 x)) <= exp(-x)    [HKZ12, Theorem 2.1; tr(S^2) <= tr(S)^2, |S| <= tr(S)],

below 2^-61 for ||w||^2 > 100 tau. Each coefficient has variance <= 10.75 ||X||^2 + N (21^2 + 10.5), ||X|| being the
Euclidean norm of all X_k, as |e_pk| <= 21 and |s| <= 1. (The probability m_k / t is rounded to 64 bits, which moves the
mean by 2^-64: nothing against 10.75.)

Room. |f| <= 2^(b + 2), and |w| <= ||w|| is 2^-38 of that, so that the decrypted integer is below t 2^(b + 2) (1 +
2^-30). It must be below q / 4 for composing it by a rounded quotient (`words.compose`); RING128 has room for b = 82.
"""

from __future__ import annotations

import math

from crypsis import sampling
from crypsis._ckks import sharing

VARIANCE = 10.75
"""Of e and m' / t together."""
PUBLIC_VARIANCE = 21**2 + 10.5
"""Of u e_pk + s e_1, by coefficient of the ring."""
TAIL = 10.0
STATISTICAL_BITS = sharing.STATISTICAL_BITS


def bits_for(squared: float, n: int, places: int, ciphertexts: int) -> int:
    """b for products of ||X||^2 <= `squared`, with `places` coefficients each."""
    variance = VARIANCE * squared + PUBLIC_VARIANCE * n
    coefficients = float(places) * float(ciphertexts)
    # 1 a coefficient is the carry of the mask.
    return sharing.bits_for((TAIL * math.sqrt(variance) + 1.0) * math.sqrt(coefficients))


def max_bits(q: int, plain_bits: int) -> int:
    """The largest b that leaves a result below q / 4; negative where there is none."""
    bits = sampling.MAX_FLOOD_BITS
    while bits >= 0 and (1 << (plain_bits + bits + 2)) + (1 << (plain_bits + max(bits - 28, 3))) >= q >> 2:
        bits -= 1
    return bits
