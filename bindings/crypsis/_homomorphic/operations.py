# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on rows of ciphertexts, `uint64[size, limbs]` in Montgomery form: sums are products, products powers.

Exponents of encodings are public. Plaintext operands are taken to be secret: powers are constant-time in them, given
the bit length of the largest, unless `vartime` is set. The work is done where the rows are; plaintexts come encoded,
from the host, and their copies on a device are wiped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crypsis import bigint
from crypsis._bigint import buckets
from crypsis._bigint import products as bigint_products
from crypsis._homomorphic import limbs
from crypsis._homomorphic.devices import (
    beside,
    beside_secret,
    device_of,
    in_blocks,
    placed_secret,
    planned,
)
from crypsis._homomorphic.encoding import Encoded, Exponents
from crypsis._homomorphic.limbs import Limbs
from crypsis._homomorphic.secret import random_below
from crypsis._homomorphic.wiping import wiping

if TYPE_CHECKING:
    from crypsis._homomorphic.keys import PublicKeyBase

MAX_MATRIX_BITS = 63
"""Entries of a plaintext matrix are int64."""


def lowest(a: Exponents, b: Exponents) -> Exponents:
    """The exponents, element by element, at which both sides are integers."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    least = np.minimum(a, b).astype(np.int32)
    return int(least[0]) if least.size and (least == least[0]).all() else least


def uniform(exponent: Exponents) -> int:
    """The least of the exponents."""
    if isinstance(exponent, int):
        return exponent
    return int(exponent.min()) if exponent.size else 0


def steps_between(
    exponent: Exponents, target: Exponents, size: int, base: int, max_int: int
) -> npt.NDArray[np.int32]:
    """How far `size` values come down from `exponent` to `target`.

    ValueError where base^steps alone is beyond `max_int`: all but 0 would overflow, and the power would take for ever.
    """
    steps = np.broadcast_to(np.asarray(exponent, dtype=np.int32) - np.asarray(target, dtype=np.int32), size)
    most = int(steps.max(initial=0))
    if most * (base.bit_length() - 1) >= max_int.bit_length():
        raise ValueError(
            f"exponents {most} apart: aligning multiplies by {base}^{most}, more than the {max_int.bit_length()} bits"
            " of the plaintexts of this key; use one exponent for all, as base16(exponent) does"
        )
    return steps


def align(rows: Limbs, exponent: Exponents, target: Exponents, base: int, key: PublicKeyBase) -> Limbs:
    """Rows of the same values at `target` (nowhere above `exponent`): raised to public powers of the base."""
    steps = steps_between(exponent, target, len(rows), base, key.max_int)
    modulus = key.modulus
    if not steps.any():
        return rows
    if (steps == steps[0]).all():
        return _public_power(rows, base ** int(steps[0]), modulus)
    result = rows.copy()
    for step in np.unique(steps[steps != 0]):
        chosen = np.flatnonzero(steps == step)
        result[beside(chosen, rows)] = _public_power(limbs.gather(rows, chosen), base ** int(step), modulus)
    return result


def _public_power(rows: Limbs, power: int, modulus: bigint.Modulus) -> Limbs:
    exponent = beside(limbs.from_int(power, limbs.n_limbs(power.bit_length())), rows)
    return bigint.powm_vartime(rows, exponent, modulus, exponent_bits=power.bit_length(), montgomery=True)


def inverses(rows: Limbs, modulus: bigint.Modulus) -> Limbs:
    """1 / row of each. NotInvertible names a row.

    Rows may be powers of public ciphertexts to secret plaintexts, and the one inversion that `batch_inverse` makes, of
    the product of all, is not constant-time: a random row among them leaves nothing in that product to be told.
    """
    with wiping() as secret:
        blinding = secret(placed_secret(random_below(1, modulus.n), device_of(rows)))
        inverted = bigint.batch_inverse(secret(limbs.concatenate([rows, blinding])), modulus, montgomery=True)
        secret(inverted[-1:])
        return inverted[:-1]


def multiply(
    rows: Limbs, factors: Encoded, take: npt.NDArray[np.int64] | None, modulus: bigint.Modulus, vartime: bool
) -> Limbs:
    """Row take[i] (default: i) to the power of factor i; factors may be a single one for all rows.

    Negative factors raise the inverse: all rows are inverted as soon as one factor is negative.
    """
    power = bigint.powm_vartime if vartime else bigint.powm
    n_bits = max(1, limbs.bit_length(factors.magnitude))
    negative = bool(factors.negative.any())
    inverted = inverses(rows, modulus) if negative else rows
    one = factors.size == 1
    result: Limbs = limbs.module_of(rows).empty(
        (len(rows if take is None else take), modulus.limbs), dtype=np.uint64
    )

    def work(part: slice) -> None:
        def chosen(source: Limbs) -> Limbs:
            return source[part] if take is None else limbs.gather(source, take[part])

        with wiping() as secret:
            if one or not negative:
                bases = chosen(inverted)
            else:  # which tells the sign
                bases = secret(limbs.select(signs[part], chosen(inverted), chosen(rows)))
            powers = exponents[0] if one else exponents[part]
            power(bases, powers, modulus, exponent_bits=n_bits, montgomery=True, out=result[part])

    with beside_secret(rows, factors.magnitude, factors.negative) as (exponents, signs):
        in_blocks(len(result), device_of(rows), 8 * modulus.limbs, work, what="multiplication")
    return result


def signed_matrix(factors: Encoded) -> npt.NDArray[np.int64]:
    """The mantissas of encoded factors with one exponent as int64, in their shape."""
    n_bits = limbs.bit_length(factors.magnitude)
    if n_bits > MAX_MATRIX_BITS:
        raise ValueError(
            f"the plaintext matrix needs {n_bits} bits and a sign: at most {MAX_MATRIX_BITS} fit,"
            " encode it more coarsely, as in base16(exponent=-8).encode(matrix)"
        )
    values = factors.magnitude[:, 0].astype(np.int64)
    return np.where(factors.negative, -values, values).reshape(factors.shape)


def integer_matrix(plain: Any) -> npt.NDArray[np.signedinteger[Any]] | None:
    """NumPy's signed integers, which are their own mantissas at exponent 0, without the way through `Encoded`.

    None for all else, and for -2^63, which `signed_matrix` refuses.
    """
    if type(plain) is not np.ndarray or plain.dtype.kind != "i" or not plain.dtype.isnative:
        return None
    if plain.dtype == np.int64 and plain.size and plain.min() == np.iinfo(np.int64).min:
        return None
    return plain


def matrix_product(
    matrix: npt.NDArray[np.signedinteger[Any]], rows: Limbs, modulus: bigint.Modulus, vartime: bool
) -> Limbs:
    """`int[m, k]` times the encrypted vector `rows[k]`: `uint64[m, limbs]`.

    Constant-time with negative entries: 2^b is added to each, where -2^b is not above the least of them, and the power
    2^b of the product of all rows divided out, once for all. `vartime` takes what is quickest, also this.
    """
    m, k = matrix.shape
    on_host = type(rows) is np.ndarray
    way = "multi_powm_vartime" if vartime or 0 in matrix.shape else "multi_powm"
    if 0 not in matrix.shape:
        least, most = int(matrix.min()), int(matrix.max())
        n_bits = max(1, most.bit_length(), (-least - 1).bit_length() if least < 0 else 0) + (least < 0)
        if vartime and on_host:
            way = buckets.quickest_vartime(m, k, n_bits, least < 0, modulus)
    if way == "multi_powm_vartime":
        signed = np.ascontiguousarray(matrix, dtype=np.int64)
        return planned(way, rows, signed, modulus, montgomery=True)
    offset = 1 << (n_bits - 1) if least < 0 else 0
    magnitudes = np.ascontiguousarray(matrix, dtype=np.int64).view(np.uint64)
    excess = None
    if offset:
        magnitudes = magnitudes + np.uint64(offset)
        whole = planned("segmented_prod", rows, segment_starts(1, len(rows)), modulus, montgomery=True)
        plain = bigint.batch_inverse(whole, modulus, montgomery=True) if vartime else inverses(whole, modulus)
        excess = _public_power(plain, offset, modulus)
    if way == "bucketed":
        return buckets.bucketed(rows, magnitudes, modulus, n_bits, excess)
    with beside_secret(rows, magnitudes) as (exponents,):
        return bigint.multi_powm(
            rows, exponents, modulus, exponent_bits=n_bits, factor=excess, montgomery=True
        )


def sums_by_bin(
    rows: Limbs,
    bins: npt.NDArray[np.signedinteger[Any]],
    n_bins: int,
    index: npt.NDArray[np.int64] | None,
    cumulative: bool,
    modulus: bigint.Modulus,
) -> list[Limbs]:
    """For each of the k columns of `uint64[n, k, limbs]` its sums by bin, `uint64[(f,) n_bins, limbs]`.

    bins: `[n]` or `[n, f]` on the host, checked. index: the rows to take, None for all.
    """
    columns = range(rows.shape[1])
    if type(rows) is np.ndarray:
        shape = (*bins.shape[1:], n_bins, modulus.limbs)
        sums = [np.empty(shape, dtype=np.uint64) for _ in columns]
        for column, total in zip(columns, sums, strict=True):
            own = np.ascontiguousarray(rows[:, column])
            flat = total.reshape(-1, modulus.limbs)
            bigint_products.scattered(own, bins, n_bins, modulus, index, cumulative, flat)
        return sums
    positions = np.arange(len(rows)) if index is None else index
    numbers = np.ascontiguousarray((bins if index is None else bins[index]).astype(np.int32))
    flat_rows = rows.reshape(-1, modulus.limbs)
    return [
        planned(
            "scatter_mul",
            limbs.gather(flat_rows, positions * rows.shape[1] + column),
            numbers,
            n_bins,
            modulus,
            cumulative=cumulative,
            montgomery=True,
        )
        for column in columns
    ]


def segment_starts(n_segments: int, length: int) -> npt.NDArray[np.int64]:
    """Where segments of one length begin, and the end."""
    return np.arange(n_segments + 1, dtype=np.int64) * length


def pack(groups: Limbs, slot_bits: int, modulus: bigint.Modulus) -> Limbs:
    """`uint64[g, s, limbs]` to `uint64[g, limbs]`: value sum of slot j times 2^(slot_bits j), by Horner."""
    contiguous = limbs.module_of(groups).ascontiguousarray
    result: Limbs = contiguous(groups[:, -1])
    for slot in range(groups.shape[1] - 2, -1, -1):
        result = _public_power(result, 1 << slot_bits, modulus)
        result = bigint.mod_mul(result, contiguous(groups[:, slot]), modulus, montgomery=True)
    return result
