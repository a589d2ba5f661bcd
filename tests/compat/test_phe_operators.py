# SPDX-License-Identifier: Apache-2.0
"""The same expressions on both modules: types, exponents, ciphertexts, values and exceptions are the same."""

from __future__ import annotations

import decimal
import fractions
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

OPERANDS: dict[str, Any] = {
    "one": 1, "zero": 0, "minus": -7, "true": True, "big": 10**30, "max": "max", "beyond": "beyond", "least": "least",
    "float": 2.5, "small": 1e-9, "negative": -0.1, "zero float": 0.0, "huge": 1e300, "tiny": 5e-324,
    "nan": math.nan, "inf": math.inf, "text": "1", "none": None, "complex": 1j, "list": [1],
    "fraction": fractions.Fraction(1, 3), "decimal": decimal.Decimal("1.5"),
    "float64": np.float64(1.5), "float32": np.float32(1.5), "int64": np.int64(3), "int8": np.int8(-3),
    "bool_": np.True_, "array": np.array([1.5, 2.5]),
    "int code": "int code", "float code": "float code", "other key's code": "other code",
    "same": "same", "other float": "encrypted float", "other key's": "other key",
}  # fmt: skip
OPERATORS = {
    "a + x": lambda a, x: a + x,
    "x + a": lambda a, x: x + a,
    "a - x": lambda a, x: a - x,
    "x - a": lambda a, x: x - a,
    "a * x": lambda a, x: a * x,
    "x * a": lambda a, x: x * a,
    "a / x": lambda a, x: a / x,
    "x / a": lambda a, x: x / a,
    "a ** x": lambda a, x: a**x,
    "a // x": lambda a, x: a // x,
    "a < x": lambda a, x: a < x,
}  # fmt: skip
OTHER_N = 0xC5_0B7F * 0xE1_51A5_1111 + 2


def operand(side: SimpleNamespace, name: str) -> Any:
    value = OPERANDS[name]
    public, phe = side.public, side.phe
    special = {
        "max": lambda: public.max_int,
        "beyond": lambda: public.max_int + 1,
        "least": lambda: -public.max_int,
        "int code": lambda: phe.EncodedNumber.encode(public, 5),
        "float code": lambda: phe.EncodedNumber.encode(public, 2.5),
        "other code": lambda: phe.EncodedNumber.encode(phe.PaillierPublicKey(OTHER_N), 5),
        "same": lambda: public.encrypt(3, r_value=5),
        "encrypted float": lambda: public.encrypt(-0.125, r_value=7),
        "other key": lambda: phe.PaillierPublicKey(OTHER_N).encrypt(3, r_value=5),
    }
    return special[value]() if isinstance(value, str) and value in special else value


def observe(side: SimpleNamespace, call: Any) -> Any:
    """What a program can see of a result."""
    try:
        result = call()
        if isinstance(result, side.phe.EncryptedNumber):
            # The ciphertext before the decryption, which may fail.
            seen: list[Any] = ["encrypted", result.exponent, result.ciphertext(be_secure=False)]
            try:
                value = side.private.decrypt(result)
                return [*seen, type(value).__name__, value]
            except Exception as error:
                return [*seen, type(error).__name__]
        if isinstance(result, np.ndarray):  # NumPy's loop over the elements of an array on the left
            return [observe(side, lambda element=element: element) for element in result]
        return type(result).__name__, result
    except Exception as error:
        return type(error).__name__


@pytest.mark.parametrize("symbol", OPERATORS)
@pytest.mark.parametrize("name", OPERANDS)
@pytest.mark.parametrize("start", [3, -2.5])
def test_an_operator(our_side: Any, their_side: Any, start: float, name: str, symbol: str) -> None:
    seen = []
    for side in (our_side, their_side):
        a, x = side.public.encrypt(start, r_value=11), operand(side, name)
        with np.errstate(all="ignore"):
            seen.append(observe(side, lambda a=a, x=x: OPERATORS[symbol](a, x)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "call",
    [
        lambda s, a: -a, lambda s, a: abs(a), lambda s, a: int(a), lambda s, a: len(a), lambda s, a: bool(a),
        lambda s, a: a == a, lambda s, a: a.decrease_exponent_to(-40), lambda s, a: a.decrease_exponent_to(a.exponent),
        lambda s, a: a.decrease_exponent_to(5), lambda s, a: a.decrease_exponent_to(-400), lambda s, a: sum([a, a, a]),
        lambda s, a: a.obfuscate(), lambda s, a: a * 0, lambda s, a: a * 1, lambda s, a: (a * 0) * 5 + 0,
        lambda s, a: s.private.decrypt(5), lambda s, a: s.private.decrypt_encoded("x"),
        lambda s, a: s.private.raw_decrypt("x"), lambda s, a: s.private.raw_decrypt(1.5),
        lambda s, a: s.private.raw_decrypt(0), lambda s, a: s.private.raw_decrypt(-1),
        lambda s, a: s.private.raw_decrypt(1), lambda s, a: s.private.raw_decrypt(s.public.n),
        lambda s, a: s.private.raw_decrypt(s.private.p),
        lambda s, a: s.private.raw_decrypt(a.ciphertext(False) + s.public.nsquare),
        lambda s, a: s.public.raw_encrypt(-3, r_value=1), lambda s, a: s.public.raw_encrypt(3.0),
        lambda s, a: s.public.raw_encrypt(np.int64(3)), lambda s, a: s.public.raw_encrypt(s.public.n + 3, 1),
        lambda s, a: s.public.raw_encrypt(3, -3), lambda s, a: s.public.raw_encrypt(3, s.public.n + 3),
        lambda s, a: s.public.raw_encrypt(3, "3"), lambda s, a: s.public.encrypt(3, r_value=9),
        lambda s, a: s.public.encrypt_encoded(s.phe.EncodedNumber.encode(s.public, 3), 0),
        lambda s, a: s.phe.EncryptedNumber(s.public, 0) * -1,
        lambda s, a: (s.phe.EncryptedNumber(s.public, s.public.n) * -1).ciphertext(False),
        lambda s, a: s.phe.EncryptedNumber(s.public, s.public.nsquare + 7) + 0,
        lambda s, a: s.phe.EncryptedNumber(s.public, -7) + 0, lambda s, a: s.phe.EncryptedNumber(s.public, "1") + 1,
        lambda s, a: s.phe.EncryptedNumber(s.public, s.public.nsquare + 7).ciphertext(False),
        lambda s, a: s.phe.EncryptedNumber(s.public, None).ciphertext(False),
        lambda s, a: s.phe.EncryptedNumber(s.public, None).ciphertext(),
        lambda s, a: s.phe.EncryptedNumber(s.public, "1") * 2, lambda s, a: s.phe.EncryptedNumber(5, 1),
        lambda s, a: s.private.decrypt(s.phe.EncryptedNumber(s.public, "1")),
        lambda s, a: np.dot(np.array([a, a]), [2, 3]), lambda s, a: np.mean([a, a + 1]),
        lambda s, a: (np.array([[a, a + 1]]) @ np.array([[1.5], [2.0]]))[0, 0],
        lambda s, a: np.cumsum(np.array([a, a, a]))[-1], lambda s, a: (np.array([1.5, 2.5]) * a)[1],
    ],
)  # fmt: skip
@pytest.mark.parametrize("start", [3, -2.5])
def test_an_expression(our_side: Any, their_side: Any, start: float, call: Any) -> None:
    seen = [
        observe(side, lambda side=side: call(side, side.public.encrypt(start, r_value=11)))
        for side in (our_side, their_side)
    ]
    assert seen[0] == seen[1]


step = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 50), st.integers(0, 50)),
    st.tuples(st.just("sub"), st.integers(0, 50), st.integers(0, 50)),
    st.tuples(
        st.just("mul"), st.integers(0, 50), st.sampled_from([0, 1, -1, 2, -3, 1000, 2.5, -0.1, 1 / 3, 16])
    ),
    st.tuples(st.just("plus"), st.integers(0, 50), st.sampled_from([0, 1, -1, 10**9, 0.5, -1e-5])),
    st.tuples(st.just("lower"), st.integers(0, 50), st.integers(0, 3)),
    st.tuples(st.just("look"), st.integers(0, 50), st.just(0)),
    st.tuples(st.just("drop"), st.integers(0, 50), st.just(0)),
)


def run_steps(side: SimpleNamespace, steps: list[tuple[str, int, Any]]) -> list[Any]:
    """A program over a list of numbers; what it sees on its way, and all ciphertexts and exponents at the end."""
    numbers = [side.public.encrypt(value, r_value=i + 2) for i, value in enumerate([3, -2.5, 0.1, 10**6])]
    seen: list[Any] = []
    for name, i, x in steps:
        a = numbers[i % len(numbers)]
        if name == "add":
            numbers.append(a + numbers[x % len(numbers)])
        elif name == "sub":
            numbers.append(a - numbers[x % len(numbers)])
        elif name == "mul":
            numbers.append(a * x)
        elif name == "plus":
            numbers.append(a + x)
        elif name == "lower":
            numbers.append(a.decrease_exponent_to(a.exponent - x))
        elif name == "look":
            seen.append(a.ciphertext(be_secure=False))
        elif len(numbers) > 1:
            del numbers[i % len(numbers)]
    return seen + [(number.ciphertext(be_secure=False), number.exponent) for number in numbers]


@given(st.lists(step, max_size=30))
@settings(max_examples=60)
def test_any_program_gives_the_same_ciphertexts(our_side: Any, their_side: Any, steps: list[Any]) -> None:
    results = []
    for side in (our_side, their_side):
        try:
            results.append(run_steps(side, steps))
        except ValueError as error:
            results.append([type(error).__name__])
    assert results[0] == results[1]
