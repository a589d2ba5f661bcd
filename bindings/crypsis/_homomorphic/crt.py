# SPDX-License-Identifier: Apache-2.0
"""What a private key does modulo the square of a prime: reduction, powers of short secret exponents, the logarithm.

Every exponent here is secret and every power constant-time. Constants are kept in Montgomery form, so that
`mod_mul(x, constant, montgomery=True)` is one product and its result as plain, or in Montgomery form, as x is. The work
is done where the rows are, on the host or a device, and constants are copied there.
"""

from __future__ import annotations

from math import gcd

from crypsis import bigint
from crypsis._homomorphic import limbs
from crypsis._homomorphic.devices import Constant, beside_secret
from crypsis._homomorphic.limbs import Bools, Limbs
from crypsis._homomorphic.secret import Frozen, wiping


def montgomery_constant(value: int, modulus: bigint.Modulus, *, power: int = 1) -> Constant:
    """value * R^power mod n as `uint64[limbs]`, R = 2^(64 limbs)."""
    shift = limbs.LIMB_BITS * modulus.limbs * power
    return Constant.of((value << shift) % modulus.n, modulus.limbs)


def times(rows: Limbs, constant: Constant, modulus: bigint.Modulus) -> Limbs:
    """rows * c mod n for a constant c * R from `montgomery_constant`: one Montgomery product."""
    return bigint.mod_mul(rows, constant.beside(rows), modulus, montgomery=True)


class PrimeSquare(Frozen):
    """Arithmetic modulo p^2 for a secret prime p of at least 128 bits."""

    __slots__ = (
        "__weakref__",
        "_chunk",
        "_inverse",
        "_largest",
        "_odd",
        "_one",
        "_shift",
        "_square",
        "modulus",
        "p",
        "p_bits",
        "p_limbs",
    )

    p: int
    p_bits: int
    p_limbs: int
    modulus: bigint.Modulus
    _chunk: int
    _shift: Constant
    _odd: bigint.Modulus
    _inverse: Constant
    _square: Constant
    _one: Constant
    _largest: Constant

    def __init__(self, p: int) -> None:
        modulus = bigint.Modulus(p * p)
        chunk = (modulus.n_bits - 1) // limbs.LIMB_BITS
        # Exact division by p is a product modulo any odd number above the dividend that is coprime to p.
        odd = (1 << (limbs.LIMB_BITS * modulus.limbs)) - 1
        while gcd(odd, p) != 1:
            odd -= 2
        quotient_modulus = bigint.Modulus(odd)
        self._set(
            p=p,
            p_bits=p.bit_length(),
            p_limbs=limbs.n_limbs(p.bit_length()),
            modulus=modulus,
            _chunk=chunk,
            _shift=montgomery_constant(1 << (limbs.LIMB_BITS * chunk), modulus),
            _odd=quotient_modulus,
            _inverse=montgomery_constant(pow(p, -1, odd), quotient_modulus),
            _square=Constant.of(modulus.n, modulus.limbs),
            _one=Constant.of(1, modulus.limbs),
            _largest=Constant.of(p - 1, quotient_modulus.limbs),
        )

    def __repr__(self) -> str:
        return f"PrimeSquare(<secret prime of {self.p_bits} bits>)"

    def reduce(self, rows: Limbs) -> Limbs:
        """rows mod p^2, for rows of any width: Horner over chunks of limbs that are below p^2."""
        starts = range(0, max(rows.shape[1], 1), self._chunk)
        result = limbs.resize(rows[:, starts[-1] :], self.modulus.limbs).copy()
        limit = self._square.beside(rows)
        for start in reversed(starts[:-1]):
            part = limbs.resize(rows[:, start : start + self._chunk], self.modulus.limbs)
            with wiping() as secret:
                shifted = secret(times(secret(result), self._shift, self.modulus))
                result = limbs.add_mod(shifted, part, limit)
        return result

    def secret_power(self, rows: Limbs, exponent: int, exponent_bits: int) -> Limbs:
        """rows^exponent mod p^2, constant-time in both; `exponent_bits` is public."""
        host = limbs.from_int(exponent, limbs.n_limbs(exponent_bits))
        with wiping() as secret:
            power = secret(beside_secret(secret(host), rows))
            return bigint.powm(rows, power, self.modulus, exponent_bits=exponent_bits)

    def logarithm(self, rows: Limbs, factor: Constant) -> tuple[Limbs, Bools]:
        """(factor * (x - 1) / p mod p, whether x = 1 mod p) of rows x below p^2; factor a Montgomery constant mod p^2.

        The numbers are `uint64[n, p_limbs]`. The factor goes in first: x - 1 = p t, and factor * p t mod p^2 is
        p (factor * t mod p). An x that is not 1 mod p makes a quotient above p: x then is no power that it should be.
        """
        with wiping() as secret:
            less = secret(limbs.sub(rows, self._one.beside(rows))[0])
            multiples = secret(times(less, factor, self.modulus))
            quotients = secret(times(multiples, self._inverse, self._odd))
            exact = limbs.at_most(quotients, self._largest.beside(rows))
            narrow = limbs.resize(quotients, self.p_limbs)
            return (narrow.copy() if narrow is quotients else narrow), exact
