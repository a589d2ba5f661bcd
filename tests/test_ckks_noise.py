# SPDX-License-Identifier: Apache-2.0
"""The noise that ciphertexts have, against the estimate that goes with them; the flooding of shared results."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ckks_cases import SWITCHING, TINY, WIDE, coins, numbers, parameters, public_key, secret_key
from crypsis import ckks, ntt, rns
from crypsis._ckks import noise, sharing
from crypsis.errors import PrecisionError


def deviation(secret: ckks.SecretKey, array: ckks.CkksArray, expected: np.ndarray) -> float:
    """Root mean square of the slots' error."""
    error = secret.decrypt(array, complex=True) - expected
    return float(np.sqrt(np.mean(np.abs(error) ** 2)))


def check(secret: ckks.SecretKey, array: ckks.CkksArray, expected: np.ndarray, *, tight: float = 1.1) -> None:
    """The estimate holds and is no more than `tight` times too large: docs/ckks.md says 0.95 to 1.1, 1.55 where two
    errors or more add up. 8 ciphertexts or more make it sure to a few percent."""
    measured = deviation(secret, array, expected)
    assert array.estimate is not None
    assert 0.95 * measured <= array.estimate.error, (measured, array.estimate)
    assert measured * tight >= array.estimate.error, (measured, array.estimate)


@pytest.mark.parametrize("literal", SWITCHING)
def test_estimates_of_single_operations(literal: ckks.Literal) -> None:
    secret, public = secret_key(literal), public_key(literal)
    x = 0.9999999 * np.exp(
        1j * numbers(16, 512) * math.pi
    )  # of magnitude 1 everywhere, which is what makes bounds tight
    y = 0.9999999 * np.exp(1j * numbers(16, 512, seed=1) * math.pi)
    cx, cy = public.encrypt(x, magnitude=1), secret.encrypt(y, magnitude=1, keys=public)
    check(secret, cx, x)
    check(secret, cy, y)
    check(secret, cy.rotate(1), np.roll(y, -1, axis=1), tight=1.55)
    check(secret, cy.conjugate(), y.conj(), tight=1.55)
    check(secret, cx + public.encrypt(y, magnitude=1), x + y, tight=1.55)
    check(secret, cx * y, x * y, tight=1.15)
    check(secret, cx * cx, x * x)
    check(secret, cx * cy, x * y, tight=1.15)
    check(secret, cx * public.encrypt(y, magnitude=1), x * y, tight=1.55)


@pytest.mark.parametrize("literal", SWITCHING)
def test_noise_grows_as_estimated(literal: ckks.Literal) -> None:
    secret, public = secret_key(literal), public_key(literal)
    x = 0.9999999 * np.exp(1j * numbers(8, 512) * math.pi)
    array, values = public.encrypt(x, magnitude=1), x
    while array.depth:
        array, values = array * array, values * values
        check(secret, array, values)


def test_sums_of_many() -> None:
    secret = secret_key(TINY)
    x = numbers(64, 512)
    array = secret.encrypt(x, magnitude=1)
    measured = deviation(secret, array.sum(), x.sum(0))
    assert measured < array.sum().estimate.error
    assert measured == pytest.approx(8 * array.estimate.error, rel=0.2)  # they are independent


def test_estimates_without_ciphertexts() -> None:
    """A shadow of a computation has the estimate of the ciphertexts."""
    public, own = public_key(TINY), parameters(TINY)
    fresh = ckks.Estimate.fresh(own, magnitude=1)
    array = public.encrypt(numbers(5), magnitude=1)
    assert fresh.error == array.estimate.error
    assert fresh.bound == 16 * fresh.error
    product = (array * array).estimate
    shadow = fresh.times(fresh).switched().rescaled(product.level, product.scale)
    assert (shadow.error, shadow.magnitude) == (product.error, product.magnitude)
    assert ckks.Estimate.fresh(own).magnitude == own.max_value
    assert "level 3" in repr(fresh)


def test_share_safe_floods_by_the_formula() -> None:
    """The statistical distance, by its formula from the estimate, is 2^-40 over `queries`; the noise is as wide."""
    secret, public = secret_key(WIDE), public_key(WIDE)
    x = numbers(16, 512)
    array = public.encrypt(x, magnitude=1)
    own = parameters(WIDE)
    norm = 2 * noise.fresh_error(own, public=True) * math.sqrt(1024)
    bits = sharing.flood_bits(array, None, 1024)
    distance = 0.8826 * norm / 2.0 ** (bits + 1)
    assert 2.0**-41 < distance < 1.0001 * 2.0**-40
    exact, shared = secret.decrypt(array, complex=True), secret.decrypt(array, share_safe=True, complex=True)
    expected = sharing.deviation_of(bits) * math.sqrt(own.n) / array.scale
    assert np.sqrt(np.mean(np.abs(shared - exact) ** 2)) == pytest.approx(expected, rel=0.1)
    again = secret.decrypt(array, share_safe=True)
    assert not np.array_equal(again, shared.real)
    one = secret.decrypt(array, share_safe=True, queries=16, complex=True)
    assert np.sqrt(np.mean(np.abs(one - exact) ** 2)) == pytest.approx(expected / 8, rel=0.1)
    packed = public.encrypt(x, packed=True, magnitude=1)
    assert np.abs(secret.decrypt(packed, share_safe=True) - x).max() < 6 * expected


def test_share_safe_has_room_in_the_preset() -> None:
    """SHARED, the default of 1,024 queries: a fresh ciphertext, and the sum of 100, as docs/ckks.md has them."""
    own = ckks.Parameters.of(ckks.SHARED)
    secret = ckks.SecretKey(own, bytes(32))
    public = secret.public_key()
    x = numbers(4096)
    fresh = public.encrypt(x, packed=True, magnitude=1)
    assert np.abs(secret.decrypt(fresh, share_safe=True) - x).max() < 2.0**-16
    total = fresh
    for _ in range(99):
        total = total + fresh  # worse than 100 of their own: their errors are one
    assert np.abs(secret.decrypt(total, share_safe=True) - 100 * x).max() < 2.0**-9


@pytest.mark.parametrize("literal", [ckks.AGGREGATE, ckks.SHALLOW])
def test_share_safe_refuses_presets_without_room(literal: ckks.Literal) -> None:
    secret = ckks.SecretKey(ckks.Parameters.of(literal), bytes(32))
    array = secret.encrypt([0.5], magnitude=1)
    with pytest.raises(
        PrecisionError, match=r"statistical distance of 2\^-40.* take parameters .* crypsis\.ckks\.SHARED"
    ):
        secret.decrypt(array, share_safe=True)


def test_share_safe_is_safe_at_a_small_scale() -> None:
    """The distance itself, of distributions: noise of b bits with and without errors of the norm that b is for."""
    for norm in (3.0, 10.0):
        bits = math.ceil(math.log2(norm * 0.8826)) + 4  # for a distance of 2^-5 in place of 2^-40
        width = 2 ** (bits + 1)
        one = np.full(width, 1 / width)
        p = np.convolve(np.convolve(one, one), np.convolve(one, one))
        shift = int(norm)
        moved = np.abs(np.concatenate([p, np.zeros(shift)]) - np.concatenate([np.zeros(shift), p])).sum() / 2
        assert moved < 0.8826 * norm / width <= 2.0**-5


def norm_of(secret: ckks.SecretKey, array: ckks.CkksArray, expected: np.ndarray) -> float:
    """Root mean square of a ciphertext's slots, the worst one: its error's norm over the scale."""
    error = np.abs(secret.decrypt(array, complex=True) - expected)
    return float(np.sqrt(np.mean(error**2, axis=-1)).max())


def test_estimates_hold_for_dependent_errors() -> None:
    """What average-case estimates get wrong: sums of one ciphertext with itself, products of dependent factors,
    differences, worst slots. The norm that the flooding takes is not exceeded."""
    secret, public = secret_key(TINY), public_key(TINY)
    x = 0.9999999 * np.exp(1j * numbers(8, 512, seed=5) * math.pi)
    one = public.encrypt(x, magnitude=1)
    total, many = one, x
    for _ in range(63):
        total, many = total + one, many + x
    square, both = one * one, one * one.conjugate()
    cases = [
        (total, many),
        (one * 64, 64 * x),
        (one + one.rotate(1) + one, 2 * x + np.roll(x, -1, axis=1)),
        (square + square + square, 3 * x * x),
        (square * one, x**3),
        ((one + one) * (one + one) * (one + one), 8 * x**3),
        (square * square, x**4),
        (both - both * 2, -x * x.conj()),
        (one.rotate_many([1, 2, 5]).sum(0), sum(np.roll(x, -k, axis=1) for k in (1, 2, 5))),
        ((one - one * 0.5) * 0.5, x / 4),
    ]
    for array, expected in cases:
        assert array.estimate is not None
        assert norm_of(secret, array, expected) < sharing.TAIL * array.estimate.error


def test_share_safe_refuses_what_would_be_noise_only() -> None:
    secret, public = secret_key(TINY), public_key(TINY)
    array = public.encrypt(numbers(5), magnitude=1)
    with pytest.raises(PrecisionError, match="larger log_scale"):
        secret.decrypt(array, share_safe=True)


def test_share_safe_needs_an_estimate_of_arrays_from_elsewhere() -> None:
    secret, public = secret_key(WIDE), public_key(WIDE)
    x = numbers(5)
    loaded = public.load(public.encrypt(x, magnitude=1).to_bytes())
    with pytest.raises(ValueError, match="estimate="):
        secret.decrypt(loaded, share_safe=True)
    fresh = ckks.Estimate.fresh(parameters(WIDE), magnitude=1)
    assert np.abs(secret.decrypt(loaded, share_safe=True, estimate=fresh) - x).max() < 2.0**-10
    with pytest.raises(ValueError, match="same operations"):
        secret.decrypt(loaded, share_safe=True, estimate=ckks.Estimate.fresh(parameters(TINY)))
    with pytest.raises(TypeError, match="Estimate"):
        secret.decrypt(loaded, share_safe=True, estimate=1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="queries"):
        secret.decrypt(loaded, share_safe=True, estimate=fresh, queries=0)


def test_share_safe_counts_every_ciphertext_of_an_array() -> None:
    """The noise is for `queries` ciphertexts: more of them in one call would be beyond the bound."""
    secret = secret_key(WIDE)
    array = secret.encrypt(np.zeros((3, 4)), magnitude=1, coins=coins(1))
    with pytest.raises(ValueError, match="3 ciphertexts, queries is 2"):
        secret.decrypt(array, share_safe=True, queries=2)
    assert secret.decrypt(array, share_safe=True, queries=3).shape == (3, 4)


@pytest.mark.parametrize("bits", [20, 41, 58, 70])
def test_flooding_noise_hides_the_last_bits(bits: int) -> None:
    """Every residue modulo 2^9 comes equally often: the noise is of integers, not of doubles."""
    own = parameters(WIDE)
    basis = own.basis(own.top)
    drawn = ntt.inverse(sharing.draw(bits, basis, coins(2), 128), basis)
    whole = np.array(rns.compose_ints(drawn, own.chain, own.top), object).reshape(-1)
    last = (whole & 511).astype(np.int64)
    counts = np.bincount(last, minlength=512)
    assert (np.abs(counts - 256) < 7 * 16).all(), (counts.min(), counts.max())
    numbers_ = whole.astype(np.float64)
    assert numbers_.std() == pytest.approx(sharing.deviation_of(bits), rel=0.02)
    assert abs(numbers_.mean()) < 5 * sharing.deviation_of(bits) / 2**8.5


def test_share_safe_of_nothing() -> None:
    """A product with 0 has no error and no values: nothing to show, and no logarithm of 0."""
    array = public_key(WIDE).encrypt(numbers(4), magnitude=1) * 0
    with pytest.raises(PrecisionError, match="values below 0"):
        secret_key(WIDE).decrypt(array, share_safe=True)
    assert np.abs(secret_key(WIDE).decrypt(array + 0.5, share_safe=True) - 0.5).max() < 2.0**-10


def test_share_safe_says_when_the_noise_is_larger_than_any_it_has() -> None:
    array = secret_key(WIDE).encrypt(numbers(4), magnitude=1, coins=coins(1))
    with pytest.raises(PrecisionError, match="or fewer queries"):
        sharing.flood_bits(array, None, 1 << 60)
