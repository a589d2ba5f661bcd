# SPDX-License-Identifier: Apache-2.0
"""Keys and encrypted numbers: `phe.paillier`'s names and results, on the kernels of Crypsis.

Keys of `generate_paillier_keypair` are python-paillier's (any program with that library reads them), and carry a
generator h besides, which makes blinding ten times faster: see `crypsis.paillier`. A key that is a bare n has none.
Blinding and decryption are constant-time; arithmetic with plaintext numbers is not, as Python's integers are not.
"""

from __future__ import annotations

import operator
import secrets
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import bigint, paillier
from crypsis._homomorphic.primes import check_balanced
from crypsis.compat.phe import _arrays
from crypsis.compat.phe._arithmetic import Arithmetic, arithmetic_of
from crypsis.compat.phe._blinding import BlindingBatch, blinding_of
from crypsis.compat.phe._decryption import Decryption
from crypsis.compat.phe._encrypted import EncryptedNumber
from crypsis.compat.phe.encoding import EncodedNumber
from crypsis.compat.phe.util import getprimeover, invert, is_prime, isqrt, mulmod, powmod

__all__ = [
    "DEFAULT_KEYSIZE",
    "MIN_KEYSIZE",
    "EncodedNumber",
    "EncryptedNumber",
    "InsecureKeyWarning",
    "PaillierPrivateKey",
    "PaillierPrivateKeyring",
    "PaillierPublicKey",
    "generate_paillier_keypair",
    "getprimeover",
    "invert",
    "is_prime",
    "isqrt",
    "mulmod",
    "powmod",
]

DEFAULT_KEYSIZE = 3072
MIN_KEYSIZE = 2048
"""Bits of n below which a key is insecure: 2048 are 112 bits of security [SP 800-57]."""
SMALLEST_KEYSIZE = 16


class InsecureKeyWarning(UserWarning):
    """A key has fewer than 2048 bits, or primes that are of unlike length or near each other.

    Silence it in tests: `warnings.simplefilter("ignore", InsecureKeyWarning)`.
    """


def _warn_of_small(n_bits: int, stacklevel: int) -> None:
    if n_bits < MIN_KEYSIZE:
        warnings.warn(
            f"a Paillier key of {n_bits} bits is insecure: the floor is {MIN_KEYSIZE}, the default {DEFAULT_KEYSIZE}",
            InsecureKeyWarning,
            stacklevel=stacklevel + 1,
        )


def generate_paillier_keypair(
    private_keyring: PaillierPrivateKeyring | None = None, n_length: int = DEFAULT_KEYSIZE
) -> tuple[PaillierPublicKey, PaillierPrivateKey]:
    """A fresh key pair, n of exactly `n_length` bits; added to `private_keyring` where one is given.

    n_length: even, at least 16. Warns (`InsecureKeyWarning`) below 2048. TypeError, ValueError for others.
    """
    n_bits = operator.index(n_length)
    if n_bits % 2 or n_bits < SMALLEST_KEYSIZE:
        raise ValueError(
            f"n_length is {n_length}: give an even number of bits, {DEFAULT_KEYSIZE} for instance"
        )
    _warn_of_small(n_bits, 2)
    if not bigint.MIN_BITS <= n_bits <= paillier.MAX_KEY_BITS:
        p, q = _primes(n_bits)
        h = None
    else:
        native_public, native_private = paillier.generate_keypair(n_bits, insecure_allow_small_key=True)
        p, q = native_private._p.p, native_private._q.p
        h = native_public.h
    public_key = PaillierPublicKey._unwarned(p * q, h)
    private_key = PaillierPrivateKey(public_key, p, q)
    if private_keyring is not None:
        private_keyring.add(private_key)
    return public_key, private_key


def _primes(n_bits: int) -> tuple[int, int]:
    """Two primes whose product has `n_bits` bits, for sizes that `crypsis.paillier` does not make."""
    half = n_bits // 2
    while True:
        p, q = (1 << (half - 1) | secrets.randbits(half - 1) | 1 for _ in range(2))
        if p != q and (p * q).bit_length() == n_bits and is_prime(p) and is_prime(q):
            return p, q


class PaillierPublicKey:
    """n, with g = n + 1, nsquare = n^2 and max_int = n // 3 - 1, the largest number that can be encrypted.

    h: python-paillier knows none. With the h of a key that this library made (the attribute `h`), encryption is ten
    times faster than with n alone; it must come from where n comes from.
    Warns (`InsecureKeyWarning`) below 2048 bits. TypeError, ValueError for what is no integer above 1.
    """

    def __init__(self, n: int, *, h: int | None = None) -> None:
        self._set(n, h)
        _warn_of_small(self.n.bit_length(), 2)

    def _set(self, n: int, h: int | None) -> None:
        self.n = operator.index(n)
        if self.n < 2:
            raise ValueError(f"n is {n}: a Paillier modulus is the product of two primes")
        self.h = h
        self.g = self.n + 1
        self.nsquare = self.n * self.n
        self.max_int = self.n // 3 - 1
        self.arithmetic: Arithmetic = arithmetic_of(self.n)
        # A wrong h is refused now, not at the first encryption.
        self._blinding: BlindingBatch | None = None if h is None else blinding_of(self.n, h)

    @classmethod
    def _unwarned(cls, n: int, h: int | None) -> PaillierPublicKey:
        key = cls.__new__(cls)
        key._set(n, h)
        return key

    @property
    def native(self) -> paillier.PublicKey:
        """The key of `crypsis.paillier`, for arrays. ValueError where n is even or not of 256 to 4096 bits."""
        native = self._batch.key
        if native is None:
            raise ValueError(f"crypsis.paillier has no keys like this one of {self.n.bit_length()} bits")
        return native

    @property
    def _batch(self) -> BlindingBatch:
        if self._blinding is None:
            self._blinding = blinding_of(self.n, self.h)
        return self._blinding

    def __repr__(self) -> str:
        return f"<PaillierPublicKey {hash(self):x}"[:29] + ">"

    def __eq__(self, other: object) -> bool:
        return self.n == other.n if isinstance(other, PaillierPublicKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.n)

    def __getstate__(self) -> dict[str, Any]:
        state = {"g": self.g, "n": self.n, "nsquare": self.nsquare, "max_int": self.max_int}
        return state if self.h is None else {**state, "h": self.h}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set(state["n"], state.get("h"))

    def get_random_lt_n(self) -> int:
        """A random integer from 1 to n - 1."""
        return 1 + secrets.randbelow(self.n - 1)

    def blinded(self, ciphertext: int) -> int:
        """The ciphertext times a fresh encryption of zero."""
        return self.arithmetic.multiply(operator.index(ciphertext), self._batch.take())

    def raw_encrypt(self, plaintext: int, r_value: int | None = None) -> int:
        """The encryption of an integer modulo n. r_value: the random r of r^n, for tests; None or 0 draws afresh.

        TypeError where the plaintext is no int.
        """
        if not isinstance(plaintext, int):
            raise TypeError(f"the plaintext is {type(plaintext).__name__}: raw_encrypt takes an int")
        message = (1 + self.n * plaintext) % self.nsquare
        if not r_value:
            return self.blinded(message)
        return mulmod(message, powmod(r_value, self.n, self.nsquare), self.nsquare)

    def encrypt(
        self, value: int | float | EncodedNumber, precision: float | None = None, r_value: int | None = None
    ) -> EncryptedNumber:
        """Encrypt a number, encoded as `EncodedNumber.encode(self, value, precision)` does, or an encoded number."""
        encoded = value if isinstance(value, EncodedNumber) else EncodedNumber.encode(self, value, precision)
        return self.encrypt_encoded(encoded, r_value)

    def encrypt_encoded(self, encoding: EncodedNumber, r_value: int | None) -> EncryptedNumber:
        """Encrypt an encoded number. r_value: None, or the random r of r^n (0 for none: for tests)."""
        if r_value is None:
            result = EncryptedNumber(self, self.raw_encrypt(encoding.encoding), encoding.exponent)
            result._blinded = True
            return result
        return EncryptedNumber(self, self.raw_encrypt(encoding.encoding, r_value or 1), encoding.exponent)

    def encrypt_array(self, values: Any, precision: float | None = None) -> npt.NDArray[np.object_]:
        """Not in python-paillier: `encrypt` for every element of an array of any shape (or a list) in one go.

        Returns an object array of `EncryptedNumber`. NumPy's integers and float32 are taken for what they are worth.
        For arithmetic on arrays see `crypsis.paillier` and `crypsis.compat.phe.to_cipher_array`.
        """
        return _arrays.encrypt(self, values, precision)


class PaillierPrivateKey:
    """The primes p < q of n = p q, and psquare = p^2, qsquare = q^2, p_inverse = 1 / p mod q, hp and hq.

    ValueError where p q is not n, or p = q. Warns (`InsecureKeyWarning`) of primes that are not of like length, or near
    each other, where n has 2048 bits or more: decryption with them leaves the kernels and is not constant-time.
    """

    def __init__(self, public_key: PaillierPublicKey, p: int, q: int) -> None:
        p, q = operator.index(p), operator.index(q)
        if p * q != public_key.n:
            raise ValueError("p times q is not the n of the public key: they belong to another key")
        if p == q:
            raise ValueError("p and q are equal: a Paillier key takes two different primes")
        try:
            check_balanced(p, q)
        except ValueError as weakness:  # python-paillier takes such keys
            warnings.warn(f"an insecure Paillier key: {weakness}", InsecureKeyWarning, stacklevel=2)
        self._set(public_key, min(p, q), max(p, q))

    def _set(self, public_key: PaillierPublicKey, p: int, q: int) -> None:
        self.public_key = public_key
        self.p, self.q = p, q
        self.psquare, self.qsquare = p * p, q * q
        self.p_inverse = invert(p, q)
        # l_function(g^(p - 1) mod p^2) is -q mod p, as g = 1 + n: no power is needed.
        self.hp, self.hq = invert(-q % p, p), invert(-p % q, q)
        public_key.arithmetic.remember_numbers()
        self._decryption = Decryption(public_key, p, q)

    @staticmethod
    def from_totient(public_key: PaillierPublicKey, totient: int) -> PaillierPrivateKey:
        """The key of n with the totient (p - 1)(q - 1). ValueError where they do not belong together."""
        total = public_key.n - totient + 1
        root = isqrt(total * total - 4 * public_key.n)
        p, q = (total - root) // 2, (total + root) // 2
        if p * q != public_key.n:
            raise ValueError(
                "the totient is not (p - 1)(q - 1) for this public key: it belongs to another key"
            )
        return PaillierPrivateKey(public_key, p, q)

    def __repr__(self) -> str:
        return f"<PaillierPrivateKey for {self.public_key!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PaillierPrivateKey):
            return NotImplemented
        return self.p == other.p and self.q == other.q

    def __hash__(self) -> int:
        return hash((self.p, self.q))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_decryption"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set(state["public_key"], state["p"], state["q"])

    def decrypt(self, encrypted_number: EncryptedNumber) -> int | float:
        """The number: an int where the exponent is 0 or more, else a float.

        TypeError for what is no EncryptedNumber, ValueError for another key's, OverflowError beyond `max_int`.
        """
        return self.decrypt_encoded(encrypted_number).decode()

    def decrypt_encoded(
        self,
        encrypted_number: EncryptedNumber,
        Encoding: type[EncodedNumber] | None = None,  # noqa: N803
    ) -> EncodedNumber:
        """The encoded number, as an `Encoding` (default: `EncodedNumber`)."""
        if not isinstance(encrypted_number, EncryptedNumber):
            raise TypeError(f"encrypted_number is {type(encrypted_number).__name__}: give an EncryptedNumber")
        if encrypted_number.public_key != self.public_key:
            raise ValueError("encrypted_number is encrypted under another key: use that key's private key")
        kind = EncodedNumber if Encoding is None else Encoding
        residue = self._decryption.residue(encrypted_number)
        return kind(self.public_key, residue, encrypted_number.exponent)

    def decrypt_array(self, numbers: Any) -> npt.NDArray[np.object_]:
        """Not in python-paillier: `decrypt` for every element in one go; an object array of the same shape.

        numbers: an object array or a list of `EncryptedNumber`s.
        """
        return _arrays.decrypt(self, numbers)

    def raw_decrypt(self, ciphertext: int) -> int:
        """The plaintext modulo n of a ciphertext. TypeError where that is no int."""
        if not isinstance(ciphertext, int):
            raise TypeError(f"the ciphertext is {type(ciphertext).__name__}: raw_decrypt takes an int")
        return self._decryption.residues([ciphertext % self.public_key.nsquare])[0]

    def h_function(self, x: int, xsquare: int) -> int:
        """1 / l_function(g^(x - 1) mod x^2) mod x, for x = p or q."""
        return invert(self.l_function(powmod(self.public_key.g, x - 1, xsquare), x), x)

    def l_function(self, x: int, p: int) -> int:
        """(x - 1) // p."""
        return (x - 1) // p

    def crt(self, mp: int, mq: int) -> int:
        """The number modulo n that is mp modulo p and mq modulo q."""
        return mp + (mq - mp) * self.p_inverse % self.q * self.p


class PaillierPrivateKeyring(Mapping[PaillierPublicKey, PaillierPrivateKey]):
    """Private keys by public key. Keys are added with `add` and taken out with `del`."""

    def __init__(self, private_keys: Iterable[PaillierPrivateKey] | None = None) -> None:
        self._keys = {key.public_key: key for key in private_keys or ()}

    def __getitem__(self, key: PaillierPublicKey) -> PaillierPrivateKey:
        return self._keys[key]

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[PaillierPublicKey]:
        return iter(self._keys)

    def __delitem__(self, public_key: PaillierPublicKey) -> None:
        del self._keys[public_key]

    def add(self, private_key: PaillierPrivateKey) -> None:
        """Add a key. TypeError for anything else."""
        if not isinstance(private_key, PaillierPrivateKey):
            raise TypeError(f"private_key is {type(private_key).__name__}: give a PaillierPrivateKey")
        self._keys[private_key.public_key] = private_key

    def decrypt(self, encrypted_number: EncryptedNumber) -> int | float:
        """Decrypt with the key that fits. KeyError where there is none."""
        return self[encrypted_number.public_key].decrypt(encrypted_number)
