# SPDX-License-Identifier: Apache-2.0
"""Cipher arrays of every scheme: each operation against NumPy, homomorphic properties, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crypsis.paillier import CipherArray, UnblindedCipherArray, base16, concatenate, fixed_point
from homomorphic_keys import ARRAY_KEYS, okamoto_uchiyama_small, paillier_2048, paillier_small

RNG = np.random.default_rng(20261122)
X = RNG.integers(-1000, 1000, (3, 4))
Y = RNG.normal(size=(3, 4))


@pytest.fixture(params=sorted(ARRAY_KEYS))
def key(request: pytest.FixtureRequest) -> Any:
    return ARRAY_KEYS[request.param]()


def close(a: Any, b: Any) -> bool:
    return bool(np.allclose(a, b, rtol=1e-12, atol=1e-12)) and np.shape(a) == np.shape(b)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "int64", "uint64", "bool"])
def test_integer_types(key: Any, dtype: str) -> None:
    low, high = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    values = np.array([low, high, 0, 1], dtype=dtype)
    back = key.decrypt(key.encrypt(values), dtype=object)
    assert back.tolist() == [int(v) for v in values]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_float_types(key: Any, dtype: str) -> None:
    values = np.array([0.5, -3.25, 0.0, 100.0], dtype=dtype)
    for encoding in (base16(), base16(-13), base16(precision=0.01), fixed_point(1 << 20), fixed_point(10**6)):
        back = key.decrypt(key.encrypt(values, encoding=encoding))
        assert back.dtype == np.float64
        assert (back == values).all()


def test_sums_and_differences(key: Any) -> None:
    cx, cy, ce = key.encrypt(X), key.encrypt(Y), key.encrypt(Y, encoding=base16())
    assert (key.decrypt(cx + cx) == 2 * X).all()
    assert (key.decrypt(cx - cx[0]) == X - X[0]).all()
    assert (key.decrypt(-cx) == -X).all()
    assert close(key.decrypt(cx + cy), X + Y)
    assert close(key.decrypt(ce + cy), 2 * Y)
    assert close(key.decrypt(ce - cx), Y - X)
    for plain in (5, -5, 2.5, X, Y, X[:1], Y[:, :1], np.float32(1.5), [1, 2, 3, 4], np.int8(-3)):
        assert close(key.decrypt(cx + plain), X + np.asarray(plain))
        assert close(key.decrypt(plain + cy), np.asarray(plain) + Y)
        assert close(key.decrypt(ce - plain), Y - np.asarray(plain))
        assert close(key.decrypt(plain - cx), np.asarray(plain) - X)
    assert key.decrypt(key.encrypt(7) + X).shape == X.shape


def test_products_with_plaintexts(key: Any) -> None:
    cx, cy, ce = key.encrypt(X), key.encrypt(Y), key.encrypt(Y, encoding=base16(-10))
    for plain in (0, 1, -1, 3, X, -X, X[:1], X[:, :1], np.uint16(9), [[2], [-3], [0]]):
        assert (key.decrypt(cx * plain) == X * np.asarray(plain)).all()
        assert (key.decrypt(cx.multiply_vartime(plain)) == X * np.asarray(plain)).all()
        assert close(key.decrypt(plain * cy), np.asarray(plain) * Y)
    for plain in (2.5, -0.125, Y[0]):
        exact = base16(-4).encode(plain)
        coarse = np.round(np.asarray(plain) * 2**16) / 2**16
        assert (
            close(key.decrypt(ce * exact), Y * coarse)
            or abs(key.decrypt(ce * exact) - Y * coarse).max() < 1e-9
        )
        assert (cx * plain).exponent == -13
        assert close(key.decrypt(cx * plain), X * np.asarray(plain))
    assert key.decrypt(key.encrypt(2) * X).tolist() == (2 * X).tolist()


def test_matrix_products(key: Any) -> None:
    matrix = RNG.integers(-(2**20), 2**20, (5, 4))
    cx, cy = key.encrypt(X), key.encrypt(Y)
    for left, right in (
        (matrix, X.T),
        (matrix, X[0]),
        (matrix[0], X.T),
        (matrix[0], X[0]),
        (abs(matrix), X.T),
    ):
        c = key.encrypt(right)
        assert (key.decrypt(left @ c) == left @ right).all()
        assert (key.decrypt(c.rmatmul(left, vartime=True)) == left @ right).all()
        assert (key.decrypt(key.encrypt(right.T) @ left.T) == right.T @ left.T).all()
        assert (key.decrypt(key.encrypt(right.T).matmul(left.T, vartime=True)) == right.T @ left.T).all()
    assert close(key.decrypt(cy @ matrix.T), Y @ matrix.T)
    weights = base16(-5).encode(Y[0])
    assert np.allclose(key.decrypt(cx @ weights), X @ Y[0], atol=1e-2)
    assert (key.decrypt(np.zeros((5, 4), dtype=int) @ cx[0]) == 0).all()
    assert key.decrypt(np.zeros((0, 4), dtype=int) @ cx[0]).shape == (0,)
    assert (key.decrypt(np.zeros((2, 0), dtype=int) @ key.encrypt(X[0, :0])) == 0).all()


@pytest.mark.parametrize("axis", [None, 0, 1, -1, -2])
def test_sum_and_cumsum(key: Any, axis: int | None) -> None:
    mixed = key.encrypt(Y * 10.0 ** np.arange(-2, 2), encoding=base16())
    wanted = Y * 10.0 ** np.arange(-2, 2)
    assert (key.decrypt(key.encrypt(X).sum(axis)) == X.sum(axis)).all()
    assert (key.decrypt(key.encrypt(X).cumsum(axis)) == X.cumsum(axis)).all()
    assert close(key.decrypt(mixed.sum(axis)), wanted.sum(axis))
    assert close(key.decrypt(mixed.cumsum(axis)), wanted.cumsum(axis))
    cube = RNG.integers(-9, 9, (2, 3, 4))
    assert (key.decrypt(key.encrypt(cube).sum(axis)) == cube.sum(axis)).all()
    assert (key.decrypt(key.encrypt(cube).cumsum(axis)) == cube.cumsum(axis)).all()
    assert key.decrypt(key.encrypt(cube[:0]).sum(0)).tolist() == cube[:0].sum(0).tolist()


def test_histogram(key: Any) -> None:
    n, f, n_bins = 40, 3, 5
    values = RNG.integers(-50, 50, (n, 2))
    bins = RNG.integers(-1, n_bins, (n, f))
    mask = RNG.random(n) < 0.6
    index = RNG.permutation(n)[:25]
    c = key.encrypt(values)

    def wanted(rows: np.ndarray) -> np.ndarray:
        result = np.zeros((f, n_bins, 2), dtype=np.int64)
        for row in rows:
            for feature in range(f):
                if bins[row, feature] >= 0:
                    result[feature, bins[row, feature]] += values[row]
        return result

    for rows, options in (
        (np.arange(n), {}),
        (np.flatnonzero(mask), {"mask": mask}),
        (index, {"index": index}),
        (index[mask[index]], {"index": index, "mask": mask}),
    ):
        got = key.decrypt(c.histogram(bins, n_bins, **options))
        assert (got == wanted(rows)).all()
        running = key.decrypt(c.histogram(bins, n_bins, cumulative=True, **options))
        assert (running == wanted(rows).cumsum(axis=1)).all()
    one = key.decrypt(c[:, 0].histogram(bins[:, 0], n_bins))
    assert (one == wanted(np.arange(n))[0, :, 0]).all()
    assert (key.decrypt(c[:0].histogram(bins[:0], n_bins)) == 0).all()


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint8, np.int64])
def test_histogram_of_narrow_bins(dtype: type) -> None:
    key = paillier_small()
    values = RNG.integers(-50, 50, 30)
    bins = RNG.integers(0, 4, (30, 2)).astype(dtype)
    got = key.decrypt(key.encrypt(values).histogram(bins, 4))
    want = [np.bincount(column, weights=values, minlength=4) for column in bins.T]
    assert (got == np.array(want, dtype=np.int64)).all()


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.uint16])
@pytest.mark.parametrize("vartime", [False, True])
def test_matmul_of_integers_of_any_width(dtype: type, vartime: bool) -> None:
    key = paillier_small()
    values = RNG.integers(-50, 50, 6)
    bounds = np.iinfo(dtype)
    top = min(int(bounds.max), 2**50)
    matrix = RNG.integers(max(int(bounds.min), -top), top, (9, 6)).astype(dtype)
    matrix[0, :2] = [max(int(bounds.min), -top), top]
    got = key.decrypt(key.encrypt(values).rmatmul(matrix, vartime=vartime))
    assert (got == matrix.astype(np.int64) @ values).all()


@pytest.mark.parametrize("shape", [(600, 4), (2, 500), (1, 3), (30, 200)])
def test_vartime_matmul_of_any_shape(shape: tuple[int, int]) -> None:
    key = paillier_small()
    values = RNG.integers(-50, 50, shape[1])
    c = key.encrypt_vartime(values)
    for low in (0, -(2**15)):
        matrix = RNG.integers(low, 2**15, shape)
        assert (key.decrypt(c.rmatmul(matrix, vartime=True)) == matrix @ values).all()


def test_histogram_refuses(key: Any) -> None:
    c = key.encrypt(X)
    bins = np.zeros(3, dtype=int)
    for wrong in (bins[:2], bins.astype(float), np.zeros((3, 1, 1), dtype=int)):
        with pytest.raises(ValueError, match="give integers, 3 rows"):
            c.histogram(wrong, 2)
    for wrong in (bins + 2, bins - 2):
        with pytest.raises(ValueError, match="bins go from"):
            c.histogram(wrong, 2)
    with pytest.raises(ValueError, match="mask has"):
        c.histogram(bins, 2, mask=[1, 0, 1])
    for wrong in ([0, 3], [-1]):
        with pytest.raises(ValueError, match="the array has rows 0 to 2"):
            c.histogram(bins, 2, index=wrong)
    with pytest.raises(ValueError, match="give row numbers"):
        c.histogram(bins, 2, index=[0.5])
    with pytest.raises(ValueError, match="one row a sample"):
        key.encrypt(5).histogram(bins, 2)


INDEXES = [
    0, -1, (0, 1), slice(None, None, -1), (slice(1, 3), slice(None, None, 2)), Ellipsis, (Ellipsis, 0), None,
    (None, 1), [2, 0, 0], (slice(None), [1, 3]), np.array([True, False, True]), X > 0, (np.array([0, 2]), 1),
]  # fmt: skip


@pytest.mark.parametrize("index", INDEXES, ids=str)
def test_indexing_as_numpy(index: Any) -> None:
    key = paillier_small()
    for values, encoding in ((X, base16()), (Y, base16())):
        part = key.encrypt(values, encoding=encoding)[index]
        assert part.shape == values[index].shape
        assert (key.decrypt(part) == values[index]).all()


def test_basic_indexing_keeps_the_blinded_type_and_choices_do_not() -> None:
    c = paillier_small().encrypt(X)
    for basic in (
        c[0],
        c[1:, ::2],
        c[..., None],
        c.reshape(2, -1),
        c.T,
        c.ravel(),
        c[0, 0],
        c.transpose(1, 0),
    ):
        assert type(basic) is CipherArray
    assert type(concatenate([c, c.rerandomize()])) is CipherArray
    assert type(concatenate([c[2:], c[:2]])) is CipherArray
    chosen = (c[[0, 1]], c[X > 0], c[np.array([True, True, False])], c.broadcast_to((2, 3, 4)))
    computed = (
        c + 0,
        c * 1,
        -c,
        c.sum(),
        c + c,
        X @ c.T,
        concatenate([c, c + 1]),
        concatenate([c, c]),
        concatenate([c[1:], c[:2]], axis=0),
        c.cumsum(),
        c.at_exponent(-1),
    )
    for result in chosen + computed:
        assert type(result) is UnblindedCipherArray
        with pytest.raises(TypeError, match=r"rerandomize\(\)"):
            result.to_bytes()
        with pytest.raises(TypeError, match=r"rerandomize\(\)"):
            result.to_ints()
        assert type(result.rerandomize()) is CipherArray


def test_shapes(key: Any) -> None:
    c = key.encrypt(Y, encoding=base16())
    assert (c.ndim, c.size, len(c), c.shape, c.device) == (2, 12, 3, (3, 4), "cpu")
    assert c.nbytes == 12 * 8 * key.modulus.limbs
    assert (key.decrypt(c.reshape(2, 6)) == Y.reshape(2, 6)).all()
    assert (key.decrypt(c.reshape((4, -1))) == Y.reshape(4, -1)).all()
    assert (key.decrypt(c.T) == Y.T).all()
    assert (key.decrypt(c.broadcast_to((2, 3, 4))) == np.broadcast_to(Y, (2, 3, 4))).all()
    rows = [key.decrypt(row) for row in c]
    assert (np.array(rows) == Y).all()
    for axis in (0, 1, -1):
        joined = concatenate([c, key.encrypt(Y), key.encrypt(X)], axis=axis)
        assert close(key.decrypt(joined), np.concatenate([Y, Y, X], axis=axis))
    assert c.to("cpu") is c
    with pytest.raises(ValueError, match="give 'cpu', 'cuda'"):
        c.to("tpu:0")
    with pytest.raises(ValueError, match="cannot reshape"):
        c.reshape(5, 5)
    with pytest.raises(IndexError):
        c[7]
    with pytest.raises(ValueError, match="at least one"):
        concatenate([])
    empty = key.encrypt(np.zeros((0, 4)))
    assert key.decrypt(empty + 1).shape == (0, 4)
    assert key.decrypt(empty.sum(0)).tolist() == [0.0] * 4
    assert key.decrypt(key.encrypt([]).rerandomize()).shape == (0,)


def test_what_makes_no_sense_is_refused(key: Any) -> None:
    c = key.encrypt(X)
    single = c[0, 0]
    for call in (
        bool,
        int,
        float,
        complex,
        np.asarray,
        lambda a: a == a,
        lambda a: a < 1,
        lambda a: 5 in a,
        hash,
    ):
        with pytest.raises(TypeError):
            call(single)
    with pytest.raises(TypeError, match="decrypt first"):
        np.asarray(c)
    with pytest.raises(TypeError, match="iteration over a single"):
        iter(single)
    with pytest.raises(TypeError, match="len"):
        len(single)
    with pytest.raises(TypeError, match="to_bytes"):
        copy.copy(c)
    with pytest.raises(TypeError, match="cannot multiply ciphertexts"):
        c * c
    with pytest.raises(TypeError, match="cannot multiply ciphertexts"):
        c @ c.T
    with pytest.raises(TypeError, match="does not support item assignment"):
        c[0] = 1
    with pytest.raises(AttributeError, match="immutable"):
        c.shape = (4, 3)
    with pytest.raises(TypeError):
        np.sin(c)
    for plain in ("a", 1j, object(), None, b"5", {"a": 1}):
        with pytest.raises(TypeError, match=r"cannot encode|dtype"):
            c + plain
    for plain in (np.nan, np.inf, [1.0, 2.0, 3.0, -np.inf]):
        with pytest.raises(ValueError, match=r"value \[.*\] is (nan|-?inf)"):
            c * plain
    for left, right in ((c, X), (X, c), (c, 5), (X.reshape(3, 2, 2), c)):
        with pytest.raises(ValueError, match="@"):
            left @ right
    with pytest.raises(ValueError, match="at most 63 fit"):
        c @ np.full((4, 1), 2**12 + 0.5)
    with pytest.raises(ValueError, match="base"):
        c + key.encrypt(X, encoding=fixed_point(10))
    with pytest.raises(ValueError, match="base"):
        c * fixed_point(10).encode(0.5)
    with pytest.raises(ValueError, match="above"):
        c.at_exponent(1)
    with pytest.raises(ValueError, match="broadcast"):
        c + np.zeros(3)


def test_exponents_too_far_apart_are_refused_before_any_work() -> None:
    """A peer chooses the exponents of its ciphertexts: a power of millions of bits, or a plaintext, is made."""
    key = paillier_small()
    c = key.encrypt([1, 2, 3])
    far = key.public_key.ciphertexts_from_ints(c.to_ints(), exponent=-4096)
    wide = key.public_key.ciphertexts_from_ints(c.to_ints(), exponent=[0, -4096, 0])
    for call in (
        lambda: c + far,
        lambda: far - c,
        lambda: far + np.zeros(3, dtype=int),
        lambda: wide.sum(),
        lambda: wide.cumsum(),
        lambda: wide @ np.ones(3, dtype=int),
        lambda: c.at_exponent(-4096),
        lambda: wide.histogram(np.zeros(3, dtype=int), 1),
    ):
        with pytest.raises(ValueError, match="exponents 4096 apart"):
            call()
    assert key.decrypt(far).tolist() == [0.0, 0.0, 0.0]
    rare = key.public_key.ciphertexts_from_ints(c.to_ints(), exponent=-4096, base=2**63 - 1)
    assert key.decrypt(rare).tolist() == [0.0, 0.0, 0.0]


def test_a_single_factor_with_its_own_exponent() -> None:
    key = paillier_small()
    for values in (X, Y, Y[:0]):
        c = key.encrypt(values, encoding=base16(-13))
        for factor in (2.5, [2.5], [[2.5]]):
            exact = base16().encode(factor)
            assert close(key.decrypt(c * exact), values * np.asarray(factor))
            assert close(key.decrypt(c.multiply_vartime(exact)), values * np.asarray(factor))


def test_overflow_of_a_computation_is_noticed() -> None:
    key = paillier_small()
    c = key.encrypt(1)
    with pytest.raises(ValueError, match="needs more than"):
        c * (1 << 600)
    big = c * key.public_key.max_int
    with pytest.raises(OverflowError, match="decrypted value 0 is beyond the range"):
        key.decrypt(big * 2 - 3, dtype=object)
    with pytest.raises(OverflowError, match="decrypted value 1 is beyond"):
        key.decrypt(concatenate([c.reshape(1), (big * 2 - 3).reshape(1)]), dtype=object)
    with pytest.raises(OverflowError, match="outside int64"):
        key.decrypt(c * 2**63)
    assert key.decrypt(c * 2**63, dtype=object) == 2**63
    assert key.decrypt(c * 2**63, dtype=np.uint64) == 2**63


small = hnp.array_shapes(min_dims=1, max_dims=2, max_side=4)
ints = st.integers(-(2**40), 2**40)
floats = st.floats(-1e6, 1e6, width=32)


@pytest.mark.parametrize("make", [paillier_small, okamoto_uchiyama_small])
@settings(max_examples=25)
@given(data=st.data())
def test_homomorphic_properties(make: Any, data: st.DataObject) -> None:
    key = make()
    shape = data.draw(small)
    a, b = (data.draw(hnp.arrays(np.int64, shape, elements=ints)) for _ in range(2))
    k = data.draw(st.integers(-(2**20), 2**20))
    ca, cb = key.encrypt(a), key.encrypt(b)
    assert (key.decrypt(ca + cb) == a + b).all()
    assert (key.decrypt(ca - cb) == a - b).all()
    assert (key.decrypt(ca * k + b) == a * k + b).all()
    assert (key.decrypt((ca + cb) * k) == key.decrypt(ca * k + cb * k)).all()
    assert key.decrypt(ca.sum() - cb.sum()) == a.sum() - b.sum()
    assert (key.decrypt((ca - cb).rerandomize()) == a - b).all()


@settings(max_examples=25)
@given(hnp.arrays(np.float64, small, elements=floats), hnp.arrays(np.float64, (), elements=floats))
def test_homomorphic_properties_of_reals(a: np.ndarray, k: np.ndarray) -> None:
    """Exact: the encoding is, and so is every sum and product of mantissas; only decoding rounds, once."""
    key = paillier_small()
    c = key.encrypt(a, encoding=base16())
    exact = base16().encode(k)
    assert (key.decrypt(c) == a).all()
    assert (key.decrypt(c * exact) == a * k).all()
    assert (key.decrypt(c + exact) == a + k).all()
    assert (key.decrypt(c - c) == 0).all()


@pytest.mark.parametrize("full", [False, True])
def test_rerandomize_changes_the_ciphertexts_and_not_the_values(key: Any, full: bool) -> None:
    c = key.encrypt(X)
    fresh = c.rerandomize(full=full)
    assert (key.decrypt(fresh) == X).all()
    assert not set(fresh.to_ints()) & set(c.to_ints())
    assert len({*key.encrypt(np.zeros(50)).to_ints(), *key.public_key.encrypt(np.zeros(50)).to_ints()}) == 100


def test_a_batch_larger_than_a_block() -> None:
    key = okamoto_uchiyama_small()
    values = RNG.integers(-(2**40), 2**40, 5000)
    assert (key.decrypt(key.encrypt(values)) == values).all()
    assert (key.decrypt((key.encrypt(values) + 1).rerandomize()) == values + 1).all()


def test_full_size_key() -> None:
    key = paillier_2048()
    cx, cy = key.encrypt(X), key.public_key.encrypt(Y)
    assert close(key.decrypt((cx * 2 + cy - X).sum(1)), (2 * X + Y - X).sum(1))
    assert (key.decrypt(X @ cx.T) == X @ X.T).all()
