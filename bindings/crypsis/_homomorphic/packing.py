# SPDX-License-Identifier: Apache-2.0
"""Several small values in one plaintext: one encryption, one decryption and one transfer for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crypsis._homomorphic import limbs
from crypsis._homomorphic.encoding import DEFAULT, Encoded, Encoding


@dataclass(frozen=True, slots=True)
class Packing:
    """`n_slots` signed values of `slot_bits` bits to a plaintext, along the last axis: slot j counts 2^(slot_bits j).

    A slot holds mantissas from -2^(slot_bits - 1) to 2^(slot_bits - 1) - 1, sums included: leave log2(terms) bits of
    room. A sum that leaves its slot carries into the next one, which nothing can detect. `pack` and `unpack` work on
    Python integers and are not constant-time.
    """

    n_slots: int
    slot_bits: int

    def __post_init__(self) -> None:
        for name in ("n_slots", "slot_bits"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}: give a positive integer")

    @property
    def n_bits(self) -> int:
        """Bits that the slots take together."""
        return self.n_slots * self.slot_bits

    def n_groups(self, n_items: int) -> int:
        """Plaintexts for `n_items` values."""
        return -(-n_items // self.n_slots)

    def pack(self, values: Any, *, encoding: Encoding = DEFAULT) -> Encoded:
        """Encode and pack: shape [..., n] becomes [..., n_groups(n)], for `encrypt`. ValueError for what overflows.

        Keys refuse it where they cannot hold and decrypt all slots: `PublicKey.max_packed_bits`.
        """
        encoded = encoding.encode(values)
        if not encoded.shape:
            raise ValueError("values is a single number: packing takes an array")
        if not isinstance(encoded.exponent, int):
            raise ValueError(
                "packing needs one exponent for all values: use base16(exponent=...) or fixed_point(...)"
            )
        half = 1 << (self.slot_bits - 1)
        mantissas = encoded.mantissas()
        wrong = next((i for i, m in enumerate(mantissas) if not -half <= m < half), None)
        if wrong is not None:
            raise ValueError(f"value {wrong} does not fit a slot of {self.slot_bits} bits: use wider slots")
        n_items = encoded.shape[-1]
        shape = (*encoded.shape[:-1], self.n_groups(n_items))
        packed = []
        for row in range(0, len(mantissas), n_items) if n_items else []:
            for start in range(row, row + n_items, self.n_slots):
                slots = mantissas[start : min(start + self.n_slots, row + n_items)]
                packed.append(sum(m << (self.slot_bits * j) for j, m in enumerate(slots)))
        width = limbs.n_limbs(self.n_bits)
        negative = np.array([m < 0 for m in packed], dtype=bool)
        magnitude = limbs.from_ints((abs(m) for m in packed), width)
        return Encoded(magnitude, negative, encoded.exponent, encoded.base, shape, self.n_bits)

    def unpack(self, packed: Encoded, n_items: int | None = None) -> Encoded:
        """The values again: shape [..., g] becomes [..., n_items], default every slot: g * n_slots."""
        n_groups = packed.shape[-1] if packed.shape else 1
        n = n_groups * self.n_slots if n_items is None else n_items
        if self.n_groups(n) != n_groups:
            raise ValueError(f"{n} items take {self.n_groups(n)} packed values, the last axis has {n_groups}")
        half, mask = 1 << (self.slot_bits - 1), (1 << self.slot_bits) - 1
        # Half added to every slot makes all of them non-negative: no borrow is left.
        offset = sum(half << (self.slot_bits * j) for j in range(self.n_slots))
        values: list[int] = []
        for i, mantissa in enumerate(packed.mantissas()):
            shifted = mantissa + offset
            if not 0 <= shifted < 1 << self.n_bits:
                raise OverflowError(f"packed value {i} is beyond its {self.n_slots} slots: use wider slots")
            slots = [((shifted >> (self.slot_bits * j)) & mask) - half for j in range(self.n_slots)]
            last = i % n_groups == n_groups - 1
            values += slots[: n - (n_groups - 1) * self.n_slots] if last else slots
        width = limbs.n_limbs(self.slot_bits)
        negative = np.array([v < 0 for v in values], dtype=bool)
        magnitude = limbs.from_ints((abs(v) for v in values), width)
        if not isinstance(packed.exponent, int):
            raise ValueError("packed values have several exponents: they were not made by packing")
        return Encoded(magnitude, negative, packed.exponent, packed.base, (*packed.shape[:-1], n))
