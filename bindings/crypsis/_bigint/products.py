# SPDX-License-Identifier: Apache-2.0
"""Products of many rows: segments, running, by bin; inverses."""

from __future__ import annotations

import importlib
import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core
from crypsis._bigint import arrays as check
from crypsis._bigint.arrays import Limbs
from crypsis._bigint.modulus import Modulus, from_ints, mod_mul, to_ints
from crypsis.cuda._dispatch import follow_data
from crypsis.errors import NotInvertible

gmpy2: Any
try:
    gmpy2 = importlib.import_module("gmpy2")
except ImportError:  # GPU hosts have none
    gmpy2 = None

BLOCK_ITEMS = 1 << 20
"""Rows times groupings that `scatter_mul` sorts at a time for a device, some 50 bytes each."""


@follow_data("bigint")
def segmented_prod(
    a: Limbs,
    starts: npt.NDArray[np.int64],
    modulus: Modulus,
    *,
    montgomery: bool = False,
    out: Limbs | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Limbs:
    """Products of runs of rows: row i of the result is that of a[starts[i]:starts[i + 1]], one for none.

    a: `uint64[n, limbs]`. starts: `int64[s + 1]`, not decreasing, within 0 to n. Returns `uint64[s, limbs]`.
    """
    rows = check.rows("a", a, modulus.limbs)
    begins = check.array("starts", starts, (np.int64,), (1,))
    result = check.result(out, (max(0, len(begins) - 1), modulus.limbs), apart=(rows, begins))
    return products(rows, None, begins, modulus, montgomery, result, backend, threads)


def products(
    rows: Limbs,
    index: npt.NDArray[np.int64] | None,
    starts: npt.NDArray[np.int64],
    modulus: Modulus,
    montgomery: bool,
    result: Limbs,
    backend: str | None,
    threads: int | None,
) -> Limbs:
    """result[i] = product of rows[index[j]] for starts[i] <= j < starts[i + 1]; rows[j] where index is None."""
    montgomery = _arguments.flag("montgomery", montgomery)
    n_threads = _arguments.threads(threads)
    if not montgomery:
        rows = modulus.to_montgomery(rows, backend=backend, threads=threads)
    _core.bigint.segmented_prod(
        modulus._core, rows, index, starts, result, _arguments.backend(backend), n_threads
    )
    if not montgomery:
        modulus.from_montgomery(result, out=result, backend=backend, threads=threads)
    return result


@follow_data("bigint")
def cumulative_prod(
    a: Limbs,
    starts: npt.NDArray[np.int64],
    modulus: Modulus,
    *,
    montgomery: bool = False,
    out: Limbs | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Limbs:
    """Running products inside segments: row j of the result is a[starts[i]] * ... * a[j], i being j's segment.

    a: `uint64[n, limbs]`. starts: `int64[s + 1]`, from 0 to n, not decreasing. Returns `uint64[n, limbs]`;
    `out` may be `a`.
    """
    rows = check.rows("a", a, modulus.limbs)
    begins = check.array("starts", starts, (np.int64,), (1,))
    result = check.result(out, rows.shape, same=(rows,), apart=(begins,))
    montgomery = _arguments.flag("montgomery", montgomery)
    n_threads = _arguments.threads(threads)
    if not montgomery:
        rows = modulus.to_montgomery(rows, backend=backend, threads=threads)
    _core.bigint.cumulative_prod(modulus._core, rows, begins, result, _arguments.backend(backend), n_threads)
    if not montgomery:
        modulus.from_montgomery(result, out=result, backend=backend, threads=threads)
    return result


@follow_data("bigint")
def scatter_mul(
    a: Limbs,
    bins: npt.NDArray[np.int32] | npt.NDArray[np.int64],
    n_bins: int,
    modulus: Modulus,
    *,
    mask: npt.NDArray[np.bool_] | None = None,
    cumulative: bool = False,
    montgomery: bool = False,
    out: Limbs | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Limbs:
    """Products by bin: the result's row b is the product of the rows of `a` whose bin is b; one for an empty bin.

    a: `uint64[n, limbs]`. bins: `int32` or `int64`, `[n]`, or `[n, f]` for f groupings of the same rows; values
    from -1 to n_bins - 1, -1 leaves the row out. mask: `bool[n]`, False leaves the row out. cumulative: row b is
    the product over the bins 0 to b. Bins and mask are public. Returns `uint64[n_bins, limbs]`, or
    `uint64[f, n_bins, limbs]`.
    """
    rows = check.rows("a", a, modulus.limbs)
    in_order = _arguments.flag("cumulative", cumulative)
    chosen = check.array("bins", bins, (np.int32, np.int64), (1, 2))
    keep = None if mask is None else check.array("mask", mask, (np.bool_,), (1,))
    n_bins = checked_bins(len(rows), chosen, n_bins, keep)
    result = check.result(out, (*chosen.shape[1:], n_bins, modulus.limbs), apart=(rows,))
    montgomery = _arguments.flag("montgomery", montgomery)
    if not montgomery:
        rows = modulus.to_montgomery(rows, backend=backend, threads=threads)
    index = None if keep is None else np.flatnonzero(keep)
    flat = result.reshape(-1, modulus.limbs)
    scattered(rows, chosen, n_bins, modulus, index, in_order, flat, backend, threads)
    if not montgomery:
        modulus.from_montgomery(flat, out=flat, backend=backend, threads=threads)
    return result


def scattered(
    rows: Limbs,
    bins: npt.NDArray[np.signedinteger[Any]],
    n_bins: int,
    modulus: Modulus,
    index: npt.NDArray[np.int64] | None,
    cumulative: bool,
    result: Limbs,
    backend: str | None = None,
    threads: int | None = None,
) -> None:
    """`scatter_mul` in Montgomery form, of the rows and bins that `index` names, into `uint64[f * n_bins, limbs]`.

    bins: signed integers `[n]` or `[n, f]`, which have been checked. Private.
    """
    groupings = np.ascontiguousarray(bins.reshape(len(bins), math.prod(bins.shape[1:])))
    core, name, n_threads = modulus._core, _arguments.backend(backend), _arguments.threads(threads)
    _core.bigint.scatter_mul(core, rows, groupings, n_bins, index, result, name, n_threads)
    if cumulative:
        whole = np.arange(groupings.shape[1] + 1, dtype=np.int64) * n_bins
        _core.bigint.cumulative_prod(core, result, whole, result, name, n_threads)


def checked_bins(
    n_rows: int, chosen: npt.NDArray[np.integer[Any]], n_bins: int, mask: npt.NDArray[np.bool_] | None
) -> int:
    """n_bins of `scatter_mul`, checked as bins and mask are; private."""
    n_bins = _arguments.integer("n_bins", n_bins, 1, 2**31 - 1)
    if len(chosen) != n_rows:
        raise ValueError(f"bins has shape {chosen.shape} for {n_rows} rows: give one for each row")
    if chosen.size and (chosen.min() < -1 or chosen.max() >= n_bins):
        bad = int(chosen.min()) if chosen.min() < -1 else int(chosen.max())
        raise ValueError(f"bins holds {bad}: give -1 to n_bins - 1 = {n_bins - 1}")
    if mask is not None and len(mask) != n_rows:
        raise ValueError(f"mask has shape {mask.shape} for {n_rows} rows: give one for each row")
    return n_bins


def grouped(
    n_rows: int, chosen: npt.NDArray[np.integer[Any]], n_bins: int, mask: npt.NDArray[np.bool_] | None
) -> tuple[int, npt.NDArray[np.integer[Any]], npt.NDArray[np.bool_]]:
    """(n_bins, the bins `[groupings, rows]`, which of them count) of `scatter_mul`, checked; private."""
    n_bins = checked_bins(n_rows, chosen, n_bins, mask)
    groupings = chosen.T if chosen.ndim == 2 else chosen[np.newaxis]
    kept = groupings >= 0
    return n_bins, groupings, kept if mask is None else kept & mask


def by_bin(
    groupings: npt.NDArray[np.integer[Any]], kept: npt.NDArray[np.bool_], n_bins: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(rows in the order of their bins, grouping after grouping; where each bin starts among them)."""
    n_keys = len(groupings) * n_bins
    grouping, row = np.nonzero(kept)
    key = groupings[grouping, row] + grouping * n_bins
    # NumPy sorts 16-bit keys by radix, ten times faster than wider ones.
    narrow = key.astype(np.uint16) if n_keys <= 1 << 16 else key
    order = np.argsort(narrow, kind="stable")
    starts = np.zeros(n_keys + 1, dtype=np.int64)
    np.cumsum(np.bincount(key, minlength=n_keys), out=starts[1:])
    return np.ascontiguousarray(row[order], dtype=np.int64), starts


@follow_data("bigint")
def batch_inverse(
    a: Limbs,
    modulus: Modulus,
    *,
    montgomery: bool = False,
    out: Limbs | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Limbs:
    """1 / a mod n of each row, by three products a row and one inversion. Variable-time in the product of all rows.

    Ciphertexts are public, so nothing leaks there; blind secret values first (multiply by a random unit before,
    and again after). `crypsis.errors.NotInvertible` names the first row that shares a factor with n. `out` may
    be `a`. One or two rows are left to gmpy2, where it is installed and neither `backend` nor CRYPSIS_BACKEND is given:
    several times faster.
    """
    rows = check.rows("a", a, modulus.limbs)
    result = check.result(out, a.shape, same=(rows,))
    flat = result.reshape(-1, modulus.limbs)
    montgomery = _arguments.flag("montgomery", montgomery)
    n_threads = _arguments.threads(threads)
    given = rows
    forced = backend is not None or os.environ.get("CRYPSIS_BACKEND")
    if gmpy2 is not None and not forced and 1 <= len(rows) <= 2:
        few = _inverses_of_few(rows, modulus, montgomery)
        if few is not None:
            flat[:] = few
            return result
    if not montgomery:
        rows = modulus.to_montgomery(rows, backend=backend, threads=threads)
    if not _core.bigint.batch_inverse(modulus._core, rows, flat, _arguments.backend(backend), n_threads):
        bad = next(row for row, value in enumerate(to_ints(given)) if math.gcd(value, modulus.n) != 1)
        raise NotInvertible(f"a: the value in row {bad} shares a factor with the modulus and has no inverse")
    if not montgomery:
        modulus.from_montgomery(flat, out=flat, backend=backend, threads=threads)
    return result


def _inverses_of_few(rows: Limbs, modulus: Modulus, montgomery: bool) -> Limbs | None:
    """The inverses of one or two rows by gmpy2's inversion of their product; None where it has no inverse.

    GMP sees the product alone, as the inversion of the kernels does: what blinds a batch there blinds it here.
    """
    _core.bigint.check_values(modulus._core, rows, "a", 1)
    product = (
        rows if len(rows) == 1 else mod_mul(rows[:1], rows[1:], modulus, montgomery=montgomery, threads=1)
    )
    n = gmpy2.mpz(modulus.n)
    try:
        inverse = gmpy2.invert(to_ints(product)[0], n)
    except ZeroDivisionError:
        return None
    if montgomery:  # of x R: 1 / x R is x^-1 R / R^2
        inverse = inverse * to_ints(modulus._core.r2())[0] % n
    row = from_ints([int(inverse)], modulus.limbs)
    if len(rows) == 1:
        return row
    return mod_mul(np.ascontiguousarray(rows[::-1]), row, modulus, montgomery=montgomery, threads=1)


def measure_products(repeats: int, *, backend: str | None = None) -> int:
    """For benchmarks: products of words that stay in registers, `repeats` loops of them, and nothing else; returns how
    many there were. Of 52-bit lanes, eight to an instruction (avx512), or of 64-bit words (portable)."""
    repeats = _arguments.integer("repeats", repeats, 1, 1 << 32)
    return _core.bigint.measure_products(_arguments.backend(backend), repeats)
