# SPDX-License-Identifier: Apache-2.0
"""How large the error of a ciphertext is: an estimate that goes through the same operations as the ciphertext.

The error of a slot is taken to be Gaussian with a standard deviation that follows from the variances of what is added
to the coefficients: a polynomial whose N coefficients are independent with variance V has slots of variance N V, and
the product of two such polynomials has coefficients of variance N V V' [CKKS17, 3.4; CHKKS18; average-case
as in GHS12]. Sums add standard deviations, which holds whatever the errors have to do with each other; so the
estimate is an upper bound where the formulas hold, and 16 times it is the bound that tests and documentation take.

    encoding            V = 1/12                                   rounding of coefficients
    encrypt, symmetric  V = sigma^2 + 1/12
    encrypt, public     V = sigma^2 (1 + 4 N / 3) + 1/12            e u + e_0 + e_1 s, u and s ternary
    rescale, mod down   V = (1 + 2 N / 3) / 12                     rounding of both halves, one times s
    key switch          V = sum_digits N D^2 sigma^2 / 12 / P^2 + the line above     D: a digit, uniform and centred
    product             m e' + m' e + e e'                          slot by slot
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from crypsis._ckks.parameters import SIGMA

if TYPE_CHECKING:
    from crypsis._ckks.parameters import Parameters

ROUNDING = 1 / 12
SECRET = 2 / 3
"""Variance of a ternary coefficient."""
SIGMAS = 16.0
"""A bound is so many standard deviations [CKKS17]: most of the error is a product of two Gaussians in each slot (e u,
e_1 s, a rounding times s), whose tail is longer than a Gaussian's; one slot in 10^13 exceeds it."""


@lru_cache(maxsize=64)
def encoding_error(parameters: Parameters) -> float:
    """Standard deviation of a slot, in units of the scale (as the others below)."""
    return math.sqrt(parameters.n * ROUNDING)


def fresh_error(parameters: Parameters, *, public: bool) -> float:
    """Of a fresh encryption, encoding included."""
    n = parameters.n
    variance = SIGMA**2 * ((1 + 2 * SECRET * n) if public else 1) + ROUNDING
    return math.sqrt(n * variance)


@lru_cache(maxsize=64)
def rounding_error(parameters: Parameters, size: int = 2) -> float:
    """Of a division with rounding: rescaling, or the special primes'. size: halves of the ciphertext."""
    n = parameters.n
    variance = ROUNDING * sum((SECRET * n) ** power for power in range(size))
    return math.sqrt(n * variance)


@lru_cache(maxsize=1024)
def switch_error(parameters: Parameters, level: int) -> float:
    """Of one key switch."""
    n, moduli = parameters.n, parameters.moduli.primes
    alpha = parameters.chain.alpha
    log_p = math.log2(parameters.special_product)
    total = 0.0
    for start in range(0, level + 1, alpha):
        log_digit = sum(map(math.log2, moduli[start : min(start + alpha, level + 1)]))
        total += 2.0 ** (2 * (log_digit - log_p)) * n * SIGMA**2 * ROUNDING
    return math.hypot(math.sqrt(n * total), rounding_error(parameters))


class Estimate:
    """Error and size of the values of a ciphertext, in the units of the values.

    error: standard deviation of the error of a slot. magnitude: what no |value| exceeds; where nobody said, all that
    the parameters hold, which makes products look worse than they are. It is a statement about the data that was made
    without looking at it, so that it can be public. Make the first with `Estimate.fresh`, then compute with it as with
    the ciphertext.
    """

    __slots__ = ("error", "level", "magnitude", "parameters", "scale")

    def __init__(
        self, parameters: Parameters, level: int, scale: float, error: float, magnitude: float
    ) -> None:
        self.parameters = parameters
        self.level = level
        self.scale = scale
        self.error = error
        self.magnitude = magnitude

    def __repr__(self) -> str:
        return (
            f"Estimate(level {self.level}, scale 2^{math.log2(self.scale):.2f}, error 2^{self.log2_error:.1f},"
            f" values below {self.magnitude:.4g})"
        )

    @classmethod
    def fresh(
        cls,
        parameters: Parameters,
        *,
        magnitude: float | None = None,
        level: int | None = None,
        public: bool = True,
    ) -> Estimate:
        """Of a new encryption of values below `magnitude`."""
        level = parameters.check_level(level)
        scale = parameters.scales[level]
        error = fresh_error(parameters, public=public) / scale
        return cls(
            parameters, level, scale, error, parameters.max_value if magnitude is None else float(magnitude)
        )

    @property
    def bound(self) -> float:
        """16 standard deviations of a slot's error, in units of the values: no slot exceeds it."""
        return SIGMAS * self.error

    @property
    def log2_error(self) -> float:
        """log2 of the standard deviation of a slot's error."""
        return math.log2(self.error)

    def plus(self, other: Estimate) -> Estimate:
        """Of a sum or difference of ciphertexts of one level."""
        return Estimate(
            self.parameters,
            self.level,
            self.scale,
            self.error + other.error,
            self.magnitude + other.magnitude,
        )

    def plus_plain(self, magnitude: float) -> Estimate:
        """Of a sum with numbers in the clear."""
        error = self.error + encoding_error(self.parameters) / self.scale
        return Estimate(self.parameters, self.level, self.scale, error, self.magnitude + magnitude)

    def times(self, other: Estimate) -> Estimate:
        """Of a product of ciphertexts, neither relinearised nor rescaled."""
        error = self.magnitude * other.error + other.magnitude * self.error + self.error * other.error
        magnitude = self.magnitude * other.magnitude
        return Estimate(self.parameters, self.level, self.scale * other.scale, error, magnitude)

    def times_plain(self, magnitude: float, scale: float, *, exact: bool = False) -> Estimate:
        """Of a product with numbers below `magnitude`, encoded with `scale`; exact: they are integers of scale 1."""
        error = self.error * magnitude
        if not exact:
            rounding = encoding_error(self.parameters) / scale
            error += (self.magnitude + self.error) * rounding
        return Estimate(self.parameters, self.level, self.scale * scale, error, self.magnitude * magnitude)

    def summed(self, count: int) -> Estimate:
        """Of a sum of `count` such."""
        return Estimate(self.parameters, self.level, self.scale, self.error * count, self.magnitude * count)

    def switched(self) -> Estimate:
        """After relinearising, a rotation or conjugation."""
        error = self.error + switch_error(self.parameters, self.level) / self.scale
        return Estimate(self.parameters, self.level, self.scale, error, self.magnitude)

    def corrected(self, factor: int) -> Estimate:
        """After a product with an integer that stands for a real number, off by up to 1/2."""
        error = self.error + self.magnitude / (2 * factor)
        return Estimate(self.parameters, self.level, self.scale, error, self.magnitude)

    def rescaled(self, level: int, scale: float, *, size: int = 2) -> Estimate:
        """After division by the last modulus, at `level` and `scale`."""
        error = self.error + rounding_error(self.parameters, size) / scale
        return Estimate(self.parameters, level, scale, error, self.magnitude)

    def at(self, level: int) -> Estimate:
        """The same with moduli dropped."""
        return Estimate(self.parameters, level, self.scale, self.error, self.magnitude)
