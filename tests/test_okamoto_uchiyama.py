# SPDX-License-Identifier: Apache-2.0
"""Okamoto-Uchiyama: the reference, the range check and the attack it stops, keys that are refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import gcd

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import okamoto_uchiyama
from crypsis._homomorphic import limbs
from crypsis.errors import InvalidCiphertext
from homomorphic_keys import (
    HEX_OU,
    SMALL,
    okamoto_uchiyama_2048,
    okamoto_uchiyama_small,
    paillier_small,
)
from reference import paillier as reference

every_key = pytest.mark.parametrize("key", [okamoto_uchiyama_2048, okamoto_uchiyama_small])
Key = Callable[[], okamoto_uchiyama.PrivateKey]


@every_key
def test_encrypts_as_the_reference_does(key: Key) -> None:
    private = key()
    public, p = private.public_key, private._p.p
    top = public.max_int
    for values in ([0, 1, -1, 9], [2**40, -(2**40)], [2**64, -(2**100)], [top, -top, 5]):
        r = list(range(1000, 1000 + len(values)))
        factors = limbs.from_ints((pow(public.h, x, public.n) for x in r), public.modulus.limbs)
        wanted = [
            reference.encrypt_ou(public.n, public.g, public.h, m, x) for m, x in zip(values, r, strict=True)
        ]
        for vartime in (False, True):
            c = public.encrypt_with(
                lambda count, rows=factors: public.modulus.to_montgomery(rows), values, vartime=vartime
            )
            assert c.to_ints() == wanted
        for fresh in (public.encrypt(values), private.encrypt_vartime(values)):
            decrypted = [reference.decrypt_ou(p, public.g, c) for c in fresh.to_ints()]
            assert [reference.signed(m, p) for m in decrypted] == values
        assert limbs.to_ints(private._decrypt_unchecked(c).magnitude) == [abs(v) for v in values]


@every_key
def test_blinding_factors_are_fresh_encryptions_of_zero(key: Key) -> None:
    private = key()
    seen = set()
    for source in (private, private.public_key):
        for make in (source.blinding_factors, source.blinding_factors_vartime, source.full_blinding_factors):
            plain = limbs.to_ints(private.modulus.from_montgomery(make(3)))
            assert [reference.decrypt_ou(private._p.p, private.public_key.g, c) for c in plain] == [0, 0, 0]
            seen |= set(plain)
    assert len(seen) == 18


@settings(max_examples=20)
@given(st.lists(st.integers(-(2**127), 2**127), max_size=5))
def test_round_trip(values: list[int]) -> None:
    private = okamoto_uchiyama_small()
    values = np.array(values, dtype=object)
    assert (private.decrypt(private.encrypt(values), dtype=object) == values).all()


@pytest.mark.parametrize(("p", "q"), [(7, 5), (5, 11), (11, 7)])
def test_the_reference_exhaustively_on_tiny_primes(p: int, q: int) -> None:
    n = p * p * q
    g = next(g for g in reference.units(n) if pow(g, p - 1, p * p) != 1)
    h = pow(g, n, n)
    for r in range(n):
        for m in range(p):
            assert reference.decrypt_ou(p, g, reference.encrypt_ou(n, g, h, m, r)) == m


def test_every_small_plaintext() -> None:
    private = okamoto_uchiyama_small()
    values = np.arange(-12, 13)
    c = private.encrypt(values)
    assert (private.decrypt(c[:, None] + c) == values[:, None] + values).all()
    assert (private.decrypt(c[:, None] * values) == values[:, None] * values).all()


@every_key
def test_what_is_not_made_of_the_generators_is_refused(key: Key) -> None:
    """The negative of a ciphertext decrypts to no number below p: p - 1 is even, so -1 has an order that t leaves."""
    private = key()
    public = private.public_key
    good = private.encrypt([5, 6]).to_ints()
    c = public.ciphertexts_from_ints([good[0], public.n - good[1]])
    for call in (private.decrypt, private.decrypt_in_range, private.decrypt_encoded):
        with pytest.raises(InvalidCiphertext, match="ciphertext 1 decrypts to no plaintext"):
            call(c)


@every_key
def test_the_overflow_attack_is_refused(key: Key) -> None:
    """Who learns the decryption of some m > p learns p: here the attacker is shown what is refused."""
    private = key()
    public, p = private.public_key, private._p.p
    m = 3 << (public.p_bits - 1)  # more than p
    c = public.ciphertexts_from_ints([reference.encrypt_ou(public.n, public.g, public.h, m, 5)])
    unchecked = private._decrypt_unchecked(c).mantissas()[0]
    assert gcd(m - unchecked, public.n) % p == 0  # the attack works where nothing checks
    assert not hasattr(private, "decrypt_unchecked")  # no public name gives away what is outside the range
    for call in (private.decrypt, private.decrypt_in_range, private.decrypt_encoded):
        with pytest.raises(
            InvalidCiphertext, match="ciphertext 0 does not decrypt to a number below"
        ) as caught:
            call(c)
        assert str(unchecked) not in str(caught.value)
    with pytest.raises(InvalidCiphertext, match=r"below 2\^8"):
        private.decrypt_in_range(public.encrypt([255, 256]), 8)
    assert private.decrypt_in_range(public.encrypt([255, -255]), 8).tolist() == [255, -255]


def test_ranges_that_are_refused() -> None:
    private = okamoto_uchiyama_small()
    c = private.encrypt([1])
    limit = private.public_key.p_bits - 42
    assert private.decrypt_in_range(c, limit).tolist() == [1]
    for wrong in (0, -1, limit + 1, 8.5, None):
        with pytest.raises(ValueError, match="range_bits is"):
            private.decrypt_in_range(c, wrong)


def test_packed_values_have_the_range_of_their_slots() -> None:
    private = okamoto_uchiyama_small()
    packing = okamoto_uchiyama.Packing(n_slots=6, slot_bits=32)  # 192 bits, beyond the default range
    values = np.array([2**31 - 1, -(2**31), 5, -6, 7, 2**30])
    c = private.encrypt(packing.pack(values))
    assert (private.decrypt(c, packing=packing) == values).all()


def test_key_generation() -> None:
    public, private = okamoto_uchiyama.generate_keypair(2048)
    p, t = private._p.p, private._t
    assert public.n_bits == 2048
    assert (p.bit_length(), t.bit_length(), public.exponent_bits) == (683, 224, 224)
    assert public.n % (p * p) == 0
    assert (p - 1) % t == 0
    assert pow(public.h, t, p * p) == 1
    assert pow(public.g, t, p * p) % p == 1
    assert private.decrypt(public.encrypt([-3, 4])).tolist() == [-3, 4]
    assert [okamoto_uchiyama.short_exponent_bits(b) for b in (2048, 3071, 3072, 4096)] == [224, 224, 256, 384]


def test_keys_that_are_refused() -> None:
    for n_bits in (512, 1024, 2047, 4097, 2048.0):
        with pytest.raises(ValueError, match=r"n_bits (is|has)"):
            okamoto_uchiyama.generate_keypair(n_bits)
    with pytest.raises(ValueError, match="768 is the least"):
        okamoto_uchiyama.generate_keypair(512, **SMALL)
    n, g, h, p, t = (HEX_OU[name] for name in ("n", "g", "h", "p", "t"))
    for wrong in (n + 1, -n, 15, 1 << 2050, 2.5):
        with pytest.raises(ValueError, match=r"n (is|has)"):
            okamoto_uchiyama.PublicKey(wrong, g=g, h=h)
    for wrong in (0, 1, n - 1, n, p):
        with pytest.raises(ValueError, match="g is not a generator"):
            okamoto_uchiyama.PublicKey(n, g=wrong, h=h)
        with pytest.raises(ValueError, match="h is not a generator"):
            okamoto_uchiyama.PublicKey(n, g=g, h=wrong)
    public = okamoto_uchiyama_2048().public_key
    for wrong in (p + 2, n // (p * p), 3, p * p):
        with pytest.raises(ValueError, match="not the prime whose square"):
            okamoto_uchiyama.PrivateKey(public, wrong, t)
    for wrong in (t + 2, 1, 2):
        with pytest.raises(ValueError, match="t does not fit"):
            okamoto_uchiyama.PrivateKey(public, p, wrong)
    swapped = okamoto_uchiyama.PublicKey(n, g=h, h=g)
    with pytest.raises(ValueError, match="t does not fit"):
        okamoto_uchiyama.PrivateKey(swapped, p, t)


def key_of(p: int, t: int, q: int) -> okamoto_uchiyama.PrivateKey:
    n, u = p * p * q, (p - 1) // t
    public = okamoto_uchiyama.PublicKey(n, g=pow(2, u, n), h=pow(3, n * u, n))
    return okamoto_uchiyama.PrivateKey(public, p, t)


def test_factors_that_are_easy_to_find_are_refused() -> None:
    gmpy2 = pytest.importorskip("gmpy2")
    p, t, q = HEX_OU["p"], HEX_OU["t"], HEX_OU["n"] // HEX_OU["p"] ** 2
    assert key_of(p, t, q).public_key.n_bits == 2048
    near = int(gmpy2.next_prime(p + (1 << 580)))
    with pytest.raises(ValueError, match="differ by a number of 581 bits only: at least 584 are needed"):
        key_of(p, t, near)
    with pytest.raises(ValueError, match="differ by a number of 0 bits only"):
        key_of(p, t, p)
    short = int(gmpy2.next_prime(3 << 339)) * int(gmpy2.next_prime(3 << 340))
    with pytest.raises(ValueError, match=r"n / p\^2 is not prime"):
        key_of(p, t, short)
    with pytest.raises(ValueError, match="not the prime whose square"):  # p of less than a third
        key_of(p, t, int(gmpy2.next_prime(1 << 800)))


def test_keys_are_immutable_and_keep_their_secrets() -> None:
    private = okamoto_uchiyama_small()
    public = private.public_key
    for key in (public, private):
        with pytest.raises(AttributeError, match="immutable"):
            key.n = 5
        with pytest.raises(TypeError, match="cannot be pickled"):
            copy.copy(key)
        assert str(private._p.p) not in repr(key)
    assert hash(public) == hash(okamoto_uchiyama.PublicKey(public.n, g=public.g, h=public.h, **SMALL))
    assert public != paillier_small().public_key


def test_plaintexts_and_ciphertexts_that_are_refused() -> None:
    private = okamoto_uchiyama_small()
    top = private.public_key.max_int
    assert top == 2 ** (private.public_key.p_bits - 2) - 1
    with pytest.raises(ValueError, match="value 1 needs more than"):
        private.encrypt([0, top + 1])
    with pytest.raises(InvalidCiphertext, match="not of PublicKey"):
        private.decrypt(paillier_small().encrypt([1]))
    with pytest.raises(ValueError, match="different keys"):
        private.encrypt([1]) + okamoto_uchiyama_2048().encrypt([1])
