# SPDX-License-Identifier: Apache-2.0
"""rns.pair_products against Python's integers, over every backend, and bad arguments, of `pack` and `unpack` too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import backends, ntt, rns
from crypsis.errors import BackendUnavailable

every_backend = pytest.mark.parametrize("backend", backends.runnable("rns"))
BASES = [
    ntt.Basis(log_n, ntt.find_primes(log_n, bits))
    for log_n, bits in ((2, (43,)), (3, (60, 40, 50)), (4, (43,) * 5), (11, (30, 60)))
]


def exact(factors: np.ndarray, half: np.ndarray, basis: ntt.Basis) -> Any:
    primes = np.array(basis.primes, object)[:, None]
    products: Any = (factors.astype(object) * half.astype(object)).sum(axis=1)
    return products % primes


@every_backend
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_against_python(backend: str, data: st.DataObject) -> None:
    basis = data.draw(st.sampled_from(BASES))
    most = 3 if basis.log_n > 4 else 150  # more than one call of the kernel takes
    rows, terms = data.draw(st.integers(0, 3)), data.draw(st.sampled_from([1, 2, 15, 16, 64, 65, 129, 150]))
    terms = min(terms, most)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    primes = np.array(basis.primes, np.uint64)[:, None]
    last = (len(basis), basis.n)

    def residues(*shape: int) -> np.ndarray:
        if data.draw(st.booleans()):
            return np.broadcast_to(primes - np.uint64(1), (*shape, *last)).copy()
        return rng.integers(0, 2**64, (*shape, *last), np.uint64) % primes

    factors, first, second = residues(rows, terms), residues(terms), residues(terms)
    if data.draw(st.booleans()):  # a transposed matrix
        factors = np.ascontiguousarray(factors.swapaxes(0, 1)).swapaxes(0, 1)
    found = rns.pair_products(
        factors, first, second, basis, backend=backend, threads=data.draw(st.sampled_from([1, 3]))
    )
    for half, sums in zip((first, second), found, strict=True):
        assert sums.dtype == np.uint64
        assert (sums == exact(factors, half, basis)).all()


def test_packing_arguments() -> None:
    basis = BASES[1]
    with pytest.raises(ValueError, match=r"values has shape \(2, 2, 5\): give uint64\[count, 3, n\]"):
        rns.pack(np.zeros((2, 2, 5), np.uint64), basis)
    with pytest.raises(TypeError, match="values is an array of int64"):
        rns.pack(np.zeros((2, 3, 5), np.int64), basis)
    with pytest.raises(ValueError, match="values is not C-contiguous"):
        rns.pack(np.zeros((2, 3, 10), np.uint64)[..., ::2], basis)
    size = rns.packed_bytes(2, 5, basis)
    assert size == 8 * (60 + 40 + 50)
    assert not rns.unpack(np.zeros(size, np.uint8), 2, 5, basis).any()
    for wrong in (
        np.zeros(size - 1, np.uint8),
        np.zeros((1, size), np.uint8),
        np.zeros(2 * size, np.uint8)[::2],
    ):
        with pytest.raises(ValueError, match=f"give uint8.{size}., contiguous"):
            rns.unpack(wrong, 2, 5, basis)


def test_wrong_arguments() -> None:
    basis = BASES[1]
    factors, half = np.zeros((2, 4, 3, 8), np.uint64), np.zeros((4, 3, 8), np.uint64)
    for wrong in (factors[0], factors[:, :0], factors[..., :4], np.zeros((2, 4, 2, 8), np.uint64)):
        with pytest.raises(ValueError, match="factors has shape"):
            rns.pair_products(wrong, half, half, basis)
    with pytest.raises(ValueError, match=r"first has shape \(3, 3, 8\): give uint64\[4, 3, 8\]"):
        rns.pair_products(factors, half[:3], half, basis)
    with pytest.raises(ValueError, match="second has shape"):
        rns.pair_products(factors, half, half[None], basis)
    with pytest.raises(ValueError, match="factors is not contiguous in its last two axes"):
        rns.pair_products(np.zeros((2, 4, 3, 16), np.uint64)[..., ::2], half, half, basis)
    with pytest.raises(ValueError, match="factors is not contiguous in its last two axes"):
        rns.pair_products(factors[::-1], half, half, basis)
    with pytest.raises(TypeError, match="factors is an array of int64"):
        rns.pair_products(factors.astype(np.int64), half, half, basis)
    with pytest.raises(TypeError, match="basis is tuple"):
        rns.pair_products(factors, half, half, ())  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailable):
        rns.pair_products(factors, half, half, basis, backend="sse9")
    with pytest.raises(ValueError, match="threads is 0"):
        rns.pair_products(factors, half, half, basis, threads=0)
