# SPDX-License-Identifier: Apache-2.0
"""Encodings: against the reference, against python-paillier, bounds, and exact decoding."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypsis._homomorphic import encoding
from crypsis._homomorphic.decoding import decode
from crypsis._homomorphic.encoding import Encoded, base16, encode_scalar, fixed_point
from reference import paillier as reference

EDGES = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    5e-324,
    -2.2250738585072014e-308,
    1.7976931348623157e308,
    2.0**53 + 2,
    1 / 3,
]
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, max_size=8))
def test_base16_is_exact_and_equals_the_reference(values: list[float]) -> None:
    values = EDGES + values
    encoded = base16().encode(np.array(values))
    pairs = list(zip(encoded.mantissas(), encoded.exponents().tolist(), strict=True))
    assert pairs == [reference.encode_float(v) for v in values]
    assert pairs == [encode_scalar(v) for v in values]
    assert (decode(encoded) == np.array(values)).all()


def test_base16_equals_python_paillier() -> None:
    phe = pytest.importorskip("phe", reason="the peer python-paillier is not installed: pip install phe")
    key = phe.PaillierPublicKey((2**521 - 1) * (2**607 - 1) * (2**1279 - 1))
    rng = np.random.default_rng(3)
    values = np.concatenate([EDGES, rng.normal(size=300) * 10.0 ** rng.integers(-300, 280, 300)])
    encoded = base16().encode(values)
    for value, mantissa, exponent in zip(
        values.tolist(), encoded.mantissas(), encoded.exponents().tolist(), strict=True
    ):
        theirs = phe.EncodedNumber.encode(key, value)
        assert (theirs.encoding, theirs.exponent) == (mantissa % key.n, exponent)
    for precision in (1e-6, 0.5, 16.0, 1e-3, 2.0**-52, 1.0, 100.0):
        for value in (3.14159, -2.5, 7, 1e10, -3, 0, 2**70):
            theirs = phe.EncodedNumber.encode(key, value, precision=precision)
            mantissa, exponent = encode_scalar(value, precision=precision)
            assert (theirs.encoding, theirs.exponent) == (mantissa % key.n, exponent)
            theirs = phe.EncodedNumber.encode(key, value, precision=precision, max_exponent=-20)
            mantissa, exponent = encode_scalar(value, precision=precision, max_exponent=-20)
            assert (theirs.encoding, theirs.exponent) == (mantissa % key.n, exponent)


@given(st.lists(finite, max_size=8), st.integers(-60, 0))
def test_one_exponent_rounds_to_the_nearest_multiple(values: list[float], exponent: int) -> None:
    values = EDGES + values
    encoded = base16(exponent).encode(np.array(values))
    assert encoded.exponent == exponent
    assert encoded.mantissas() == [round(Fraction(v) / Fraction(16) ** exponent) for v in values]


@given(st.lists(st.floats(-1e15, 1e15), max_size=8), st.sampled_from([2, 10, 10**6, 2**20, 2**62, 3**30]))
def test_fixed_point_rounds_to_the_nearest_multiple(values: list[float], scale: int) -> None:
    encoded = fixed_point(scale).encode(np.array(values))
    assert (encoded.exponent, encoded.base) == (-1, scale)
    assert encoded.mantissas() == [round(Fraction(v) * scale) for v in values]


@given(st.lists(st.integers(-(2**200), 2**200), max_size=8))
def test_integers_of_any_size(values: list[int]) -> None:
    for rule in (base16(), encoding.DEFAULT, fixed_point(1000)):
        encoded = rule.encode(np.array(values, dtype=object))
        assert encoded.mantissas() == values
        assert encoded.exponent == 0
        assert decode(encoded, object).tolist() == values


def test_integers_at_the_ends_of_their_types() -> None:
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint64"):
        info = np.iinfo(kind)
        values = np.array([info.min, info.max], dtype=kind)
        encoded = base16().encode(values)
        assert encoded.mantissas() == [info.min, info.max]
        assert (decode(encoded, kind) == values).all()


def test_python_numbers() -> None:
    mixed = np.array([1, 0.5, Fraction(1, 4), np.float32(2.5), 2**80], dtype=object)
    encoded = base16(-2).encode(mixed)
    assert encoded.mantissas() == [256, 128, 64, 640, 2**88]
    each = base16().encode(np.array([1, 0.5, 2**80], dtype=object))
    assert decode(each, object).tolist() == [1, 0.5, 2**80]
    halves = np.array([1, 0.5, Fraction(-1, 4), Fraction(7), Fraction(3, 2**60)], dtype=object)
    each = base16().encode(halves)
    assert decode(each, object).tolist() == halves.tolist()
    assert each.exponents().tolist()[1:4] == [reference.encode_float(v)[1] for v in (0.5, -0.25)] + [0]
    for fraction in (Fraction(1, 3), Fraction(10**400, 3)):
        with pytest.raises(ValueError, match=r"value 1 is .* use base16"):
            base16().encode(np.array([0.5, fraction], dtype=object))
    assert base16().encode(True).mantissas() == [1]
    assert base16().encode([]).size == 0


BIG, MINUS = np.uint64(2**63 + 1), np.int64(-1)


@pytest.mark.parametrize(
    "values",
    [
        [BIG, MINUS],
        [BIG, -1],
        [2**63 + 1, MINUS],
        np.array([BIG, MINUS], dtype=object),
        np.array([[BIG], [MINUS]], dtype=object),
        [np.array([BIG]), np.array([MINUS])],
        [BIG, MINUS, 0.5],
        [2**53 + 1, 0.25],
        np.array([BIG, MINUS, 0.5, Fraction(1, 4)], dtype=object),
        [2**70 + 1, MINUS, 0.5],
        [2**64 - 1, -(2**63)],
    ],
)
@pytest.mark.parametrize("encoding", [encoding.DEFAULT, fixed_point(4), base16()], ids=str)
def test_integers_of_several_types_are_exact(values: Any, encoding: Any) -> None:
    """NumPy has no integer type for both uint64 and int64: it would make floats of them."""
    wanted = [Fraction(item) for item in np.array(values, dtype=object).reshape(-1).tolist()]
    wanted = [Fraction(int(w)) if w.denominator == 1 else w for w in wanted]
    assert decode(encoding.encode(values), object).reshape(-1).tolist() == wanted


def test_wider_floats_in_object_arrays_are_refused() -> None:
    with pytest.raises(TypeError, match="cannot encode a longdouble"):
        base16(-5).encode(np.array([np.longdouble(1), 2], dtype=object))


def test_the_other_byte_order_and_masked_arrays() -> None:
    for kind in (">f8", ">f4", ">f2", ">i8", ">u2"):
        values = np.array([1, 0, 200], dtype=kind)[::-1]
        for rule in (base16(), base16(-3), fixed_point(10)):
            assert decode(rule.encode(values)).tolist() == values.tolist()
    with pytest.raises(TypeError, match="masked array"):
        base16().encode(np.ma.array([1, 2], mask=[False, True]))


def test_the_representation_shows_no_value() -> None:
    assert "987654321" not in repr(base16().encode([987654321]))


def test_alignment_is_exact() -> None:
    encoded = base16().encode(np.array([1e-9, -3.5, 1e9, 0.0]))
    lowest = int(encoded.exponents().min())
    aligned = encoded.align(lowest)
    assert aligned.exponent == lowest
    assert (decode(aligned) == decode(encoded)).all()
    each = encoded.align(encoded.exponents() - 2)
    assert (decode(each) == decode(encoded)).all()
    with pytest.raises(ValueError, match="loses digits"):
        encoded.align(0)


def test_decoding_rounds_once() -> None:
    wide = [2**53 + 1, 2**64 + 1, 2**120 + 2**67 + 1, 2**200 - 1]
    encoded = Encoded(base16().encode(wide).magnitude, np.array([False, True, False, True]), -9, 16, (4,))
    wanted = [s * float(Fraction(m, 16**9)) for s, m in zip((1, -1, 1, -1), wide, strict=True)]
    assert decode(encoded).tolist() == wanted
    with pytest.raises(OverflowError, match="value 3 is outside float32"):
        decode(encoded, np.float32)
    assert decode(base16().encode([0.5]), np.float32).dtype == np.float32
    exact = decode(encoded, object)
    assert exact.tolist() == [Fraction(s * m, 16**9) for s, m in zip((1, -1, 1, -1), wide, strict=True)]


def test_decoding_refuses() -> None:
    big = base16().encode([1, 2**63])
    with pytest.raises(OverflowError, match="value 1 is outside int64"):
        decode(big)
    with pytest.raises(OverflowError, match="value 0 is outside uint8"):
        decode(base16().encode([-1]), np.uint8)
    with pytest.raises(ValueError, match="float64 or object"):
        decode(base16().encode([0.5]), np.int64)
    with pytest.raises(TypeError, match="cannot decode"):
        decode(big, "U5")
    huge = Encoded(base16().encode([1]).magnitude, np.array([False]), 300, 16, (1,))
    with pytest.raises(OverflowError, match="value 0 is outside float64"):
        decode(huge)
    assert decode(huge, object)[0] == 16**300
    tiny = Encoded(base16().encode([1]).magnitude, np.array([True]), -400, 16, (1,))
    assert decode(tiny).tolist() == [0.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named(bad: float) -> None:
    for rule in (base16(), base16(-3), fixed_point(10)):
        for values in (np.array([[0.0, 1.0], [bad, 2.0]]), np.array([[0, 1], [bad, 2]], dtype=object)):
            with pytest.raises(ValueError, match=r"value \[1, 0\] is"):
                rule.encode(values)
        with pytest.raises(ValueError, match=r"value \[\] is"):
            rule.encode(bad)
    with pytest.raises(ValueError, match="cannot encode"):
        encode_scalar(bad)


@pytest.mark.parametrize(
    "bad", ["x", b"x", 1j, None, object(), np.array(["a"]), np.array(1, dtype="M8[s]"), {}]
)
def test_what_is_no_number_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot encode|have dtype"):
        base16().encode(bad)
    with pytest.raises(TypeError, match="cannot encode"):
        encode_scalar("1")


def test_conventions_that_are_refused() -> None:
    for wrong in (1, 0, -5, 2**63, 2.5):
        with pytest.raises(ValueError, match="base is"):
            fixed_point(wrong)
    for wrong in (1, 0.5, -(2**21)):
        with pytest.raises(ValueError, match="exponent is"):
            base16(wrong)
    with pytest.raises(ValueError, match="needs an exponent"):
        encoding.Encoding(10, None)
    for wrong in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="precision is"):
            base16(precision=wrong)
    with pytest.raises(ValueError, match="exclude each other"):
        base16(-3, precision=0.5)
    assert base16(precision=1e-6).exponent == -5
    assert base16(precision=100).exponent == 0
