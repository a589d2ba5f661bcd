# SPDX-License-Identifier: Apache-2.0
"""ntt on one core against what its multipliers and the memory allow: no peer offers a transform of its own from Python.

Two limits, each a formula:

- arithmetic: log_n N / 2 butterflies of the operations that csrc/ntt/NOTES.md counts, at the rate of such operations in
  the same run; the row's `limit.percent` is the share.
- memory: each word that a transform must touch once: N read and N written, and N roots and N quotients (forward; 2 N
  and 2 N inverse), 8 bytes each, at the rate of a NumPy copy in the same run that reads and writes as many bytes. The
  row's ratio to that copy is the share, 1 being all that memory allows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from benchmarks import limits
from crypsis import backends, ntt
from crypsis.mpc.bench import counts

BACKENDS = backends.runnable("ntt")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
# Words that an operation on one polynomial of N = 1 must read and write.
WORDS = {"forward": 4, "inverse": 6, "add": 3, "multiply": 3, "automorphism": 2.5, "tensor": 7}


@pytest.fixture(scope="module", autouse=True)
def _one_core() -> Iterator[None]:
    """This process on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


def memory_limit(operation: str, n: int) -> dict[str, Callable[[], Any]]:
    """A copy that reads and writes as many bytes as `operation` must."""
    words = int(WORDS[operation] * n)
    source, target = ntt.empty((words // 2,)), ntt.empty((words // 2,))
    source[...] = 1
    name = f"memory limit: {WORDS[operation]} N words as a copy of half as many"
    return {name: lambda: np.copyto(target, source)}


def polynomials(log_n: int, bits: int, count: int) -> tuple[ntt.Basis, np.ndarray]:
    """Of one limb, at the start of a cache line: `uint64[count, 1, N]`."""
    basis = ntt.Basis(log_n, ntt.find_primes(log_n, [bits]))
    values = ntt.empty((count, 1, basis.n))
    values[...] = np.random.default_rng(1).integers(0, basis.primes[0], values.shape, np.uint64)
    return basis, values


@every_backend
@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize("bits", [40, 50, 60])
@pytest.mark.parametrize("log_n", [12, 13, 14, 15, 16])
def test_transform(compare: Any, backend: str, direction: str, bits: int, log_n: int) -> None:
    basis, (values,) = polynomials(log_n, bits, 1)
    transform = ntt.forward if direction == "forward" else ntt.inverse
    out = ntt.empty(values.shape)

    def check(found: np.ndarray, _: dict[str, Any]) -> None:
        assert np.array_equal(found, transform(values, basis, backend="portable"))

    compare(
        f"ntt/{direction}/N = {basis.n}, {bits} bits/{backend}",
        lambda: transform(values, basis, out=out, backend=backend, threads=1),
        items=1,
        unit="limbs",
        check=check,
        peers=memory_limit(direction, basis.n),
        limit=limits.by("ntt", getattr(counts, direction)(log_n, bits), "the butterflies", backend),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@pytest.mark.parametrize("operation", ["add", "multiply", "automorphism", "tensor"])
@pytest.mark.parametrize("bits", [40, 60])
def test_pointwise(compare: Any, backend: str, operation: str, bits: int) -> None:
    """On one limb of N = 8192: the limit is memory's."""
    basis, pairs = polynomials(13, bits, 4)
    pairs = pairs.reshape(2, 2, 1, basis.n)
    a, b = pairs[0, 0], pairs[0, 1]
    shape = (3, *a.shape) if operation == "tensor" else a.shape
    out = ntt.empty(shape)

    def ours(backend: str = backend) -> np.ndarray:
        if operation == "automorphism":
            return ntt.automorphism(a, 5, basis, out=out, backend=backend, threads=1)
        x, y = pairs if operation == "tensor" else (a, b)
        return getattr(ntt, operation)(x, y, basis, out=out, backend=backend, threads=1)

    def check(found: np.ndarray, _: dict[str, Any]) -> None:
        assert np.array_equal(found.copy(), ours("portable"))

    compare(
        f"ntt/{operation}/N = {basis.n}, {bits} bits/{backend}",
        ours,
        items=basis.n,
        unit="residues",
        check=check,
        peers=memory_limit(operation, basis.n),
        extra={"backend": backend, "threads": 1},
    )
