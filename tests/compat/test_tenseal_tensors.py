# SPDX-License-Identifier: Apache-2.0
"""`CKKSTensor` and `PlainTensor`: values against NumPy, shapes as TenSEAL 0.3.18 answered when it was asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import crypsis.compat.tenseal as ts
from crypsis.errors import CorruptData

M = np.arange(6.0).reshape(2, 3) - 1
R = np.array([1.0, 2.0, 3.0])
ATOL = 1e-5


def near(found: Any, expected: Any, shape: list[int] | None = None) -> None:
    plain = found.decrypt()
    assert type(plain) is ts.PlainTensor
    assert plain.dtype == "float"
    np.testing.assert_allclose(plain.tolist(), expected, atol=ATOL, rtol=0)
    if shape is not None:
        assert found.shape == shape


@pytest.fixture(scope="module")
def t(context: Any) -> Any:
    return ts.ckks_tensor(context, M)


@pytest.fixture(scope="module")
def b(context: Any) -> Any:
    return ts.ckks_tensor(context, M, batch=True)


def test_attributes(t: Any, b: Any) -> None:
    near(t, M, [2, 3])
    near(b, M, [3])
    assert t.scale() == 2.0**40
    assert len(t.ciphertext()) == 6
    assert len(b.ciphertext()) == 3


def test_operators(context: Any, t: Any) -> None:
    row = ts.ckks_tensor(context, [1.0, 2.0, 3.0])
    near(t + t, 2 * M)
    near(t - 1, M - 1)
    near(2 - t, 2 - M)
    near(0.5 * t, M / 2)
    near(t * t, M * M)
    near(-t, -M)
    near(t * [1, 0, 3], M * [1, 0, 3])
    near(t * [[1], [2]], M * [[1], [2]])
    near(np.ones((2, 2, 3)) + t, np.ones((2, 2, 3)) + M, [2, 2, 3])
    near(t + row, M + R)
    near(row + t, M + R, [2, 3])
    near(t + ts.plain_tensor(M), 2 * M)
    near(t**3, M**3)
    near(t**0, np.ones((2, 3)))
    near(t.square(), M**2)
    near(t.polyval([1, 1, 1]), 1 + M + M**2)
    near(t.polyval([0]), 0 * M)
    with pytest.raises(ValueError, match="do not broadcast together") as caught:
        t * [1, 2]
    assert isinstance(caught.value, RuntimeError)  # TenSEAL's


def test_batches(context: Any, b: Any) -> None:
    row = ts.ckks_tensor(context, [1.0, 2.0, 3.0])
    near(b + 1, M + 1)
    near(b * b, M * M)
    near(b + R.tolist(), M + R)
    near(b + row, M + R)
    near(row * b, M * [1, 2, 3])  # TenSEAL: the first row of the batch only
    near(b.polyval([1, 1, 1]), 1 + M + M**2)
    near(b**0, np.ones((2, 3)))  # TenSEAL: [1, 1, 1]
    near(b.sum(), M.sum(0), [3])
    near(b.sum(1), M.sum(1), [])
    near(b.sum_batch(), M.sum(0), [3])
    near(b.reshape([3, 1]), M.reshape(2, 3, 1), [3, 1])
    near(b[0:2], M[:, 0:2], [2])
    near(b.dot([1, 2, 3]), M @ [1, 2, 3], [])  # TenSEAL: sums over the batch instead
    cube = np.arange(12.0).reshape(2, 2, 3)
    near(ts.ckks_tensor(context, cube, batch=True) @ np.ones((3, 2)), cube @ np.ones((3, 2)), [2, 2])
    with pytest.raises(ValueError, match="batches of 2 and 3"):
        b + ts.ckks_tensor(context, np.ones((3, 3)), batch=True)
    with pytest.raises(ValueError, match="5000 rows, a ciphertext 4096 slots"):
        ts.ckks_tensor(context, np.ones((5000, 1)), batch=True)


def test_sums(t: Any) -> None:
    near(t.sum(), M.sum(0), [3])
    near(t.sum(1), M.sum(1), [2])
    near(t.sum().sum(), M.sum(), [])
    with pytest.raises(ValueError, match="invalid axis"):
        t.sum(2)
    with pytest.raises(TypeError, match="axis is -1"):
        t.sum(-1)
    with pytest.raises(ValueError, match="unsupported operation: the tensor has no batch"):
        t.sum_batch()


def test_products(context: Any, t: Any) -> None:
    row, pair = ts.ckks_tensor(context, [1.0, 2.0, 3.0]), ts.ckks_tensor(context, [1.0, 2.0])
    near(t @ np.ones((3, 2)), M @ np.ones((3, 2)), [2, 2])
    near(t @ t.transpose(), M @ M.T, [2, 2])
    near(t.mm(np.array([[1.0, 0], [2, 0], [0, 0]])), M @ [[1.0, 0], [2, 0], [0, 0]])
    near(t.dot([1, 2, 3]), M @ [1, 2, 3], [2])
    near(t.dot(row), M @ [1, 2, 3], [2])
    near(row.dot([1, 2, 3]), 14, [])
    near(pair.dot(t), np.array([1, 2]) @ M, [3])
    near(t.dot(np.ones((3, 2))), M @ np.ones((3, 2)), [2, 2])
    for call, message in [
        (lambda: t @ t, "can't multiply matrices of shapes"),
        (lambda: t @ [1, 2, 3], "operand tensor isn't a matrix"),
        (lambda: row @ t, "this tensor isn't a matrix"),
        (lambda: t.dot([1, 2]), "dimension mismatch"),
        (lambda: t @ 2, "give a tensor"),
        (lambda: t.reshape([1, 2, 3]).dot(t), "1 and 2 dimensions"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_shapes(t: Any) -> None:
    near(t.reshape([3, 2]), M.reshape(3, 2), [3, 2])
    near(t.broadcast([2, 2, 3]), np.broadcast_to(M, (2, 2, 3)), [2, 2, 3])
    near(t.transpose(), M.T, [3, 2])
    twin = t.copy()
    assert twin.reshape_([6]) is twin
    near(twin.broadcast_([2, 6]).transpose_(), np.broadcast_to(M.reshape(6), (2, 6)).T, [6, 2])
    with pytest.raises(ValueError, match="do not make the shape"):
        t.reshape([4])
    with pytest.raises(RuntimeError, match="does not broadcast"):
        t.broadcast([2])


def test_indexes(t: Any) -> None:
    near(t[0], M[:1], [1, 3])
    near(t[0:1], M[:1])
    near(t[:, 1:3], M[:, 1:3])
    near(t[0, 1], M[:1, 1:2], [1, 1])
    near(t[-1], M[-1:])
    for item in (2, -3, (0, 0, 0), slice(2, 2)):  # TenSEAL reads foreign memory
        with pytest.raises(IndexError):
            t[item]
    with pytest.raises(TypeError, match="give ints and slices"):
        t["a"]


def test_in_place(t: Any) -> None:
    twin = t.copy()
    for name, argument in [("add", 1), ("mul", t), ("sub", M), ("polyval", [0, 2])]:
        expected = getattr(twin, name)(argument).decrypt().tolist()
        assert getattr(twin, name + "_")(argument) is twin
        near(twin, expected)
    near(t.copy().mm_(np.ones((3, 1))), M @ np.ones((3, 1)))
    near(t.copy().dot_(np.ones(3)), M @ np.ones(3))
    near(t.copy().sum_(1), M.sum(1))
    near(t, M)


@pytest.mark.parametrize("value", [3.0, [], np.ones((2, 0))])
def test_bad_tensors(context: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="at least one axis and one number"):
        ts.ckks_tensor(context, value)


def test_bytes(context: Any, t: Any, b: Any) -> None:
    for tensor in (t, b):
        lazy = ts.lazy_ckks_tensor_from(tensor.serialize())
        for call in (
            type(lazy).decrypt,
            type(lazy).neg,
            type(lazy).transpose,
            type(lazy).context,
            type(lazy).scale,
            lambda tensor: tensor + 1,
            lambda tensor: tensor.shape,
            lambda tensor: tensor[0],
        ):
            with pytest.raises(ValueError, match="missing context"):
                call(lazy)
        assert lazy.serialize() == tensor.serialize()
        lazy.link_context(context)
        near(lazy, M)
        near(ts.ckks_tensor_from(context, tensor.serialize()), M)
    with pytest.raises(CorruptData):
        ts.ckks_tensor_from(context, ts.ckks_vector(context, [1]).serialize())


def test_plain_tensors() -> None:
    plain = ts.plain_tensor([[1, 2], [3, 4]])  # all as TenSEAL 0.3.18 answers
    assert plain.shape == [2, 2]
    assert plain.raw == [1.0, 2.0, 3.0, 4.0]
    assert plain.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert plain.dtype == "float"
    assert plain.at([1, 0]) == 3.0
    assert (plain.size(), len(plain), plain.strides(), plain.empty()) == (2, 2, [2, 1], False)
    assert plain.batch(0) == [[1.0, 3.0], [2.0, 4.0]]
    assert plain.batch(1) == [[1.0, 2.0], [3.0, 4.0]]
    assert plain.reshape([4]).tolist() == [1, 2, 3, 4]
    assert plain.broadcast([2, 2, 2]).tolist() == [plain.tolist()] * 2
    assert plain.transpose().tolist() == [[1, 3], [2, 4]]
    assert ts.plain_tensor([1.7, 2], dtype="int").tolist() == [1, 2]
    assert ts.plain_tensor([1, 2, 3, 4], [2, 2]).tolist() == [[1, 2], [3, 4]]
    assert plain.serialize() == b"[[1.0,2.0],[3.0,4.0]]"
    assert ts.plain_tensor_from(plain.serialize()).tolist() == plain.tolist()
    assert plain.reshape_([4]) is plain
    assert plain.tolist() == [1, 2, 3, 4]
    plain.dtype = "int"
    assert plain.raw == [1, 2, 3, 4]
    for call, error in [
        (lambda: ts.plain_tensor([[1], [2, 3]]), TypeError),
        (lambda: ts.plain_tensor([1], dtype="x"), ValueError),
        (lambda: ts.plain_tensor([1, 2, 3, 4], [3, 2]), ValueError),
        (lambda: plain.at([5]), ValueError),
        (lambda: plain.at([1, 1]), ValueError),
        (lambda: plain.batch(1), ValueError),
        (lambda: plain.broadcast([3]), RuntimeError),
        (lambda: ts.plain_tensor_from(b"{}"), ValueError),
        (lambda: ts.plain_tensor_from("[1]"), TypeError),
    ]:
        with pytest.raises(error):
            call()
