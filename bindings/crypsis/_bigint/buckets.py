# SPDX-License-Identifier: Apache-2.0
"""Products of powers of many more bases than rows of exponents, by buckets; and when to take them. Private."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crypsis import _core
from crypsis._bigint.arrays import Limbs
from crypsis._bigint.modulus import Modulus
from crypsis._bigint.multi import HostRows, Options, Plan, fewest_products, horner
from crypsis._bigint.products import scattered

SORTING = 30.0
"""What sorting a digit in Python and loading a row from anywhere cost beside a product, over the limbs."""
SCATTERING = 1.1
"""What a product of `bucketed` costs in those of `multi_powm`."""
BLOCK_BINS = 1 << 24
"""Digits that `bucketed` makes at a time, two bytes each."""
BLOCK_BUCKETS = 64 << 20
"""Bytes of its buckets at a time."""


def quickest_vartime(m: int, k: int, n_bits: int, signed: bool, modulus: Modulus) -> str:
    """Which of "multi_powm", "multi_powm_vartime" and "bucketed" is quickest on the host; private.

    n_bits: bits of exponents made non-negative by adding 2^(n_bits - 1) where signed.
    """
    plan = fewest_products(m, k, n_bits - signed, signed, 8 * modulus.limbs)
    costs = {
        "multi_powm": _core.bigint.multi_powm_products(modulus._core, m, k, n_bits, ""),
        "multi_powm_vartime": (1 + SORTING / modulus.limbs) * plan.products,
        "bucketed": SCATTERING * m * _bucket_width(k, n_bits)[1],
    }
    return min(costs, key=lambda name: costs[name])


def _bucket_width(k: int, n_bits: int) -> tuple[int, int]:
    """(bits of a digit, products a row) of `bucketed`: a product a digit, two a bucket."""
    return min(
        ((width, -(-n_bits // width) * (k + 2 * (2**width - 1))) for width in range(2, 13)),
        key=lambda width: width[1],
    )


def bucketed(
    rows: Limbs,
    exponents: npt.NDArray[np.uint64],
    modulus: Modulus,
    n_bits: int,
    factor: Limbs | None,
    backend: str | None = None,
    threads: int | None = None,
) -> Limbs:
    """`multi_powm` in Montgomery form and in variable time, for many more bases than rows [Pippenger 1976]. Private.

    Each digit of each row of exponents is a grouping of the bases by bin, so that a base, once loaded, serves all rows.
    """
    m, k = exponents.shape
    width = _bucket_width(k, n_bits)[0]
    windows, top = -(-n_bits // width), 2**width - 1
    plan = Plan(False, width, windows, 0.0)
    ops = HostRows(modulus, Options(backend=backend, threads=threads))
    result = ops.empty(m)
    bucket_bytes = windows * top * 8 * modulus.limbs
    n_rows = max(1, min(BLOCK_BINS // (k * windows), BLOCK_BUCKETS // bucket_bytes))
    for begin in range(0, m, n_rows):
        part = exponents[begin : begin + n_rows]
        bins = np.empty((k, len(part), windows), dtype=np.int16)
        for window in range(windows):
            digits = (part >> np.uint64(width * window)) & np.uint64(top)
            bins[:, :, window] = top - digits.T.astype(np.int16)  # the largest digit first; 0 is no bin
        groupings = bins.reshape(k, len(part) * windows)
        buckets = ops.empty(groupings.shape[1] * top)
        scattered(rows, groupings, top, modulus, None, True, buckets, backend, threads)
        whole = np.arange(groupings.shape[1] + 1, dtype=np.int64) * top
        parts = ops.products(buckets, None, whole).reshape(len(part), windows, modulus.limbs)
        horner(ops, parts, plan, result[begin : begin + n_rows])
    if factor is not None:
        ops.mul(result, factor, result)
    return result
