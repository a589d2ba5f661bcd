# SPDX-License-Identifier: Apache-2.0
"""Rows of small signed numbers in plaintexts: what `Packing.pack` makes, without Python's integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import paillier

_WORD = 64


def pack_rows(values: npt.NDArray[np.integer[Any]], packing: paillier.Packing) -> paillier.Encoded:
    """Encoded[rows, groups] of int[rows, columns]: column j in slot j % n_slots of group j // n_slots.

    ValueError where slots have more than 63 bits, or a value does not fit its slot.
    """
    n_rows, n_columns = values.shape
    half = 1 << (packing.slot_bits - 1)
    if packing.slot_bits >= _WORD:
        raise ValueError(f"slots of {packing.slot_bits} bits are too wide to pack: 63 at most")
    if values.size and not (-half <= int(values.min()) and int(values.max()) < half):
        raise ValueError(f"a value does not fit a slot of {packing.slot_bits} bits: use wider slots")
    n_groups = packing.n_groups(n_columns)
    width = -(-packing.n_bits // _WORD)
    # Limb by limb in rows of memory: [width, rows] for each group.
    words = np.zeros((n_groups, width, n_rows), dtype=np.uint64)
    for column in range(n_columns):
        group, slot = divmod(column, packing.n_slots)
        raised = (values[:, column].astype(np.int64) + half).view(np.uint64)
        limb, shift = divmod(slot * packing.slot_bits, _WORD)
        words[group, limb] |= raised << np.uint64(shift)
        if shift + packing.slot_bits > _WORD:
            words[group, limb + 1] |= raised >> np.uint64(_WORD - shift)
    negative = np.empty((n_groups, n_rows), dtype=bool)
    for group in range(n_groups):
        used = min(packing.n_slots, n_columns - group * packing.n_slots)
        offset = sum(half << (packing.slot_bits * slot) for slot in range(used))
        negative[group] = _lower(words[group], offset)
    magnitude = np.ascontiguousarray(words.transpose(2, 0, 1)).reshape(n_rows * n_groups, width)
    return paillier.Encoded(
        magnitude, np.ascontiguousarray(negative.T).reshape(-1), 0, 16, (n_rows, n_groups), packing.n_bits
    )


def _lower(words: npt.NDArray[np.uint64], offset: int) -> npt.NDArray[np.bool_]:
    """Takes `offset` from each column of words[limbs, n] in place, leaving magnitudes; returns which are negative."""
    borrow = np.zeros(words.shape[1], dtype=bool)
    for limb, row in enumerate(words):
        taken = np.uint64((offset >> (_WORD * limb)) & (2**_WORD - 1))
        less = (row < taken) | ((row == taken) & borrow)
        row -= taken
        row -= borrow.astype(np.uint64)
        borrow = less
    mask = np.uint64(0) - borrow.astype(np.uint64)
    carry = borrow.copy()
    for row in words:  # two's complement where negative: all bits turned, plus one
        row ^= mask
        row += carry.astype(np.uint64)
        carry &= row == 0
    return borrow
