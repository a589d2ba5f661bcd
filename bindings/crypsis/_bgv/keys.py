# SPDX-License-Identifier: Apache-2.0
"""Public and secret keys."""

from __future__ import annotations

import hashlib
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import ntt
from crypsis._arguments import kind
from crypsis._bgv import encrypting, serial
from crypsis._bgv.ciphertexts import Ciphertexts, Hidden
from crypsis._bgv.parameters import RING128, Parameters, check_parameters
from crypsis._ckks.coins import Coins, expand, public_seed
from crypsis._homomorphic.secret import Frozen
from crypsis._homomorphic.wiping import wipe, wiping
from crypsis.errors import InvalidCiphertext

Residues = npt.NDArray[np.uint64]
Words = npt.NDArray[np.uint64]


class PublicKey(Frozen):
    """An encryption of 0: b = t e - a s with a from a 32-byte seed. What `hide` takes. Immutable.

    `SecretKey.public_key` is it, `from_bytes` reads it. id: 32 bytes that name the key pair in ciphertexts.
    """

    __slots__ = ("_body", "_mask", "_seed", "id", "parameters")

    parameters: Parameters
    id: bytes
    _body: Residues
    _mask: Residues
    _seed: bytes

    def __init__(self, parameters: Parameters, body: Residues, seed: bytes) -> None:
        total = hashlib.sha256(b"crypsis bgv public key 1\0" + parameters.digest + seed)
        total.update(body.astype("<u8", copy=False).data)
        self._set(
            parameters=parameters,
            id=total.digest(),
            _body=body,
            _mask=expand(seed, (), parameters.basis),
            _seed=seed,
        )

    def to_bytes(self) -> bytes:
        """The key as one buffer, for `from_bytes`: 220 KB of RING128."""
        return serial.public_key_to_bytes(self.parameters, self._body, self._seed)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, parameters: Parameters = RING128) -> PublicKey:
        """The key that `to_bytes` wrote, for these parameters. CorruptData for a damaged buffer, InvalidCiphertext for
        other parameters."""
        return cls(check_parameters(parameters), *serial.parse_public_key(data, parameters))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"PublicKey({self.id[:4].hex()}, {self.parameters!r})"


class SecretKey(Frozen):
    """s, of N ternary coefficients. It neither pickles nor shows itself, and its memory is wiped when it is freed."""

    __slots__ = ("__weakref__", "_s", "parameters", "public_key")

    parameters: Parameters
    public_key: PublicKey
    _s: Residues

    def __init__(self, parameters: Parameters, *, coins: Coins | None = None) -> None:
        """As `generate`. coins: for tests."""
        parameters = check_parameters(parameters)
        coins = coins or COINS
        basis, n = parameters.basis, parameters.n
        with wiping() as held:
            small = held(coins.ternary((n,)))
            s = held.result(ntt.from_signed(small, basis))
            ntt.forward(s, basis, out=s)
            seed = public_seed()
            body = held.result(encrypting.zero(parameters, held(coins.noise((n,)))))
            product = held(ntt.multiply(expand(seed, (), basis), s, basis))
            ntt.subtract(body, product, basis, out=body)
            self._set(parameters=parameters, public_key=PublicKey(parameters, body, seed), _s=s)
        weakref.finalize(self, wipe, s).atexit = False

    @classmethod
    def generate(cls, parameters: Parameters = RING128) -> SecretKey:
        """A fresh key."""
        return cls(parameters)

    @property
    def id(self) -> bytes:
        """That of its public key."""
        return self.public_key.id

    def encrypt(self, values: Words, *, coins: Coins | None = None) -> Ciphertexts:
        """A ciphertext a row: `uint64[count, n, limbs]`, n <= N values taken mod t, zeros in the other coefficients.

        limbs: little-endian words of a value, `parameters.limbs`. (c_0, c_1) = (m + t e - a s, a), a from one fresh
        seed for all of them, which is what travels of it. Constant-time. coins: for tests.
        """
        return encrypting.encrypt(self.parameters, self._s, self.id, values, coins or COINS)

    def encrypt_constants(self, values: Words, *, coins: Coins | None = None) -> Ciphertexts:
        """A ciphertext for each of `uint64[count, limbs]`, its value in coefficient 0: `encrypt(values[:, None])`."""
        if not isinstance(values, np.ndarray):
            raise TypeError(f"values is {kind(values)}: give a NumPy array of uint64")
        return self.encrypt(values[:, None], coins=coins)

    def decrypt(self, hidden: Hidden) -> Words:
        """What `hide` hid, its mask included, mod t: `uint64[count, len(hidden.coefficients), limbs]`.

        InvalidCiphertext for another key's. Constant-time. A result that was made otherwise than the documentation
        says (more noise than there is room for) is wrong numbers, not an error.
        """
        if not isinstance(hidden, Hidden):
            raise TypeError(f"hidden is {kind(hidden)}: give what crypsis.bgv.hide returned")
        check_key(self, hidden)
        return encrypting.decrypt(self.parameters, self._s, hidden)

    def __repr__(self) -> str:
        return f"SecretKey(of {self.id[:4].hex()}, {self.parameters!r})"


COINS = Coins()


def check_key(key: PublicKey | SecretKey, array: Any) -> None:
    """InvalidCiphertext where ciphertexts are of another key."""
    if array.parameters != key.parameters or array.key_id != key.id:
        raise InvalidCiphertext(
            f"the ciphertexts are of key {array.key_id[:4].hex()} ({array.parameters!r}), not of {key!r}: use the key"
            " they were made with"
        )
