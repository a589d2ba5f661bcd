# SPDX-License-Identifier: Apache-2.0
"""embedding on one core: transforms beside NumPy's plain FFT of as many complex points, encodings into four primes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from benchmarks.rows import Limit
from crypsis import backends, embedding

every_backend = pytest.mark.parametrize("backend", backends.runnable("embedding"))
every_degree = pytest.mark.parametrize("log_n", [13, 14, 15, 16])
CYCLES_PER_SECOND = float(os.environ.get("CRYPSIS_BENCH_CPU_HZ", "0"))
PRIMES = (2**60 - 2**14 + 1, 2**40 + 15, 2**40 - 87, 2**60 - 93)  # encoding asks for no roots of unity


class Moduli:
    def __init__(self, log_n: int) -> None:
        self.log_n, self.primes = log_n, PRIMES


def limit_of(backend: str, log_n: int) -> Limit | None:
    """Sums and products counted in csrc/embedding/NOTES.md, on two units of eight doubles."""
    if backend != "avx512" or not CYCLES_PER_SECOND:
        return None
    n, stages = 1 << (log_n - 1), log_n - 4
    operations = n * (15 + 10 / 2 * (stages % 2) + 34 / 4 * (stages // 2) + 2)
    return Limit(CYCLES_PER_SECOND / (operations / 16), f"{operations:.0f} sums and products, 16 a cycle")


def random_slots(n: int) -> np.ndarray:
    generator = np.random.default_rng(1)
    return generator.uniform(-1, 1, n) + 1j * generator.uniform(-1, 1, n)


@every_backend
@every_degree
@pytest.mark.parametrize("direction", ["to coefficients", "to slots"])
def test_transform(compare: Any, backend: str, log_n: int, direction: str) -> None:
    slots = random_slots(1 << (log_n - 1))
    coefficients = embedding.to_coefficients(slots, log_n)
    if direction == "to slots":
        out = np.zeros_like(slots)
        ours = lambda: embedding.decode(coefficients, 1.0, out=out, backend=backend, threads=1)  # noqa: E731
    else:
        out = np.zeros_like(coefficients)
        ours = lambda: embedding.to_coefficients(slots, log_n, out=out, backend=backend, threads=1)  # noqa: E731

    def check(result: np.ndarray, peers: dict[str, Any]) -> None:
        right = slots if direction == "to slots" else coefficients
        assert np.allclose(result, right, rtol=0, atol=1e-12)

    compare(
        f"embedding/{direction}/N = 2^{log_n}/{backend}",
        ours,
        items=1,
        unit="polynomials",
        check=check,
        peers={"numpy.fft.fft of N / 2 points": lambda: np.fft.fft(slots)},
        limit=limit_of(backend, log_n),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@every_degree
def test_encode(compare: Any, backend: str, log_n: int) -> None:
    """Transform and residues of four primes."""
    slots, basis = random_slots(1 << (log_n - 1)), Moduli(log_n)
    out = np.zeros((len(PRIMES), 1 << log_n), np.uint64)

    def check(result: np.ndarray, peers: dict[str, Any]) -> None:
        exact = embedding.to_coefficients(slots, log_n, scale=2.0**40)
        for row, p in zip(result, PRIMES, strict=True):
            assert np.array_equal(row, (np.rint(exact).astype(np.int64) % p).astype(np.uint64))

    compare(
        f"embedding/encode/N = 2^{log_n}, 4 primes/{backend}",
        lambda: embedding.encode(slots, 2.0**40, basis, out=out, backend=backend, threads=1),
        items=1,
        unit="polynomials",
        check=check,
        extra={"backend": backend, "threads": 1},
    )
