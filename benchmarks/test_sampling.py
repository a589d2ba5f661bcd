# SPDX-License-Identifier: Apache-2.0
"""sampling on one core, from a stream in memory; the stream's own time stands beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crypsis import aes, backends, sampling

every_backend = pytest.mark.parametrize("backend", backends.runnable("sampling"))
PRIMES = (2**60 - 2**14 + 1, 2**40 + 15, 2**40 - 87, 2**60 - 93)
N = 8192


class Moduli:
    primes = PRIMES


def key_stream(n_bytes: int) -> Any:
    """What makes a stream of this length; the peer's time."""
    out = np.zeros((n_bytes // 16, 16), np.uint8)
    return lambda: aes.ctr_stream(bytes(16), n_bytes // 16, out=out, threads=1)


@every_backend
def test_uniform(compare: Any, backend: str) -> None:
    stream = aes.ctr_stream(bytes(16), len(PRIMES) * N).reshape(len(PRIMES), N, 16)
    out = np.zeros((len(PRIMES), N), np.uint64)

    def check(result: np.ndarray, peers: dict[str, Any]) -> None:
        for i, p in enumerate(PRIMES):
            for j in range(0, N, 997):
                assert int(result[i, j]) == int.from_bytes(stream[i, j].tobytes(), "little") % p

    compare(
        f"sampling/uniform/{len(PRIMES)} x {N}/{backend}",
        lambda: sampling.uniform(stream, Moduli, out=out, backend=backend, threads=1),
        items=len(PRIMES) * N,
        unit="residues",
        check=check,
        peers={"the stream's own time": key_stream(stream.size)},
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@pytest.mark.parametrize("kind", ["ternary", "binomial"])
def test_small(compare: Any, backend: str, kind: str) -> None:
    sample, width = (sampling.ternary, 8) if kind == "ternary" else (sampling.binomial, 6)
    n = 8 * N
    stream = aes.ctr_stream(bytes(16), n * width // 16).reshape(-1)
    out = np.zeros(n, np.int8)
    right = sample(stream, n, backend="portable")

    def check(result: np.ndarray, peers: dict[str, Any]) -> None:
        assert np.array_equal(result, right)

    compare(
        f"sampling/{kind}/{n}/{backend}",
        lambda: sample(stream, n, out=out, backend=backend, threads=1),
        items=n,
        unit="values",
        check=check,
        peers={"the stream's own time": key_stream(stream.size)},
        extra={"backend": backend, "threads": 1},
    )
