# SPDX-License-Identifier: Apache-2.0
"""The noise that ciphertexts have, against the estimate that goes with them; the flooding of shared results."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ckks_cases import SWITCHING, TINY, WIDE, coins, numbers, parameters, public_key, secret_key
from crypsis import ckks
from crypsis._ckks import noise, sharing
from crypsis.errors import PrecisionError


def deviation(secret: ckks.SecretKey, array: ckks.CkksArray, expected: np.ndarray) -> float:
    """Root mean square of the slots' error."""
    error = secret.decrypt(array, complex=True) - expected
    return float(np.sqrt(np.mean(np.abs(error) ** 2)))


def check(
    secret: ckks.SecretKey, array: ckks.CkksArray, expected: np.ndarray, *, tight: float = 1.25
) -> None:
    """The estimate holds and is no more than `tight` times too large. 16 ciphertexts make it sure to a few percent."""
    measured = deviation(secret, array, expected)
    assert array.estimate is not None
    assert measured <= 1.1 * array.estimate.error, (measured, array.estimate)
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
    check(secret, cy.rotate(1), np.roll(y, -1, axis=1), tight=1.6)
    check(secret, cy.conjugate(), y.conj(), tight=1.6)
    check(secret, cx + public.encrypt(y, magnitude=1), x + y, tight=1.6)
    check(secret, cx * y, x * y, tight=1.8)
    check(secret, cx * cx, x * x, tight=2.5)
    check(secret, cx * public.encrypt(y, magnitude=1), x * y, tight=2.5)


@pytest.mark.parametrize("literal", SWITCHING)
def test_noise_grows_as_estimated(literal: ckks.Literal) -> None:
    secret, public = secret_key(literal), public_key(literal)
    x = 0.9999999 * np.exp(1j * numbers(8, 512) * math.pi)
    array, values = public.encrypt(x, magnitude=1), x
    while array.depth:
        array, values = array * array, values * values
        check(secret, array, values, tight=4)


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


def test_gaussian_noise() -> None:
    drawn = sharing.gaussian((64, 4096), 2.0**40, coins(3)) / 2.0**40
    n = drawn.size
    assert drawn.mean() == pytest.approx(0, abs=5 / math.sqrt(n))
    assert drawn.std() == pytest.approx(1, abs=5 / math.sqrt(2 * n))
    assert (np.abs(drawn) > 2).mean() == pytest.approx(math.erfc(2 / math.sqrt(2)), rel=0.1)
    assert np.abs(drawn).max() < 9.6
    assert not np.array_equal(drawn[0], drawn[1])


def test_share_safe_floods_by_the_formula() -> None:
    secret, public = secret_key(WIDE), public_key(WIDE)
    x = numbers(16, 512)
    array = public.encrypt(x, magnitude=1)
    own = parameters(WIDE)
    sigma = math.sqrt(12 * 1024) * 2.0**20 * 2 * noise.fresh_error(own, public=True)
    assert sharing.flood_deviation(array, None, 1024) == pytest.approx(sigma)
    exact, shared = secret.decrypt(array, complex=True), secret.decrypt(array, share_safe=True, complex=True)
    expected = sigma * math.sqrt(own.n) / array.scale
    assert np.sqrt(np.mean(np.abs(shared - exact) ** 2)) == pytest.approx(expected, rel=0.1)
    again = secret.decrypt(array, share_safe=True)
    assert not np.array_equal(again, shared.real)
    one = secret.decrypt(array, share_safe=True, queries=16, complex=True)
    assert np.sqrt(np.mean(np.abs(one - exact) ** 2)) == pytest.approx(expected / 8, rel=0.1)
    packed = public.encrypt(x, packed=True, magnitude=1)
    assert np.abs(secret.decrypt(packed, share_safe=True) - x).max() < 6 * expected


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


@pytest.mark.parametrize("log_deviation", [30, 41, 50, 54, 58])
def test_flooding_noise_hides_the_last_bits(log_deviation: int) -> None:
    """Every residue modulo 2^9 comes equally often, also where doubles have gaps."""
    noise = sharing.gaussian((1 << 17,), 2.0**log_deviation, coins(2))
    counts = np.bincount(noise & 511, minlength=512)
    assert (np.abs(counts - 256) < 7 * 16).all(), (counts.min(), counts.max())
    assert noise.std() == pytest.approx(2.0**log_deviation, rel=0.02)
    assert abs(noise.mean()) < 5 * 2.0**log_deviation / 2**8.5


def test_share_safe_says_when_the_noise_is_larger_than_any_it_has() -> None:
    """Values would be left, a larger scale would not help."""
    array = secret_key(WIDE).encrypt(numbers(4), magnitude=1, coins=coins(1))
    with pytest.raises(PrecisionError, match=r"more than 2\^58"):
        sharing.flood_deviation(array, None, 1 << 60)
