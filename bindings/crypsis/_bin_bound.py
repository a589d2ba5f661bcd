# SPDX-License-Identifier: Apache-2.0
"""The most balls that a bin holds, but for a stated probability. Private: `crypsis.partition.bin_bound` is public.

The tail of the binomial distribution is an incomplete beta function [DLMF 8.17.5],

    P[Binomial(n, p) > m] = I_p(m + 1, n - m),

whose continued fraction [DLMF 8.17.22] has convergents below and above it: it is carried on until both agree about
the question, in decimals of 80 digits. Small n are summed in integers, where the answer may be a tie.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext

DIGITS = 80
EXACT_BELOW = 1024
"""Up to so many balls every term is an integer that is summed."""

# B_2k / (2k (2k - 1)) for k = 1 to 12, Stirling's series [DLMF 5.11.1].
_STIRLING = (
    (1, 12),
    (-1, 360),
    (1, 1260),
    (-1, 1680),
    (1, 1188),
    (-691, 360360),
    (1, 156),
    (-3617, 122400),
    (43867, 244188),
    (-174611, 125400),
    (77683, 5796),
    (-236364091, 1506960),
)
_HALF_LOG_2_PI = Decimal(
    "0.918938533204672741780329736405617639861397473637783412817151540482765695927260397694743298635954"
)


def bin_bound(n_items: int, n_bins: int, statistical: int) -> int:
    """The smallest m with n_bins P[Binomial(n_items, 1 / n_bins) > m] <= 2^-statistical; checked arguments."""
    if n_bins == 1 or n_items == 0:
        return n_items
    if n_items <= EXACT_BELOW:
        return by_integers(n_items, n_bins, statistical)
    return by_fraction(n_items, n_bins, statistical)


def by_fraction(n: int, n_bins: int, statistical: int) -> int:
    """n_bins >= 2. One more than the smallest m where that is a tie."""
    # P[X > m] >= 1 / 2 for m below the mean by 1, which no median is further from: too much.
    low, step = max(-1, n // n_bins - 1), 1 + math.isqrt(n // n_bins)
    with localcontext(Context(prec=DIGITS, Emin=-(10**15), Emax=10**15)):
        while low + step < n and not _holds(n, n_bins, low + step, statistical):
            low, step = low + step, 2 * step
        high = min(n, low + step)
        while high - low > 1:
            middle = (low + high) // 2
            if _holds(n, n_bins, middle, statistical):
                high = middle
            else:
                low = middle
    return high


def by_integers(n: int, n_bins: int, statistical: int) -> int:
    """Terms C(n, k) (n_bins - 1)^(n - k) of n_bins^n P[X = k], summed from k = n downwards."""
    most = n_bins**n
    term, total, k = 1, 0, n
    while k >= 0:
        total += term
        if n_bins * total << statistical > most:
            return k
        term = term * k * (n_bins - 1) // (n - k + 1)
        k -= 1
    return 0


def _holds(n: int, n_bins: int, m: int, statistical: int) -> bool:
    """Whether m is a bound: n_bins P[X > m] 2^statistical <= 1."""
    if m >= n:
        return True
    a, b, x = m + 1, n - m, Decimal(1) / n_bins
    # P[X > m] = x^a (1 - x)^b / (a B(a, b)) times the continued fraction.
    log_factor = (
        _log_gamma(n + 1)
        - _log_gamma(a + 1)
        - _log_gamma(b)
        + a * x.ln()
        + b * (1 - x).ln()
        + Decimal(n_bins).ln()
        + statistical * Decimal(2).ln()
    )
    wanted = (-log_factor).exp()  # the continued fraction is to be at most this
    # Convergents p / q of 1 / (1 + d_1 / (1 + d_2 / ...)). Odd d are in (-1, 0) and even ones positive, so those
    # that end in d_4j+1 or d_4j+2 are above the value and those that end in d_4j+3 or d_4j+4 below.
    p0, q0, p1, q1 = Decimal(0), Decimal(1), Decimal(1), Decimal(1)
    below, above = Decimal(0), Decimal("Infinity")
    for i in range(1, 1 << 20):
        j = i // 2
        if i % 2:
            d = -Decimal((a + j) * (a + b + j)) * x / ((a + i - 1) * (a + i))
        else:
            d = Decimal(j * (b - j)) * x / ((a + i - 1) * (a + i))
        p0, q0, p1, q1 = p1, q1, p1 + d * p0, q1 + d * q0
        value = p1 / q1
        if i % 4 in (0, 3):
            below = max(below, value)
        else:
            above = min(above, value)
        if above <= wanted:
            return True
        if below > wanted:
            return False
        if above - below < above.scaleb(-60):
            break  # equal in every digit that counts: the larger bound is a bound too
    return False


def _log_gamma(z: int) -> Decimal:
    """ln Gamma(z) for an integer z >= 1, to DIGITS less those of its integer part."""
    if z < 2000:
        return Decimal(math.factorial(z - 1)).ln()
    inverse = Decimal(1) / z
    square, total = inverse * inverse, Decimal(0)
    for numerator, denominator in reversed(_STIRLING):
        total = total * square + Decimal(numerator) / denominator
    return (z - Decimal("0.5")) * Decimal(z).ln() - z + _HALF_LOG_2_PI + total * inverse
