# SPDX-License-Identifier: Apache-2.0
"""Shares mod 2^128 against Python's integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import learning_linear as reference

from crypsis.mpc.learning.linear import ring128

EDGES = [0, 1, 2**32 - 1, 2**64 - 1, 2**64, 2**127 - 1, 2**127, 2**128 - 1, 2**128 - 2**64]
numbers = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**128 - 1))
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=9)


def rows(values):
    return np.stack([ring128.from_int(value) for value in values])


def ints(array):
    return [low | high << 64 for low, high in array.tolist()]


@given(pairs)
def test_arithmetic(both):
    a, b = (list(side) for side in zip(*both, strict=True))
    x, y = rows(a), rows(b)
    assert ints(x) == a
    assert ints(ring128.add(x, y)) == [(p + q) % 2**128 for p, q in both]
    assert ints(ring128.subtract(x, y)) == [(p - q) % 2**128 for p, q in both]
    assert ints(ring128.multiply(x, y)) == [p * q % 2**128 for p, q in both]
    assert ints(ring128.negate(x)) == [-p % 2**128 for p in a]
    assert ints(ring128.shift_left(x, 77)) == [p << 77 & (2**128 - 1) for p in a]
    assert ring128.to_ints(x) == [reference.signed(p) for p in a]
    assert ints(ring128.from_ints(ring128.to_ints(x))) == a


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.data())
def test_products_with_matrices(m, d, data):
    entry = st.one_of(st.sampled_from([-(2**15), 2**15 - 1, 0]), st.integers(-(2**15), 2**15 - 1))
    matrix = data.draw(st.lists(st.lists(entry, min_size=d, max_size=d), min_size=m, max_size=m))
    vector = data.draw(st.lists(numbers, min_size=d, max_size=d))
    column = data.draw(st.lists(numbers, min_size=m, max_size=m))
    array = np.array(matrix, dtype=np.int16)
    assert ints(ring128.matrix_vector(array, rows(vector))) == reference.matrix_vector(matrix, vector)
    turned = [list(row) for row in zip(*matrix, strict=True)]
    assert ints(ring128.transposed_vector(array, rows(column))) == reference.matrix_vector(turned, column)


def test_long_and_wide_products_of_the_largest_numbers():
    tall = np.full((10_000, 1), -(2**15), dtype=np.int16)
    ones = rows([2**128 - 1] * 10_000)
    assert ints(ring128.transposed_vector(tall, ones)) == [2**15 * 10_000]
    wide = np.full((1, ring128.MAX_COLUMNS), -(2**15), dtype=np.int16)
    product = ring128.matrix_vector(wide, rows([2**127 - 1] * ring128.MAX_COLUMNS))
    assert ints(product) == [-(2**15) * ring128.MAX_COLUMNS * (2**127 - 1) % 2**128]
    with pytest.raises(ValueError, match="8193 columns"):
        ring128.matrix_vector(np.zeros((1, 8193), np.int16), ring128.zeros(8193))


@given(st.integers(-(2**80), 2**80), numbers, st.integers(1, 120))
def test_truncation_of_shares_is_off_by_at_most_one(value, mask, bits):
    a, b = rows([mask]), rows([(value - mask) % 2**128])
    total = ring128.add(ring128.truncate(a, bits, 0), ring128.truncate(b, bits, 1))
    found = ring128.to_ints(total)[0]
    wraps = not 2**81 < mask < 2**128 - 2**81  # what a uniform share hits with probability 2^-46
    assert wraps or found - (value >> bits) in (0, 1)


@given(st.lists(st.floats(-(2.0**60), 2.0**60), min_size=1, max_size=5), st.integers(0, 60))
def test_fixed_point(values, bits):
    found = ring128.to_ints(ring128.encode(values, bits))
    assert found == [round(float(np.ldexp(value, bits))) for value in values]
    again = ring128.decode(ring128.encode(values, bits), bits)
    np.testing.assert_allclose(again, values, rtol=2**-52, atol=2.0 ** -(bits + 1))


@pytest.mark.parametrize("value", [2.0**100, -(2.0**100), float("nan"), float("inf")])
def test_what_does_not_fit_is_refused(value):
    with pytest.raises(ValueError, match="does not fit with 28 bits"):
        ring128.encode([value], 28)


def test_uniform_numbers_fill_both_limbs():
    drawn = ring128.uniform(4096)
    bits = np.unpackbits(drawn.view(np.uint8), axis=1)
    assert drawn.shape == (4096, 2)
    assert (np.abs(bits.mean(axis=0) - 0.5) < 0.05).all()  # 6.4 standard deviations
