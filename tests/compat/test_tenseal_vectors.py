# SPDX-License-Identifier: Apache-2.0
"""`CKKSVector`: values against NumPy, shapes and refusals as TenSEAL 0.3.18 answered when it was asked; where ours
differ, a comment has its answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crypsis.compat.tenseal as ts
from crypsis.errors import InvalidCiphertext, LevelError, MissingKey, ScaleError

X = np.array([1.0, -2.0, 3.0, 4.0, 5.0])
ATOL = 1e-5  # scale 2^40, values to 1000: the noise of a few products is below 2^-18


def near(found: Any, expected: Any, atol: float = ATOL) -> None:
    values = found.decrypt()
    assert isinstance(values, list)
    assert all(type(value) is float for value in values)
    np.testing.assert_allclose(values, expected, atol=atol, rtol=0)


@pytest.fixture(scope="module")
def x(context: Any) -> Any:
    return ts.ckks_vector(context, X)


def test_attributes(context: Any, x: Any) -> None:
    assert x.shape == [5]
    assert x.size() == 5
    assert x.scale() == 2.0**40
    assert x.context() is context
    assert len(x.ciphertext()) == 1
    assert "CKKSVector" in repr(x)
    near(x, X)


@pytest.mark.parametrize(
    "other", [2, 2.5, np.float64(-1.5), np.int64(3), True, [5.0, 4, 3, 2, 1], (1, 2, 3, 4, 5), X]
)
def test_operators_with_numbers(x: Any, other: Any) -> None:
    value = np.asarray(other, dtype=float)
    for found, expected in [
        (x + other, X + value),
        (other + x, value + X),
        (x - other, X - value),
        (other - x, value - X),
        (x * other, X * value),
        (other * x, value * X),
    ]:
        assert type(found) is ts.CKKSVector
        near(found, expected)


@pytest.mark.parametrize("dtype", ["float", "int"])
def test_plain_tensors(x: Any, dtype: str) -> None:
    plain = ts.plain_tensor([1, 2, 3, 4, 5], dtype=dtype)
    near(x + plain, X + plain.raw)
    near(x.dot(plain), [X @ plain.raw])
    near(x @ ts.plain_tensor([1, 2, 3, 4, 5], [5, 1]), [X @ plain.raw])


def test_operators_with_vectors(context: Any, x: Any) -> None:
    y = ts.ckks_vector(context, X[::-1].copy())
    near(x + y, X + X[::-1])
    near(x - y, X - X[::-1])
    near(x * y, X * X[::-1])
    near(-x, -X)
    near(x.square(), X**2)
    near(x.dot(y), [X @ X[::-1]])
    near(x * y * y - 3 * x, X * X[::-1] ** 2 - 3 * X)
    near(x, X)  # TenSEAL brings operands of a higher level down in place


def test_in_place(context: Any, x: Any) -> None:
    for name, other in [
        ("add", 1),
        ("sub", [1, 2, 3, 4, 5]),
        ("mul", 2.0),
        ("add", x),
        ("pow", 2),
        ("dot", X),
    ]:
        twin = x.copy()
        expected = getattr(x, name)(other).decrypt()
        assert getattr(twin, name + "_")(other) is twin
        near(twin, expected)
    for name in ("neg", "square", "sum"):
        twin = x.copy()
        assert getattr(twin, name + "_")() is twin
        near(twin, getattr(x, name)().decrypt())
    assert x.copy().mm_(np.eye(5)).shape == x.copy().matmul_(np.eye(5)).shape == [5]
    near(x.copy().polyval_([1, 2]), 1 + 2 * X)
    twin = same = x.copy()
    twin += 1
    twin -= [1, 1, 1, 1, 1]
    twin *= 2
    twin **= 2
    assert twin is same
    near(twin, (2 * X) ** 2)
    twin = same = x.copy()
    twin @= np.ones((5, 2))
    assert twin is same
    near(twin, [X.sum()] * 2)
    near(x, X)


def test_one_number_spreads(context: Any, x: Any) -> None:
    one = ts.ckks_vector(context, [2.0])
    near(x * one, 2 * X)
    near(one + x, 2 + X)
    total = x.sum()
    near(x * total, X * X.sum())
    long = ts.ckks_vector(context, np.arange(5000) / 5000)
    near(long * one, np.arange(5000) / 2500)
    near(long.sum() + long, 2499.5 + np.arange(5000) / 5000, atol=1e-3)
    with pytest.raises(ValueError, match="different sizes: 1 encrypted numbers and 3"):
        one.add([1, 2, 3])
    with pytest.raises(ValueError, match="different sizes: 2 and 5"):
        x + ts.ckks_vector(context, [1.0, 2.0])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 4096])
def test_sum(context: Any, size: int) -> None:
    values = np.linspace(-1, 2, size)
    found = ts.ckks_vector(context, values).sum()
    assert found.shape == [1]
    near(found, [values.sum()], atol=1e-4)


def test_long_vectors(context: Any) -> None:
    values = np.linspace(-1, 2, 9000)
    x = ts.ckks_vector(context, values)
    assert x.shape == [9000]
    assert len(x.ciphertext()) == 3
    near(x + values, 2 * values)
    near(x * x, values**2)
    near(x - 1, values - 1)
    near(x.polyval([1, 2, 3]), 1 + 2 * values + 3 * values**2)
    near(x.dot(values), [values @ values], atol=1e-3)
    near(ts.ckks_vector_from(context, x.serialize()), values)
    for call in (lambda: x @ np.ones((9000, 2)), lambda: x.enc_matmul_plain(np.ones(9000), 1)):
        with pytest.raises(
            ValueError, match="on chunked vectors: the vector has 9000 numbers, a ciphertext 4096"
        ):
            call()


@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 1), (1, 5), (2, 3), (5, 3), (8, 8), (9, 20), (64, 64), (100, 10), (33, 1)]
)
def test_matrices(context: Any, rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows)
    values, matrix = rng.normal(size=rows), rng.normal(size=(rows, columns))
    found = ts.ckks_vector(context, values) @ matrix
    assert found.shape == [columns]
    near(found, values @ matrix)
    near(found.mm(np.ones((columns, 2))), [(values @ matrix).sum()] * 2, atol=1e-4)
    near(found * ts.ckks_vector(context, [2.0]), 2 * (values @ matrix))


def test_matrix_with_zeros(context: Any, x: Any) -> None:
    near(x @ np.zeros((5, 3)), [0, 0, 0])
    near(x @ np.diag([1, 0, 0, 2, 0]), X * [1, 0, 0, 2, 0])
    with pytest.raises(
        ValueError, match="for a vector of 4095 numbers in 4096 slots at most 2 come out right"
    ):
        ts.ckks_vector(context, np.ones(4095)) @ np.ones((4095, 4))  # TenSEAL: wrong numbers
    with pytest.raises(ValueError, match="doesn't match with vector size: 3 rows, 5 numbers"):
        x @ np.ones((3, 5))
    with pytest.raises(ValueError, match="only operate with a matrix"):
        x @ [1, 2, 3]
    with pytest.raises(TypeError, match="can't operate with object of type CKKSVector"):
        x @ x


@pytest.mark.parametrize(
    "coefficients",
    [
        [2.0],
        [0.0],
        [1, 2],
        [0, 0, 1],
        [1, 2, 3],
        [0.5, 0.197, 0, -0.004],
        [1, -1, 0.5, 0.25],
        [1, 0, 0.5, 0, 0, 0],
    ],
)
def test_polyval(x: Any, coefficients: list[float]) -> None:
    near(x.polyval(coefficients), np.polynomial.polynomial.polyval(X, coefficients))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(-2, 2), min_size=1, max_size=8))
def test_polyval_depth(context: Any, coefficients: list[float]) -> None:
    """As many levels as TenSEAL takes, floor(log2(degree)) + 1, at most."""
    deep = _deep()
    found = ts.ckks_vector(deep, X / 5).polyval(coefficients)
    np.testing.assert_allclose(
        found.decrypt(), np.polynomial.polynomial.polyval(X / 5, coefficients), atol=1e-4, rtol=0
    )
    degree = max((i for i, c in enumerate(coefficients) if c), default=0)
    assert found.data.parameters.top - found.data.level <= (degree.bit_length() if degree else 0)


_MADE: list[Any] = []


def _deep() -> Any:
    if not _MADE:
        made = ts.context(ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[50, 35, 35, 35, 50])
        made.global_scale = 2**35
        _MADE.append(made)
    return _MADE[0]


def test_powers(x: Any) -> None:
    for power in range(5):
        near(x**power, X**power, atol=1e-4)
    for power in (-1, 0.5, True):
        with pytest.raises(TypeError, match=r"power is .*: give an int from 0"):
            x**power


def test_exhausted(x: Any) -> None:
    cube = x * x * x
    with pytest.raises(
        LevelError, match=r"no level is left: the operands have level 0, scale 2\^40.* and level 2"
    ) as caught:
        cube * x  # TenSEAL: scale out of bounds
    assert isinstance(caught.value, ValueError)
    near(cube + x, X**3 + X)
    near(cube * 2, 2 * X**3)  # whole numbers take no level; in TenSEAL they do
    with pytest.raises(LevelError):
        cube * 0.5


def test_zero(x: Any) -> None:
    for product in (x * 0, x * 0.0, x * [0, 0, 0, 0, 0]):
        near(product, np.zeros(5))
        assert product.data.data.any()  # a fresh encryption: nothing shows that it is of 0


def test_switches(context: Any) -> None:
    own = context.copy()
    x = ts.ckks_vector(own, X)
    own.auto_relin = False
    assert (x * x).data.size_of == 3
    near(x * x, X**2)
    own.auto_relin = True
    own.auto_rescale = False
    near(x * x, X**2)
    near(x * 2.5, 2.5 * X)
    near(x * [0, 1, 0, 1, 0], X * [0, 1, 0, 1, 0])
    with pytest.raises(ScaleError, match=r"level 2, scale 2.80.* and level 2, scale 2.40"):
        x * x + x
    own.auto_rescale = True
    own.auto_mod_switch = False
    for call in (lambda: x * x + x, lambda: x * x * x):
        with pytest.raises(
            ValueError, match=r"level 1, scale 2\^40.* and level 2, scale.*auto_mod_switch is off"
        ):
            call()
    with pytest.raises(ValueError, match="auto_mod_switch is off"):
        x * x + 1
    assert context.auto_relin
    assert context.auto_rescale
    assert context.auto_mod_switch


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([[1, 2]], ValueError, "can only encrypt a vector"),
        (1.5, ValueError, "can only encrypt a vector"),
        ([], ValueError, "empty"),
        ("ab", TypeError, "well structured"),
        ([1, float("nan")], ValueError, "only finite"),
        ([float("inf")], ValueError, "only finite"),
    ],
)
def test_bad_vectors(context: Any, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ts.ckks_vector(context, value)


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        ([1, 2], ValueError, "different sizes: 5 encrypted numbers and 2"),
        ([[1, 2, 3, 4, 5]], ValueError, "only operate with a vector"),
        ("a", TypeError, "can't operate with object of type str"),
        (float("nan"), ValueError, "finite"),
        ([1, 2, 3, 4, float("inf")], ValueError, "finite"),
    ],
)
def test_bad_operands(x: Any, other: Any, error: type[Exception], message: str) -> None:
    for operation in (x.add, x.sub, x.mul):
        with pytest.raises(error, match=message):
            operation(other)
    near(x, X)


def test_other_refusals(context: Any, x: Any) -> None:
    with pytest.raises(TypeError, match="context is NoneType"):
        ts.ckks_vector(None, [1])
    with pytest.raises(TypeError, match="can't operate with object of type CKKSTensor"):
        x + ts.ckks_tensor(context, X)
    with pytest.raises(ValueError, match="at least one element"):
        x.polyval([])
    with pytest.raises(TypeError):
        x / 2
    with pytest.raises(ValueError, match="only operate with a vector"):
        x.dot(2)


def test_large_numbers(context: Any) -> None:
    """Those that fit a fresh ciphertext are encrypted, as TenSEAL does."""
    near(ts.ckks_vector(context, [1e9, -1e9]) + 1, [1e9 + 1, 1 - 1e9])
    with pytest.raises(ValueError, match="fits: scale the numbers down"):
        ts.ckks_vector(context, [1e40])


def test_without_galois_keys() -> None:
    bare = ts.context(ts.SCHEME_TYPE.CKKS, 4096, coeff_mod_bit_sizes=[40, 20, 40])
    bare.global_scale = 2**20
    x = ts.ckks_vector(bare, X)
    for call in (x.sum, lambda: x.dot(X), lambda: x @ np.ones((5, 2))):
        with pytest.raises(MissingKey, match=r"context.generate_galois_keys\(\)") as caught:
            call()
        assert isinstance(caught.value, ValueError)
    near(ts.ckks_vector(bare, [3.0]).sum(), [3.0], atol=0.05)
    stranger = ts.ckks_vector(_deep(), X)
    with pytest.raises(InvalidCiphertext):
        x + stranger


def test_convolution(context: Any) -> None:
    image, kernel = np.arange(36.0).reshape(6, 6) / 10, np.array([[1.0, 2, 0], [3, 4, -1]])
    encrypted, windows = ts.im2col_encoding(context, image.tolist(), 2, 3, 2)
    assert (windows, encrypted.shape) == (6, [48])
    expected = [(image[i : i + 2, j : j + 3] * kernel).sum() for i in (0, 2, 4) for j in (0, 2)]
    found = encrypted.conv2d_im2col(kernel.tolist(), windows)
    near(found, expected)
    near(found @ np.ones((6, 2)), [sum(expected)] * 2)
    with pytest.raises(ValueError, match="does not fit an image of 6 x 6"):
        ts.im2col_encoding(context, image, 7, 2, 1)
    with pytest.raises(ValueError, match="doesn't match with vector size"):
        encrypted.conv2d_im2col(kernel.tolist(), 5)


def test_encrypted_matrix(context: Any) -> None:
    matrix = np.arange(6.0).reshape(2, 3)
    encrypted = ts.enc_matmul_encoding(context, matrix)
    near(encrypted, [0, 3, 1, 4, 2, 5, 0, 0])  # recorded from TenSEAL 0.3.18
    near(encrypted.enc_matmul_plain([1, 2, 3], 2), matrix @ [1, 2, 3])


def test_packing(context: Any) -> None:
    rows = np.arange(12.0).reshape(3, 4)
    packed = ts.CKKSVector.pack_vectors([ts.ckks_vector(context, row) for row in rows])
    near(packed, rows.reshape(-1))
    near(packed @ np.ones((12, 2)), [66, 66])
    with pytest.raises(ValueError, match="sizes are different"):
        ts.CKKSVector.pack_vectors([ts.ckks_vector(context, [1]), packed])
    with pytest.raises(ValueError, match="bigger than the 4096 slots"):
        ts.CKKSVector.pack_vectors([ts.ckks_vector(context, np.ones(3000))] * 2)
    with pytest.raises(TypeError, match="at least one"):
        ts.CKKSVector.pack_vectors([])


def test_random_programs() -> None:
    """Operations one after the other, at sizes that do not divide the slots too: what lies in other slots matters."""
    context, rng = _deep(), np.random.default_rng(5)
    context.generate_galois_keys()
    for size in [1, 2, 3, 5, 31, 64, 100, 513, 2049, 4000, 4096] * 2:
        expected = rng.normal(size=size)
        found = ts.ckks_vector(context, expected)
        for operation in rng.integers(6, size=3):
            n, numbers = expected.size, rng.normal(size=expected.size)
            if operation == 0:
                found, expected = found * numbers, expected * numbers
            elif operation == 1:
                found, expected = found.sum(), expected.sum(keepdims=True)
            elif operation == 2 and n <= 100:
                matrix = rng.normal(size=(n, int(rng.integers(1, 40)))) / n
                found, expected = found @ matrix, expected @ matrix
            elif operation == 3:
                found, expected = found.dot(numbers), (expected @ numbers)[None]
            elif operation == 4:
                found, expected = found + ts.ckks_vector(context, numbers[:1]), expected + numbers[0]
            elif operation == 5 and n == 1 and found.data.depth > 1:
                other = rng.normal(size=int(rng.choice([3, 100, 4096, 6000])))
                found, expected = found * ts.ckks_vector(context, other), expected * other
        assert found.shape == [expected.size]
        near(found, expected, atol=1e-4 * max(1, float(np.abs(expected).max())))
