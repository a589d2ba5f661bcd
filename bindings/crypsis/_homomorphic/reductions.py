# SPDX-License-Identifier: Apache-2.0
"""What makes one ciphertext of many: sums along axes, sums by bin, packing."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crypsis._homomorphic import devices, limbs, operations
from crypsis._homomorphic.array_base import ArrayBase
from crypsis._homomorphic.encoding import Exponents
from crypsis._homomorphic.limbs import Limbs
from crypsis._homomorphic.numpy_calls import axis_of

if TYPE_CHECKING:
    from crypsis._homomorphic.cipher_array import UnblindedCipherArray
    from crypsis._homomorphic.packing import Packing


class Reductions(ArrayBase):
    """The methods of `UnblindedCipherArray` that reduce; their results are unblinded."""

    __slots__ = ()

    @abstractmethod
    def _result(self, rows: Limbs, shape: tuple[int, ...], exponent: Exponents) -> UnblindedCipherArray:
        """An unblinded array under the same key."""

    def _uniform(self) -> tuple[Limbs, int]:
        """The ciphertexts at one exponent for all, and that."""
        exponent = operations.uniform(self.exponent)
        rows = operations.align(self._rows, self.exponent, exponent, self.base, self.public_key)
        return rows, exponent

    @devices.current
    def sum(self, axis: int | None = None) -> UnblindedCipherArray:
        """Sums along `axis`, or of everything. AxisError for an axis that is not there."""
        axis = self._axis(axis)
        rows, outer, length, exponent = self._segments(axis)
        starts = operations.segment_starts(math.prod(outer), length)
        total = devices.planned("segmented_prod", rows, starts, self.public_key.modulus, montgomery=True)
        return self._result(total, outer, exponent)

    @devices.current
    def cumsum(self, axis: int | None = None) -> UnblindedCipherArray:
        """Running sums along `axis`, or over the raveled array."""
        axis = self._axis(axis)
        rows, outer, length, exponent = self._segments(axis)
        starts = operations.segment_starts(math.prod(outer), length)
        running = devices.planned("cumulative_prod", rows, starts, self.public_key.modulus, montgomery=True)
        if axis is None:
            return self._result(running, (length,), exponent)
        moved = np.moveaxis(np.arange(self.size).reshape(*outer, length), -1, axis)
        return self._result(limbs.gather(running, moved.reshape(-1)), moved.shape, exponent)

    def _axis(self, axis: Any) -> int | None:
        """`axis` as 0 to ndim - 1, or None for all; a single number has, as in NumPy, an axis 0 to reduce."""
        number = None if axis is None else axis_of(axis, max(self.ndim, 1))
        return number if self.ndim else None

    def _segments(self, axis: int | None) -> tuple[Limbs, tuple[int, ...], int, int]:
        """(rows with `axis` last, the other axes, its length, the exponent of all)."""
        positions = (
            self._positions().reshape(-1) if axis is None else np.moveaxis(self._positions(), axis, -1)
        )
        rows, exponent = self._uniform()
        order = positions.reshape(-1)
        in_order = axis is None or axis == self.ndim - 1
        return (
            rows if in_order else limbs.gather(rows, order),
            positions.shape[:-1],
            positions.shape[-1],
            exponent,
        )

    @devices.current
    def histogram(
        self, bins: Any, n_bins: int, *, index: Any = None, mask: Any = None, cumulative: bool = False
    ) -> UnblindedCipherArray:
        """Sums of the ciphertexts by bin: the kernel of boosted trees.

        self: `[n]`, or `[n, k]` for k values of each row. bins: integers `[n]`, or `[n, f]` for f features, from 0 to
        n_bins - 1, -1 to leave the row out. index: integers, the rows to take. mask: `bool[n]`, the rows to take.
        cumulative: running sums over the bins. Returns `[n_bins]` or `[f, n_bins]`, with `[k]` behind it.
        Memory addresses depend on bins, index and mask. Where the ciphertexts are on a GPU, these may be there too, and
        are copied to the host, which plans the products; arrays on another device are a ValueError.
        """
        if self.ndim not in (1, 2):
            raise ValueError(f"histogram of shape {self.shape}: give one row a sample, [n] or [n, k]")
        for name, given in (("bins", bins), ("index", index), ("mask", mask)):
            devices.check_beside(name, given, self._device)
        numbers = _bin_numbers(bins, n_bins, len(self))
        chosen = _chosen_rows(len(self), index, mask)
        rows, exponent = self._uniform()
        modulus = self.public_key.modulus
        columns = rows.reshape(len(self), math.prod(self.shape[1:]), modulus.limbs)
        columns = rows.reshape(len(self), math.prod(self.shape[1:]), modulus.limbs)
        parts = operations.sums_by_bin(columns, numbers, n_bins, chosen, cumulative, modulus)
        shape = (*numbers.shape[1:], n_bins, *self.shape[1:])
        total = limbs.module_of(rows).stack(parts, axis=-2) if parts else rows[:0]
        return self._result(total.reshape(-1, modulus.limbs), shape, exponent)

    @devices.current
    def pack(self, packing: Packing) -> UnblindedCipherArray:
        """Several small values in one ciphertext, along the last axis, [..., n] to [..., groups]: see `Packing`."""
        if not self.shape:
            raise ValueError("packing takes an array, not a single ciphertext")
        self.public_key.check_packed(packing.n_bits)
        rows, exponent = self._uniform()
        n_items, n_groups = self.shape[-1], packing.n_groups(self.shape[-1])
        modulus = self.public_key.modulus
        outer = self.shape[:-1]
        padded = limbs.module_of(rows).empty(
            (math.prod(outer), n_groups * packing.n_slots, modulus.limbs), dtype=np.uint64
        )
        padded[:] = devices.beside(modulus.one_montgomery, rows)  # empty slots: zero
        padded[:, :n_items] = rows.reshape(len(padded), n_items, modulus.limbs)
        rows = operations.pack(padded.reshape(-1, packing.n_slots, modulus.limbs), packing.slot_bits, modulus)
        return self._result(rows, (*outer, n_groups), exponent)


def _bin_numbers(bins: Any, n_bins: int, n_rows: int) -> npt.NDArray[np.signedinteger[Any]]:
    """Signed integers `[n_rows]` or `[n_rows, f]` on the host. ValueError for what does not fit."""
    numbers = np.asarray(devices.plain("bins", bins))
    if numbers.dtype.kind not in "iu" or numbers.ndim not in (1, 2) or len(numbers) != n_rows:
        raise ValueError(
            f"bins has dtype {numbers.dtype} and shape {numbers.shape}: give integers, {n_rows} rows"
        )
    if numbers.size:
        least, most = int(numbers.min()), int(numbers.max())
        if not (least >= -1 and most < n_bins):
            raise ValueError(f"bins go from {least} to {most}: give -1 to {n_bins - 1}")
    kept = numbers.dtype.kind == "i" and numbers.dtype.isnative
    return np.ascontiguousarray(numbers if kept else numbers.astype(np.int32))


def _chosen_rows(n_rows: int, index: Any, mask: Any) -> npt.NDArray[np.int64] | None:
    """The rows that `index` and `mask` both allow; None for all."""
    if index is None and mask is None:
        return None
    rows = np.arange(n_rows) if index is None else np.asarray(devices.plain("index", index))
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise ValueError(
            f"index has dtype {rows.dtype} and shape {rows.shape}: give row numbers, integers [m]"
        )
    if rows.size and not (rows.min() >= 0 and rows.max() < n_rows):
        raise ValueError(
            f"index goes from {rows.min()} to {rows.max()}: the array has rows 0 to {n_rows - 1}"
        )
    if mask is not None:
        allowed = np.asarray(devices.plain("mask", mask))
        if allowed.dtype != bool or allowed.shape != (n_rows,):
            raise ValueError(f"mask has dtype {allowed.dtype} and shape {allowed.shape}: give bool[{n_rows}]")
        rows = rows[allowed[rows]]
    return rows.astype(np.int64)
