# SPDX-License-Identifier: Apache-2.0
"""Whole-array arithmetic on little-endian limbs `uint64[n, k]`: what surrounds the products of `crypsis.bigint`.

Additions carry a whole array at a time and in a fixed number of passes, so neither time nor addresses depend on the
numbers: `tests/test_paillier_constant_time.py`. (Passes until no limb overflows would not do: n - 1 added to or taken
from a small number ripples through every limb, which told the sign of a decrypted value.)

Arrays may be NumPy's or a device's, all operands of a call in one place; what takes or gives Python integers, random
numbers and shifts works on the host alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis.cuda import _registry

Limbs = npt.NDArray[np.uint64]
"""NumPy's, or a device's array of the same type."""
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


def module_of(rows: Any) -> Any:
    """NumPy, or the array module of the device that has `rows`."""
    if type(rows) is np.ndarray:
        return np
    device = _registry.owner(rows)
    return np if device is None else device.xp


def gather(rows: Limbs, indexes: npt.NDArray[np.int64]) -> Limbs:
    """rows[indexes], indexes `int64[m]` on the host from 0 on: a copy; on a device rows in their order are a view."""
    if type(rows) is np.ndarray:
        return rows[indexes]
    device = _registry.owner(rows)
    if device is None:
        return rows[indexes]
    if not len(indexes) or (np.diff(indexes) == 1).all():
        start = int(indexes[0]) if len(indexes) else 0
        return rows[start : start + len(indexes)]
    chosen: Limbs = rows[device.from_host(np.ascontiguousarray(indexes))]
    return chosen


def concatenate(parts: Sequence[Limbs]) -> Limbs:
    """Rows after rows, at least one part."""
    joined: Limbs = module_of(parts[0]).concatenate(parts)
    return joined


def resize(rows: Limbs, limbs: int) -> Limbs:
    """`rows` with `limbs` columns: zeros added, or high columns (which must be zero) left out."""
    if rows.shape[1] == limbs:
        return rows
    result: Limbs = module_of(rows).zeros((len(rows), limbs), dtype=np.uint64)
    kept = min(limbs, rows.shape[1])
    result[:, :kept] = rows[:, :kept]
    return result


def add(a: Limbs, b: Limbs) -> tuple[Limbs, Bools]:
    """(a + b mod 2^(64 k), whether it overflowed) for `uint64[n, k]` and `uint64[n, k]` or `uint64[k]`."""
    total = a + b
    made, passed = total < a, total == _ONES
    into, overflow = _carries(made, passed)
    total += into
    _clear(made, passed, into)
    return total, overflow


def sub(a: Limbs, b: Limbs) -> tuple[Limbs, Bools]:
    """(a - b mod 2^(64 k), whether it was negative); either side may be one `uint64[k]` for all."""
    difference = a - b
    difference = difference.reshape(-1, difference.shape[-1])
    made, passed = a < difference, difference == 0
    into, negative = _carries(made, passed)
    difference -= into
    _clear(made, passed, into)
    return difference, negative


def _clear(*arrays: npt.NDArray[Any]) -> None:
    """Zeros: what is left of secret numbers."""
    for array in arrays:
        array.fill(0)


def _carries(made: Bools, passed: Bools) -> tuple[npt.NDArray[Any], Bools]:
    """(the carry into each limb, the carry out of the last) of limbs that make a carry or pass one on; not both.

    One bit a limb, 64 limbs to a word: the carries into the bits of made + (made | passed) are those into the limbs.
    """
    if type(made) is not np.ndarray:
        return _carries_on_device(made, passed)
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


def _carries_on_device(made: Bools, passed: Bools) -> tuple[npt.NDArray[Any], Bools]:
    """`_carries` by parallel prefixes [KS73]: after pass i, 2^i limbs at a time make a carry, or pass one on."""
    k = made.shape[1]
    step = 1
    while step < k:
        # What is read is first copied out: the kernels of one pass run in no order.
        arrived = passed[:, step:] & made[:, :-step]
        through = passed[:, step:] & passed[:, :-step]
        made[:, step:] |= arrived
        passed[:, step:] = through
        _clear(arrived, through)
        step *= 2
    into = module_of(made).zeros(made.shape, dtype=np.uint64)
    into[:, 1:] = made[:, :-1]
    return into, made[:, -1].copy()


def select(condition: Bools, yes: Limbs, no: Limbs) -> Limbs:
    """Row i of `yes` where condition[i], else of `no`, by masks."""
    mask: Limbs = (np.uint64(0) - condition.astype(np.uint64))[:, None]
    chosen: Limbs = yes & mask
    other = no & ~mask
    chosen |= other
    _clear(mask, other)
    return chosen


def add_mod(a: Limbs, b: Limbs, modulus: Limbs) -> Limbs:
    """a + b mod `modulus` (`uint64[k]`), for operands below it."""
    total, overflow = add(a, b)
    reduced, below = sub(total, modulus)
    result = select(overflow | ~below, reduced, total)
    _clear(total, overflow, reduced, below)
    return result


def negate_where(rows: Limbs, negative: Bools, modulus: Limbs) -> Limbs:
    """modulus - row where `negative` (0 stays 0), else the row; for rows below `modulus`."""
    flipped, _ = sub(modulus, rows)
    result = select(negative & ~_is_zero(rows), flipped, rows)
    _clear(flipped)
    return result


def _is_zero(rows: Limbs) -> Bools:
    """Of each row; any() stops at the first limb that is not 0."""
    if type(rows) is np.ndarray:
        zero: Bools = np.bitwise_or.reduce(rows, axis=1) == 0
        return zero
    union = rows
    while (width := union.shape[1]) > 1:
        half = width // 2
        low = union[:, :half] | union[:, half : 2 * half]
        joined = module_of(rows).concatenate([low, union[:, 2 * half :]], axis=1) if width % 2 else low
        if joined is not low:
            _clear(low)
        if union is not rows:
            _clear(union)
        union = joined
    nothing: Bools = union[:, 0] == 0
    if union is not rows:
        _clear(union)
    return nothing


def at_most(rows: Limbs, bound: Limbs) -> Bools:
    """Whether each row is <= `bound` (`uint64[k]`)."""
    difference, above = sub(bound, rows)
    _clear(difference)
    below: Bools = ~above
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
