# SPDX-License-Identifier: Apache-2.0
"""Modular arithmetic on batches of big integers, for odd moduli of 256 to 8192 bits.

A batch is a C-contiguous `uint64[n, limbs]` NumPy array: little-endian limbs, each value below the modulus,
`limbs = ceil(n_bits / 64)` of the modulus; `from_ints` and `to_ints` convert. A single `uint64[limbs]` is one
row; where two operands are given, one row serves for all rows of the other. A call whose operands are all
single rows returns a single row.

Options that the functions share, all keyword-only:

    montgomery  operands and result are in Montgomery form, x * R mod n with R = 2^(64 * limbs): one product
                less. The form is the same on every backend. Default False: plain values.
    out         array for the result, of its shape; it may be an input of the same shape where the function says
                so, and must not overlap one otherwise. Untouched when an error is raised.
    backend     a name from `crypsis.backends.runnable("bigint")`; default: `CRYPSIS_BACKEND`, else the best
    threads     default: `CRYPSIS_NUM_THREADS`, else the CPUs this process may use

On a GPU (`crypsis.cuda`), where all arrays of a call are CuPy arrays on one device: the result is there too, and the
same words. `backend` and `threads` say how a CPU works and are left out. A `Modulus` and a `FixedBase` serve both;
a fixed base has tables of its own on each device, built at the first use.

Every result is fully reduced, so every backend returns the same words. Constant-time (no branch and no address
depends on values; `tests/test_bigint_constant_time.py`) is everything but `to_ints`, `from_ints`, `batch_inverse`
and what is named `_vartime`; the modulus, shapes, segments, bins and bounds on bits are public.

Errors: `TypeError` for what is not such an array, `ValueError` for a wrong shape or a value that is not below the
modulus (naming the row), `crypsis.errors.BackendUnavailable` for a backend this CPU cannot run.
"""

from __future__ import annotations

from crypsis._bigint.modulus import MAX_BITS, MIN_BITS, Modulus, from_ints, mod_mul, mod_sqr, to_ints
from crypsis._bigint.multi import multi_powm, multi_powm_vartime
from crypsis._bigint.powers import FixedBase, powm, powm_vartime
from crypsis._bigint.products import (
    batch_inverse,
    cumulative_prod,
    measure_products,
    scatter_mul,
    segmented_prod,
)

__all__ = [
    "MAX_BITS",
    "MIN_BITS",
    "FixedBase",
    "Modulus",
    "batch_inverse",
    "cumulative_prod",
    "from_ints",
    "measure_products",
    "mod_mul",
    "mod_sqr",
    "multi_powm",
    "multi_powm_vartime",
    "powm",
    "powm_vartime",
    "scatter_mul",
    "segmented_prod",
    "to_ints",
]
