# SPDX-License-Identifier: Apache-2.0
"""Compiled loops over numbers in the clear: bins, sums by bin, rows of nodes, limbs of packed gradients.

numba compiles each when it is first called (some seconds a process). Everything is exact: integers, comparisons.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from crypsis.errors import BackendUnavailable


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`numba.njit` of `function`, made at its first call. BackendUnavailable without numba."""

    @functools.cache
    def made() -> Callable[..., Any]:
        try:
            numba: Any = importlib.import_module("numba")
        except ImportError as error:
            raise BackendUnavailable(
                "boosting needs numba for its loops; pip install 'crypsis[learning]'"
            ) from error
        # Kept only where the user names a folder for it: numba's own choice may not be writable.
        fast: Callable[..., Any] = numba.njit(nogil=True, cache="NUMBA_CACHE_DIR" in os.environ)(function)
        return fast

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return made()(*arguments)

    return call


@compiled
def bin_column(values: Any, edges: Any, missing: int, out: Any) -> None:
    """out[i] = number of edges at or below values[i], or `missing` for NaN: those below edges[b] are in bin b or lower.

    values: float64[n]; edges: float64[k], rising; out: int16[n].
    """
    for i in range(len(values)):
        x = values[i]
        if np.isnan(x):
            out[i] = missing
        else:
            low, high = 0, len(edges)
            while low < high:
                middle = (low + high) // 2
                if edges[middle] <= x:
                    low = middle + 1
                else:
                    high = middle
            out[i] = low


@compiled
def code_column(values: Any, n_categories: int, missing: int, out: Any) -> None:
    """out[i] = the category number values[i], or `missing` for NaN and numbers that are none."""
    for i in range(len(values)):
        x = values[i]
        out[i] = missing
        if x >= 0 and x < n_categories and x == np.floor(x):
            out[i] = int(x)


@compiled
def sums_by_bin(bins: Any, rows: Any, g: Any, h: Any, out: Any) -> None:
    """Adds g and h (int64[n]) of `rows` to out[f, bin, 0 and 1] (int64), for bins int16[n, f]."""
    n_features = bins.shape[1]
    for j in range(len(rows)):
        row = rows[j]
        for f in range(n_features):
            b = bins[row, f]
            out[f, b, 0] += g[row]
            out[f, b, 1] += h[row]


@compiled
def split_rows(order: Any, begin: int, end: int, left: Any, spare: Any) -> int:
    """Moves the rows order[begin:end] whose left[row] is set to the front, keeping their order; where the right ones
    begin. spare: int32, as long as the node."""
    at, kept = begin, 0
    for i in range(begin, end):
        row = order[i]
        if left[row]:
            order[at] = row
            at += 1
        else:
            spare[kept] = row
            kept += 1
    for i in range(kept):
        order[at + i] = spare[i]
    return at


@compiled
def goes_left(bins: Any, rows: Any, feature: int, in_left: Any, out: Any) -> None:
    """out[row] = in_left[bin of the row], for `rows`. in_left: bool[bins and missing]."""
    for j in range(len(rows)):
        row = rows[j]
        out[row] = in_left[bins[row, feature]]


@compiled
def bin_ranges(bins: Any, rows: Any, left: Any, missing: int, out: Any) -> None:
    """For each feature, over `rows`: out[f] = least and largest bin of the rows with left[row], least and largest of
    the others (without missing ones: `missing` and -1 where there is none), missing rows left, missing rows right."""
    n_features = bins.shape[1]
    for f in range(n_features):
        out[f, 0] = missing
        out[f, 1] = -1
        out[f, 2] = missing
        out[f, 3] = -1
        out[f, 4] = 0
        out[f, 5] = 0
    for j in range(len(rows)):
        row = rows[j]
        side = 0 if left[row] else 2
        for f in range(n_features):
            b = bins[row, f]
            if b == missing:
                out[f, 4 + side // 2] += 1
            else:
                if b < out[f, side]:
                    out[f, side] = b
                if b > out[f, side + 1]:
                    out[f, side + 1] = b


@compiled
def pack_rows(g: Any, h: Any, h_bits: int, magnitude: Any, negative: Any) -> None:
    """magnitude (uint64[n, 2]) and negative (bool[n]) of g * 2^h_bits + h; 0 <= h < 2^h_bits, 0 < h_bits < 64."""
    shift = np.uint64(h_bits)
    rest = np.uint64(64 - h_bits)
    for i in range(len(g)):
        size = np.uint64(abs(g[i]))
        low, high = size << shift, size >> rest
        part = np.uint64(h[i])
        if g[i] >= 0:
            magnitude[i, 0] = low | part
            magnitude[i, 1] = high
            negative[i] = False
        else:
            magnitude[i, 0] = low - part
            magnitude[i, 1] = high - (np.uint64(1) if low < part else np.uint64(0))
            negative[i] = True


@compiled
def unpack_slots(
    magnitude: Any, negative: Any, n_slots: int, slot_bits: int, h_bits: int, offset: Any, out: Any
) -> bool:
    """out[i, j] (int64[m, n_slots, 2]) = the g and h sums of slot j of value i; False where a value leaves its slots.

    offset: uint64[k], half a slot in every slot: added, it leaves no borrow. magnitude: uint64[m, k]. Two limbs at
    most a slot, h_bits < 64, slot_bits - h_bits < 64.
    """
    n_limbs = len(offset)
    word = np.empty(n_limbs + 2, dtype=np.uint64)
    one, zero, full = np.uint64(1), np.uint64(0), np.uint64(64)
    h_mask = (one << np.uint64(h_bits)) - one
    g_bits = slot_bits - h_bits
    g_mask = (one << np.uint64(g_bits)) - one
    good = True
    for i in range(len(magnitude)):
        carry = zero
        for k in range(n_limbs):
            a = offset[k]
            if negative[i]:
                b = magnitude[i, k] + carry
                overflow = one if b < carry else zero
                word[k] = a - b
                carry = overflow + (one if a < b else zero)
            else:
                b = a + carry
                overflow = one if b < carry else zero
                word[k] = b + magnitude[i, k]
                carry = overflow + (one if word[k] < b else zero)
        word[n_limbs] = zero
        word[n_limbs + 1] = zero
        if carry != zero:
            good = False
        used = n_slots * slot_bits
        for k in range(used // 64, n_limbs):
            top = word[k]
            if k == used // 64:
                top = top >> np.uint64(used % 64)
            if top != zero:
                good = False
        for j in range(n_slots):
            for part in range(2):
                at = j * slot_bits + (0 if part == 1 else h_bits)
                limb, bit = at // 64, np.uint64(at % 64)
                value = word[limb] >> bit
                if bit != zero:
                    value |= word[limb + 1] << (full - bit)
                if part == 1:
                    out[i, j, 1] = np.int64(value & h_mask)
                else:
                    out[i, j, 0] = np.int64(value & g_mask) - (np.int64(1) << np.int64(g_bits - 1))
    return good


@compiled
def leaves_of(left: Any, right: Any, record: Any, goes: Any, out: Any) -> None:
    """out[i] = the leaf that row i reaches: from node 0, to left[node] where goes[record[node], i], else right[node].

    record: int32[nodes], -1 for leaves; goes: bool[records, n]; out: int32[n].
    """
    for i in range(len(out)):
        node = 0
        while record[node] >= 0:
            node = left[node] if goes[record[node], i] else right[node]
        out[i] = node
