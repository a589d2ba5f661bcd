# SPDX-License-Identifier: Apache-2.0
"""NumPy's functions and operators on cipher arrays: what NumPy gives for the values, or a TypeError naming a remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crypsis.paillier import CipherArray, UnblindedCipherArray
from homomorphic_keys import okamoto_uchiyama_small, paillier_small

A = np.arange(6).reshape(2, 3) - 2
B = np.array([[5, -1, 0], [2, 7, -3]])
ROW = np.array([3, -4, 5])


@pytest.fixture(scope="module", params=[paillier_small, okamoto_uchiyama_small], ids=["paillier", "ou"])
def key(request: pytest.FixtureRequest) -> Any:
    return request.param()


CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda a, b: np.sum(a),
    "sum 0": lambda a, b: np.sum(a, 0),
    "sum -1": lambda a, b: np.sum(a, axis=-1, out=None),
    "sum of numpy integer": lambda a, b: a.sum(np.int64(1)),
    "cumsum": lambda a, b: np.cumsum(a),
    "cumsum 1": lambda a, b: np.cumsum(a, axis=1),
    "concatenate": lambda a, b: np.concatenate([a, b, a]),
    "concatenate 1": lambda a, b: np.concatenate((a, b), axis=1),
    "concatenate flat": lambda a, b: np.concatenate((a, b), axis=None),
    "stack": lambda a, b: np.stack([a, b]),
    "stack 1": lambda a, b: np.stack([a, b], axis=1),
    "stack -1": lambda a, b: np.stack((a, b), axis=-1),
    "stack of numbers": lambda a, b: np.stack([a[0, 0], b[0, 0]]),
    "add": lambda a, b: np.add(a, b),
    "add a plain array": lambda a, b: np.add(B, a),
    "plain on the left": lambda a, b: ROW + a,
    "plain on the right": lambda a, b: a + ROW,
    "subtract": lambda a, b: np.subtract(a, b),
    "subtract from plain": lambda a, b: np.subtract(B, a),
    "plain minus": lambda a, b: ROW - a,
    "multiply": lambda a, b: np.multiply(a, B),
    "multiply plain": lambda a, b: np.multiply(ROW, a),
    "plain times": lambda a, b: ROW * a,
    "a numpy number times": lambda a, b: np.int64(-7) * a,
    "a numpy number plus": lambda a, b: np.float64(0.5) + a,
    "negative": lambda a, b: np.negative(a),
    "matmul": lambda a, b: np.matmul(a, B.T),
    "matmul plain": lambda a, b: np.matmul(B.T, a),
    "@ plain": lambda a, b: B.T @ a,
    "dot": lambda a, b: np.dot(a, ROW),
    "dot plain": lambda a, b: np.dot(B.T, a),
    "dot of a number": lambda a, b: np.dot(3, a),
    "transpose": lambda a, b: np.transpose(a),
    "transpose by axes": lambda a, b: np.transpose(a, (1, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_gives_what_numpy_gives(key: Any, name: str) -> None:
    call = CALLS[name]
    got, wanted = call(key.encrypt(A), key.encrypt(B)), call(A, B)
    assert isinstance(got, UnblindedCipherArray)
    assert got.shape == np.shape(wanted)
    assert np.array_equal(key.decrypt(got), wanted)


def test_shapes_and_types(key: Any) -> None:
    c = key.encrypt(A)
    assert (np.shape(c), np.ndim(c), np.size(c)) == ((2, 3), 2, 6)
    assert type(np.concatenate([c, key.encrypt(B)])) is type(np.stack([c, key.encrypt(B)])) is CipherArray
    assert type(np.stack([c, c])) is type(np.sum(c)) is UnblindedCipherArray


@pytest.mark.parametrize("name", ["sum", "cumsum"])
def test_the_axes_of_a_single_number_are_numpys(key: Any, name: str) -> None:
    number, plain = key.encrypt(5), np.array(5)
    for axis in (None, 0, -1):
        got, wanted = getattr(number, name)(axis), getattr(plain, name)(axis)
        assert (got.shape, key.decrypt(got).tolist()) == (wanted.shape, wanted.tolist())
    for axis in (1, -2):
        for array in (plain, number):
            with pytest.raises(np.exceptions.AxisError, match=f"axis {axis} is out of bounds"):
                getattr(array, name)(axis)


@pytest.mark.parametrize("name", ["sum", "cumsum"])
def test_axes_that_are_refused(key: Any, name: str) -> None:
    c = key.encrypt(A)
    for axis in (2, -3):
        with pytest.raises(
            np.exceptions.AxisError, match=f"axis {axis} is out of bounds for array of dimension 2"
        ):
            getattr(c, name)(axis)
    for axis in (1.0, "0", (0, 1), True):
        with pytest.raises(TypeError, match=r"axis is .*: give an integer"):
            getattr(c, name)(axis)


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "mean": (np.mean, r"numpy.mean does not take encrypted values: use sum\(axis\)"),
    "divide": (lambda c: A / c, "numpy.divide"),
    "vstack": (lambda c: np.vstack([c, c]), "use numpy.concatenate or numpy.stack"),
    "where": (lambda c: np.where(A > 0, c, c), "use an index array"),
    "einsum": (lambda c: np.einsum("ij->i", c), "use @"),
    "reshape": (lambda c: np.reshape(c, (3, 2)), "use its method reshape"),
    "ravel": (np.ravel, "use its method ravel"),
    "histogram": (np.histogram, "use its method histogram"),
    "sort": (np.sort, "there are .*sum.*or decrypt first"),
    "array_equal": (lambda c: np.array_equal(A, c), "numpy.array_equal does not take"),
    "exp": (np.exp, "numpy.exp does not take"),
    "equal": (lambda c: np.equal(A, c), "numpy.equal does not take"),
    "==": (lambda c: np.array(A) == c, "encrypted"),
    "<": (lambda c: np.array(A) < c, "encrypted"),
    "reduce": (np.add.reduce, r"numpy.add.reduce does not take encrypted values: use sum,"),
    "accumulate": (np.add.accumulate, "use cumsum"),
    "outer": (lambda c: np.multiply.outer(A, c), r"use c\[:, None\] \* x"),
    "out": (lambda c: np.add(A, c, out=A), "numpy.add of encrypted values takes no out"),
    "keepdims": (
        lambda c: np.sum(c, axis=0, keepdims=True),
        "numpy.sum of encrypted values takes a, axis alone",
    ),
    "out of sum": (lambda c: np.sum(A, out=c), "takes a, axis alone"),
    "dtype": (lambda c: np.concatenate([c, c], dtype=float), "takes arrays, axis alone"),
    "plain beside encrypted": (lambda c: np.concatenate([c, A]), "element 1 is ndarray: give cipher arrays"),
    "two ciphertexts": (lambda c: np.multiply(c, c), "cannot multiply ciphertexts"),
    "matmul of two": (lambda c: np.matmul(c, c.T), "cannot multiply ciphertexts"),
    "asarray": (np.asarray, "decrypt first"),
    "asarray of objects": (lambda c: np.asarray(c, dtype=object), "decrypt first"),
    "array of arrays": (lambda c: np.array([c, c]), "decrypt first"),
    "array of numbers": (lambda c: np.array([c[0, 0], 1], dtype=object), "decrypt first"),
    "assignment": (lambda c: A.copy().__setitem__(0, c[0]), "decrypt first"),
    "list on the left": (lambda c: np.add([c], A), "decrypt first"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_everything_else_is_a_typeerror(key: Any, name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(TypeError, match=message):
        call(key.encrypt(A))


def test_in_place_on_a_plain_array_is_refused(key: Any) -> None:
    plain = A.copy()
    with pytest.raises(TypeError, match="takes no out"):
        plain += key.encrypt(B)
    assert (plain == A).all()


def test_stacks_that_are_refused(key: Any) -> None:
    c = key.encrypt(A)
    with pytest.raises(ValueError, match="give arrays of one shape"):
        np.stack([c, c[0]])
    with pytest.raises(np.exceptions.AxisError):
        np.stack([c, c], axis=3)
    for plain in (A, A.tolist(), 5, None):
        with pytest.raises(TypeError, match=f"element 1 is {type(plain).__name__}: give"):
            np.stack([c, plain])
    with pytest.raises(ValueError, match="different keys"):
        np.concatenate([c, paillier_small.__wrapped__().encrypt(A)])
