# SPDX-License-Identifier: Apache-2.0
"""embedding: values that have no encoding, extreme ones that do, memory, shapes, wrong arguments."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from crypsis import backends, embedding
from crypsis.errors import BackendUnavailable
from embedding_cases import PRIMES, Moduli, random_reals, random_slots
from reference import embedding as reference

BACKENDS = backends.runnable("embedding")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
BASIS = Moduli(6, PRIMES[:3])
SLOTS = random_slots("inputs", 4, 32)


# Values


@every_backend
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**1000, -(2.0**1001)])
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_values_that_are_no_numbers(backend: str, bad: float, kind: str) -> None:
    values = SLOTS.copy() if kind == "complex" else SLOTS.real.copy()
    for place in ((0, 0), (2, 17), (3, 31)):
        wrong = values.copy()
        wrong[place] = bad if kind == "real" else complex(0.5, bad)
        at = place[0] * 32 + place[1]
        number = at if kind == "real" else 2 * at + 1
        out = np.full((4, 3, 64), 7, np.uint64)
        with pytest.raises(ValueError, match=f"slots are not all numbers .*: number {number} of") as caught:
            embedding.encode(wrong, 2.0**30, BASIS, out=out, backend=backend)
        assert "\n" not in str(caught.value)
        assert np.all(out == 7)
        with pytest.raises(ValueError, match="slots are not all"):
            embedding.to_coefficients(wrong, 6, backend=backend)


@every_backend
@pytest.mark.parametrize("bad", [np.nan, np.inf, 2.0**1000])
def test_coefficients_that_are_no_numbers(backend: str, bad: float) -> None:
    values = random_reals("inputs", 3, 64)
    values[1, 5] = bad
    with pytest.raises(ValueError, match=r"coefficients are not all numbers .* number 69 of 192"):
        embedding.decode(values, 1.0, backend=backend)
    out = np.full((3, 3, 64), 7, np.uint64)
    with pytest.raises(ValueError, match="coefficients are not all numbers"):
        embedding.to_residues(values, BASIS, out=out, backend=backend)
    assert np.all(out == 7)


@every_backend
def test_coefficients_beyond_half_the_product(backend: str) -> None:
    p = PRIMES[7]  # below 2^30
    small = Moduli(6, (p,))
    out = np.full((1, 1, 64), 7, np.uint64)
    constant = np.zeros((1, 32)) + 1.0
    for scale in (2.0**28.9, p / 2 - 1):
        right = embedding.encode(constant, scale, small, backend=backend)[0, 0]
        assert int(right[0]) == round(scale)
        assert not right[1:].any()
    for scale in (2.0**29, 2.0**60, 2.0**63, 2.0**999):
        with pytest.raises(ValueError, match="half the primes' product or more: lower the scale") as caught:
            embedding.encode(constant, scale, small, out=out, backend=backend)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"times the scale is 2\^1000 or more"):
        embedding.encode(8 * constant, 2.0**998, small, backend=backend)
    assert np.all(out == 7)
    # Slots may be larger than that if the coefficients are not: one of 32 slots, scaled to just above the product.
    one = np.zeros(32)
    one[3] = 1.0
    scale = 2.0 * p
    found = embedding.encode(one, scale, small, backend=backend)[0]
    expected = reference.to_residues([scale * c for c in reference.to_coefficients(one.tolist(), 64)], (p,))
    assert found.tolist() == expected[0]


@every_backend
def test_zeros_subnormals_and_signs(backend: str) -> None:
    basis = Moduli(7, PRIMES)
    for value in (0.0, -0.0, 5e-324, -1e-310, 0.25, -0.25):
        words = embedding.to_residues(np.full(128, value), basis, backend=backend)
        assert not words.any()
    assert not embedding.encode(np.full(64, 5e-324), 2.0**40, basis, backend=backend).any()
    words = embedding.to_residues(np.full(128, -1.0), basis, backend=backend)
    assert np.array_equal(words, np.array(PRIMES, np.uint64)[:, None] - 1 + np.zeros((1, 128), np.uint64))


@every_backend
def test_the_ends_of_the_range_of_doubles(backend: str) -> None:
    huge = np.full(64, 1.9 * 2.0**998)
    back = embedding.decode(embedding.to_coefficients(huge, 7, backend=backend), 1.0, backend=backend)
    assert np.all(np.abs(back / 1.9 / 2.0**998 - 1) < 1e-14)
    tiny = embedding.to_coefficients(huge, 7, scale=2.0**-1000, backend=backend)
    assert abs(tiny[0] / 0.475 - 1) < 1e-14
    with pytest.raises(ValueError, match=r"times the scale is 2\^1000"):
        embedding.decode(np.full(128, 2.0**600), 2.0**-500, backend=backend)


# Memory and shapes


@every_backend
def test_unaligned_memory(backend: str) -> None:
    expected = embedding.encode(SLOTS, 2.0**30, BASIS, backend=backend)
    raw = np.zeros(SLOTS.nbytes + 16, np.uint8)
    for shift in (1, 8):
        moved = raw[shift : shift + SLOTS.nbytes].view(np.complex128).reshape(SLOTS.shape)
        moved[...] = SLOTS
        assert np.array_equal(embedding.encode(moved, 2.0**30, BASIS, backend=backend), expected)


def test_inputs_of_any_order() -> None:
    expected = embedding.encode(SLOTS, 2.0**30, BASIS)
    for view in (np.asfortranarray(SLOTS), np.repeat(SLOTS, 2, axis=1)[:, ::2], SLOTS[::-1][::-1]):
        assert np.array_equal(embedding.encode(view, 2.0**30, BASIS), expected)
    coefficients = embedding.to_coefficients(SLOTS, 6)
    assert np.array_equal(
        embedding.decode(np.asfortranarray(coefficients), 1.0), embedding.decode(coefficients, 1.0)
    )


def test_shapes() -> None:
    for batch in ((), (1,), (0,), (2, 0), (3, 2)):
        slots = np.zeros((*batch, 5))
        assert embedding.encode(slots, 1.0, BASIS).shape == (*batch, 3, 64)
        coefficients = embedding.to_coefficients(slots, 6)
        assert coefficients.shape == (*batch, 64)
        assert embedding.decode(coefficients, 1.0).shape == (*batch, 32)
        assert embedding.to_residues(coefficients, BASIS).shape == (*batch, 3, 64)
    assert not embedding.encode(np.zeros((2, 0)), 1.0, BASIS).any()


def test_out_is_written_and_returned() -> None:
    words = np.empty((4, 3, 64), np.uint64)
    assert embedding.encode(SLOTS, 2.0**30, BASIS, out=words) is words
    coefficients = np.empty((4, 64))
    assert embedding.to_coefficients(SLOTS, 6, out=coefficients) is coefficients
    slots = np.empty((4, 32), np.complex128)
    assert embedding.decode(coefficients, 1.0, out=slots) is slots
    assert np.array_equal(slots, embedding.decode(coefficients, 1.0))
    with pytest.raises(ValueError, match="out overlaps the input"):
        embedding.decode(coefficients, 1.0, out=coefficients.view(np.complex128))
    with pytest.raises(ValueError, match="out has shape"):
        embedding.encode(SLOTS, 1.0, BASIS, out=words[:3])
    with pytest.raises(TypeError, match="NumPy array of uint64"):
        embedding.encode(SLOTS, 1.0, BASIS, out=words.view(np.int64))
    words.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        embedding.encode(SLOTS, 1.0, BASIS, out=words)


# Arguments


def test_scales() -> None:
    expected = embedding.encode(SLOTS, 2.0**30, BASIS)
    for scale in (2**30, Fraction(2**31, 2), np.float64(2**30), np.int64(2**30)):
        assert np.array_equal(embedding.encode(SLOTS, scale, BASIS), expected)
    for scale in (0, -1.0, np.nan, np.inf, 2.0**1001, 2**5000, Fraction(1, 2**1001)):
        with pytest.raises(ValueError, match=r"scale is .*: give a number from"):
            embedding.encode(SLOTS, scale, BASIS)
    for scale in ("1", None, True, 1j):
        with pytest.raises(TypeError, match="scale is"):
            embedding.decode(np.zeros(64), scale)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: embedding.encode(np.zeros(33), 1.0, BASIS), ValueError, "33 values: .* 32 slots; split it"),
        (lambda: embedding.encode(np.zeros(3, np.float32), 1.0, BASIS), TypeError, "float64 or complex128"),
        (lambda: embedding.encode([1.0], 1.0, BASIS), TypeError, "slots is list"),
        (lambda: embedding.encode(np.float64(1.0), 1.0, BASIS), TypeError, "slots is"),
        (lambda: embedding.encode(np.array(1.0), 1.0, BASIS), ValueError, "no axis"),
        (lambda: embedding.encode(np.zeros(3), 1.0, PRIMES), TypeError, "give an ntt.Basis"),
        (lambda: embedding.encode(np.zeros(3), 1.0, Moduli(18, PRIMES)), ValueError, "log_n is 18"),
        (lambda: embedding.encode(np.zeros(1), 1.0, Moduli(1, PRIMES)), ValueError, "log_n is 1"),
        (lambda: embedding.encode(np.zeros(3), 1.0, Moduli(6, ())), ValueError, "no primes"),
        (lambda: embedding.encode(np.zeros(3), 1.0, Moduli(6, (2**60 + 33,))), ValueError, "out of range"),
        (lambda: embedding.encode(np.zeros(3), 1.0, Moduli(6, (2**20 - 3,))), ValueError, "out of range"),
        (lambda: embedding.to_coefficients(np.zeros(3), 2), ValueError, "3 values: .* 2 slots"),
        (lambda: embedding.to_residues(np.zeros(32), BASIS), ValueError, "the basis is for 64"),
        (lambda: embedding.to_residues(np.zeros(63), BASIS), ValueError, "power of two"),
        (lambda: embedding.decode(np.zeros(2), 1.0), ValueError, "power of two"),
        (lambda: embedding.decode(np.zeros(()), 1.0), ValueError, "power of two"),
        (lambda: embedding.decode(np.zeros((3, 0)), 1.0), ValueError, "power of two"),
        (lambda: embedding.decode(np.zeros(1 << 18), 1.0), ValueError, "power of two"),
        (lambda: embedding.decode(np.zeros(64, np.complex128), 1.0), TypeError, "float64"),
        (lambda: embedding.decode(np.zeros(64), 1.0, backend="sse9"), BackendUnavailable, "sse9"),
        (lambda: embedding.decode(np.zeros(64), 1.0, threads=0), ValueError, "threads is 0"),
    ],
)
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
