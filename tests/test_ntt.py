# SPDX-License-Identifier: Apache-2.0
"""crypsis.ntt against its reference and by the laws of the ring, in every backend."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from crypsis import backends, ntt
from reference import ntt as reference

BACKENDS = backends.runnable("ntt")
every_backend = pytest.mark.parametrize("backend", BACKENDS)


@every_backend
def test_exhaustive_of_four(backend: str) -> None:
    """All 17^4 polynomials of degree below 4 over GF(17), by direct evaluation."""
    basis = ntt.Basis(2, [17])
    everything = np.array(list(itertools.product(range(17), repeat=4)), np.uint64)[:, None, :]
    psi = reference.smallest_root(2, 17)
    points = [pow(psi, 2 * reference.reverse_bits(j, 2) + 1, 17) for j in range(4)]
    vandermonde = np.array([[pow(x, i, 17) for x in points] for i in range(4)], np.uint64)
    found = ntt.forward(everything, basis, backend=backend)
    assert np.array_equal(found, everything @ vandermonde % 17)
    assert np.array_equal(ntt.inverse(found, basis, backend=backend), everything)


@every_backend
@pytest.mark.parametrize("log_n", range(2, 12))
def test_against_the_reference(backend: str, log_n: int) -> None:
    sizes = (20, 31, 40, 50, 60)
    basis = ntt.Basis(log_n, ntt.find_primes(log_n, sizes))
    assert list(basis.primes) == reference.find_primes(log_n, sizes)
    rng = np.random.default_rng(log_n)
    values = np.stack([rng.integers(0, p, basis.n, np.uint64) for p in basis.primes])
    transformed = ntt.forward(values, basis, backend=backend)
    for limb, p in enumerate(basis.primes):
        assert transformed[limb].tolist() == reference.forward(values[limb].tolist(), log_n, p)
    assert np.array_equal(ntt.inverse(transformed, basis, backend=backend), values)
