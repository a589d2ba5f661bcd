# SPDX-License-Identifier: Apache-2.0
"""Whole-array arithmetic on little-endian limbs `uint64[n, k]`: what surrounds the products of `crypsis.bigint`.

Additions carry a whole array at a time and in a fixed number of passes, so neither time nor addresses depend on the
numbers: `tests/test_paillier_constant_time.py`. (Passes until no limb overflows would not do: n - 1 added to or taken
from a small number ripples through every limb, which told the sign of a decrypted value.)
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Limbs = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

LIMB_BITS = 64
_ONES = np.uint64(2**64 - 1)


def n_limbs(n_bits: int) -> int:
    """Limbs that hold `n_bits` bits; 1 for none."""
    return max(1, -(-n_bits // LIMB_BITS))


def from_int(value: int, limbs: int) -> Limbs:
    """`value` (0 <= value < 2^(64 limbs)) as `uint64[limbs]`."""
    return np.frombuffer(value.to_bytes(8 * limbs, "little"), dtype="<u8").astype(np.uint64)


def from_ints(values: Iterable[int], limbs: int) -> Limbs:
    """Non-negative integers below 2^(64 limbs) as `uint64[n, limbs]`."""
    data = b"".join([value.to_bytes(8 * limbs, "little") for value in values])
    return np.frombuffer(data, dtype="<u8").astype(np.uint64).reshape(-1, limbs)


def to_int(row: Limbs) -> int:
    """The integer of `uint64[limbs]`."""
    return int.from_bytes(np.ascontiguousarray(row, dtype="<u8").tobytes(), "little")


def to_ints(rows: Limbs) -> list[int]:
    """The integers of `uint64[n, limbs]`."""
    data = np.ascontiguousarray(rows, dtype="<u8").tobytes()
    width = 8 * rows.shape[1]
    return (
        [int.from_bytes(data[i : i + width], "little") for i in range(0, len(data), width)] if width else []
    )


def resize(rows: Limbs, limbs: int) -> Limbs:
    """`rows` with `limbs` columns: zeros added, or high columns (which must be zero) left out."""
    if rows.shape[1] == limbs:
        return rows
    result = np.zeros((len(rows), limbs), dtype=np.uint64)
    kept = min(limbs, rows.shape[1])
    result[:, :kept] = rows[:, :kept]
    return result


def add(a: Limbs, b: Limbs) -> tuple[Limbs, Bools]:
    """(a + b mod 2^(64 k), whether it overflowed) for `uint64[n, k]` and `uint64[n, k]` or `uint64[k]`."""
    total = a + b
    into, overflow = _carries(total < a, total == _ONES)
    total += into
    return total, overflow


def sub(a: Limbs, b: Limbs) -> tuple[Limbs, Bools]:
    """(a - b mod 2^(64 k), whether it was negative); either side may be one `uint64[k]` for all."""
    difference = np.atleast_2d(a - b)
    into, negative = _carries(np.broadcast_to(a, difference.shape) < difference, difference == 0)
    difference -= into
    return difference, negative


def _carries(made: Bools, passed: Bools) -> tuple[npt.NDArray[np.uint8], Bools]:
    """(the carry into each limb, the carry out of the last) of limbs that make a carry or pass one on; not both.

    One bit a limb, 64 limbs to a word: the carries into the bits of made + (made | passed) are those into the limbs.
    """
    n, k = made.shape
    words = n_limbs(k)
    bits = np.zeros((2, n, LIMB_BITS * words), dtype=np.bool_)
    bits[0, :, :k], bits[1, :, :k] = made, passed
    packed = np.packbits(bits, axis=-1, bitorder="little").view("<u8").astype(np.uint64, copy=False)
    into = np.empty((n, words), dtype=np.uint64)
    carry = np.zeros(n, dtype=np.uint64)
    for word in range(words):
        low, both = packed[0, :, word], packed[0, :, word] | packed[1, :, word]
        part = low + both
        total = part + carry
        into[:, word] = total ^ packed[1, :, word]
        carry = ((part < low) | (total < part)).astype(np.uint64)
    spread = np.unpackbits(into.astype("<u8", copy=False).view(np.uint8), axis=-1, bitorder="little")
    return spread[:, :k], carry.astype(np.bool_) if k % LIMB_BITS == 0 else spread[:, k].astype(np.bool_)


def select(condition: Bools, yes: Limbs, no: Limbs) -> Limbs:
    """Row i of `yes` where condition[i], else of `no`, by masks."""
    mask: Limbs = (np.uint64(0) - condition.astype(np.uint64))[:, None]
    chosen: Limbs = (yes & mask) | (no & ~mask)
    return chosen


def add_mod(a: Limbs, b: Limbs, modulus: Limbs) -> Limbs:
    """a + b mod `modulus` (`uint64[k]`), for operands below it."""
    total, overflow = add(a, b)
    reduced, below = sub(total, modulus)
    return select(overflow | ~below, reduced, total)


def negate_where(rows: Limbs, negative: Bools, modulus: Limbs) -> Limbs:
    """modulus - row where `negative` (0 stays 0), else the row; for rows below `modulus`."""
    flipped, _ = sub(modulus, rows)
    zero = np.bitwise_or.reduce(rows, axis=1) == 0  # any() stops at the first that is not 0
    return select(negative & ~zero, flipped, rows)


def at_most(rows: Limbs, bound: Limbs) -> Bools:
    """Whether each row is <= `bound` (`uint64[k]`)."""
    below: Bools = ~sub(bound, rows)[1]
    return below


def bit_length(rows: Limbs) -> int:
    """Bits of the largest row: what is public about a batch of exponents."""
    if rows.size == 0:
        return 0
    union = np.bitwise_or.reduce(rows, axis=0)
    return to_int(union).bit_length()


def shift_left(rows: Limbs, shifts: npt.NDArray[np.int64], limbs: int) -> Limbs:
    """rows[i] << shifts[i] as `uint64[n, limbs]`; the caller knows that they fit. Addresses depend on the shifts."""
    words = shifts // LIMB_BITS
    bits = (shifts % LIMB_BITS).astype(np.uint64)
    result = np.zeros((len(rows), max(limbs, rows.shape[1] + int(words.max(initial=0))) + 1), dtype=np.uint64)
    at = np.arange(len(rows))
    for column in range(rows.shape[1]):
        result[at, words + column] |= rows[:, column] << bits
        # A shift by 64 is undefined: two steps.
        result[at, words + column + 1] |= (rows[:, column] >> np.uint64(1)) >> (np.uint64(63) - bits)
    return np.ascontiguousarray(result[:, :limbs])
