# SPDX-License-Identifier: Apache-2.0
"""Keys: sizes, warnings, keyrings, bad arguments; arrays of numbers."""

from __future__ import annotations

import warnings
from math import gcd
from typing import Any

import numpy as np
import pytest

import crypsis.compat.phe as ours
from crypsis import paillier
from crypsis.compat.phe import serialise
from crypsis.compat.phe._blinding import BlindingBatch


def test_small_keys_work_with_a_warning() -> None:
    with pytest.warns(ours.InsecureKeyWarning, match="floor is 2048") as caught:
        public, private = ours.generate_paillier_keypair(n_length=1024)
    assert caught[0].filename == __file__
    assert len(caught) == 1
    with pytest.warns(ours.InsecureKeyWarning, match="1024 bits") as caught:
        ours.PaillierPublicKey(public.n)
    assert caught[0].filename == __file__
    assert private.decrypt(public.encrypt(2.5)) == 2.5


def test_keys_at_the_floor_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        public, private = ours.generate_paillier_keypair(n_length=2048)
        again = ours.PaillierPrivateKey(ours.PaillierPublicKey(public.n), private.p, private.q)
        assert again.decrypt(public.encrypt(-1) * 3) == -3
    assert public.n.bit_length() == 2048
    assert (private.p % 4, private.q % 4) == (3, 3)


@pytest.mark.parametrize("n_length", [16, 18, 32, 64, 128, 200, 254, 256, 258])
def test_tiny_keys(n_length: int) -> None:
    """Below 256 bits without the kernels."""
    public, private = ours.generate_paillier_keypair(n_length=n_length)
    assert public.n.bit_length() == n_length
    most = public.max_int
    values = [0, 1, -1, most, -most]
    assert [private.decrypt(public.encrypt(value)) for value in values] == values
    numbers = public.encrypt_array(values)
    assert private.decrypt_array(numbers).tolist() == values
    assert private.decrypt(numbers[1] * 5 - numbers[2] + 3) == 9
    assert private.decrypt(sum(numbers)) == 0
    with pytest.raises(OverflowError):
        private.decrypt(public.encrypt(most) + 1)
    assert (n_length >= 256) == (public.h is not None)


def test_blinding_under_a_tiny_key_is_invertible() -> None:
    batch = BlindingBatch(15, None)
    assert {batch.take() for _ in range(500)} == {pow(r, 15, 225) for r in range(15) if gcd(r, 15) == 1}


def test_a_toy_key_exhaustively(real: Any) -> None:
    for p, q in ((5, 7), (11, 13), (3, 11)):
        mine = ours.PaillierPrivateKey(ours.PaillierPublicKey(p * q), p, q)
        theirs = real.PaillierPrivateKey(real.PaillierPublicKey(p * q), p, q)
        for value in range(p * q):
            for r in (1, 2, 4, 8):
                encrypted = mine.public_key.raw_encrypt(value, r)
                assert encrypted == theirs.public_key.raw_encrypt(value, r)
                assert mine.raw_decrypt(encrypted) == theirs.raw_decrypt(encrypted) == value


def test_an_even_modulus_is_computed_with_too() -> None:
    public = ours.PaillierPublicKey(2**300)
    number = ours.EncryptedNumber(public, 3) + ours.EncryptedNumber(public, 5)
    assert number.ciphertext(be_secure=False) == 15
    with pytest.raises(ValueError, match="no keys like this"):
        public.native  # noqa: B018


@pytest.mark.parametrize(
    ("n_length", "error"),
    [
        ("x", TypeError),
        (None, TypeError),
        (256.0, TypeError),
        (0, ValueError),
        (-6, ValueError),
        (257, ValueError),
    ],
)
def test_sizes_that_are_refused(n_length: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        ours.generate_paillier_keypair(n_length=n_length)


@pytest.mark.parametrize("n", [0, 1, -15, "15", 15.0])
def test_moduli_that_are_refused(n: Any) -> None:
    with pytest.raises(ValueError if isinstance(n, int) else TypeError):
        ours.PaillierPublicKey(n)


def test_private_keys_that_are_refused(our_side: Any) -> None:
    public, private = our_side.public, our_side.private
    for p, q in ((3, 5), (private.p, private.p), (private.p + 2, private.q)):
        with pytest.raises(ValueError, match="another key"):
            ours.PaillierPrivateKey(public, p, q)
    with pytest.raises(ValueError, match="equal"):
        ours.PaillierPrivateKey(ours.PaillierPublicKey(private.p**2), private.p, private.p)
    with pytest.raises(ZeroDivisionError):
        ours.PaillierPrivateKey(public, 1, public.n)
    for totient in ((private.p - 1) * (private.q - 1) + 2, public.n, public.n + 1):
        with pytest.raises(ValueError, match=r"totient|negative|nonnegative"):
            ours.PaillierPrivateKey.from_totient(public, totient)


def test_a_generator_from_outside(our_side: Any) -> None:
    public, private = ours.generate_paillier_keypair(n_length=512)
    again = ours.PaillierPublicKey(public.n, h=public.h)
    assert [private.decrypt(again.encrypt(i)) for i in range(20)] == list(range(20))
    for h in (1, public.n - 1, 0, private.p):
        with pytest.raises(ValueError, match="generator"):
            ours.PaillierPublicKey(public.n, h=h)


def test_primes_of_unlike_length_work_with_a_warning() -> None:
    """As with python-paillier, whose own keys have primes of half the bits each and do not warn."""
    p, q = ours.util.getprimeover(128), ours.util.getprimeover(1921)
    public = ours.PaillierPublicKey(p * q)
    with pytest.warns(ours.InsecureKeyWarning, match="a prime factor of n has 128 bits") as caught:
        private = ours.PaillierPrivateKey(public, p, q)
    assert caught[0].filename == __file__
    assert private.decrypt(public.encrypt(2.5) * -2) == -5


def test_keys_of_python_paillier_are_keys_of_ours(real: Any) -> None:
    public, private = real.generate_paillier_keypair(n_length=2048)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.PaillierPrivateKey(ours.PaillierPublicKey(public.n), private.p, private.q)
    key = paillier.PrivateKey(paillier.PublicKey(public.n), private.p, private.q)
    assert key.decrypt(key.encrypt([7, -8])).tolist() == [7, -8]
    jwk = serialise.private_key_to_jwk(private)
    assert serialise.private_key_from_jwk(jwk)._decryption._private() is not None


def test_comparisons(our_side: Any) -> None:
    public, private = our_side.public, our_side.private
    assert public != 3
    assert private != 3
    assert public != private
    assert {public: 1}[ours.PaillierPublicKey(public.n)] == 1
    assert {private: 1}[ours.PaillierPrivateKey(public, private.q, private.p)] == 1


def test_a_decryption_with_the_wrong_key(our_side: Any) -> None:
    public, _ = ours.generate_paillier_keypair(n_length=512)
    number = public.encrypt(1)
    for call in (our_side.private.decrypt, our_side.private.decrypt_encoded):
        with pytest.raises(ValueError, match="another key"):
            call(number)
    with pytest.raises(ValueError, match="another key"):
        our_side.private.decrypt_array([number])


def test_an_encoding_of_ones_own(our_side: Any) -> None:
    class Binary(ours.EncodedNumber):
        BASE = 2
        LOG2_BASE = 1.0

    number = our_side.public.encrypt(Binary.encode(our_side.public, 0.75))
    encoded = our_side.private.decrypt_encoded(number, Binary)
    assert (type(encoded), encoded.decode()) == (Binary, 0.75)


def test_keyrings(our_side: Any, their_side: Any) -> None:
    for side in (our_side, their_side):
        keyring = side.phe.PaillierPrivateKeyring()
        public, private = side.phe.generate_paillier_keypair(keyring, 256)
        keyring.add(side.private)
        assert (len(keyring), list(keyring), keyring[public]) == (2, [public, side.public], private)
        assert keyring == side.phe.PaillierPrivateKeyring([private, side.private])
        assert keyring == {public: private, side.public: side.private}
        assert keyring.decrypt(public.encrypt(2.5)) == 2.5
        del keyring[public]
        assert public not in keyring
        for call in (lambda k=keyring, p=public: k[p], lambda k=keyring, p=public: k.decrypt(p.encrypt(1))):
            with pytest.raises(KeyError):
                call()
        for wrong in (public, 3, None):
            with pytest.raises(TypeError):
                keyring.add(wrong)
        with pytest.raises(TypeError):
            hash(keyring)
    assert list(ours.PaillierPrivateKeyring(key for key in [our_side.private])) == [our_side.public]


def test_random_numbers_below_n() -> None:
    key = ours.PaillierPublicKey(15)
    assert {key.get_random_lt_n() for _ in range(1000)} == set(range(1, 15))


# Arrays


@pytest.mark.parametrize(
    "values",
    [[2**63 + 1, -1], [2**63 + 1, -1, 0.5],
     np.arange(12.0).reshape(3, 4) - 5.5, np.arange(-3, 3), np.float32([0.1, -2.5]), [1, 2.5, -(10**30)], 2.5, [],
     np.array([True, False]), np.zeros((2, 0, 3))],
)  # fmt: skip
def test_arrays(our_side: Any, values: Any) -> None:
    public, private = our_side.public, our_side.private
    numbers = public.encrypt_array(values)
    array = values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
    assert numbers.shape == array.shape
    assert private.decrypt_array(numbers).tolist() == array.tolist()
    for number, value in zip(numbers.ravel(), array.ravel().tolist(), strict=True):
        one = public.encrypt(value)
        assert (number.exponent, private.decrypt(number)) == (one.exponent, value)
        assert number.ciphertext() == number.ciphertext(be_secure=False)  # blinded as made


def test_numpy_scalars_in_lists_are_exact(our_side: Any) -> None:
    values = [np.uint64(2**63 + 1), np.int64(-1), np.float32(0.5)]
    for given in (values, np.array(values, dtype=object)):
        numbers = our_side.public.encrypt_array(given)
        assert our_side.private.decrypt_array(numbers).tolist() == [2**63 + 1, -1, 0.5]


def test_arrays_that_are_refused(our_side: Any) -> None:
    public, private = our_side.public, our_side.private
    for values, error in (([np.nan], ValueError), (["a"], TypeError), ([public.max_int + 1], ValueError)):
        with pytest.raises(error):
            public.encrypt_array(values)
    with pytest.raises(TypeError, match="element 1 is int"):
        private.decrypt_array([public.encrypt(1), 2])
    with pytest.raises(OverflowError):
        private.decrypt_array([public.encrypt(public.max_int) * 2])
    with pytest.raises(TypeError, match="element 0 is int"):
        ours.to_cipher_array([5])
    with pytest.raises(ValueError, match="no numbers"):
        ours.to_cipher_array([])


def test_to_and_from_cipher_arrays() -> None:
    public, private = ours.generate_paillier_keypair(n_length=512)
    native = paillier.PrivateKey(public.native, private.p, private.q)
    values = np.array([[1.5, -2.25, 1e-5], [3.0, 0.0, 100.0]])
    array = ours.to_cipher_array(public.encrypt_array(values))
    assert isinstance(array, paillier.UnblindedCipherArray)
    assert native.decrypt(array).tolist() == values.tolist()
    assert native.decrypt(ours.to_cipher_array([public.encrypt(i) for i in range(4)]).sum()) == 6
    numbers = ours.from_cipher_array(array * 2.0, public)
    assert private.decrypt_array(numbers).tolist() == (2 * values).tolist()
    fresh = ours.from_cipher_array(public.native.encrypt(values, encoding=paillier.base16()), public)
    assert [private.decrypt(number) for number in fresh.ravel()] == values.ravel().tolist()
    assert fresh[0, 0].exponent == public.encrypt(1.5).exponent
    assert fresh[0, 0].ciphertext() == fresh[0, 0].ciphertext(be_secure=False)
    assert numbers[0, 0].ciphertext(be_secure=False) != numbers[0, 0].ciphertext()
    other, _ = ours.generate_paillier_keypair(n_length=512)
    with pytest.raises(ValueError, match="another key"):
        ours.from_cipher_array(array, other)
    with pytest.raises(ValueError, match="base"):
        ours.from_cipher_array(public.native.encrypt(values, encoding=paillier.fixed_point(100)), public)
    with pytest.raises(ValueError, match="another key"):
        ours.to_cipher_array([public.encrypt(1), other.encrypt(1)])
    with pytest.raises(TypeError):
        ours.from_cipher_array([1], public)
