# SPDX-License-Identifier: Apache-2.0
"""Moduli and values that carries like least, and every function of `crypsis.bigint` on a device against the CPU.

Fixed inputs, NumPy and Python integers only, so that a GPU machine runs the same cases.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from crypsis import bigint
from crypsis.bigint import FixedBase, Modulus

PATTERNS = (0xFFFFFFFF, 0xFFFFFFFF, 0x80000000, 0x00000001, 0, 0, 0xFFFFFFFE, 0x7FFFFFFF)


def moduli(bits: int, seed: int = 0) -> list[int]:
    """Odd moduli of `bits` bits: all-ones limbs, a lone top bit, zero limbs in the middle, low limb of ones."""
    rng = random.Random(bits * 1000 + seed)
    top = 1 << (bits - 1)
    patterned = sum(rng.choice(PATTERNS) << (32 * i) for i in range(bits // 32))
    return [
        (1 << bits) - 1 - 2 * rng.randrange(1000),
        top + 1,
        top | (0xFFFFFFFF << 64) | 0xFFFFFFFF,
        top | patterned % top | 1,
        top | rng.getrandbits(bits - 1) | 1,
    ]


def values(modulus: Modulus, seed: int = 0) -> list[int]:
    """Values below the modulus that ripple: ends, powers of two, limbs of all ones and of none."""
    rng = random.Random(seed)
    n, width = modulus.n, 2 * modulus.limbs
    found = [0, 1, 2, n - 1, n - 2, n >> 1, (1 << (n.bit_length() - 1)) % n, ((1 << (32 * width)) - 1) % n]
    r = 1 << (64 * modulus.limbs)
    found += [r % n, -r % n, pow(r, -1, n), n - pow(r, -1, n), (n - (r - n) % n) % n]
    for _ in range(8):
        found.append(sum(rng.choice(PATTERNS) << (32 * i) for i in range(width)) % n)
    for run in (1, width // 2, width - 1):  # ones up to a limb, in the middle and at the ends
        found.append(((1 << (32 * run)) - 1) % n)
        found.append((r - (1 << (32 * run))) % n)
    return found + [rng.randrange(n) for _ in range(4)]


def rows_of(modulus: Modulus, numbers: list[int]) -> Any:
    return bigint.from_ints(numbers, modulus.limbs)


def pairs(modulus: Modulus) -> tuple[Any, Any]:
    """Operands: each value with itself, with its neighbours and with the ends."""
    v = values(modulus)
    a, b = [], []
    for shift in (0, 1, 7):
        a += v
        b += v[shift:] + v[:shift]
    a += [v[3]] * len(v)
    b += v
    return rows_of(modulus, a), rows_of(modulus, b)


def check_products(device: Any, modulus: Modulus) -> None:
    """Products and squares, plain and in Montgomery form, conversions; against the CPU and Python integers."""
    a, b = pairs(modulus)
    here_a, here_b = device.from_host(a), device.from_host(b)
    for montgomery in (False, True):
        options = {"montgomery": montgomery}
        got = bigint.mod_mul(here_a, here_b, modulus, **options).get()
        want = bigint.mod_mul(a, b, modulus, backend="portable", **options)
        assert np.array_equal(got, want)
        got = bigint.mod_sqr(here_a, modulus, **options).get()
        assert np.array_equal(got, bigint.mod_sqr(a, modulus, backend="portable", **options))
        got = bigint.mod_mul(here_a, here_b[3], modulus, **options).get()
        assert np.array_equal(got, bigint.mod_mul(a, b[3], modulus, backend="portable", **options))
    ints = zip(bigint.to_ints(a), bigint.to_ints(b), strict=True)
    assert bigint.to_ints(bigint.mod_mul(here_a, here_b, modulus).get()) == [
        x * y % modulus.n for x, y in ints
    ]
    form = modulus.to_montgomery(here_a)
    assert np.array_equal(form.get(), modulus.to_montgomery(a, backend="portable"))
    assert np.array_equal(modulus.from_montgomery(form).get(), a)


def check_powers(device: Any, modulus: Modulus, exponent_bits: int) -> None:
    """Powers of many bases and of one, with exponents of one row and of many, against Python integers."""
    rng = random.Random(exponent_bits)
    bases = values(modulus)[:9] + values(modulus)[-3:]
    top = (1 << exponent_bits) - 1
    exponents = [0, 1, 2, top, top - 1, top >> 1, *(rng.randrange(top + 1) for _ in bases[6:])]
    limbs = -(-exponent_bits // 64) + 1
    a, e = rows_of(modulus, bases), bigint.from_ints(exponents, limbs)
    here, powers = device.from_host(a), device.from_host(e)
    bound = {"exponent_bits": exponent_bits}
    for function in (bigint.powm, bigint.powm_vartime):
        got = bigint.to_ints(function(here, powers, modulus, **bound).get())
        assert got == [pow(x, y, modulus.n) for x, y in zip(bases, exponents, strict=True)]
        got = bigint.to_ints(function(here[-1], powers, modulus, **bound).get())
        assert got == [pow(bases[-1], y, modulus.n) for y in exponents]
        got = function(here, powers[3], modulus, montgomery=True, **bound).get()
        assert np.array_equal(
            got, bigint.powm(a, e[3], modulus, montgomery=True, backend="portable", **bound)
        )


def check_fixed_base(device: Any, modulus: Modulus, exponent_bits: int, window: int) -> None:
    """Powers of one base, both kinds of look-up."""
    rng = random.Random(window)
    base = rng.randrange(modulus.n)
    fixed = FixedBase(rows_of(modulus, [base])[0], modulus, exponent_bits, window=window)
    top = (1 << exponent_bits) - 1
    exponents = [0, 1, top, top >> 1, *(rng.randrange(top + 1) for _ in range(5))]
    e = bigint.from_ints(exponents, -(-exponent_bits // 64))
    for function in (fixed.powm, fixed.powm_vartime):
        got = bigint.to_ints(function(device.from_host(e)).get())
        assert got == [pow(base, y, modulus.n) for y in exponents]
        got = function(device.from_host(e), montgomery=True).get()
        assert np.array_equal(
            got, modulus.to_montgomery(rows_of(modulus, [pow(base, y, modulus.n) for y in exponents]))
        )


def units(modulus: Modulus, rng: random.Random, n: int) -> list[int]:
    """Values that have an inverse."""
    found: list[int] = []
    while len(found) < n:
        x = rng.randrange(2, modulus.n)
        if math.gcd(x, modulus.n) == 1:
            found.append(x)
    return found


def check_many(device: Any, modulus: Modulus, n: int) -> None:
    """Segments, running products, bins and inverses of n rows."""
    rng = random.Random(n)
    a = rows_of(modulus, units(modulus, rng, n))
    here = device.from_host(a)
    cuts = sorted(rng.randrange(n + 1) for _ in range(5))
    for starts in ([0, n], [0, *cuts, cuts[-1], n], list(range(n + 1))):
        index = np.array(starts, dtype=np.int64)
        for options in ({}, {"montgomery": True}):
            got = bigint.segmented_prod(here, device.from_host(index), modulus, **options).get()
            assert np.array_equal(got, bigint.segmented_prod(a, index, modulus, **options))
            got = bigint.cumulative_prod(here, device.from_host(index), modulus, **options).get()
            assert np.array_equal(got, bigint.cumulative_prod(a, index, modulus, **options))
    bins = np.array([[rng.randrange(-1, 5) for _ in range(2)] for _ in range(n)], dtype=np.int32)
    mask = np.array([rng.random() < 0.8 for _ in range(n)])
    for cumulative in (False, True):
        got = bigint.scatter_mul(
            here, device.from_host(bins), 5, modulus, mask=device.from_host(mask), cumulative=cumulative
        ).get()
        assert np.array_equal(got, bigint.scatter_mul(a, bins, 5, modulus, mask=mask, cumulative=cumulative))
    for options in ({}, {"montgomery": True}):
        got = bigint.batch_inverse(here, modulus, **options).get()
        assert np.array_equal(got, bigint.batch_inverse(a, modulus, **options))


def check_multi(device: Any, modulus: Modulus, m: int, k: int, bits: int) -> None:
    """Products of powers, signed and not, constant-time and not."""
    rng = random.Random(m * k)
    bases = rows_of(modulus, units(modulus, rng, k))
    here = device.from_host(bases)
    unsigned = np.array([[rng.randrange(1 << bits) for _ in range(k)] for _ in range(m)], dtype=np.uint64)
    want = bigint.multi_powm_vartime(bases, unsigned, modulus)
    for exponents in (unsigned, unsigned.astype(np.int64)):
        got = bigint.multi_powm_vartime(here, device.from_host(exponents), modulus).get()
        assert np.array_equal(got, want)
    got = bigint.multi_powm(here, device.from_host(unsigned), modulus, exponent_bits=bits).get()
    assert np.array_equal(got, want)
    signs = np.array([[rng.choice((-1, 1)) for _ in range(k)] for _ in range(m)], dtype=np.int64)
    signed = unsigned.astype(np.int64) * signs
    inverses = bigint.batch_inverse(bases, modulus)
    want = bigint.multi_powm_vartime(bases, signed, modulus)
    got = bigint.multi_powm_vartime(
        here, device.from_host(signed), modulus, inverses=device.from_host(inverses)
    )
    assert np.array_equal(got.get(), want)
    assert np.array_equal(bigint.multi_powm_vartime(here, device.from_host(signed), modulus).get(), want)


def everything(bits: int) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """(name, check) of every function at one size, sized so that a GPU takes a moment and the shim seconds."""
    shapes = [Modulus(n) for n in moduli(bits)]
    for i, modulus in enumerate(shapes):
        yield f"products-{bits}-{i}", lambda device, modulus=modulus: check_products(device, modulus)
    yield f"powers-{bits}", lambda device: check_powers(device, shapes[-1], 70)
    yield f"fixed-{bits}", lambda device: check_fixed_base(device, shapes[-1], 70, 3)
    yield f"many-{bits}", lambda device: check_many(device, shapes[-1], 90)
    yield f"multi-{bits}", lambda device: check_multi(device, shapes[3], 3, 5, 12)
