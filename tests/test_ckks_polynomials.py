# SPDX-License-Identifier: Apache-2.0
"""Polynomials and Chebyshev series of ciphertexts against exact evaluation, within the noise estimate; their depth."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckks_cases import SWITCHING, TINY, check, coins, numbers
from crypsis import ckks
from crypsis._ckks import polynomials
from crypsis.errors import LevelError, MissingKey

LONG = ckks.Literal(8, (55,) + (40,) * 7, (55, 55), 40, dnum=4)
"""Depth 7, insecure."""


@cache
def key(literal: ckks.Literal = LONG) -> tuple[ckks.SecretKey, ckks.PublicKey]:
    secret = ckks.SecretKey(ckks.Parameters.of(literal, insecure_allow_weak=True), bytes(32))
    return secret, secret.public_key(relinearise=True)


def encrypted(values: Any, *, magnitude: float = 1, literal: ckks.Literal = LONG) -> ckks.CkksArray:
    secret, public = key(literal)
    return secret.encrypt(values, magnitude=magnitude, keys=public, coins=coins(7))


@pytest.mark.parametrize("degree", range(32))
def test_degrees(degree: int) -> None:
    secret, _ = key()
    x = numbers(2, 100)
    coefficients = np.random.default_rng(degree).uniform(-1, 1, degree + 1)
    coefficients[-1] = 0.75
    array = encrypted(x)
    found = array.polynomial(coefficients)
    check(secret, found, np.polynomial.polynomial.polyval(x, coefficients))
    assert array.level - found.level == math.ceil(math.log2(degree + 1))
    assert ckks.depth_of(coefficients) == array.level - found.level
    assert found.canonical
    series = ckks.Series(coefficients)
    found = array.polynomial(series)
    check(secret, found, np.polynomial.chebyshev.chebval(x, coefficients))
    assert array.level - found.level == math.ceil(math.log2(degree + 1)) == series.depth
    assert found.canonical


@settings(max_examples=30)
@given(
    coefficients=st.lists(st.sampled_from([0.0, 0.0, 1.0, -0.5, 2.25, 1e-20]), min_size=1, max_size=40),
    chebyshev=st.booleans(),
    level=st.integers(6, 7),
)
def test_sparse(coefficients: list[float], chebyshev: bool, level: int) -> None:
    secret, _ = key()
    x = numbers(50)
    array = encrypted(x).at_level(level)
    polynomial: Any = ckks.Series(coefficients) if chebyshev else coefficients
    found = array.polynomial(polynomial)
    value = np.polynomial.chebyshev.chebval if chebyshev else np.polynomial.polynomial.polyval
    check(secret, found, value(x, np.array(coefficients)))
    assert array.level - found.level == ckks.depth_of(polynomial)


@pytest.mark.parametrize("literal", SWITCHING)
def test_other_parameters(literal: ckks.Literal) -> None:
    secret, _ = key(literal)
    x = numbers(3, 512)
    array = encrypted(x, literal=literal)
    depth = array.depth
    coefficients = numbers(2**depth, seed=1)
    found = array.polynomial(coefficients)
    check(secret, found, np.polynomial.polynomial.polyval(x, coefficients))
    assert found.depth == 0


def test_complex_numbers_and_unused_slots() -> None:
    secret, _ = key()
    x = numbers(30, complex=True)
    found = encrypted(x).polynomial([0.5, -1, 0.25, 2])
    check(secret, found, 0.5 - x + 0.25 * x**2 + 2 * x**3)
    rest = secret.decrypt(found.with_length(128))[30:]
    assert np.abs(rest).max() < found.estimate.bound
    even = encrypted(x.real).polynomial(ckks.Series([0.25, 0, 0, 0, 0.5, 0, 1]))
    assert np.abs(secret.decrypt(even.with_length(128))[30:]).max() < even.estimate.bound


def test_no_ciphertexts() -> None:
    secret, _ = key()
    found = encrypted(np.zeros((0, 5))).polynomial([1, 2, 3, 4])
    assert secret.decrypt(found).shape == (0, 5)


def test_large_values_and_small_coefficients() -> None:
    """x^7 of 2^20 with coefficients of 2^-20 keeps the precision that the scale has room for."""
    secret, _ = key()
    x = 8 * numbers(100)
    coefficients = [1, 1 / 2, 1 / 6, 1 / 24, 0, 0, 0, 8.0**-7]
    check(
        secret,
        encrypted(x, magnitude=8).polynomial(coefficients),
        np.polynomial.polynomial.polyval(x, coefficients),
    )


@pytest.mark.parametrize("interval", [(-1.0, 1.0), (-8.0, 8.0), (1.0, 5.0), (-0.25, 0.75)])
@pytest.mark.parametrize("degree", [1, 3, 8, 15])
def test_chebyshev(interval: tuple[float, float], degree: int) -> None:
    secret, _ = key()

    def function(x: Any) -> Any:
        return np.sin(x + 0.3)  # neither even nor odd

    series = ckks.chebyshev(function, degree, interval)
    low, high = interval
    x = np.append(low + (high - low) * (numbers(98) + 1) / 2, interval)
    assert np.abs(series(x) - function(x)).max() <= series.max_error * 1.01 + 1e-12
    array = encrypted(x, magnitude=max(-low, high))
    found = array.polynomial(series)
    check(secret, found, series(x))
    assert array.level - found.level == series.depth
    assert series.depth == (series.degree).bit_length() + (interval != (-1, 1))


def test_chebyshev_converges() -> None:
    assert ckks.chebyshev(np.exp, 16).max_error < 1e-14
    assert ckks.chebyshev(np.exp, 0, (0, 1)).max_error < 1.1
    errors = [ckks.sigmoid_series(degree).max_error for degree in (3, 7, 15, 31)]
    assert errors == sorted(errors, reverse=True)
    for degree, interval, error in SIGMOID:
        assert ckks.sigmoid_series(degree, interval).max_error == pytest.approx(error, rel=0.05)


SIGMOID: list[tuple[int, tuple[float, float], float]] = [
    (3, (-4, 4), 0.035),
    (3, (-8, 8), 0.12),
    (7, (-4, 4), 0.002),
    (7, (-8, 8), 0.03),
    (15, (-8, 8), 0.0014),
    (15, (-16, 16), 0.028),
    (31, (-16, 16), 0.0012),
]
"""docs/ckks.md's table."""


def test_sigmoid() -> None:
    secret, _ = key()
    x = 8 * numbers(3, 100)
    series = ckks.sigmoid_series()
    found = encrypted(x, magnitude=8).sigmoid()
    check(secret, found, series(x))
    assert (
        np.abs(secret.decrypt(found) - 1 / (1 + np.exp(-x))).max() < series.max_error + found.estimate.bound
    )
    assert found.level == key()[0].parameters.top - 4
    check(secret, encrypted(x / 8).sigmoid(3, (-1, 1)), ckks.sigmoid_series(3, (-1, 1))(x / 8))


def test_few_products() -> None:
    """Products of ciphertexts of dense polynomials; docs/ckks.md."""

    def products(coefficients: Any, chebyshev: bool = False) -> int:
        array = encrypted(numbers(3))
        found = np.asarray(coefficients, float)
        level = array.level - (len(found) - 1).bit_length() + 1
        evaluation = polynomials._Evaluation(array, found, level, chebyshev)
        return evaluation._count(found, level, evaluation.size)

    assert products([0, 1]) == 0
    assert products([0, 0, 1]) == 1
    assert products([1] * 4) == 2
    assert products([1] * 8) == 5
    assert products([1] * 16) == 8
    assert products([1] * 32) == 13
    assert products([0] * 16 + [1]) == 4


def test_errors() -> None:
    _, public = key()
    array = encrypted(numbers(5))
    with pytest.raises(LevelError, match=r"takes 3 levels, the ciphertext has level 2.* 2 left"):
        array.at_level(2).polynomial([0, 0, 0, 0, 1])
    with pytest.raises(LevelError, match="takes 3 levels"):
        array.at_level(2).sigmoid(3)
    for bad, error, message in (
        ([], ValueError, "0 coefficients"),
        (np.ones(1025), ValueError, "1025 coefficients"),
        ([1, math.nan], ValueError, "coefficient 1 is nan"),
        ([1j], TypeError, "real numbers"),
        (["a"], TypeError, "real numbers"),
        (3.0, TypeError, "real numbers"),
        ([[1.0]], TypeError, "real numbers"),
        ([0, 1e300], ValueError, "coefficients go up to"),
    ):
        with pytest.raises(error, match=message):
            array.polynomial(bad)
    with pytest.raises(TypeError, match="packed"):
        public.encrypt(numbers(5), packed=True).polynomial([0, 1])
    with pytest.raises(ValueError, match="relinearised"):
        array.multiply(array, relinearise=False).polynomial([0, 1])
    with pytest.raises(ValueError, match=r"rescale\(\)"):
        array.multiply(array, rescale=False).polynomial([0, 1])
    secret, _ = key(TINY)
    without = secret.public_key(relinearise=False)
    with pytest.raises(MissingKey, match="relinearise=True"):
        secret.encrypt(numbers(5), keys=without, magnitude=1).polynomial([0, 0, 1])
    for options, error, message in (
        ({"degree": -1}, ValueError, "degree"),
        ({"degree": 1024}, ValueError, "degree"),
        ({"interval": (1, 1)}, ValueError, "interval"),
        ({"interval": (0, math.inf)}, ValueError, "interval"),
        ({"interval": 3}, TypeError, "interval"),
        ({"function": lambda x: x[:1]}, ValueError, "element by element"),
        (
            {"function": lambda x: x / 0.0 if False else np.full_like(x, np.nan)},
            ValueError,
            "function is nan",
        ),
    ):
        with pytest.raises(error, match=message):
            ckks.chebyshev(**{"function": np.exp, "degree": 3, **options})  # type: ignore[arg-type]
    assert "degree 3" in repr(ckks.sigmoid_series(3))
