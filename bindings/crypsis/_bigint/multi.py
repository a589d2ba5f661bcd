# SPDX-License-Identifier: Apache-2.0
"""Products of powers: a matrix of small exponents times a vector of bases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core
from crypsis._bigint import arrays as check
from crypsis._bigint.arrays import Limbs
from crypsis._bigint.modulus import Modulus, mod_mul, mod_sqr
from crypsis._bigint.products import batch_inverse, cumulative_prod, products
from crypsis.cuda._dispatch import follow_data

if TYPE_CHECKING:
    from crypsis.cuda import Device

BLOCK_DIGITS = 1 << 20
"""Digits of exponents that are recoded and sorted at a time, some 80 bytes each: rows go in blocks of as many."""
TABLE_BYTES = 256 << 20
"""What a table of powers stays below."""


class Plan(NamedTuple):
    """How exponents are cut: `windows` digits of `width` bits; `straus` tabulates powers, else buckets [Pippenger]."""

    straus: bool
    width: int
    windows: int
    products: float


class Options(TypedDict):
    backend: str | None
    threads: int | None


class RowOps(Protocol):
    """What the plans need of the place where rows are, all in Montgomery form: the host here, or a device."""

    def empty(self, *shape: int) -> Any:
        """Room for rows: `uint64[*shape, limbs]`."""

    def mul(self, a: Any, b: Any, out: Any) -> None:
        """out = a * b."""

    def sqr(self, a: Any, out: Any) -> None:
        """out = a^2."""

    def products(self, rows: Any, index: npt.NDArray[np.int64] | None, starts: npt.NDArray[np.int64]) -> Any:
        """Row i: the product of rows[index[j]] (rows[j]) for starts[i] <= j < starts[i + 1]."""

    def running(self, rows: Any, starts: npt.NDArray[np.int64]) -> None:
        """rows[j] = the product of its segment up to it."""

    def contiguous(self, rows: Any) -> Any:
        """rows without gaps."""


class HostRows:
    """`RowOps` of NumPy arrays."""

    def __init__(self, modulus: Modulus, options: Options) -> None:
        self._modulus = modulus
        self._options = options

    def empty(self, *shape: int) -> Limbs:
        return np.empty((*shape, self._modulus.limbs), dtype=np.uint64)

    def mul(self, a: Limbs, b: Limbs, out: Limbs) -> None:
        mod_mul(a, b, self._modulus, out=out, montgomery=True, **self._options)

    def sqr(self, a: Limbs, out: Limbs) -> None:
        mod_sqr(a, self._modulus, out=out, montgomery=True, **self._options)

    def products(
        self, rows: Limbs, index: npt.NDArray[np.int64] | None, starts: npt.NDArray[np.int64]
    ) -> Limbs:
        result = self.empty(len(starts) - 1)
        return products(rows, index, starts, self._modulus, True, result, **self._options)

    def running(self, rows: Limbs, starts: npt.NDArray[np.int64]) -> None:
        cumulative_prod(rows, starts, self._modulus, montgomery=True, out=rows, **self._options)

    def contiguous(self, rows: Limbs) -> Limbs:
        return np.ascontiguousarray(rows)


@follow_data("bigint")
def multi_powm(
    bases: Limbs,
    exponents: Limbs,
    modulus: Modulus,
    *,
    exponent_bits: int = 64,
    factor: Limbs | None = None,
    montgomery: bool = False,
    out: Limbs | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Limbs:
    """Products of powers, constant-time in the exponents: row i is the product over j of bases[j]^exponents[i, j].

    bases: `uint64[k, limbs]`. exponents: `uint64[m, k]`, below 2^exponent_bits, a public bound of at most 64
    that the time depends on. factor: `uint64[1, limbs]` that every row is multiplied by, at no cost. Returns
    `uint64[m, limbs]`.

    Tables hold products of powers of one to eight bases [Straus 1964], as many as take the fewest products: few rows
    share tables of many bases, many rows tables of wide digits.
    """
    rows, powers = multi_operands(bases, exponents, modulus)
    n_bits = _arguments.integer("exponent_bits", exponent_bits, 0, 64)
    result = check.result(out, (len(powers), modulus.limbs), apart=(rows, powers))
    montgomery = _arguments.flag("montgomery", montgomery)
    n_threads = _arguments.threads(threads)
    times = None if factor is None else checked_factor(factor, modulus)
    _core.bigint.check_values(modulus._core, rows, "bases", n_threads)
    if not montgomery:
        rows = modulus.to_montgomery(rows, backend=backend, threads=threads)
        times = None if times is None else modulus.to_montgomery(times, backend=backend, threads=1)
    _core.bigint.multi_powm(
        modulus._core, rows, powers, n_bits, times, result, _arguments.backend(backend), n_threads
    )
    if not montgomery:
        modulus.from_montgomery(result, out=result, backend=backend, threads=threads)
    return result


@follow_data("bigint")
def multi_powm_vartime(
    bases: Limbs,
    exponents: npt.NDArray[np.int64] | npt.NDArray[np.uint64],
    modulus: Modulus,
    *,
    inverses: Limbs | None = None,
    montgomery: bool = False,
    out: Limbs | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Limbs:
    """Products of powers: row i of the result is the product over j of bases[j]^exponents[i, j]. Variable-time.

    bases: `uint64[k, limbs]`. exponents: `int64[m, k]` or `uint64[m, k]`. inverses: `uint64[k, limbs]`, 1 / bases;
    where exponents are negative and they are not given, `batch_inverse` makes them (`NotInvertible` names the
    row); with them, also non-negative exponents take fewer products. Returns `uint64[m, limbs]`.

    Each exponent is cut into windows. For few bases or many rows, powers of the bases are tabulated [Straus
    1964]; else each row sorts its bases into buckets by digit [Pippenger 1976]: whichever is fewer products.
    """
    rows, powers = vartime_operands(bases, exponents, modulus)
    m, k = powers.shape
    result = check.result(out, (m, modulus.limbs), apart=(rows, powers))
    montgomery = _arguments.flag("montgomery", montgomery)
    options = Options(backend=backend, threads=threads)
    magnitudes, negative = magnitudes_of(powers)
    given = None if inverses is None else checked_inverses(inverses, k, modulus)
    n_threads = _arguments.threads(threads)
    _core.bigint.check_values(modulus._core, rows, "bases", n_threads)
    if given is not None:
        _core.bigint.check_values(modulus._core, given, "inverses", n_threads)
    if not montgomery:
        rows = modulus.to_montgomery(rows, **options)
        given = None if given is None else modulus.to_montgomery(given, **options)
    signed = given is not None or bool(negative.any())
    if signed:
        if given is None:
            given = batch_inverse(rows, modulus, montgomery=True, **options)
        rows = np.concatenate([rows, given])
    if not magnitudes.any():
        result[:] = modulus.one_montgomery
    else:
        by_plan(HostRows(modulus, options), rows, magnitudes, negative, signed, 8 * modulus.limbs, result)
    if not montgomery:
        modulus.from_montgomery(result, out=result, **options)
    return result


def multi_operands(
    bases: Limbs, exponents: Limbs, modulus: Modulus, device: Device | None = None
) -> tuple[Limbs, Limbs]:
    """The bases as rows and the exponents of `multi_powm`; private."""
    rows = check.rows("bases", bases, modulus.limbs, device)
    powers: Limbs = check.array("exponents", exponents, (np.uint64,), (2,), device)
    if powers.shape[1] != len(rows):
        raise ValueError(
            f"exponents has shape {powers.shape} for {len(rows)} bases: give uint64[m, {len(rows)}]"
        )
    return rows, powers


def vartime_operands(
    bases: Limbs,
    exponents: npt.NDArray[Any],
    modulus: Modulus,
    device: Device | None = None,
    *,
    exponents_on_host: bool = False,
) -> tuple[Limbs, npt.NDArray[Any]]:
    """The bases as rows and the exponents of `multi_powm_vartime`; private."""
    rows = check.rows("bases", bases, modulus.limbs, device)
    where = None if exponents_on_host else device
    powers = check.array("exponents", exponents, (np.int64, np.uint64), (2,), where)
    k = powers.shape[1]
    if k != len(rows):
        raise ValueError(
            f"exponents has shape {powers.shape} for {len(rows)} bases: give int64[m, {len(rows)}]"
        )
    return rows, powers


def checked_factor(factor: Limbs, modulus: Modulus, device: Device | None = None) -> Limbs:
    """The factor of `multi_powm` as one row; private."""
    rows = check.rows("factor", factor, modulus.limbs, device)
    if len(rows) != 1:
        raise ValueError(f"factor has shape {rows.shape}: give one row, uint64[1, {modulus.limbs}]")
    return rows


def checked_inverses(inverses: Limbs, k: int, modulus: Modulus, device: Device | None = None) -> Limbs:
    """The inverses of k bases as rows; private."""
    rows = check.rows("inverses", inverses, modulus.limbs, device)
    if len(rows) != k:
        raise ValueError(f"inverses has shape {rows.shape} for {k} bases: give one for each")
    return rows


def magnitudes_of(powers: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """(absolute values, which are negative) of int64 or uint64 exponents; private."""
    negative = powers < 0 if powers.dtype == np.int64 else np.zeros(powers.shape, dtype=np.bool_)
    bits_of = powers.view(np.uint64)
    return np.where(negative, np.uint64(0) - bits_of, bits_of), negative


def by_plan(
    ops: RowOps,
    rows: Any,
    magnitudes: npt.NDArray[np.uint64],
    negative: npt.NDArray[np.bool_],
    signed: bool,
    row_bytes: int,
    result: Any,
) -> None:
    """result[i] = product over j of rows[j]^exponent, of `rows[k]`, or `rows[2 k]` with their inverses where signed.

    magnitudes, negative: the exponents `[m, k]`, on the host, not all 0. Private.
    """
    m, k = magnitudes.shape
    most = int(magnitudes.max())
    plan = fewest_products(m, k, most.bit_length(), signed, row_bytes)
    if plan.straus:
        n_entries = min(2 ** (plan.width - 1) if signed else 2**plan.width - 1, most)
        rows = _powers(ops, rows, n_entries)
    window_products = _straus if plan.straus else _pippenger
    n_rows = max(1, BLOCK_DIGITS // (k * plan.windows))
    for begin in range(0, m, n_rows):
        part = slice(begin, begin + n_rows)
        digits = _digits(magnitudes[part], negative[part], plan, signed)
        parts = window_products(ops, rows, digits, plan)
        horner(ops, parts.reshape(-1, plan.windows, parts.shape[-1]), plan, result[part])


def fewest_products(m: int, k: int, n_bits: int, signed: bool, row_bytes: int) -> Plan:
    """The plan with the fewest products, tables of `row_bytes` a row staying below TABLE_BYTES."""
    plans = []
    for width in range(1, 13):
        # Signed digits need one value of the top window for the carry out of the one below.
        windows = max(1, -(-(n_bits + signed) // width))
        entries = 2 ** (width - 1) if signed else 2**width - 1  # digit values but 0, for each sign
        filled = m * k * windows * (1 - 2.0**-width)
        table = k * entries * (2 if signed else 1)
        if table * row_bytes <= TABLE_BYTES:
            plans.append(Plan(True, width, windows, filled + table))
        plans.append(Plan(False, width, windows, filled + m * windows * 2 * entries))
    return min(plans, key=lambda plan: (plan.products, plan.width))


def _digits(
    magnitudes: npt.NDArray[np.uint64], negative: npt.NDArray[np.bool_], plan: Plan, signed: bool
) -> npt.NDArray[np.int64]:
    """Digits `int64[m, windows, k]`: below 2^width, or of absolute value up to 2^(width - 1) where signed."""
    m, k = magnitudes.shape
    digits = np.empty((m, plan.windows, k), dtype=np.int64)
    carry = np.zeros((m, k), dtype=np.int64)
    for window in range(plan.windows):
        shift = plan.width * window
        low = magnitudes >> np.uint64(shift) if shift < 64 else np.zeros_like(magnitudes)
        digit = (low & np.uint64(2**plan.width - 1)).astype(np.int64) + carry
        if signed:
            carry = (digit > 2 ** (plan.width - 1)).astype(np.int64)
            digit -= carry << plan.width
        digits[:, window] = digit
    if signed:
        np.negative(digits, out=digits, where=negative[:, np.newaxis, :])
    return digits


def _chosen(digits: npt.NDArray[np.int64]) -> tuple[Any, npt.NDArray[np.int64]]:
    """(indices of the digits that are not 0, in order; where each [row, window] starts among them)."""
    filled = digits != 0
    starts = np.zeros(digits.shape[0] * digits.shape[1] + 1, dtype=np.int64)
    np.cumsum(np.count_nonzero(filled, axis=2).reshape(-1), out=starts[1:])
    return np.nonzero(filled), starts


def _powers(ops: RowOps, rows: Any, n_entries: int) -> Any:
    """`[n_entries, len(rows), limbs]`: entry d - 1 of row j is its power d."""
    table = ops.empty(n_entries, len(rows))
    table[0] = rows
    for power in range(2, n_entries + 1):
        if power % 2 == 0:
            ops.sqr(table[power // 2 - 1], table[power - 1])
        else:
            ops.mul(table[power - 2], rows, table[power - 1])
    return table


def _straus(ops: RowOps, table: Any, digits: npt.NDArray[np.int64], plan: Plan) -> Any:
    """Products of the windows `[m * windows, limbs]` from the `_powers` of the bases and their inverses."""
    k = digits.shape[2]
    (row, window, column), starts = _chosen(digits)
    digit = digits[row, window, column]
    index = (np.abs(digit) - 1) * table.shape[1] + column + k * (digit < 0)
    return ops.products(table.reshape(-1, table.shape[-1]), index, starts)


def _pippenger(ops: RowOps, rows: Any, digits: npt.NDArray[np.int64], plan: Plan) -> Any:
    """Products of the windows `[m * windows, limbs]`: bases of the same digit first, then digits by running products.

    The product over d of bucket_d^d is the product over d of (product of the buckets d and above).
    """
    m, _, k = digits.shape
    top = max(1, int(np.abs(digits).max(initial=0)))
    (row, window, column), _ = _chosen(digits)
    digit = digits[row, window, column]
    bucket = (row * plan.windows + window) * top + (top - np.abs(digit))  # the largest digit first
    order = np.argsort(bucket, kind="stable")
    n_buckets = m * plan.windows * top
    starts = np.zeros(n_buckets + 1, dtype=np.int64)
    np.cumsum(np.bincount(bucket, minlength=n_buckets), out=starts[1:])
    index = (column + k * (digit < 0))[order]
    buckets = ops.products(rows, index, starts)
    whole = np.arange(m * plan.windows + 1, dtype=np.int64) * top
    ops.running(buckets, whole)
    return ops.products(buckets, None, whole)


def horner(ops: RowOps, parts: Any, plan: Plan, result: Any) -> None:
    """result[i] = product over windows t of parts[i, t]^(2^(width * t))."""
    result[:] = parts[:, -1]
    for window in range(plan.windows - 2, -1, -1):
        for _ in range(plan.width):
            ops.sqr(result, result)
        ops.mul(result, ops.contiguous(parts[:, window]), result)
