# SPDX-License-Identifier: Apache-2.0
"""Gradients as integers, g and h of a row in one plaintext, many sums in one ciphertext [SecureBoost+].

    row        v = g 2^h_bits + h                  g signed, h >= 0, |g|, h < 2^precision
    sum        of up to n rows: 0 <= H < 2^h_bits, |G| < 2^(g_bits - 1): the same form, so a sum is unpacked alike
    sums       s of them in one plaintext, slot_bits = g_bits + h_bits apart

h_bits = precision + bits of n, g_bits = h_bits + 1. SecureBoost+ makes g non-negative by an offset, which takes a count
of rows beside every sum to be undone; the sign costs one bit instead, and no counts are sent (where h is the same for
all rows, in a first tree and with squared loss, H is one). g and h are scaled by powers of two so that the largest of a
tree, factors of GOSS included, fills `precision` bits; the host needs to know only the slots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crypsis import okamoto_uchiyama, paillier
from crypsis.errors import ConfigError, InvalidCiphertext, ProtocolAbort
from crypsis.mpc.learning.boosting import compiled
from crypsis.mpc.learning.ciphers import PrivateKey, PublicKey, UnblindedCipherArray

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
MIN_PRECISION, MAX_PRECISION = 8, 30


@dataclass(frozen=True)
class Layout:
    """Slots for sums of at most `n_rows` rows, under a key that takes `key_bits` bits of slots."""

    precision: int
    n_rows: int
    key_bits: int

    @classmethod
    def of(cls, key: PublicKey, precision: int, n_rows: int) -> Layout:
        """ConfigError for a precision out of range, or a key too small for one slot."""
        if type(precision) is not int or not MIN_PRECISION <= precision <= MAX_PRECISION:
            raise ConfigError(f"precision_bits is {precision!r}: give {MIN_PRECISION} to {MAX_PRECISION}")
        layout = cls(precision, n_rows, key.max_packed_bits)
        if layout.n_slots < 1 or layout.g_bits > 62:
            raise ConfigError(
                f"sums of {n_rows} rows with {precision} bits do not fit: give fewer precision_bits or a longer key"
            )
        return layout

    @property
    def h_bits(self) -> int:
        return self.precision + self.n_rows.bit_length()

    @property
    def g_bits(self) -> int:
        return self.h_bits + 1

    @property
    def slot_bits(self) -> int:
        return self.g_bits + self.h_bits

    @property
    def n_slots(self) -> int:
        """The slots of one plaintext."""
        return self.key_bits // self.slot_bits

    @property
    def packing(self) -> paillier.Packing:
        """For `CipherArray.pack`."""
        return paillier.Packing(self.n_slots, self.slot_bits)


@dataclass(frozen=True)
class Scaled:
    """Integers g and h, int64[n], that stand for g * 2^-g_shift and h * 2^-h_shift."""

    g: Ints
    h: Ints
    g_shift: int
    h_shift: int


def scaled(g: Floats, h: Floats, precision: int) -> Scaled:
    """Rounded half to even, with the largest power of two that leaves all below 2^precision in size."""
    g_shift, h_shift = _shift(g, precision), _shift(h, precision)
    return Scaled(
        np.rint(np.ldexp(g, g_shift)).astype(np.int64),
        np.rint(np.ldexp(h, h_shift)).astype(np.int64),
        g_shift,
        h_shift,
    )


def _shift(values: Floats, precision: int) -> int:
    most = float(np.abs(values).max(initial=0.0))
    if most == 0.0:
        return 0
    shift = precision - int(np.frexp(most)[1])  # most < 2^exponent
    if np.rint(np.ldexp(most, shift)) >= 1 << precision:
        shift -= 1
    return min(1000, shift)


def pack(values: Scaled, rows: slice, layout: Layout) -> paillier.Encoded:
    """The plaintexts of the rows, for `encrypt`. No Python integer, no branch that is not in compiled code."""
    g, h = values.g[rows], values.h[rows]
    magnitude, negative = np.empty((len(g), 2), dtype=np.uint64), np.empty(len(g), dtype=bool)
    compiled.pack_rows(g, h, layout.h_bits, magnitude, negative)
    return paillier.Encoded(magnitude, negative, 0, 16, (len(g),))


def decrypt(key: PrivateKey, packed: UnblindedCipherArray, layout: Layout) -> paillier.Encoded:
    """The packed plaintexts; ProtocolAbort for what no honest host sends."""
    bits = layout.n_slots * layout.slot_bits
    try:
        if isinstance(key, okamoto_uchiyama.PrivateKey):
            return key.decrypt_encoded(packed, range_bits=bits)
        return key.decrypt_encoded(packed)
    except (InvalidCiphertext, OverflowError) as error:
        raise ProtocolAbort("a host sent ciphertexts that are no sums of gradients; ended") from error


def unpack(packed: paillier.Encoded, layout: Layout, n_items: int) -> Ints:
    """int64[..., n_items, 2], sums of g and h, of packed values [..., groups]. ProtocolAbort where a slot overflows."""
    n_limbs = max(packed.magnitude.shape[1], -(-layout.n_slots * layout.slot_bits // 64))
    magnitude = np.zeros((packed.size, n_limbs), dtype=np.uint64)
    magnitude[:, : packed.magnitude.shape[1]] = packed.magnitude
    half = sum(1 << (layout.slot_bits * (j + 1) - 1) for j in range(layout.n_slots))
    offset = np.frombuffer(half.to_bytes(8 * n_limbs, "little"), dtype="<u8").astype(np.uint64)
    sums = np.empty((packed.size, layout.n_slots, 2), dtype=np.int64)
    if not compiled.unpack_slots(
        magnitude, packed.negative, layout.n_slots, layout.slot_bits, layout.h_bits, offset, sums
    ):
        raise ProtocolAbort("a host sent sums that overflow their slots; ended")
    groups = packed.shape[-1] if packed.shape else 1
    return sums.reshape(*packed.shape[:-1], groups * layout.n_slots, 2)[..., :n_items, :]
