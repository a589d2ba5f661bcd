# SPDX-License-Identifier: Apache-2.0
"""Transforms and key switching."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.gpu import limits
from benchmarks.gpu.cases.base import TEST_BITS, Case, Prepare, Rows, Work, chosen, same, sample
from crypsis import ntt, rns
from crypsis.cuda import Device


def _reduced(basis: ntt.Basis, *lead: int) -> Rows:
    limbs = [np.random.default_rng(p).integers(0, p, (*lead, basis.n), np.uint64) for p in basis.primes]
    return np.ascontiguousarray(np.stack(limbs, axis=-2))


def _transform(*, inverse: bool) -> Prepare:
    """An item is a limb of N residues; four primes."""

    def prepare(device: Device, n: int, bits: int) -> Work:
        log_n = 5 if bits == TEST_BITS else bits
        basis = ntt.Basis(log_n, ntt.find_primes(log_n, [60, 50, 40, 60]))
        function = ntt.inverse if inverse else ntt.forward
        values = _reduced(basis, -(-n // 4))
        there = device.from_host(values)
        out = device.empty(values.shape, np.uint64)
        at = sample(len(values), 4)

        def check(result: Any) -> int:
            return 4 * same("ntt", chosen(device, result, at), function(values[at], basis))

        def end_to_end() -> Any:
            return device.to_host(function(device.from_host(values), basis))

        return Work(lambda: function(there, basis, out=out), check, end_to_end)

    return prepare


def _switch_key(device: Device, n: int, bits: int) -> Work:
    """Eight moduli in digits of two, two special ones: an item is a polynomial of 8 limbs, 4 digits of 10 each."""
    log_n = 5 if bits == TEST_BITS else bits
    primes = ntt.find_primes(log_n, [60, *[40] * 7, 60, 60])
    chain = rns.Chain(log_n, primes[:8], primes[8:], dnum=4)
    c, key = _reduced(chain.basis(7), n), _reduced(chain.full(7), 4, 2)
    there, key_there = device.from_host(c), device.from_host(key)
    out = device.empty((n, 2, 8, chain.n), np.uint64)
    at = sample(n, 2)

    def check(result: Any) -> int:
        return same("rns", chosen(device, result, at), rns.switch_key(c[at], key, chain, 7))

    return Work(lambda: rns.switch_key(there, key_there, chain, 7, out=out), check)


CASES = (
    *(
        Case(
            f"ntt/{name}/{log_n}",
            "limbs",
            log_n,
            count,
            8,
            limits.transforms(log_n),
            _transform(inverse=inverse),
        )
        for log_n, count in ((13, 1 << 14), (16, 1 << 12))
        for name, inverse in (("forward", False), ("inverse", True))
    ),
    Case("rns/switch_key/14", "key switches", 14, 1 << 7, 2, limits.key_switch(14, 8, 2, 4), _switch_key),
)
