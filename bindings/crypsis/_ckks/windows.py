# SPDX-License-Identifier: Apache-2.0
"""Sums of slots by rotations of powers of two: doubled windows. And the keys that rotations need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from crypsis._arguments import integer
from crypsis._ckks import levels
from crypsis._ckks.noise import Estimate
from crypsis._ckks.rotations import check_rotatable, element_of
from crypsis.errors import MissingKey

if TYPE_CHECKING:
    from crypsis._ckks.array import CkksArray
    from crypsis._ckks.keys import PublicKey
    from crypsis._ckks.levels import Operand


def check_keys(keys: PublicKey, shifts: Iterable[int], *operands: Operand) -> None:
    """MissingKey naming all rotations that it has no key for; operands: of the operation, for the message."""
    held = set(keys.galois_elements)
    missing = tuple(shift for shift in shifts if shift and element_of(keys.parameters, shift) not in held)
    if missing:
        raise MissingKey(
            f"{levels.describe_all(*operands)}, and key {keys.id[:4].hex()} no Galois keys for the rotations {missing}:"
            f" its owner makes them with secret.public_key(rotations={missing}), and with those in use beside them"
        )


def galois_keys(array: CkksArray, shifts: Iterable[int], *others: Operand) -> dict[int, tuple[int, Any]]:
    """(element, key) by rotation, 0 included, where the array is. MissingKey naming all that are missing."""
    wanted, keys = list(shifts), levels.keys_of(array, *others)
    check_keys(keys, wanted, array, *others)
    found: dict[int, tuple[int, Any]] = {0: (1, None)}
    for shift in wanted:
        element = element_of(keys.parameters, shift)
        found[shift] = (element, keys.galois(element, f"rotations=({shift},)").beside(array.data))
    return found


def check_period(n_slots: int, period: Any) -> int:
    """A power of two to n_slots."""
    found: int = integer("period", period, 1, n_slots)
    if found & (found - 1):
        raise ValueError(f"period is {found}: give a power of two, so that it divides the {n_slots} slots")
    return found


def repeat_shifts(n_slots: int, period: Any) -> tuple[int, ...]:
    """Those of `repeat`."""
    check_period(n_slots, period)
    return tuple(period << i for i in range((n_slots // period).bit_length() - 1))


def sum_shifts(n_slots: int, width: Any) -> tuple[int, ...]:
    """The powers of two below the width."""
    found = n_slots if width is None else integer("width", width, 1, n_slots, "None for all slots")
    return tuple(1 << i for i in range((found - 1).bit_length()))


def inner_sum(array: CkksArray, width: int | None) -> CkksArray:
    """Slot i becomes the sum of slots i to i + width - 1, around all slots."""
    check_rotatable(array)
    n_slots = array.n_slots
    shifts = sum_shifts(n_slots, width)
    return _window(array, shifts, n_slots if width is None else width, 1)


def repeat(array: CkksArray, period: int) -> CkksArray:
    """The first `period` slots again and again."""
    check_rotatable(array)
    shifts = repeat_shifts(array.n_slots, period)
    if array.length > period:
        raise ValueError(
            f"the vectors have {array.length} numbers, {levels.describe(array)}, period is {period}: give no less"
        )
    repeated = _window(array, shifts, array.n_slots // period, period)
    estimate = repeated.estimate
    if estimate and array.estimate:  # where one is not zero, all others are
        estimate = Estimate(
            estimate.parameters, estimate.level, estimate.scale, estimate.error, array.estimate.magnitude
        )
    return repeated.with_estimate(estimate)


def _window(array: CkksArray, shifts: tuple[int, ...], width: int, stride: int) -> CkksArray:
    """The sum of rotations by 0, stride .. (width - 1) stride: doubled windows, and those of the bits of `width`."""
    if shifts:
        check_keys(levels.keys_of(array), shifts, array)
    doubled, result = array, None
    for bit in range(width.bit_length()):
        if width >> bit & 1:
            result = doubled if result is None else doubled + result.rotate(stride << bit)
        if width >> bit > 1:
            doubled = doubled + doubled.rotate(stride << bit)
    if result is None or width == 1:
        return array
    return result.with_length(array.n_slots)


def dot(array: CkksArray, other: Any, width: int | None) -> CkksArray:
    """inner_sum(array * other)."""
    operands = (array, other) if isinstance(other, type(array)) else (array,)
    if len(operands) == 2:
        levels.check_same_key(*operands)
    check_rotatable(*operands)
    shifts = sum_shifts(array.n_slots, width)
    if shifts:
        check_keys(levels.keys_of(*operands), shifts, *operands)  # before the product
    return inner_sum(array * other, width)
