# SPDX-License-Identifier: Apache-2.0
"""Encodings and exponents are bit for bit those of python-paillier."""

from __future__ import annotations

import math
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crypsis.compat.phe as ours

BASES = {"16": {}, "2": {"BASE": 2, "LOG2_BASE": 1.0}, "10": {"BASE": 10, "LOG2_BASE": math.log2(10)},
         "64": {"BASE": 64, "LOG2_BASE": 6.0}}  # fmt: skip

numbers = st.one_of(
    st.integers(-(2**80), 2**80),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e6, 1e6),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1.7e308, 2.0**-1022, True, False, 0.5, 1.0, 16.0, 1 / 16]),
)
precisions = st.one_of(
    st.none(),
    st.floats(1e-30, 1e30),
    st.integers(1, 10**20),
    st.sampled_from([16.0**k for k in range(-9, 9)] + [10.0**k for k in range(-9, 9)] + [1, 16, 256, 4096]),
)
limits = st.one_of(st.none(), st.integers(-60, 20))


def encode(module: ModuleType, n: int, base: str, *arguments: Any) -> Any:
    kind = type("Encoded", (module.EncodedNumber,), BASES[base])
    try:
        encoded = kind.encode(module.PaillierPublicKey(n), *arguments)
    except Exception as error:
        return type(error).__name__
    assert type(encoded) is kind
    try:
        decoded = encoded.decode()
    except OverflowError:
        return encoded.encoding, encoded.exponent, "overflow"
    return encoded.encoding, encoded.exponent, type(decoded), str(decoded), type(encoded.exponent)


@given(numbers, precisions, limits, st.sampled_from(sorted(BASES)))
@settings(max_examples=400)
def test_the_same_encoding(
    our_side: Any, their_side: Any, value: float, precision: Any, limit: Any, base: str
) -> None:
    n = our_side.public.n
    assert encode(ours, n, base, value, precision, limit) == encode(
        their_side.phe, n, base, value, precision, limit
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None, 1j, [1], b"1", np.float32(1.5),
                                   np.float64(1.5), np.int64(1), np.True_, np.array(1), np.longdouble(1)])  # fmt: skip
@pytest.mark.parametrize("precision", [None, 0.5, 0, -1, math.nan, math.inf, "a", 1e-320])
def test_the_same_refusals(our_side: Any, their_side: Any, value: Any, precision: Any) -> None:
    n = our_side.public.n
    assert encode(ours, n, "16", value, precision) == encode(their_side.phe, n, "16", value, precision)


def decode(module: ModuleType, n: int, encoding: Any, exponent: Any) -> Any:
    try:
        value = module.EncodedNumber(module.PaillierPublicKey(n), encoding, exponent).decode()
    except Exception as error:
        return type(error).__name__
    return type(value), str(value) if isinstance(value, float) else value


@given(st.integers(0, 8), st.integers(-5, 5), st.integers(-700, 40))
@settings(max_examples=200)
def test_the_same_decoding(our_side: Any, their_side: Any, place: int, offset: int, exponent: int) -> None:
    n, most = our_side.public.n, our_side.public.max_int
    start = [0, 1, most, n - most, n, n // 2, 2**300, n - 2**300, n - 1][place]
    expected = decode(their_side.phe, n, start + offset, exponent)
    assert decode(ours, n, start + offset, exponent) == expected


def test_a_long_mantissa_is_too_large_for_a_float(their_side: Any) -> None:
    n = (1 << 2047) + 1
    for exponent in (-1, -300, -400):
        assert decode(ours, n, 1 << 1500, exponent) == decode(their_side.phe, n, 1 << 1500, exponent)


@given(st.integers(-(2**60), 2**60), st.integers(-200, 0))
def test_the_same_decrease(our_side: Any, their_side: Any, value: int, exponent: int) -> None:
    seen = []
    for side in (our_side, their_side):
        lower = side.phe.EncodedNumber.encode(side.public, value).decrease_exponent_to(exponent)
        seen.append((lower.encoding, lower.exponent))
    assert seen[0] == seen[1]


def test_exponents_do_not_increase(our_side: Any) -> None:
    with pytest.raises(ValueError, match="only decrease"):
        our_side.phe.EncodedNumber.encode(our_side.public, 1).decrease_exponent_to(1)


def test_attributes(our_side: Any, their_side: Any) -> None:
    for name in ("BASE", "LOG2_BASE", "FLOAT_MANTISSA_BITS"):
        assert getattr(ours.EncodedNumber, name) == getattr(their_side.phe.EncodedNumber, name)
    encoded: SimpleNamespace = ours.EncodedNumber.encode(our_side.public, 2.5)
    assert (encoded.public_key, encoded.exponent) == (our_side.public, -13)
