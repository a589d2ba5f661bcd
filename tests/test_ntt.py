# SPDX-License-Identifier: Apache-2.0
"""crypsis.ntt in every backend: vectors, direct evaluation, the reference at every N, the laws of the ring."""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import backends, ntt
from reference import ntt as reference

BACKENDS = backends.runnable("ntt")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
VECTORS = json.loads((Path(__file__).parent / "vectors" / "ntt.json").read_text())
# Around every bound of csrc/ntt/field52.h, field64.h and field_avx2.h, and what CKKS uses.
SIZES = (20, 30, 31, 32, 35, 40, 45, 46, 47, 48, 49, 50, 51, 52, 55, 56, 57, 58, 59, 60)
Words = np.ndarray[Any, np.dtype[np.uint64]]


@cache
def basis_of(log_n: int, sizes: tuple[int, ...] = SIZES) -> ntt.Basis:
    """Tables are shared by the tests that need them; no prime of few bits exists for the larger N."""
    return ntt.Basis(log_n, ntt.find_primes(log_n, [size for size in sizes if size > log_n + 4]))


def residues(basis: ntt.Basis, seed: int, *lead: int) -> Words:
    rng = np.random.default_rng(seed)
    limbs = [rng.integers(0, p, (*lead, basis.n), np.uint64) for p in basis.primes]
    return np.ascontiguousarray(np.stack(limbs, axis=-2))


def edges(basis: ntt.Basis) -> Words:
    """0, p - 1, both by chance, one coefficient p - 1 at each end, and an alternation: `uint64[6, limbs, N]`."""
    chosen = np.zeros((6, basis.n), bool)
    chosen[1] = True
    chosen[2] = np.random.default_rng(basis.log_n).integers(0, 2, basis.n)
    chosen[3, 0] = chosen[4, -1] = True
    chosen[5, ::2] = True
    return np.where(chosen[:, None, :], np.array(basis.primes, np.uint64)[:, None] - 1, 0).astype(np.uint64)


# Known answers


@every_backend
@pytest.mark.parametrize("case", VECTORS["direct"], ids=lambda case: f"{case['log_n']}-{case['prime']}")
def test_vectors_by_direct_evaluation(backend: str, case: dict[str, Any]) -> None:
    basis = ntt.Basis(case["log_n"], [case["prime"]])
    assert basis.roots == (case["root"],)
    coefficients = np.array([case["coefficients"]], np.uint64)
    values = np.array([case["values"]], np.uint64)
    assert np.array_equal(ntt.forward(coefficients, basis, backend=backend), values)
    assert np.array_equal(ntt.inverse(values, basis, backend=backend), coefficients)


def test_primes_of_the_vectors() -> None:
    """Those of N = 4096 are the defaults that SEAL publishes; make_ntt.py says more."""
    for case in VECTORS["primes"]:
        assert list(ntt.find_primes(case["log_n"], case["bits"])) == case["primes"]


@every_backend
def test_exhaustive_of_four(backend: str) -> None:
    """All 17^4 polynomials of degree below 4 over GF(17), by direct evaluation."""
    basis = ntt.Basis(2, [17])
    everything = np.array(list(itertools.product(range(17), repeat=4)), np.uint64)[:, None, :]
    found = ntt.forward(everything, basis, backend=backend)
    assert np.array_equal(found, everything @ evaluation_matrix(2, 17) % 17)
    assert np.array_equal(ntt.inverse(found, basis, backend=backend), everything)


@every_backend
@pytest.mark.parametrize("places", [(0, 1, 2, 3), (4, 5, 6, 7), (0, 2, 4, 6), (1, 3, 5, 7)])
def test_exhaustive_of_eight(backend: str, places: tuple[int, ...]) -> None:
    """Four coefficients of eight take all 17^4 values over GF(17), the others are 0.

    All 17^8 polynomials are too many, and not needed: every word inside depends on few coefficients until the last of
    the three stages. Forward's first two stages join coefficients of even place or of odd place, inverse's join values
    of the first half or of the last, so that here each of their butterflies meets every pair of words that it ever
    can. What remains is one stage that adds the two halves: the next test.
    """
    everything = np.zeros((17**4, 1, 8), np.uint64)
    everything[:, 0, list(places)] = list(itertools.product(range(17), repeat=4))
    check_of_eight(everything, backend)


@every_backend
def test_pairs_of_eight(backend: str) -> None:
    """The transform is linear: all values of one coefficient and of all pairs in all places, and random polynomials."""
    pairs = np.zeros((28, 17, 17, 8), np.uint64)
    for n, (i, j) in enumerate(itertools.combinations(range(8), 2)):
        pairs[n, :, :, i] = np.arange(17)[:, None]
        pairs[n, :, :, j] = np.arange(17)
    check_of_eight(pairs.reshape(-1, 1, 8), backend)
    check_of_eight(np.random.default_rng(8).integers(0, 17, (10**5, 1, 8), np.uint64), backend)


def check_of_eight(everything: Words, backend: str) -> None:
    """Both directions, with these as coefficients and as values, against the matrix of direct evaluation."""
    basis = ntt.Basis(3, [17])
    matrix = evaluation_matrix(3, 17)
    values = ntt.forward(everything, basis, backend=backend)
    assert np.array_equal(values, everything @ matrix % 17)
    assert np.array_equal(ntt.inverse(values, basis, backend=backend), everything)
    coefficients = ntt.inverse(everything, basis, backend=backend)
    assert (coefficients < 17).all()
    assert np.array_equal(coefficients @ matrix % 17, everything)


def evaluation_matrix(log_n: int, p: int) -> Words:
    psi = reference.smallest_root(log_n, p)
    points = [pow(psi, 2 * reference.reverse_bits(j, log_n) + 1, p) for j in range(1 << log_n)]
    return np.array([[pow(x, i, p) for x in points] for i in range(1 << log_n)], np.uint64)


# Differential


@pytest.mark.parametrize("log_n", range(2, 9))
def test_all_sizes_against_the_reference(log_n: int) -> None:
    basis = basis_of(log_n)
    values = np.concatenate([edges(basis)[2:3], residues(basis, log_n, 1)])
    wanted = [
        [reference.forward(values[i, limb].tolist(), log_n, p) for limb, p in enumerate(basis.primes)]
        for i in range(2)
    ]
    for backend in BACKENDS:
        found = ntt.forward(values, basis, backend=backend)
        assert found.tolist() == wanted
        assert np.array_equal(ntt.inverse(found, basis, backend=backend), values)


@pytest.mark.parametrize("log_n", range(9, 17))
def test_large_against_the_reference(log_n: int) -> None:
    """A prime for each kind of arithmetic."""
    sizes = (40, 60) if log_n > 12 else (30, 48, 50, 55, 60)
    basis = basis_of(log_n, sizes)
    values = residues(basis, log_n)
    wanted = [reference.forward(values[limb].tolist(), log_n, p) for limb, p in enumerate(basis.primes)]
    for backend in BACKENDS:
        found = ntt.forward(values, basis, backend=backend)
        assert found.tolist() == wanted
        assert np.array_equal(ntt.inverse(found, basis, backend=backend), values)


@pytest.mark.slow
@pytest.mark.parametrize("log_n", range(9, 17))
def test_every_size_of_prime_against_the_reference(log_n: int) -> None:
    basis = basis_of(log_n)
    values = residues(basis, log_n + 100)
    wanted = [reference.forward(values[limb].tolist(), log_n, p) for limb, p in enumerate(basis.primes)]
    for backend in BACKENDS:
        found = ntt.forward(values, basis, backend=backend)
        assert found.tolist() == wanted
        assert np.array_equal(ntt.inverse(found, basis, backend=backend), values)


@pytest.mark.parametrize("log_n", [6, 7, 10, 11, 12, 13, 14])
def test_backends_agree_at_every_size_of_prime_and_on_edges(log_n: int) -> None:
    basis = basis_of(log_n)
    values = np.concatenate([edges(basis), residues(basis, log_n, 1)])
    wanted = ntt.forward(values, basis, backend="portable")
    for j in (0, 1, basis.n - 1):  # and the portable one is right at some points of each limb
        for limb, (p, psi) in enumerate(zip(basis.primes, basis.roots, strict=True)):
            x = pow(psi, 2 * reference.reverse_bits(j, log_n) + 1, p)
            assert wanted[-1, limb, j] == reference.evaluate(values[-1, limb].tolist(), x, p)
    for backend in BACKENDS:
        assert np.array_equal(ntt.forward(values, basis, backend=backend), wanted)
        assert np.array_equal(ntt.inverse(wanted, basis, backend=backend), values)
        # Edges are values of some polynomial too.
        assert np.array_equal(
            ntt.inverse(values, basis, backend=backend), ntt.inverse(values, basis, backend="portable")
        )


@every_backend
@pytest.mark.parametrize("log_n", [2, 5, 8])
def test_pointwise_against_integers(backend: str, log_n: int) -> None:
    basis = basis_of(log_n)
    a = np.concatenate([edges(basis), residues(basis, 1, 2)])
    b = np.concatenate([edges(basis)[::-1], residues(basis, 2, 2)])
    c = np.concatenate([edges(basis)[[1, 0, 2, 1, 5, 1]], residues(basis, 3, 2)])
    p = np.array(basis.primes, object)[:, None]
    x, y, z = (array.astype(object) for array in (a, b, c))
    options = {"backend": backend}
    for found, wanted in (
        (ntt.add(a, b, basis, **options), x + y),
        (ntt.subtract(a, b, basis, **options), x - y),
        (ntt.negate(a, basis, **options), -x),
        (ntt.multiply(a, b, basis, **options), x * y),
        (ntt.multiply_add(a, b, c, basis, **options), x * y + z),
        (ntt.scale(a, -12345678901234567890123, basis, **options), x * -12345678901234567890123),
        (ntt.scale(a, [p - 1 for p in basis.primes], basis, **options), -x),
    ):
        assert found.tolist() == (wanted % p).tolist()


@every_backend
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_from_signed(backend: str, dtype: type[np.signedinteger[Any]]) -> None:
    basis = basis_of(5)
    limits = np.iinfo(dtype)
    values = np.random.default_rng(4).integers(limits.min, limits.max, (3, 32), dtype, endpoint=True)
    values[0, :5] = limits.min, limits.max, 0, -1, 1
    wanted = values.astype(object)[:, None, :] % np.array(basis.primes, object)[:, None]
    assert ntt.from_signed(values, basis, backend=backend).tolist() == wanted.tolist()


@every_backend
@pytest.mark.parametrize("log_n", [2, 3, 6, 9])
def test_automorphism_against_the_reference_and_the_transform(backend: str, log_n: int) -> None:
    basis = basis_of(log_n, (20, 40, 60))
    values = residues(basis, log_n, 2)
    transformed = ntt.forward(values, basis)
    galois = (
        range(1, 2 * basis.n, 2) if log_n < 5 else (1, 3, 5, 25, basis.n - 1, basis.n + 1, 2 * basis.n - 1)
    )
    for g in galois:
        moved = ntt.automorphism(values, g, basis, ntt_domain=False, backend=backend)
        for limb, p in enumerate(basis.primes):
            assert moved[1, limb].tolist() == reference.automorphism(values[1, limb].tolist(), g, p)
        permuted = ntt.automorphism(transformed, g, basis, backend=backend)
        assert np.array_equal(permuted, ntt.forward(moved, basis, backend=backend))


# Laws of the ring


@every_backend
@settings(max_examples=20)
@given(data=st.data())
def test_products_of_polynomials(backend: str, data: st.DataObject) -> None:
    log_n = data.draw(st.integers(2, 7))
    basis = basis_of(log_n, (20, 45, 49, 50, 56, 60))
    a, b = (residues(basis, data.draw(st.integers(0, 2**32)))[None] for _ in range(2))
    product = ntt.inverse(
        ntt.multiply(ntt.forward(a, basis, backend=backend), ntt.forward(b, basis, backend=backend), basis),
        basis,
        backend=backend,
    )
    for limb, p in enumerate(basis.primes):
        assert product[0, limb].tolist() == reference.product(a[0, limb].tolist(), b[0, limb].tolist(), p)


@every_backend
def test_x_to_the_n_is_minus_one(backend: str) -> None:
    basis = basis_of(10, (30, 40, 50, 60))
    half = np.zeros((len(basis), basis.n), np.uint64)
    half[:, basis.n // 2] = 1  # x^(N/2), whose square is -1
    transformed = ntt.forward(half, basis, backend=backend)
    square = ntt.inverse(ntt.multiply(transformed, transformed, basis), basis, backend=backend)
    assert not square[:, 1:].any()
    assert square[:, 0].tolist() == [p - 1 for p in basis.primes]


@every_backend
@settings(max_examples=20)
@given(data=st.data())
def test_transforms_are_linear_and_inverse_to_each_other(backend: str, data: st.DataObject) -> None:
    basis = basis_of(data.draw(st.integers(2, 11)))
    a, b = (residues(basis, data.draw(st.integers(0, 2**32))) for _ in range(2))
    factor = data.draw(st.integers(-(2**70), 2**70))
    transformed = ntt.forward(a, basis, backend=backend)
    assert np.array_equal(ntt.inverse(transformed, basis, backend=backend), a)
    left = ntt.forward(ntt.add(ntt.scale(a, factor, basis), b, basis), basis, backend=backend)
    right = ntt.add(ntt.scale(transformed, factor, basis), ntt.forward(b, basis, backend=backend), basis)
    assert np.array_equal(left, right)


@every_backend
@settings(max_examples=20)
@given(data=st.data())
def test_automorphisms_are_a_group(backend: str, data: st.DataObject) -> None:
    basis = basis_of(data.draw(st.integers(2, 9)), (40, 60))
    g, h = (2 * data.draw(st.integers(0, basis.n - 1)) + 1 for _ in range(2))
    domain = data.draw(st.booleans())
    values = residues(basis, data.draw(st.integers(0, 2**32)))

    def move(array: Words, galois: int) -> Words:
        return ntt.automorphism(array, galois, basis, ntt_domain=domain, backend=backend)

    assert np.array_equal(move(move(values, g), h), move(values, g * h % (2 * basis.n)))
    assert np.array_equal(move(move(values, g), pow(g, -1, 2 * basis.n)), values)


def test_the_primes_and_roots_are_the_references() -> None:
    for log_n in (2, 5, 10, 13, 16):
        sizes = [60, 60, 40, 60, 40, 30, log_n + 5]
        found = ntt.find_primes(log_n, sizes)
        assert list(found) == reference.find_primes(log_n, sizes)
        basis = ntt.Basis(log_n, found[:3])
        assert list(basis.roots) == [reference.smallest_root(log_n, p) for p in found[:3]]
