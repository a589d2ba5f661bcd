# SPDX-License-Identifier: Apache-2.0
"""ntt on one core against what its multiplier and the memory allow: no peer offers a transform of its own from Python.

With the clock in `CRYPSIS_BENCH_CPU_HZ`, the limit is the cycles that csrc/ntt/NOTES.md counts for butterflies alone;
memory's is NumPy's copy of the same polynomial, timed beside.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from benchmarks.rows import Limit
from crypsis import backends, ntt

BACKENDS = backends.runnable("ntt")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
CYCLES_PER_SECOND = float(os.environ.get("CRYPSIS_BENCH_CPU_HZ", "0"))
# Cycles of the two 512-bit ports for eight butterflies, by the size of primes up to which that holds: NOTES.md.
PORT_CYCLES = {
    "avx512ifma": {46: 2.5, 48: 2.83, 49: 2.83, 50: 3.5, 56: 7.0, 60: 8.2},
    "avx512": {56: 8.5, 60: 9.7},
}


def butterfly_limit(backend: str, log_n: int, bits: int) -> Limit | None:
    """Butterflies alone: no permutation inside registers, no last reduction, no untwisting."""
    if backend not in PORT_CYCLES or not CYCLES_PER_SECOND:
        return None
    cycles = next(cycles for size, cycles in PORT_CYCLES[backend].items() if bits <= size)
    vectors = log_n * (1 << log_n) / 16
    return Limit(CYCLES_PER_SECOND / (cycles * vectors), f"{cycles} cycles for eight butterflies")


def polynomial(log_n: int, bits: int) -> tuple[ntt.Basis, np.ndarray]:
    basis = ntt.Basis(log_n, ntt.find_primes(log_n, [bits]))
    return basis, np.random.default_rng(1).integers(0, basis.primes[0], (1, basis.n), np.uint64)


@every_backend
@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize("bits", [40, 50, 60])
@pytest.mark.parametrize("log_n", [12, 13, 14, 15, 16])
def test_transform(compare: Any, backend: str, direction: str, bits: int, log_n: int) -> None:
    basis, values = polynomial(log_n, bits)
    transform = ntt.forward if direction == "forward" else ntt.inverse
    out, copy = np.empty_like(values), np.empty_like(values)

    def check(found: np.ndarray, _: dict[str, Any]) -> None:
        assert np.array_equal(found, transform(values, basis, backend="portable"))

    compare(
        f"ntt/{direction}/N = {basis.n}, {bits} bits/{backend}",
        lambda: transform(values, basis, out=out, backend=backend, threads=1),
        items=1,
        unit="limbs",
        check=check,
        peers={"numpy copy of the limb": lambda: np.copyto(copy, values)},
        limit=butterfly_limit(backend, log_n, bits),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@pytest.mark.parametrize("operation", ["add", "multiply", "automorphism"])
@pytest.mark.parametrize("bits", [40, 60])
def test_pointwise(compare: Any, backend: str, operation: str, bits: int) -> None:
    """On one limb of N = 8192, against NumPy's element-wise product of words (not reduced): the memory it takes."""
    basis, a = polynomial(13, bits)
    b, out, other = a[:, ::-1].copy(), np.empty_like(a), np.empty_like(a)

    def ours(backend: str = backend) -> np.ndarray:
        if operation == "automorphism":
            return ntt.automorphism(a, 5, basis, out=out, backend=backend, threads=1)
        return getattr(ntt, operation)(a, b, basis, out=out, backend=backend, threads=1)

    def check(found: np.ndarray, _: dict[str, Any]) -> None:
        assert np.array_equal(found.copy(), ours("portable"))

    compare(
        f"ntt/{operation}/N = {basis.n}, {bits} bits/{backend}",
        ours,
        items=basis.n,
        unit="residues",
        check=check,
        peers={"numpy multiply of words": lambda: np.multiply(a, b, out=other)},
        extra={"backend": backend, "threads": 1},
    )
