# SPDX-License-Identifier: Apache-2.0
"""Tables of powers of the public generators G and H modulo one number: what Okamoto-Uchiyama encrypts with."""

from __future__ import annotations

from crypsis import bigint
from crypsis._homomorphic import limbs
from crypsis._homomorphic.crt import montgomery_constant, times
from crypsis._homomorphic.devices import Constant, placed_secret
from crypsis._homomorphic.encoding import Encoded
from crypsis._homomorphic.limbs import Limbs
from crypsis._homomorphic.secret import wiping
from crypsis.cuda._device import Device

MESSAGE_CLASSES = (16, 24, 32, 48, 64, 128, 256, 512)
"""Bits for which powers of G are tabulated; a batch takes the smallest that holds its largest value."""


class Generators:
    """Powers of g and h mod n, Montgomery form; tables are made at their first use. Thread-safe.

    max_bits: of the largest message.
    """

    def __init__(self, g: int, h: int, modulus: bigint.Modulus, max_bits: int) -> None:
        self._g, self._h = g % modulus.n, h % modulus.n
        self._modulus = modulus
        self._max_bits = max_bits
        self._tables: dict[tuple[str, int], bigint.FixedBase] = {}
        self._shifts: dict[int, Constant] = {}

    def __repr__(self) -> str:
        return "Generators()"  # the modulus may be secret

    def blinding(self, exponents: Limbs, n_bits: int, *, vartime: bool) -> Limbs:
        """h^exponents, for exponents below 2^n_bits, where they are."""
        table = self._table("h", n_bits)
        return (table.powm_vartime if vartime else table.powm)(exponents, montgomery=True)

    def message(self, encoded: Encoded, *, vartime: bool, device: Device | None) -> Limbs:
        """g^m on `device`, as g^(m + 2^k) g^(-2^k): no exponent is negative. k is public, from `MESSAGE_CLASSES`."""
        used = limbs.bit_length(encoded.magnitude)
        k = next((bits for bits in MESSAGE_CLASSES if used <= bits <= self._max_bits), self._max_bits)
        width = limbs.n_limbs(k + 1)
        offset = limbs.from_int(1 << k, width)
        magnitude = limbs.resize(encoded.magnitude, width)
        host = limbs.select(
            encoded.negative, limbs.sub(offset, magnitude)[0], limbs.add(magnitude, offset)[0]
        )
        with wiping() as secret:
            exponents = secret(placed_secret(secret(host), device))
            table = self._table("g", k + 1)
            power = secret((table.powm_vartime if vartime else table.powm)(exponents, montgomery=True))
            return times(power, self._shift(k), self._modulus)

    def _table(self, name: str, n_bits: int) -> bigint.FixedBase:
        # No lock here and below: a fork could leave it held in the child. Two threads may make the same twice.
        if (name, n_bits) not in self._tables:
            base = limbs.from_int(self._g if name == "g" else self._h, self._modulus.limbs)
            self._tables.setdefault((name, n_bits), bigint.FixedBase(base, self._modulus, n_bits))
        return self._tables[name, n_bits]

    def _shift(self, k: int) -> Constant:
        if k not in self._shifts:
            inverse = pow(self._g, -(1 << k), self._modulus.n)
            self._shifts[k] = montgomery_constant(inverse, self._modulus)
        return self._shifts[k]
