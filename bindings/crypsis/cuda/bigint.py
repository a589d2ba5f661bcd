# SPDX-License-Identifier: Apache-2.0
"""`crypsis.bigint` on a device: kernels/bigint, a group of threads a number. Called by way of `crypsis.bigint`.

Functions take the device first and then what those of `crypsis.bigint` take, and return and raise what those do;
DeviceMemoryError where arrays do not fit. Rows are the device's arrays, `uint64[n, limbs]`, the same words as on the
CPU. What is public and only says which rows belong together (starts, bins, masks, exponents of
`multi_powm_vartime`) may be on the host too; on the device, it is copied to the host, where products are planned.

Each call waits for the device once, to check that values are below the modulus before anything is written.
Constant-time is what is so on the CPU: no branch and no address of a kernel depends on values. Memory of the device
that held products is handed back unwiped, but for the tables of `powm`; it is this process's own.

Where temporary memory is short, rows go in blocks (`_blocks.in_blocks`), with the same results. Where that does not
help, or results themselves do not fit, DeviceMemoryError; what `out` holds then is not defined.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import _arguments
from crypsis._bigint import arrays as check
from crypsis._bigint import multi, powers, products
from crypsis._bigint.modulus import Modulus, factors, to_ints
from crypsis._bigint.modulus import mod_sqr as host_sqr
from crypsis.cuda._bigint_kernels import Kernels, kernels_of, scanned_window, wipe_last, wiped_with
from crypsis.cuda._bigint_products import (
    MIN_BLOCK_ROWS,
    RUN_BYTES,
    inverses,
    products_in_blocks,
    running_products,
    segment_products,
    segments_in_blocks,
)
from crypsis.cuda._device import Device
from crypsis.errors import NotInvertible

TABLE_BYTES = 256 << 20
"""What the default window of `FixedBase.powm_vartime` keeps its table below."""
MAX_SCANNED_BITS = 7


def to_montgomery(device: Device, a: Any, modulus: Modulus, *, out: Any = None) -> Any:
    """`Modulus.to_montgomery`."""
    return _convert(device, a, modulus, out, into=True)


def from_montgomery(device: Device, a: Any, modulus: Modulus, *, out: Any = None) -> Any:
    """`Modulus.from_montgomery`."""
    return _convert(device, a, modulus, out, into=False)


def _convert(device: Device, a: Any, modulus: Modulus, out: Any, *, into: bool) -> Any:
    kernels = kernels_of(device, modulus)
    rows = check.rows("a", a, modulus.limbs, device)
    result = check.result(out, a.shape, same=(rows,), device=device)
    kernels.check_values(("a", rows))
    flat = result.reshape(-1, modulus.limbs)
    (kernels.to_montgomery if into else kernels.from_montgomery)(rows, flat)
    return result


def mod_mul(
    device: Device, a: Any, b: Any, modulus: Modulus, *, montgomery: bool = False, out: Any = None
) -> Any:
    """a * b mod n, row by row."""
    kernels = kernels_of(device, modulus)
    left, right, product = factors(a, b, modulus, out, device)
    plain = not _arguments.flag("montgomery", montgomery)
    kernels.check_values(("a", left), ("b", right))
    flat = product.reshape(-1, modulus.limbs)
    if len(left) != len(flat):
        left, right = right, left
    if plain and len(right) == 1:  # x * (b R) / R: one product a row
        right, plain = kernels.to_montgomery(right), False
    kernels.mul(flat, left, right, plain=plain)
    return product


def mod_sqr(device: Device, a: Any, modulus: Modulus, *, montgomery: bool = False, out: Any = None) -> Any:
    """a^2 mod n of each row."""
    kernels = kernels_of(device, modulus)
    rows = check.rows("a", a, modulus.limbs, device)
    square = check.result(out, a.shape, same=(rows,), device=device)
    plain = not _arguments.flag("montgomery", montgomery)
    kernels.check_values(("a", rows))
    kernels.sqr(square.reshape(-1, modulus.limbs), rows, plain=plain)
    return square


def powm(
    device: Device,
    bases: Any,
    exponents: Any,
    modulus: Modulus,
    *,
    exponent_bits: int | None = None,
    montgomery: bool = False,
    out: Any = None,
) -> Any:
    """bases^exponents mod n, row by row; constant-time in both."""
    return _powm(device, bases, exponents, modulus, exponent_bits, montgomery, False, out)


def powm_vartime(
    device: Device,
    bases: Any,
    exponents: Any,
    modulus: Modulus,
    *,
    exponent_bits: int | None = None,
    montgomery: bool = False,
    out: Any = None,
) -> Any:
    """`powm` whose memory addresses depend on the exponents."""
    return _powm(device, bases, exponents, modulus, exponent_bits, montgomery, True, out)


def _powm(
    device: Device,
    bases: Any,
    exponents: Any,
    modulus: Modulus,
    exponent_bits: int | None,
    montgomery: bool,
    vartime: bool,
    out: Any,
) -> Any:
    kernels = kernels_of(device, modulus)
    rows, numbers, n_bits, result = powers.powm_operands(
        bases, exponents, modulus, exponent_bits, out, device
    )
    montgomery = _arguments.flag("montgomery", montgomery)
    kernels.check_values(("bases", rows))
    kernels.check_exponents(numbers, n_bits)
    flat = result.reshape(-1, modulus.limbs)
    kernels.powm(flat, rows, numbers, n_bits, montgomery=montgomery, vartime=vartime)
    return result


class _DeviceTable:
    """The tables of a fixed base on a device."""

    def __init__(self, device: Device, fixed: powers.FixedBase, vartime: bool) -> None:
        modulus, bits = fixed.modulus, fixed.exponent_bits
        limbs = modulus.limbs
        if not vartime:
            most = min(fixed.window or MAX_SCANNED_BITS, MAX_SCANNED_BITS)
            self.window = scanned_window(limbs, bits, most, rows=1, builds=0)
        else:
            self.window = fixed.window or default_window(limbs, bits)
        kernels = kernels_of(device, modulus)
        # base^(2^(w t)): a chain of squarings, which one core does as fast as one group of threads.
        base = np.empty((-(-bits // self.window), limbs), dtype=np.uint64)
        power = fixed._base.copy()
        try:
            for t in range(len(base)):
                base[t] = power[0]
                for _ in range(self.window if t + 1 < len(base) else 0):
                    host_sqr(power, modulus, montgomery=True, out=power, threads=1)
            there = device.from_host_secret(base)
        finally:
            base.fill(0)  # the modulus may be secret
            power.fill(0)
        try:
            self.table = kernels.tables(there, self.window)
        finally:
            there.fill(0)
        device.synchronize()  # kept, and used on any stream

    @property
    def n_bytes(self) -> int:
        """Of the table, on the device."""
        return int(self.table.nbytes)


def default_window(limbs: int, exponent_bits: int) -> int:
    """Bits that a direct look-up takes: the most, up to 12, whose table stays below TABLE_BYTES."""
    for window in range(12, 1, -1):
        if (-(-exponent_bits // window) * 8 * limbs) << window <= TABLE_BYTES:
            return window
    return 1


def fixed_base_powm(
    device: Device,
    fixed: powers.FixedBase,
    exponents: Any,
    *,
    vartime: bool,
    montgomery: bool = False,
    out: Any = None,
) -> Any:
    """`FixedBase.powm`, or `.powm_vartime`: the tables are built on the device at the first use."""
    modulus = fixed.modulus
    kernels = kernels_of(device, modulus)
    rows = powers._exponents(exponents, device)
    shape = (len(rows), modulus.limbs) if exponents.ndim == 2 else (modulus.limbs,)
    result = check.result(out, shape, apart=(rows,), device=device)
    montgomery = _arguments.flag("montgomery", montgomery)
    kernels.check_exponents(rows, fixed.exponent_bits)
    table = fixed_base_table(device, fixed, vartime=vartime)
    flat = result.reshape(-1, modulus.limbs)
    kernels.table_powm(flat, table.table, table.window, rows, montgomery=montgomery, vartime=vartime)
    return result


def fixed_base_table(device: Device, fixed: powers.FixedBase, *, vartime: bool) -> _DeviceTable:
    """The table of a fixed base on a device, built at the first use."""
    key = (device, vartime)
    if key not in fixed._tables:
        made = _DeviceTable(device, fixed, vartime)
        if fixed._tables.setdefault(key, made) is made:
            wiped_with(fixed, device, made.table)
        else:
            wipe_last(device, made.table)  # another thread was faster
    table: _DeviceTable = fixed._tables[key]
    return table


def multi_powm(
    device: Device,
    bases: Any,
    exponents: Any,
    modulus: Modulus,
    *,
    exponent_bits: int = 64,
    factor: Any = None,
    montgomery: bool = False,
    out: Any = None,
) -> Any:
    """Products of powers, constant-time in the exponents."""
    kernels = kernels_of(device, modulus)
    rows, numbers = multi.multi_operands(bases, exponents, modulus, device)
    n_bits = _arguments.integer("exponent_bits", exponent_bits, 0, 64)
    result = check.result(out, (len(numbers), modulus.limbs), apart=(rows, numbers), device=device)
    montgomery = _arguments.flag("montgomery", montgomery)
    times = None if factor is None else multi.checked_factor(factor, modulus, device)
    kernels.check_values(("bases", rows), *(() if times is None else (("factor", times),)))
    kernels.check_exponents(numbers, n_bits, columns=True)
    # Time is depth: tables are built side by side, and rows go side by side.
    resident = kernels.resident_rows
    depth, builds = len(rows) * -(-len(numbers) // resident), -(-len(rows) // resident)
    window = scanned_window(modulus.limbs, n_bits, MAX_SCANNED_BITS, rows=depth, builds=builds)

    def work(part: slice, to: Any) -> None:
        bases = rows[part] if montgomery else kernels.to_montgomery(rows[part])
        whole = len(bases) == len(rows)
        table = kernels.tables(bases, window)
        columns = numbers if whole else numbers[:, part].copy()  # our own: it is wiped
        try:
            kernels.multi_powm(to, table, window, columns, n_bits)
        finally:
            if not whole:
                columns.fill(0)

    row_bytes = 8 * modulus.limbs
    item_bytes = (4 << window) * kernels.shape.part * kernels.shape.threads_per_number + row_bytes
    products_in_blocks(kernels, len(rows), item_bytes, result, work, what="the tables of multi_powm", least=1)
    if times is not None:
        kernels.mul(result, result, times if montgomery else kernels.to_montgomery(times))
    if not montgomery:
        kernels.from_montgomery(result, result)
    return result


class _DeviceRows:
    """`crypsis._bigint.multi.RowOps` of device arrays."""

    def __init__(self, kernels: Kernels, limbs: int) -> None:
        self._kernels = kernels
        self._limbs = limbs

    def empty(self, *shape: int) -> Any:
        return self._kernels.device.empty((*shape, self._limbs), np.uint64)

    def mul(self, a: Any, b: Any, out: Any) -> None:
        self._kernels.mul(out, a, b)

    def sqr(self, a: Any, out: Any) -> None:
        self._kernels.sqr(out, a)

    def products(self, rows: Any, index: npt.NDArray[np.int64] | None, starts: npt.NDArray[np.int64]) -> Any:
        chosen = None if index is None else self._kernels.device.from_host(index)
        return segment_products(self._kernels, rows, chosen, starts, self.empty(len(starts) - 1))

    def running(self, rows: Any, starts: npt.NDArray[np.int64]) -> None:
        running_products(self._kernels, rows, starts, rows)

    def contiguous(self, rows: Any) -> Any:
        return self._kernels.device.xp.ascontiguousarray(rows)


def multi_powm_vartime(
    device: Device,
    bases: Any,
    exponents: Any,
    modulus: Modulus,
    *,
    inverses: Any = None,
    montgomery: bool = False,
    out: Any = None,
) -> Any:
    """Products of powers; exponents, planned on the host, are public."""
    kernels = kernels_of(device, modulus)
    on_device = device.owns(exponents)
    rows, numbers = multi.vartime_operands(bases, exponents, modulus, device, exponents_on_host=not on_device)
    result = check.result(
        out, (len(numbers), modulus.limbs), apart=(rows, numbers) if on_device else (rows,), device=device
    )
    montgomery = _arguments.flag("montgomery", montgomery)
    magnitudes, negative = multi.magnitudes_of(device.to_host(numbers) if on_device else numbers)
    k = len(rows)
    given = None if inverses is None else multi.checked_inverses(inverses, k, modulus, device)
    kernels.check_values(("bases", rows), *(() if given is None else (("inverses", given),)))
    if not montgomery:
        rows = kernels.to_montgomery(rows)
        given = None if given is None else kernels.to_montgomery(given)
    signed = given is not None or bool(negative.any())
    if signed and given is None:
        given = batch_inverse(device, rows, modulus, montgomery=True)
    ops = _DeviceRows(kernels, modulus.limbs)

    def work(part: slice, to: Any) -> None:
        chosen = np.ascontiguousarray(magnitudes[:, part])
        if not chosen.any():
            to[...] = kernels.one
            return
        bases = rows[part] if given is None else device.xp.concatenate([rows[part], given[part]])
        minus = np.ascontiguousarray(negative[:, part])
        multi.by_plan(ops, bases, chosen, minus, signed, 8 * modulus.limbs, to)

    # What a base takes is planned from a bound that by_plan keeps; memory that runs out all the same is met by halves.
    products_in_blocks(kernels, k, 2 * 8 * modulus.limbs, result, work, what="multi_powm_vartime", least=1)
    if not montgomery:
        kernels.from_montgomery(result, result)
    return result


def segmented_prod(
    device: Device, a: Any, starts: Any, modulus: Modulus, *, montgomery: bool = False, out: Any = None
) -> Any:
    """Products of runs of rows."""
    kernels = kernels_of(device, modulus)
    rows = check.rows("a", a, modulus.limbs, device)
    begins = _on_host(device, "starts", starts, (np.int64,), (1,))
    apart = (rows, starts) if device.owns(starts) else (rows,)
    shape = (max(0, len(begins) - 1), modulus.limbs)
    result = check.result(out, shape, apart=apart, device=device)
    montgomery = _arguments.flag("montgomery", montgomery)
    _check_starts(begins, len(rows))
    kernels.check_values(("a", rows))
    if len(result) == 0:
        return result
    segments_in_blocks(kernels, rows, begins, result, montgomery=montgomery)
    if not montgomery:
        kernels.from_montgomery(result, result)
    return result


def cumulative_prod(
    device: Device, a: Any, starts: Any, modulus: Modulus, *, montgomery: bool = False, out: Any = None
) -> Any:
    """Running products inside segments."""
    kernels = kernels_of(device, modulus)
    rows = check.rows("a", a, modulus.limbs, device)
    begins = _on_host(device, "starts", starts, (np.int64,), (1,))
    apart = (starts,) if device.owns(starts) else ()
    result = check.result(out, rows.shape, same=(rows,), apart=apart, device=device)
    montgomery = _arguments.flag("montgomery", montgomery)
    _check_starts(begins, len(rows))
    if begins[0] != 0 or begins[-1] != len(rows):
        raise ValueError(f"starts must begin with 0 and end with the number of rows, {len(rows)}")
    kernels.check_values(("a", rows))
    if len(rows) == 0:
        return result
    if not montgomery:
        rows = kernels.to_montgomery(rows, result)
    running_products(kernels, rows, begins, result)
    if not montgomery:
        kernels.from_montgomery(result, result)
    return result


def scatter_mul(
    device: Device,
    a: Any,
    bins: Any,
    n_bins: int,
    modulus: Modulus,
    *,
    mask: Any = None,
    cumulative: bool = False,
    montgomery: bool = False,
    out: Any = None,
) -> Any:
    """Products by bin."""
    kernels = kernels_of(device, modulus)
    rows = check.rows("a", a, modulus.limbs, device)
    in_order = _arguments.flag("cumulative", cumulative)
    chosen = _on_host(device, "bins", bins, (np.int32, np.int64), (1, 2))
    keep = None if mask is None else _on_host(device, "mask", mask, (np.bool_,), (1,))
    n_bins, groupings, kept = products.grouped(len(rows), chosen, n_bins, keep)
    n_groupings = len(groupings)
    shape = (n_bins, modulus.limbs) if chosen.ndim == 1 else (n_groupings, n_bins, modulus.limbs)
    result = check.result(out, shape, apart=(rows,), device=device)
    montgomery = _arguments.flag("montgomery", montgomery)
    kernels.check_values(("a", rows))
    flat = result.reshape(-1, modulus.limbs)
    size = max(1, products.BLOCK_ITEMS // max(1, len(rows)))
    for begin in range(0, n_groupings, size):
        groups = slice(begin, begin + size)

        def work(part: slice, to: Any, groups: slice = groups) -> None:
            index, starts = products.by_bin(groupings[groups, part], kept[groups, part], n_bins)
            some = rows[part] if montgomery else kernels.to_montgomery(rows[part])
            segment_products(kernels, some, device.from_host(index), starts, to)

        to = flat[begin * n_bins : (begin + size) * n_bins]
        item_bytes = (8 + RUN_BYTES) * len(groupings[groups]) + (0 if montgomery else 8 * modulus.limbs)
        products_in_blocks(kernels, len(rows), item_bytes, to, work, what="scatter_mul", least=MIN_BLOCK_ROWS)
    if in_order:
        whole = np.arange(n_groupings + 1, dtype=np.int64) * n_bins
        running_products(kernels, flat, whole, flat)
    if not montgomery:
        kernels.from_montgomery(flat, flat)
    return result


def batch_inverse(
    device: Device, a: Any, modulus: Modulus, *, montgomery: bool = False, out: Any = None
) -> Any:
    """1 / a mod n of each row; the one inversion is the host's. Variable-time in the product of all rows."""
    kernels = kernels_of(device, modulus)
    rows = check.rows("a", a, modulus.limbs, device)
    result = check.result(out, a.shape, same=(rows,), device=device)
    flat = result.reshape(-1, modulus.limbs)
    montgomery = _arguments.flag("montgomery", montgomery)
    kernels.check_values(("a", rows))
    if len(rows) == 0:
        return result
    try:
        inverses(kernels, modulus, rows, flat)
    except NotInvertible:
        values = enumerate(to_ints(device.to_host(rows)))
        bad = next(row for row, value in values if math.gcd(value, modulus.n) != 1)
        raise NotInvertible(
            f"a: the value in row {bad} shares a factor with the modulus and has no inverse"
        ) from None
    if not montgomery:  # plain rows were taken for Montgomery form, of x / R: their inverses are R^2 / x
        kernels.from_montgomery(flat, flat)
        kernels.from_montgomery(flat, flat)
    return result


def _on_host(
    device: Device, name: str, value: Any, dtypes: tuple[type[np.generic], ...], ndims: tuple[int, ...]
) -> npt.NDArray[Any]:
    """A public array, checked, copied from the device where it is there."""
    if device.owns(value):
        return device.to_host(check.array(name, value, dtypes, ndims, device))
    return check.array(name, value, dtypes, ndims)


def _check_starts(starts: npt.NDArray[np.int64], n: int) -> None:
    """As the CPU checks them: not decreasing, from 0 to n at most."""
    if len(starts) < 1:
        raise ValueError(f"starts has shape {starts.shape}: give int64[segments + 1]")
    before = np.concatenate([[0], starts[:-1]])
    bad = np.flatnonzero((starts < before) | (starts > n))
    if len(bad):
        raise ValueError(
            f"starts[{bad[0]}] is {starts[bad[0]]}: starts must not decrease nor pass the {n} items"
        )
