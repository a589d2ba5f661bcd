# SPDX-License-Identifier: Apache-2.0
"""TenSEAL's parameters, a ring degree and sizes of primes of which the last is special, as `crypsis.ckks.Literal`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from crypsis import ckks
from crypsis._arguments import kind
from crypsis._ckks.parameters import HEADROOM, MAX_LOG_QP, MIN_BITS, MIN_LOG_SCALE

DEFAULT_SIZES = {
    1024: (27,),
    2048: (54,),
    4096: (36, 36, 37),
    8192: (43, 43, 44, 44, 44),
    16384: (48,) * 3 + (49,) * 6,
    32768: (55,) * 15 + (56,),
}
"""Where no sizes are given: as many bits as 128-bit security allows [ACC+18, Table 1], in primes of about one size."""
UNSET_LOG_SCALE = 40


class Sizes:
    """Checked arguments of a context. The scale is chosen later: TenSEAL's programs set it after the context is made.

    moduli: bits of the primes of a ciphertext. special: of those of keys; () where there is one prime only, which
    serves for sums. ValueError for what is below 128 bits of security, as SEAL refuses it.
    """

    def __init__(self, degree: Any, sizes: Sequence[Any]) -> None:
        if isinstance(degree, bool) or not isinstance(degree, int):
            raise TypeError(f"poly_modulus_degree is {kind(degree)}: give an int, such as 8192")
        log_n = degree.bit_length() - 1
        if degree < 1 or degree != 1 << log_n or log_n not in MAX_LOG_QP:
            raise ValueError(
                f"poly_modulus_degree is {degree}: give a power of two from {1 << min(MAX_LOG_QP)} to"
                f" {1 << max(MAX_LOG_QP)}"
            )
        given = [_size(i, bits) for i, bits in enumerate(sizes)] or list(DEFAULT_SIZES.get(degree, ()))
        if not given:
            raise ValueError(
                f"coeff_mod_bit_sizes is empty: for poly_modulus_degree = {degree} give the sizes"
            )
        self.degree, self.log_n, self.given = degree, log_n, tuple(given)
        wide = [max(bits, MIN_BITS) for bits in given]
        self.moduli = tuple(wide[:-1] or wide)
        # SEAL allows a special prime smaller than the others, at the price of more noise in every key switch.
        self.special = (max(wide),) if len(wide) > 1 else ()
        total, most = sum(self.moduli) + sum(self.special), MAX_LOG_QP[log_n]
        if total > most:
            enlarged = (
                "" if total == sum(given) else f" ({total} with a special prime as large as the others)"
            )
            raise ValueError(
                f"coeff_mod_bit_sizes {list(given)} are {sum(given)} bits together{enlarged}: with"
                f" poly_modulus_degree = {degree} at most {most} are 128-bit secure: take fewer or smaller primes, or a"
                " larger degree"
            )

    def log_scale(self, scale: float | None) -> int:
        """Bits of the scale that ciphertexts get for a `global_scale`; None is one that was not set.

        That of the primes after the first where there are any: a product is divided by one of them. A smaller
        `global_scale` is served with more precision. ValueError for a larger one.
        """
        wanted = None if scale is None else math.log2(scale)
        if wanted is not None and self._fits(round(wanted)):
            return round(wanted)
        if self.depthless:
            most = sum(self.moduli) - HEADROOM
            if wanted is not None and wanted > most:
                raise ValueError(
                    f"the scale is 2^{wanted:.1f}, the primes {list(self.moduli)} have room for 2^{most}: take a"
                    " smaller scale or larger primes"
                )
            return max(MIN_LOG_SCALE, min(UNSET_LOG_SCALE, most - 8)) if wanted is None else MIN_LOG_SCALE
        fitting = [bits for bits in sorted(set(self.moduli[1:])) if self._fits(bits)]
        enough = [bits for bits in fitting if wanted is None or bits >= wanted - 1]
        if enough:
            return enough[0]
        if not fitting:
            raise ValueError(
                f"the primes after the first have {list(self.moduli[1:])} bits: products are divided by them, so that"
                " they must be of the size of the scale, within a bit: give e.g. [60, 40, 40, 60] and a scale of 2**40"
            )
        raise ValueError(
            f"the scale is 2^{wanted:.1f}, the primes after the first have {fitting[-1]} bits: products are divided by"
            f" them, so that TenSEAL computes wrong ones: set the scale to 2**{fitting[-1]}, or give primes of"
            f" {wanted:.0f} bits"
        )

    def literal(self, log_scale: int) -> ckks.Literal:
        """The parameters of that scale."""
        return ckks.Literal(self.log_n, self.moduli, self.special, log_scale)

    @property
    def depthless(self) -> bool:
        """There is one prime in ciphertexts: no products."""
        return len(self.moduli) == 1

    def _fits(self, log_scale: int) -> bool:
        if log_scale < MIN_LOG_SCALE:
            return False
        total = 0
        for i, bits in enumerate(self.moduli):
            total += bits
            if total >= log_scale + HEADROOM:
                rest = self.moduli[i + 1 :]
                return all(abs(other - log_scale) <= 1 for other in rest)
        return False


def _size(index: int, bits: Any) -> int:
    if isinstance(bits, bool) or not isinstance(bits, int):
        raise TypeError(f"coeff_mod_bit_sizes[{index}] is {kind(bits)}: give ints, the bits of each prime")
    if not 2 <= bits <= 60:
        raise ValueError(f"coeff_mod_bit_sizes[{index}] is {bits}: primes have 2 to 60 bits")
    return int(bits)
