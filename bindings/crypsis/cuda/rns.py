# SPDX-License-Identifier: Apache-2.0
"""`crypsis.rns` on a device: kernels/rns between the transforms of kernels/ntt. Called by way of `crypsis.rns`.

Functions take the device first and then what those of `crypsis.rns` take, and return and raise what those do;
DeviceMemoryError where arrays do not fit. Arrays are the device's, the same words as on the CPU. Nothing waits for the
device but the first call with a chain at a level. `compose` and `compose_ints`, which end a decryption, are the host's.

Constant-time is what is so on the CPU: no branch and no address of a kernel depends on residues. Memory that held
digits is handed back unwiped; it is this process's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from crypsis import _arguments
from crypsis import rns as host
from crypsis._bigint import arrays as check
from crypsis._chain import check_level
from crypsis.cuda._blocks import in_blocks
from crypsis.cuda._device import Device
from crypsis.cuda._ntt_tables import Shape, Tables
from crypsis.cuda._rns_tables import ChainTables, Division, Radix, chain_tables
from crypsis.cuda._tuning import block_of
from crypsis.rns import Chain

SLUG = "rns"
TRANSFORMS = "rns/rns.cu"
STEPS = "rns/steps.cu"

_DIGITS = np.dtype([("words", "<u8"), ("moduli", "<u8"), ("rows", "<u4"), ("unused", "<u4")])
_DECOMPOSITION = np.dtype([(name, "<u4") for name in ("digits", "alpha", "rows", "full")])
_DIVISION = np.dtype([(name, "<u4") for name in ("targets", "x_limbs", "halves", "n_added", "add_limbs")])
_COLLECTION = np.dtype(
    [(n, "<u4") for n in ("limbs", "special", "n_special", "last", "halves", "n_added", "add_limbs", "log_n")]
)
_PRODUCT = np.dtype(
    [(n, "<u4") for n in ("digits", "full", "left", "moduli", "key_limbs", "log_n", "galois")]
)


def decompose(device: Device, c: Any, chain: Chain, level: int, *, out: Any = None) -> Any:
    """The digits of c."""
    level = check_level(chain, level)
    c = _words(device, "c", c, level + 1, chain.n)
    shape = (*c.shape[:-2], chain.n_digits(level), len(chain.full(level)), chain.n)
    result = check.result(out, shape, apart=(c,), device=device)
    flat = _items(c, 2)
    to = result.reshape(-1, *shape[-3:])
    tables = chain_tables(device, chain)

    def work(part: slice) -> None:
        _decompose(tables, level, flat[part], to[part])

    in_blocks(device, len(flat), flat[:1].nbytes, work, what="decompose")
    return result


def inner_product(
    device: Device, digits: Any, key: Any, chain: Chain, level: int, *, galois: int = 1, out: Any = None
) -> Any:
    """The sum over the digits of digit(X^galois) key[digit]."""
    level = check_level(chain, level)
    n_full = len(chain.full(level))
    digits = _words(device, "digits", digits, chain.n_digits(level), n_full, chain.n)
    key = _key(device, key, chain)
    galois = host._galois(galois, chain)
    shape = (*digits.shape[:-3], 2, n_full, chain.n)
    result = check.result(out, shape, apart=(digits, key), device=device)
    _inner_product(
        chain_tables(device, chain), level, _items(digits, 3), key, galois, result.reshape(-1, *shape[-3:])
    )
    return result


def divide_special(
    device: Device, x: Any, chain: Chain, level: int, *, add: Any = None, out: Any = None
) -> Any:
    """round(x / P) + add."""
    level = check_level(chain, level)
    return _divide_special(device, x, chain, level, add, False, out)


def divide_special_and_rescale(
    device: Device, x: Any, chain: Chain, level: int, *, add: Any = None, out: Any = None
) -> Any:
    """round((round(x / P) + add) / q_level)."""
    level = host._droppable(chain, level)
    return _divide_special(device, x, chain, level, add, True, out)


def rescale(device: Device, x: Any, chain: Chain, level: int, *, out: Any = None) -> Any:
    """round(x / q_level)."""
    level = host._droppable(chain, level)
    x = _words(device, "x", x, level + 1, chain.n)
    result = check.result(out, (*x.shape[:-2], level, chain.n), apart=(x,), device=device)
    tables = chain_tables(device, chain)
    _divide_in_blocks(tables, tables.rescaling(level), level, _items(x, 2), None, _items(result, 2))
    return result


def switch_key(
    device: Device,
    c: Any,
    key: Any,
    chain: Chain,
    level: int,
    *,
    galois: int = 1,
    add: Any = None,
    rescale: bool = False,
    out: Any = None,
) -> Any:
    """`decompose`, `inner_product` and `divide_special` in one call."""
    rescale = _arguments.flag("rescale", rescale)
    level = host._droppable(chain, level) if rescale else check_level(chain, level)
    c = _words(device, "c", c, level + 1, chain.n)
    key = _key(device, key, chain)
    galois = host._galois(galois, chain)
    lead = c.shape[:-2]
    if add is not None:
        n_added = 1 if getattr(add, "shape", ())[-3:-2] == (1,) else 2
        add = _summand(device, add, (*lead, n_added, level + 1, chain.n))
    n_left = level if rescale else level + 1
    result = check.result(
        out,
        (*lead, 2, n_left, chain.n),
        apart=(c, key) if add is None else (c, key, add),
        device=device,
    )
    tables = chain_tables(device, chain)
    n_digits, n_full = chain.n_digits(level), len(chain.full(level))
    flat, to = _items(c, 2), result.reshape(-1, 2, n_left, chain.n)
    added = None if add is None else _items(add, 3)

    def work(part: slice) -> None:
        some = flat[part]
        digits = device.empty((len(some), n_digits, n_full, chain.n), np.uint64)
        products = device.empty((len(some), 2, n_full, chain.n), np.uint64)
        summand = None if added is None else added[part]
        if summand is not None and galois != 1:
            summand = _permuted(tables, summand, galois)
        _decompose(tables, level, some, digits)
        _inner_product(tables, level, digits, key, galois, products)
        del digits
        division = tables.special_rescaling(level) if rescale else tables.special_division(level)
        _divide(tables, division, level, products.reshape(-1, n_full, chain.n), summand, _items(to[part], 2))

    item_bytes = 8 * chain.n * ((n_digits + 4) * n_full + 3 * (level + 1))
    in_blocks(device, len(flat), item_bytes, work, what="switch_key")
    return result


def _divide_special(
    device: Device, x: Any, chain: Chain, level: int, add: Any, rescale: bool, out: Any
) -> Any:
    x = _words(device, "x", x, len(chain.full(level)), chain.n)
    lead = x.shape[:-2]
    if add is not None:
        add = _summand(device, add, (*lead, level + 1, chain.n))
    n_left = level if rescale else level + 1
    result = check.result(
        out, (*lead, n_left, chain.n), apart=(x,) if add is None else (x, add), device=device
    )
    tables = chain_tables(device, chain)
    division = tables.special_rescaling(level) if rescale else tables.special_division(level)
    added = None if add is None else add.reshape(-1, 1, *add.shape[-2:])
    _divide_in_blocks(tables, division, level, _items(x, 2), added, _items(result, 2))
    return result


# ---- launches ------------------------------------------------------------------------------------------------


def _decompose(tables: ChainTables, level: int, c: Any, out: Any) -> None:
    """c[n, level + 1, N] -> out[n, digits, full, N]."""
    n, rows, _ = c.shape
    radix, full = tables.digits(level), tables.full(level)
    words = tables.device.empty(c.shape, np.uint64)
    radix.tables.inverse(c, words)
    _to_digits(tables, radix, words)
    digits = _digits(tables, radix, words)
    n_digits, n_full = out.shape[1:3]
    transforms, polynomials = n * n_digits * n_full, np.uint64(n * n_digits)
    job = np.array((n_digits, radix.width, rows, n_full), _DECOMPOSITION)[()]
    if full.shape.one_pass:
        args = [out, c, digits, radix.conversions, full.primes, polynomials, job]
        _transform(full, "decompose", transforms, args)
    else:
        args = [out, digits, radix.conversions, full.primes, polynomials, job]
        _transform(full, "decompose_columns", transforms, args, columns=True)
        _transform(full, "decompose_rows", transforms, [out, c, full.primes, polynomials, job])


def _inner_product(tables: ChainTables, level: int, digits: Any, key: Any, galois: int, out: Any) -> None:
    n, n_digits, n_full, degree = digits.shape
    sizes = (n_digits, n_full, level + 1, tables.n_moduli, key.shape[2], tables.log_n, galois)
    args = [out, digits, key, tables.full(level).primes, np.uint64(n), np.array(sizes, _PRODUCT)[()]]
    _elementwise(tables, "inner_product", n * n_full * degree, args)


def _divide_in_blocks(
    tables: ChainTables, division: Division, level: int, x: Any, add: Any, out: Any
) -> None:
    def work(part: slice) -> None:
        _divide(tables, division, level, x[part], None if add is None else add[part], out[part])

    item_bytes = 8 * x.shape[-1] * division.radix.tables.limbs
    in_blocks(tables.device, len(x), item_bytes, work, what="a division")


def _divide(tables: ChainTables, division: Division, level: int, x: Any, add: Any, out: Any) -> None:
    """x[n, limbs, N] -> out[n, left, N]; add[n / halves, added, level + 1, N] for the first of so many halves."""
    n, x_limbs, degree = x.shape
    if n == 0:
        return
    radix, targets = division.radix, division.targets
    n_added, add_limbs = (0, 0) if add is None else add.shape[1:3]
    halves = 1 if add is None else n // len(add)
    rows = radix.tables.limbs
    last = int(targets.limbs == level)
    collection = (x_limbs, level + 1, rows - last, last, halves, n_added, add_limbs, tables.log_n)
    if division.special is None:  # then nothing is added to the row that goes
        collection = (x_limbs, level + 1, rows - last, last, 1, 0, 0, tables.log_n)
    words = tables.device.empty((n, rows, degree), np.uint64)
    args = [
        words,
        x,
        add,
        division.special,
        radix.tables.primes,
        np.uint64(n),
        np.array(collection, _COLLECTION)[()],
    ]
    _elementwise(tables, "collect", words.size, args)
    radix.tables.inverse(words, words)
    _to_digits(tables, radix, words)
    digits = _digits(tables, radix, words)
    count, transforms = np.uint64(n), n * targets.limbs
    job = np.array((targets.limbs, x_limbs, halves, n_added, add_limbs), _DIVISION)[()]
    conversions, quotients, primes = radix.conversions, division.quotients, targets.primes
    if targets.shape.one_pass:
        args = [out, x, add, digits, conversions, quotients, primes, count, job]
        _transform(targets, "divide", transforms, args)
    else:
        args = [out, digits, conversions, primes, count, np.uint32(targets.limbs)]
        _transform(targets, "divide_columns", transforms, args, columns=True)
        _transform(targets, "divide_rows", transforms, [out, x, add, quotients, primes, count, job])


def _to_digits(tables: ChainTables, radix: Radix, words: Any) -> None:
    """Residues [n, rows, N] of coefficients to digits, in place; those of one modulus stay as they are."""
    if radix.width == 1:
        return
    n, rows, degree = words.shape
    sizes = (np.uint64(n), np.uint32(rows), np.uint32(radix.width), np.uint32(tables.log_n))
    lines = n * -(-rows // radix.width)
    _elementwise(tables, "mixed_radix", lines * degree, [words, radix.inverses, radix.tables.primes, *sizes])


def _digits(tables: ChainTables, radix: Radix, words: Any) -> Any:
    moduli = 0 if radix.moduli is None else tables.device.address(radix.moduli)
    return np.array((tables.device.address(words), moduli, words.shape[1], 0), _DIGITS)[()]


def _transform(
    tables: Tables, kernel: str, transforms: int, args: Sequence[object], *, columns: bool = False
) -> None:
    shape = _shape(tables.log_n)
    tables.launch(kernel, transforms, args, columns=columns, source=TRANSFORMS, shape=shape)


@cache
def _shape(log_n: int) -> Shape:
    return Shape(log_n, SLUG)


def _elementwise(tables: ChainTables, kernel: str, n: int, args: Sequence[object]) -> None:
    if n:
        block = block_of(SLUG, kernel)
        tables.device.launch(SLUG, kernel, grid=-(-n // block), block=block, args=args, source=STEPS)


def _permuted(tables: ChainTables, values: Any, galois: int) -> Any:
    result = tables.device.empty(values.shape, np.uint64)
    args = [result, values, np.uint64(values.size), np.uint32(tables.log_n), np.uint32(galois)]
    tables.basis(0).elementwise("permute", values.size, args)
    return result


# ---- arguments -----------------------------------------------------------------------------------------------


def _words(device: Device, name: str, value: Any, *last: int) -> Any:
    array: Any = check.array(name, value, (np.uint64,), tuple(range(33)), device)
    if array.shape[-len(last) :] != last:
        axes = ", ".join(str(axis) for axis in last)
        raise ValueError(f"{name} has shape {array.shape}: give uint64[..., {axes}]")
    return array


def _summand(device: Device, value: Any, shape: tuple[int, ...]) -> Any:
    array: Any = check.array("add", value, (np.uint64,), tuple(range(33)), device)
    if array.shape != shape:
        raise ValueError(f"add has shape {array.shape}: give uint64{list(shape)}")
    return array


def _key(device: Device, value: Any, chain: Chain) -> Any:
    array: Any = check.array("key", value, (np.uint64,), tuple(range(33)), device)
    if array.shape != chain.key_shape:
        raise ValueError(f"key has shape {array.shape}: a key of this chain is uint64{list(chain.key_shape)}")
    return array


def _items(value: Any, last: int) -> Any:
    """The leading axes as one."""
    return value.reshape(-1, *value.shape[-last:])
