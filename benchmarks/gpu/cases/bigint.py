# SPDX-License-Identifier: Apache-2.0
"""Powers and products of big integers."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import numpy as np

from benchmarks.gpu import limits
from benchmarks.gpu.cases.base import Case, Prepare, Rows, Work, chosen, same, sample
from crypsis import bigint
from crypsis.cuda import Device


@cache
def modulus(bits: int) -> bigint.Modulus:
    """Odd, of exactly `bits` bits."""
    return bigint.Modulus(random.Random(bits).getrandbits(bits) | 1 << (bits - 1) | 1)


def residues(bits: int, n: int, seed: int) -> Rows:
    """Rows below every modulus of `bits` bits."""
    rows = np.random.default_rng(seed).integers(0, 2**64, (n, bits // 64), dtype=np.uint64)
    rows[:, -1] >>= np.uint64(1)
    return rows


def _powm(*, vartime: bool = False) -> Prepare:
    def prepare(device: Device, n: int, bits: int) -> Work:
        ring, bases, exponents = modulus(bits), residues(bits, n, 1), residues(bits, n, 2)
        function = bigint.powm_vartime if vartime else bigint.powm
        there = device.from_host(bases), device.from_host(exponents)
        out = device.empty(bases.shape, np.uint64)
        at = sample(n, 32)

        def check(result: Any) -> int:
            return same("powm", chosen(device, result, at), function(bases[at], exponents[at], ring))

        def end_to_end() -> Any:
            return device.to_host(function(device.from_host(bases), device.from_host(exponents), ring))

        return Work(lambda: function(*there, ring, out=out), check, end_to_end)

    return prepare


def _mod_mul(device: Device, n: int, bits: int) -> Work:
    ring, a, b = modulus(bits), residues(bits, n, 3), residues(bits, n, 4)
    there = device.from_host(a), device.from_host(b)
    out = device.empty(a.shape, np.uint64)
    at = sample(n)

    def check(result: Any) -> int:
        wanted = bigint.mod_mul(a[at], b[at], ring, montgomery=True)
        return same("mod_mul", chosen(device, result, at), wanted)

    def end_to_end() -> Any:
        product = bigint.mod_mul(device.from_host(a), device.from_host(b), ring, montgomery=True)
        return device.to_host(product)

    return Work(lambda: bigint.mod_mul(*there, ring, montgomery=True, out=out), check, end_to_end)


def _fixed_base(*, vartime: bool) -> Prepare:
    """Exponents of a quarter of the modulus, as Paillier's blinding has them."""

    def prepare(device: Device, n: int, bits: int) -> Work:
        ring, exponent_bits = modulus(bits), bits // 4
        base = bigint.FixedBase(residues(bits, 1, 5)[0], ring, exponent_bits)
        exponents = np.random.default_rng(6).integers(0, 2**64, (n, exponent_bits // 64), dtype=np.uint64)
        there = device.from_host(exponents)
        out = device.empty((n, bits // 64), np.uint64)
        power = base.powm_vartime if vartime else base.powm
        at = sample(n)

        def check(result: Any) -> int:
            wanted = bigint.powm_vartime(residues(bits, 1, 5)[0], exponents[at], ring)
            return same("FixedBase", chosen(device, result, at), wanted)

        def end_to_end() -> Any:
            return device.to_host(power(device.from_host(exponents)))

        return Work(lambda: power(there, out=out), check, end_to_end)

    return prepare


BLIND = limits.comb(4096, 1024, 8)
"""h^a mod n^2 of a 2048-bit key."""
CASES = (
    Case("bigint/powm/2048", "powers", 2048, 1 << 16, 5, limits.powm(2048, 2048), _powm()),
    Case("bigint/powm/4096", "powers", 4096, 1 << 14, 3, limits.powm(4096, 4096), _powm()),
    Case("bigint/powm/1024", "powers", 1024, 1 << 18, 5, limits.powm(1024, 1024), _powm()),
    Case(
        "bigint/powm_vartime/2048", "powers", 2048, 1 << 16, 5, limits.powm(2048, 2048), _powm(vartime=True)
    ),
    Case("bigint/mod_mul/2048", "products", 2048, 1 << 21, 33, limits.mul(2048), _mod_mul),
    Case("bigint/mod_mul/4096", "products", 4096, 1 << 20, 17, limits.mul(4096), _mod_mul),
    Case("bigint/fixed_base/4096", "powers", 4096, 1 << 16, 3, BLIND, _fixed_base(vartime=False)),
    Case("bigint/fixed_base_vartime/4096", "powers", 4096, 1 << 17, 3, BLIND, _fixed_base(vartime=True)),
)
