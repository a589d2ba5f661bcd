# SPDX-License-Identifier: Apache-2.0
"""bigint: products of many rows, products of powers and inverses, on every backend."""

from __future__ import annotations

import itertools
import math
import random
import tracemalloc
import types
from collections.abc import Callable

import gmpy2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigint_cases import every_backend, moduli, rows, values
from crypsis import bigint
from crypsis._bigint import buckets as _buckets
from crypsis._bigint import multi as _multi
from crypsis._bigint import products as _products
from crypsis.errors import NotInvertible
from reference import bigint as reference

PRIME = 2**521 - 1
MODULUS = bigint.Modulus(PRIME)


def units(n: int, count: int, seed: int) -> list[int]:
    rng = random.Random(seed)
    return [1, n - 1, *(rng.randrange(1, n) for _ in range(count))][:count]


# Segments: empty ones, one of everything, many short, one long beside many short, unused rows at both ends.
SEGMENTS = [
    [0],
    [0, 0],
    [0, 90],
    [0, 0, 0, 1, 3, 3, 90],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 90],
    list(range(0, 91, 10)),
    list(range(91)),
]


@every_backend
@pytest.mark.parametrize("starts", SEGMENTS, ids=lambda starts: f"{len(starts) - 1} segments")
@pytest.mark.parametrize("threads", [1, 2])
def test_segments(backend: str, starts: list[int], threads: int) -> None:
    for n in [*moduli(313)[:3], PRIME]:
        modulus = bigint.Modulus(n)
        a = values(n, starts[-1], seed=7)
        x, begins = rows(a, modulus), np.array(starts)
        options = {"backend": backend, "threads": threads}
        want = [reference.prod(a[i:j], n) for i, j in itertools.pairwise(starts)]
        assert bigint.to_ints(bigint.segmented_prod(x, begins, modulus, **options)) == want
        in_form = modulus.to_montgomery(x)
        formed = bigint.segmented_prod(in_form, begins, modulus, montgomery=True, **options)
        assert bigint.to_ints(modulus.from_montgomery(formed)) == want
        want = reference.running(a, starts, n)
        assert bigint.to_ints(bigint.cumulative_prod(x, begins, modulus, **options)) == want
        assert (
            bigint.cumulative_prod(in_form, begins, modulus, montgomery=True, out=in_form, **options)
            is in_form
        )
        assert bigint.to_ints(modulus.from_montgomery(in_form)) == want


@every_backend
@pytest.mark.parametrize("count", [300, 1027])
def test_long_segments(backend: str, count: int) -> None:
    modulus = bigint.Modulus(PRIME)
    a = units(PRIME, count, 8)
    x = rows(a, modulus)
    for starts in ([0, count], [0, 5, count - 3, count]):
        begins = np.array(starts)
        want = [reference.prod(a[i:j], PRIME) for i, j in itertools.pairwise(starts)]
        assert bigint.to_ints(bigint.segmented_prod(x, begins, modulus, backend=backend)) == want
        running = bigint.cumulative_prod(x, begins, modulus, backend=backend)
        accumulated, want = 1, []
        for j, value in enumerate(a):
            accumulated = value if j in starts else accumulated * value % PRIME
            want.append(accumulated)
        assert bigint.to_ints(running) == want


@every_backend
@settings(max_examples=25)
@given(data=st.data())
def test_scatter_mul(backend: str, data: st.DataObject) -> None:
    n = moduli(320)[3]
    modulus = bigint.Modulus(n)
    count, n_bins = data.draw(st.integers(0, 60)), data.draw(st.integers(1, 9))
    n_groupings = data.draw(st.integers(0, 3))
    rng = random.Random(data.draw(st.integers(0, 999)))
    a = [rng.randrange(n) for _ in range(count)]
    mask = [rng.random() < 0.7 for _ in range(count)]
    bins = np.array(
        [[rng.randrange(-1, n_bins) for _ in range(max(1, n_groupings))] for _ in range(count)],
        dtype=data.draw(st.sampled_from([np.int32, np.int64])),
    ).reshape(count, max(1, n_groupings))
    given_bins = bins if n_groupings else np.ascontiguousarray(bins[:, 0])
    for masked in (True, False):
        for cumulative in (True, False):
            got = bigint.scatter_mul(
                rows(a, modulus),
                given_bins,
                n_bins,
                modulus,
                mask=np.array(mask, dtype=bool) if masked else None,
                cumulative=cumulative,
                backend=backend,
            )
            assert got.shape == ((n_groupings,) if n_groupings else ()) + (n_bins, modulus.limbs)
            kept = mask if masked else [True] * count
            want = [
                value
                for column in bins.T
                for value in reference.by_bin(a, column.tolist(), n_bins, n, kept, cumulative)
            ]
            assert bigint.to_ints(got.reshape(-1, modulus.limbs)) == want


@every_backend
def test_scatter_mul_in_blocks(backend: str) -> None:
    n = moduli(320)[3]
    modulus = bigint.Modulus(n)
    rng = np.random.default_rng(3)
    count, n_bins = 60_000, 5  # a block is 26,214 rows of 5 limbs
    a = [rng.integers(1, 2**62) for _ in range(40)]
    x = np.ascontiguousarray(rows([int(v) for v in a], modulus)[np.arange(count) % 40])
    bins = rng.integers(-1, n_bins, (count, 2)).astype(np.int32)
    keep = rng.random(count) < 0.9
    got = bigint.scatter_mul(x, bins, n_bins, modulus, mask=keep, backend=backend)
    for grouping in range(2):
        for b in range(n_bins):
            chosen = (bins[:, grouping] == b) & keep
            powers = np.bincount(np.flatnonzero(chosen) % 40, minlength=40).tolist()
            want = reference.multi_power([int(v) for v in a], powers, n)
            assert bigint.to_ints(got[grouping, b : b + 1]) == [want]


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_scattered_takes_narrow_bins_and_an_index(dtype: type) -> None:
    modulus = bigint.Modulus(PRIME)
    rng = np.random.default_rng(4)
    x = rows(units(PRIME, 50, 3), modulus)
    bins = rng.integers(-1, 7, (50, 3))
    index = rng.integers(0, 50, 80)
    want = bigint.scatter_mul(x[index], bins[index], 7, modulus, montgomery=True, cumulative=True)
    got = np.empty((21, modulus.limbs), dtype=np.uint64)
    _products.scattered(x, bins.astype(dtype), 7, modulus, index, True, got)
    assert (got == want.reshape(got.shape)).all()


def test_scatter_mul_without_groupings() -> None:
    modulus = bigint.Modulus(PRIME)
    x = rows([3, 4], modulus)
    assert bigint.scatter_mul(x, np.empty((2, 0), dtype=np.int32), 4, modulus).shape == (0, 4, modulus.limbs)


# Products of powers: few and many bases and rows, so that both methods and several windows are taken.
SHAPES = [(1, 1), (1, 120), (2, 40), (3, 5), (13, 20), (40, 3), (0, 4), (4, 0)]


@every_backend
@pytest.mark.parametrize(("m", "k"), SHAPES)
@pytest.mark.parametrize("n_bits", [0, 1, 20, 63])
def test_multi_powm(backend: str, m: int, k: int, n_bits: int) -> None:
    modulus = bigint.Modulus(PRIME)
    rng = random.Random(m * 1000 + k + n_bits)
    bases = units(PRIME, k, m)
    top = (1 << n_bits) - 1
    plain = [[rng.choice([0, min(1, top), top, rng.randint(0, top)]) for _ in range(k)] for _ in range(m)]
    signed = [[rng.choice([1, -1]) * exponent for exponent in row] for row in plain]
    x = rows(bases, modulus)
    inverses = rows([pow(base, -1, PRIME) for base in bases], modulus)

    def array(exponents: list[list[int]], dtype: type) -> np.ndarray:
        return np.array(exponents, dtype=dtype).reshape(m, k)

    options = {"backend": backend, "threads": 1}
    want = [reference.multi_power(bases, row, PRIME) for row in plain]
    for dtype in (np.int64, np.uint64):
        got = bigint.multi_powm_vartime(x, array(plain, dtype), modulus, **options)
        assert bigint.to_ints(got) == want
        got = bigint.multi_powm_vartime(x, array(plain, dtype), modulus, inverses=inverses, **options)
        assert bigint.to_ints(got) == want
    constant = bigint.multi_powm(x, array(plain, np.uint64), modulus, exponent_bits=n_bits, **options)
    assert bigint.to_ints(constant) == want
    want = [reference.multi_power(bases, row, PRIME) for row in signed]
    for given_inverses in (None, inverses):
        got = bigint.multi_powm_vartime(
            x, array(signed, np.int64), modulus, inverses=given_inverses, **options
        )
        assert bigint.to_ints(got) == want
    in_form = modulus.to_montgomery(x)
    got = bigint.multi_powm_vartime(in_form, array(signed, np.int64), modulus, montgomery=True, **options)
    assert bigint.to_ints(modulus.from_montgomery(got)) == want


# Tables in several blocks, rows in several parts, both: bases and exponents repeat, so that few powers tell the answer.
@every_backend
@pytest.mark.parametrize(("m", "k", "n_bits"), [(3, 1500, 16), (9000, 2, 3), (8300, 400, 1)])
def test_multi_powm_in_blocks(backend: str, m: int, k: int, n_bits: int) -> None:
    if backend == "portable" and m * k > 10**6:
        m = 300
    n = moduli(256)[0]
    modulus = bigint.Modulus(n)
    rng = np.random.default_rng(m + k)
    bases = units(n, k, 5)
    few = rng.integers(0, 2**n_bits, (5, k), dtype=np.uint64)
    exponents = few[np.arange(m) % 5]
    got = bigint.multi_powm(rows(bases, modulus), exponents, modulus, exponent_bits=n_bits, backend=backend)
    want = [reference.multi_power(bases, row.tolist(), n) for row in few]
    assert bigint.to_ints(got) == [want[i % 5] for i in range(m)]


@every_backend
@pytest.mark.parametrize(("m", "k", "n_bits"), [(2, 300, 16), (3, 40, 7), (1, 1, 64), (5, 70, 1)])
def test_bucketed(monkeypatch: pytest.MonkeyPatch, backend: str, m: int, k: int, n_bits: int) -> None:
    modulus = bigint.Modulus(PRIME)
    rng = np.random.default_rng(k)
    bases = units(PRIME, k, 6)
    exponents = rng.integers(0, 2**n_bits - 1, (m, k), dtype=np.uint64, endpoint=True)
    in_form = modulus.to_montgomery(rows(bases, modulus))
    factor = modulus.to_montgomery(rows([11], modulus))
    want = [reference.multi_power(bases, row.tolist(), PRIME) * 11 % PRIME for row in exponents]
    got = _buckets.bucketed(in_form, exponents, modulus, n_bits, factor, backend, 1)
    assert bigint.to_ints(modulus.from_montgomery(got)) == want
    monkeypatch.setattr(_buckets, "BLOCK_BUCKETS", 1)
    assert (_buckets.bucketed(in_form, exponents, modulus, n_bits, factor, backend, 1) == got).all()


@every_backend
def test_multi_powm_by_a_factor(backend: str) -> None:
    modulus = bigint.Modulus(PRIME)
    bases, exponents = [3, 5, 7], [[1, 2, 3], [4, 5, 6]]
    x, factor = rows(bases, modulus), rows([11], modulus)
    powers = np.array(exponents, dtype=np.uint64)
    want = [reference.multi_power(bases, row, PRIME) * 11 % PRIME for row in exponents]
    options = {"exponent_bits": 3, "backend": backend}
    assert bigint.to_ints(bigint.multi_powm(x, powers, modulus, factor=factor, **options)) == want
    in_form, factor_in_form = modulus.to_montgomery(x), modulus.to_montgomery(factor)
    got = bigint.multi_powm(in_form, powers, modulus, factor=factor_in_form, montgomery=True, **options)
    assert bigint.to_ints(modulus.from_montgomery(got)) == want
    none = bigint.multi_powm(x, powers * 0, modulus, factor=factor, exponent_bits=0, backend=backend)
    assert bigint.to_ints(none) == [11, 11]
    with pytest.raises(ValueError, match="factor has shape"):
        bigint.multi_powm(x, powers, modulus, factor=x)


@every_backend
def test_multi_powm_at_the_ends_of_64_bits(backend: str) -> None:
    modulus = bigint.Modulus(PRIME)
    x = rows([3, 5, 7], modulus)
    ends = np.array([[-(2**63), 2**63 - 1, -1]])
    want = [reference.multi_power([3, 5, 7], ends[0].tolist(), PRIME)]
    assert bigint.to_ints(bigint.multi_powm_vartime(x, ends, modulus, backend=backend)) == want
    ends = np.array([[2**64 - 1, 0, 2**63]], dtype=np.uint64)
    want = [reference.multi_power([3, 5, 7], ends[0].tolist(), PRIME)]
    assert bigint.to_ints(bigint.multi_powm_vartime(x, ends, modulus, backend=backend)) == want
    assert bigint.to_ints(bigint.multi_powm(x, ends, modulus, backend=backend)) == want
    inverses = bigint.batch_inverse(x, modulus)
    got = bigint.multi_powm_vartime(x, ends, modulus, inverses=inverses, backend=backend)
    assert bigint.to_ints(got) == want


@every_backend
@pytest.mark.parametrize("count", [*range(18), 33, 200, 700])
def test_batch_inverse(backend: str, count: int) -> None:
    modulus = bigint.Modulus(PRIME)
    a = units(PRIME, count, 9)
    x = rows(a, modulus)
    want = [pow(value, -1, PRIME) for value in a]
    assert bigint.to_ints(bigint.batch_inverse(x, modulus, backend=backend)) == want
    in_form = modulus.to_montgomery(x)
    assert bigint.batch_inverse(in_form, modulus, montgomery=True, out=in_form, backend=backend) is in_form
    assert bigint.to_ints(modulus.from_montgomery(in_form)) == want


@pytest.mark.parametrize("n_bits", [256, 259, 310, 511, 832, 1025, 2048, 4096, 8192])
def test_inverse_of_single_values(n_bits: int) -> None:
    for n in moduli(n_bits):
        modulus = bigint.Modulus(n)
        good = [
            value for value in values(n, 30, seed=10) if reference.first_not_invertible([value], n) is None
        ]
        for value in good:
            for backend in (None, "portable"):  # gmpy2's, the kernels'
                inverse = bigint.batch_inverse(rows([value], modulus), modulus, backend=backend)
                assert bigint.to_ints(inverse) == [pow(value, -1, n)]


@pytest.mark.parametrize("n_bits", [256, 259, 832, 2048])
@pytest.mark.parametrize("montgomery", [True, False])
def test_one_or_two_inverses_are_the_kernels(
    n_bits: int, montgomery: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gmpy2 makes them, of the product alone, so that a random row hides the other."""
    monkeypatch.delenv("CRYPSIS_BACKEND", raising=False)
    seen = []

    def invert(value: int, n: int) -> int:
        seen.append(int(value))
        return gmpy2.invert(value, n)

    fake = types.SimpleNamespace(mpz=gmpy2.mpz, invert=invert)
    for n in moduli(n_bits):
        modulus = bigint.Modulus(n)
        a = [value for value in values(n, 30, seed=10) if reference.first_not_invertible([value], n) is None]
        for few in [a[:1], *itertools.pairwise(a)]:
            x = rows(few, modulus)
            wanted = bigint.batch_inverse(x, modulus, montgomery=montgomery, backend="portable")
            seen.clear()
            monkeypatch.setattr(_products, "gmpy2", fake)
            got = bigint.batch_inverse(x.copy(), modulus, montgomery=montgomery)
            assert (got == wanted).all()
            assert bigint.batch_inverse(x, modulus, montgomery=montgomery, out=x) is x
            assert (x == wanted).all()
            scale = pow(2, -64 * modulus.limbs, n) if montgomery and len(few) == 2 else 1
            assert seen == [math.prod(few) * scale % n] * 2
            monkeypatch.setattr(_products, "gmpy2", None)  # as on hosts without it
            assert (bigint.batch_inverse(rows(few, modulus), modulus, montgomery=montgomery) == wanted).all()
        one = rows(a[:1], modulus)[0]
        monkeypatch.setattr(_products, "gmpy2", gmpy2)
        assert bigint.batch_inverse(one, modulus).shape == one.shape


def test_a_forced_backend_makes_single_inverses_too(monkeypatch: pytest.MonkeyPatch) -> None:
    modulus = bigint.Modulus(moduli(256)[0])
    monkeypatch.setattr(_products, "gmpy2", types.SimpleNamespace())  # any use of it fails
    two = rows([2], modulus)
    wanted = [pow(2, -1, modulus.n)]
    assert bigint.to_ints(bigint.batch_inverse(two, modulus, backend="portable")) == wanted
    monkeypatch.setenv("CRYPSIS_BACKEND", "portable")
    assert bigint.to_ints(bigint.batch_inverse(two, modulus)) == wanted


@pytest.mark.parametrize("montgomery", [True, False])
def test_one_or_two_rows_that_are_refused(montgomery: bool) -> None:
    factor = 2**127 - 1
    modulus = bigint.Modulus(factor * (2**521 - 1))
    for a, bad_row in (([0], 0), ([factor], 0), ([3, 0], 1), ([factor, 3], 0), ([factor, 2**521 - 1], 0)):
        x = rows(a, modulus)
        before = x.copy()
        with pytest.raises(NotInvertible, match=f"row {bad_row} shares a factor"):
            bigint.batch_inverse(x, modulus, out=x, montgomery=montgomery)
        assert (x == before).all()
    for a, bad_row in (([modulus.n], 0), ([5, modulus.n + 1], 1)):
        with pytest.raises(ValueError, match=f"row {bad_row}"):
            bigint.batch_inverse(rows(a, modulus), modulus, montgomery=montgomery)


@every_backend
@pytest.mark.parametrize("bad_row", [0, 1, 50, 99])
def test_not_invertible_names_the_row(backend: str, bad_row: int) -> None:
    factor = 2**127 - 1
    n = factor * (2**521 - 1)
    modulus = bigint.Modulus(n)
    a = [value if value % factor else 1 for value in units(n, 100, 11)]
    for bad in (0, factor, 5 * factor):
        a[bad_row] = bad
        x = rows(a, modulus)
        before = x.copy()
        for out in (None, x):
            with pytest.raises(NotInvertible, match=f"row {bad_row} shares a factor"):
                bigint.batch_inverse(x, modulus, out=out, backend=backend)
        assert (x == before).all()
    with pytest.raises(NotInvertible, match=f"row {bad_row} "):
        bigint.multi_powm_vartime(x, -np.ones((1, 100), dtype=np.int64), modulus, backend=backend)


def peak_of(call: Callable[[], object]) -> int:
    """Bytes of NumPy arrays that a call holds at most, beside those before it."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(40, 37), (7, 300), (2000, 3)])
@pytest.mark.parametrize("signed", [False, True])
def test_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], signed: bool) -> None:
    rng = np.random.default_rng(1)
    k = shape[1]
    bases = rows(units(PRIME, k, 5), MODULUS)
    exponents = rng.integers(-(1 << 20) if signed else 0, 1 << 20, shape, dtype=np.int64)
    bins = rng.integers(-1, 3, (k, 9), dtype=np.int64)
    want = bigint.multi_powm_vartime(bases, exponents, MODULUS)
    want_bins = bigint.scatter_mul(bases, bins, 3, MODULUS)
    for digits in (1, 100, 1000):
        monkeypatch.setattr(_multi, "BLOCK_DIGITS", digits)
        monkeypatch.setattr(_products, "BLOCK_ITEMS", digits)
        assert (bigint.multi_powm_vartime(bases, exponents, MODULUS) == want).all()
        assert (bigint.scatter_mul(bases, bins, 3, MODULUS) == want_bins).all()
    monkeypatch.setattr(_multi, "TABLE_BYTES", 0)
    assert (bigint.multi_powm_vartime(bases, exponents, MODULUS) == want).all()


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_multi, "BLOCK_DIGITS", 1 << 14)
    monkeypatch.setattr(_products, "BLOCK_ITEMS", 1 << 14)
    bases = rows(units(PRIME, 100, 6), MODULUS)
    small = np.random.default_rng(2).integers(0, 1 << 10, (200, 100), dtype=np.int64)
    large = np.tile(small, (20, 1))
    peaks = [
        peak_of(lambda e=e: bigint.multi_powm_vartime(bases, e, MODULUS, montgomery=True))
        for e in (small, large)
    ]
    assert peaks[1] < peaks[0] + 4 * large.nbytes  # magnitudes, signs, result; 16 times large without blocks
    bins = np.random.default_rng(3).integers(0, 9, (1000, 20), dtype=np.int64)
    items = np.tile(bases, (10, 1))
    peaks = [
        peak_of(lambda b=b: bigint.scatter_mul(items, b, 9, MODULUS, montgomery=True))
        for b in (bins, np.tile(bins, (1, 20)))
    ]
    assert peaks[1] < peaks[0] + 4 * 20 * bins.size  # masks of one byte, result


# What benchmarks measure


@every_backend
def test_the_products_of_the_multipliers_are_counted(backend: str) -> None:
    one = bigint.measure_products(1, backend=backend)
    assert one == (16 * 8 if backend == "avx512" else 16)
    assert bigint.measure_products(1000, backend=backend) == 1000 * one


@pytest.mark.parametrize("repeats", [0, -1, 1 << 33, 1.5, None])
def test_bad_repeats(repeats: object) -> None:
    with pytest.raises((TypeError, ValueError), match="repeats is"):
        bigint.measure_products(repeats)  # type: ignore[arg-type]
