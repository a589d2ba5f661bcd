# SPDX-License-Identifier: Apache-2.0
"""Every way in which an operation on two operands of `crypsis.ckks` can fail: one line that names level and scale of
both, in the order they were given, and says what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from ckks_cases import SECURE, TINY, TWO_DIGITS, numbers, parameters, public_key, secret_key
from crypsis import ckks
from crypsis._ckks.levels import describe
from crypsis.errors import CrypsisError, InvalidCiphertext, LevelError, MissingKey, ScaleError
from cuda_on_cpu.device import ShimDevice

Operation = Callable[[Any, Any], Any]


class Failure(NamedTuple):
    """operands: made by a call, since keys take a while. remedy: part of the message."""

    operation: Operation
    operands: Callable[[], tuple[Any, Any]]
    error: type[Exception]
    remedy: str


def array(*shape: int, key: int = 0, literal: ckks.Literal = TINY, **options: Any) -> ckks.CkksArray:
    return public_key(literal, key).encrypt(numbers(*(shape or (5,))), **options)


def raw(level: int = 3) -> ckks.CkksArray:
    """A product that is relinearised and not rescaled."""
    return array(level=level).square(rescale=False)


def lazy() -> ckks.CkksArray:
    """A product that is neither."""
    return array().square(relinearise=False)


def bare(*, relinearise: bool = False) -> ckks.CkksArray:
    """Without Galois keys, and without a relinearisation key unless asked for."""
    return secret_key(TINY).public_key(relinearise=relinearise).encrypt(numbers(5))


def secretly() -> ckks.CkksArray:
    """Without any public key."""
    return secret_key(TINY).encrypt(numbers(5))


def plain(
    *shape: int, literal: ckks.Literal = TINY, level: int = 3, scale: float | None = None
) -> ckks.Plaintext:
    return ckks.encode(parameters(literal), numbers(*(shape or (5,))), level=level, scale=scale)


def matrix(side: int = 5, literal: ckks.Literal = TINY, **options: Any) -> ckks.Matrix:
    return ckks.Matrix(parameters(literal), numbers(side, side), **options)


def packed(*shape: int) -> ckks.CkksArray:
    return array(*shape, packed=True)


def add(a: Any, b: Any) -> Any:
    return a + b


def subtract(a: Any, b: Any) -> Any:
    return a - b


def multiply(a: Any, b: Any) -> Any:
    return a * b


def multiply_raw(a: Any, b: Any) -> Any:
    return a.multiply(b, relinearise=False, rescale=False)


def dot(a: Any, b: Any) -> Any:
    return a.dot(b, 3)


def stack(a: Any, b: Any) -> Any:
    return ckks.stack([a, b])


def apply(a: Any, b: Any) -> Any:
    return b @ a


FAILURES = {
    # what belongs together
    **{
        f"{operation.__name__}, another key": Failure(
            operation,
            lambda: (array(level=2), array(key=1)),
            InvalidCiphertext,
            "only ciphertexts of one key can be combined",
        )
        for operation in (add, subtract, multiply, multiply_raw, dot)
    },
    "stack, another key": Failure(
        stack, lambda: (array(), array(key=1)), InvalidCiphertext, "encrypt them with the same"
    ),
    "add, other parameters": Failure(
        add, lambda: (array(), array(literal=TWO_DIGITS)), InvalidCiphertext, "encrypt them with the same"
    ),
    **{
        f"{operation.__name__}, a plaintext of other parameters": Failure(
            operation,
            lambda: (array(), plain(literal=SECURE, level=1)),
            ValueError,
            "encode it for those of the ciphertext",
        )
        for operation in (add, multiply, dot)
    },
    "a matrix of other parameters": Failure(
        apply,
        lambda: (array(), matrix(literal=TWO_DIGITS)),
        ValueError,
        "encode it for those of the ciphertext",
    ),
    # scales
    "add, scales": Failure(add, lambda: (raw(), array()), ScaleError, r"rescale\(\) products first"),
    "subtract, scales": Failure(subtract, lambda: (array(), raw()), ScaleError, r"rescale\(\)"),
    "stack, scales": Failure(stack, lambda: (array(), raw()), ScaleError, r"rescale\(\)"),
    "add, levels and scales": Failure(
        add, lambda: (raw(), array(level=2)), ScaleError, r"rescale\(\) products before"
    ),
    "multiply, levels and scales": Failure(
        multiply, lambda: (array(level=1), raw()), ScaleError, r"rescale\(\) products before"
    ),
    "add, a plaintext's scale": Failure(add, lambda: (raw(), plain()), ScaleError, "encode it at the cipher"),
    "multiply, no room": Failure(multiply, lambda: (raw(1), raw(1)), ScaleError, r"rescale\(\) before"),
    "multiply, no room for a plaintext": Failure(
        multiply, lambda: (raw(2), plain(scale=2.0**80)), ValueError, "scale the numbers down"
    ),
    "multiply, a plaintext's scale is too small": Failure(
        multiply,
        lambda: (array(), plain(scale=1.0)),
        ScaleError,
        r"rescale\(\) only after products",
    ),
    "a matrix, not rescaled": Failure(apply, lambda: (raw(), matrix(level=2)), ScaleError, r"rescale\(\)"),
    # levels
    "stack, levels": Failure(stack, lambda: (array(), array(level=1)), LevelError, r"at_level\(\)"),
    "multiply, no level left": Failure(
        multiply, lambda: (array(level=0), array(level=1)), LevelError, "more moduli, or fewer products"
    ),
    "dot, no level left": Failure(
        dot, lambda: (array(level=0), array(level=2)), LevelError, "more moduli, or fewer products"
    ),
    "multiply by a plaintext, no level left": Failure(
        multiply, lambda: (array(level=0), plain(level=0)), LevelError, "more moduli, or fewer products"
    ),
    "add, a plaintext of a lower level": Failure(
        add, lambda: (array(), plain(level=1)), LevelError, "encode it there, at level 3"
    ),
    "multiply, a plaintext of a lower level": Failure(
        multiply, lambda: (array(), plain(level=1)), LevelError, "encode it there, at level 3"
    ),
    "a matrix of a higher level": Failure(
        apply, lambda: (array(level=1), matrix()), LevelError, "encode it with level=1"
    ),
    # shapes
    **{
        f"{operation.__name__}, shapes": Failure(
            operation,
            lambda: (array(3, 5, level=2), array(2, 5)),
            ValueError,
            r"\(3,\) and \(2,\), which do not broadcast together: reshape\(\)",
        )
        for operation in (add, subtract, multiply, multiply_raw)
    },
    "stack, shapes": Failure(stack, lambda: (array(3, 5), array(2, 5)), ValueError, r"reshape\(\)"),
    "stack, sizes": Failure(
        stack, lambda: (lazy(), array(level=2)), ValueError, r"3 and 2 polynomials.*relinearise\(\)"
    ),
    **{
        f"{operation.__name__}, rows of a plaintext": Failure(
            operation, lambda: (array(3, 5), plain(2, 5)), ValueError, r"\(3,\) and \(2,\).*reshape\(\)"
        )
        for operation in (add, multiply)
    },
    "a matrix of another length": Failure(
        apply, lambda: (array(4), matrix(level=2)), ValueError, "give vectors of as many"
    ),
    "a matrix, not repeated": Failure(
        apply, lambda: (array(), matrix(period=8)), ValueError, r"repeat\(8\) them first"
    ),
    "array @ Matrix": Failure(
        lambda a, b: a.matmul(b), lambda: (array(), matrix(level=1)), TypeError, "write matrix @ array"
    ),
    # products that are not relinearised
    "multiply, not relinearised": Failure(
        multiply, lambda: (lazy(), array()), ValueError, r"relinearise\(\) it first"
    ),
    "dot, not relinearised": Failure(dot, lambda: (lazy(), array()), ValueError, r"relinearise\(\) it"),
    "a matrix, not relinearised": Failure(
        apply, lambda: (lazy(), matrix(level=1)), ValueError, r"relinearise\(\) it"
    ),
    # packed arrays
    "add, packed otherwise": Failure(
        add,
        lambda: (packed(3, 5), packed(15)),
        ValueError,
        "only arrays packed alike add up; encrypt both so",
    ),
    "add, one is packed": Failure(add, lambda: (packed(5), array()), ValueError, "encrypt both so"),
    "multiply, packed": Failure(
        multiply, lambda: (array(), packed(5)), TypeError, "encrypt without packed=True"
    ),
    "add, packed, with a plaintext": Failure(
        add, lambda: (packed(5), plain()), TypeError, "give it numbers, not a Plaintext"
    ),
    "multiply, packed, with a plaintext": Failure(
        multiply, lambda: (packed(5), plain()), TypeError, "encrypt without packed=True for others"
    ),
    "dot, packed": Failure(dot, lambda: (packed(5), array()), TypeError, "encrypt without packed=True"),
    "a matrix, packed": Failure(
        apply, lambda: (packed(5), matrix()), TypeError, "encrypt without packed=True"
    ),
    # keys
    "multiply, no relinearisation key": Failure(
        multiply, lambda: (bare(), bare().at_level(2)), MissingKey, r"public_key\(relinearise=True\)"
    ),
    "multiply, no public key": Failure(
        multiply, lambda: (secretly(), secretly().at_level(2)), MissingKey, r"public\.bind\(array\)"
    ),
    "dot, no Galois keys": Failure(
        dot, lambda: (bare(), bare().at_level(2)), MissingKey, r"public_key\(rotations=\(1, 2\)\)"
    ),
    "dot, no public key": Failure(
        dot, lambda: (secretly(), secretly()), MissingKey, r"public\.bind\(array\)"
    ),
    "a matrix, no Galois keys": Failure(
        apply, lambda: (bare(), matrix(babies=4)), MissingKey, r"public_key\(rotations=\(1, 2, 3"
    ),
    "a matrix, no public key": Failure(
        apply, lambda: (secretly(), matrix()), MissingKey, r"public\.bind\(array\)"
    ),
}


def told(*operands: Any) -> str:
    """What a message has to say of them."""
    return ".*".join(re.escape(describe(operand)) for operand in operands)


@pytest.mark.parametrize("name", FAILURES)
def test_failures_of_two_operands(name: str) -> None:
    failure = FAILURES[name]
    a, b = failure.operands()
    with pytest.raises(failure.error, match=f"(?s:{told(a, b)}.*{failure.remedy})") as caught:
        failure.operation(a, b)
    assert "\n" not in str(caught.value)
    if failure.error not in (ValueError, TypeError):
        assert isinstance(caught.value, CrypsisError)


def test_operands_on_two_devices(shim_device: ShimDevice) -> None:
    a, b = array(3, 5), array(3, 5, level=2).to("cuda:0")
    for operation in (add, multiply, dot):
        with pytest.raises(ValueError, match=rf"{told(a, b)}.*cpu and cuda:0.*\.to\('cpu'\)"):
            operation(a, b)


@pytest.mark.parametrize(
    ("operation", "numbers_", "error", "remedy"),
    [
        (add, np.ones(4), ValueError, "give as many, or one"),
        (multiply, np.ones(4), ValueError, "give as many, or one"),
        (multiply, np.ones((2, 5)), ValueError, r"reshape\(\)"),
        (multiply, np.full(5, 1e30), ValueError, "scale the numbers down"),
        (dot, np.ones(4), ValueError, "give as many, or one"),
        (lambda a, b: a @ b, np.ones(4), ValueError, "give as many"),
        (lambda a, b: a @ b, np.ones((2, 2, 2)), ValueError, r"give \[5\] or \[5, columns\]"),
        (lambda a, b: b @ a, np.ones(5), ValueError, r"give \[rows, columns\]"),
        (lambda a, b: b @ a, np.full((2, 5), 1e40), ValueError, "scale the numbers down"),
    ],
)
def test_numbers_that_do_not_fit(
    operation: Operation, numbers_: Any, error: type[Exception], remedy: str
) -> None:
    """Numbers have no level and no scale of their own: the ciphertext's are named."""
    a = array(3, 5)
    with pytest.raises(error, match=f"{told(a)}.*{remedy}"):
        operation(a, numbers_)


def test_failures_of_one_operand() -> None:
    for operation, a, error in (
        (lambda a: a.rotate(1), lazy(), ValueError),
        (lambda a: a.inner_sum(), packed(5), TypeError),
        (lambda a: a.rotate(7), array(), MissingKey),
        (lambda a: a.conjugate(), bare(), MissingKey),
        (lambda a: a.relinearise(), bare().square(relinearise=False), MissingKey),
        (lambda a: a.repeat(2), array(), ValueError),
        (lambda a: a.rescale(), array(), ScaleError),
        (lambda a: a.rescale(), array(level=0), LevelError),
        (lambda a: a.at_level(3), array(level=1), LevelError),
        (lambda a: a.at_level(1), raw(), ScaleError),
        (lambda a: a.polynomial([0.0] * 9 + [1.0]), array(), LevelError),
        (lambda a: a.reshape(5), packed(5), TypeError),
    ):
        with pytest.raises(error, match=told(a)):
            operation(a)
