# SPDX-License-Identifier: Apache-2.0
"""The keys of a `Context`: made when they are first needed, kept, promised and forgotten."""

from __future__ import annotations

from enum import Enum
from typing import Any

from crypsis import ckks
from crypsis._arguments import kind
from crypsis._ckks.rotations import element_of
from crypsis.compat.tenseal._errors import MissingKey
from crypsis.compat.tenseal._parameters import Sizes
from crypsis.errors import InvalidCiphertext


class ENCRYPTION_TYPE(Enum):  # noqa: N801  (TenSEAL's name)
    ASYMMETRIC = "asymmetric"
    SYMMETRIC = "symmetric"


class SCHEME_TYPE(Enum):  # noqa: N801
    NONE = 0
    BFV = 1
    CKKS = 2


class _Key:
    """A key as a context hands it out; `data` is what `crypsis.ckks` knows."""

    def __init__(self, data: Any) -> None:
        self.data = data


class SecretKey(_Key):
    """Decrypts, and makes evaluation keys."""


class PublicKey(_Key):
    """Encrypts."""


class GaloisKeys(_Key):
    """For sums, dot and matrix products."""


class RelinKeys(_Key):
    """For products of ciphertexts."""


class Keyring:
    """The half of `Context` that deals with keys."""

    _sizes: Sizes
    _type: ENCRYPTION_TYPE
    _scale: float | None
    _parameters: ckks.Parameters | None
    _secret: ckks.SecretKey | None
    _keys: ckks.PublicKey | None
    _public_part: bool
    """Others may encrypt with the public key."""
    _is_public: bool
    """It has no secret key, and makes none."""
    _relin: bool
    _galois: bool
    """It has these keys, or makes them when they are needed."""

    @property
    def parameters(self) -> ckks.Parameters:
        """Those of `crypsis.ckks`, settled by the first look."""
        if self._parameters is None:
            literal = self._sizes.literal(self._sizes.log_scale(self._scale))
            self._parameters = ckks.Parameters.of(literal)
        return self._parameters

    @property
    def n_slots(self) -> int:
        """Numbers that a ciphertext holds."""
        return self._sizes.degree // 2

    @property
    def native(self) -> ckks.PublicKey:
        """The key pair's public half in `crypsis.ckks`, with the evaluation keys made so far."""
        if self._keys is None:
            self._secret = ckks.SecretKey.generate(self.parameters)
            self._keys = self._secret.public_key(relinearise=False)
        return self._keys

    def _private(self, secret_key: SecretKey | None, what: str) -> ckks.SecretKey:
        keys = self.native
        if secret_key is None:
            if self._secret is None:
                raise ValueError(f"the context is public: {what} needs a secret_key, give it as argument")
            return self._secret
        if not isinstance(secret_key, SecretKey):
            raise TypeError(f"secret_key is {kind(secret_key)}: give what context.secret_key() returned")
        secret: ckks.SecretKey = secret_key.data
        if secret.id != keys.id:
            raise InvalidCiphertext(
                f"secret_key is of key {secret.id[:4].hex()}, the context of {keys.id[:4].hex()}: give the context's"
            )
        return secret

    def _complete(self, secret: ckks.SecretKey | None) -> ckks.PublicKey:
        """Make the evaluation keys that are promised and not made."""
        keys = self.native
        if secret is not None:
            if self._relin and not keys.relinearises:
                keys = keys.joined(secret.public_key(relinearise=True))
            if self._galois:
                held = keys.galois_elements
                missing = [shift for shift in self._shifts if self._element(shift) not in held]
                if missing:
                    keys = keys.joined(secret.public_key(relinearise=False, rotations=missing))
            self._keys = keys
        return keys

    @property
    def _shifts(self) -> tuple[int, ...]:
        """Powers of two: all rotations are made of them, as with SEAL's keys."""
        return tuple(1 << i for i in range(self.n_slots.bit_length() - 1))

    def _element(self, shift: int) -> int:
        return element_of(self.parameters, shift)

    def relinearising(self) -> ckks.PublicKey:
        """The keys with the relinearisation key; MissingKey, which is a ValueError, where there is none."""
        if not self._relin:
            raise MissingKey(
                "the context doesn't hold relinearization keys, which products of ciphertexts need: its owner makes"
                " them with context.generate_relin_keys(), before serialize or make_context_public"
            )
        keys = self.native
        if not keys.relinearises:
            keys = self._keys = keys.joined(
                self._private(None, "relinearization").public_key(relinearise=True)
            )
        return keys

    def rotating(self, shift: int) -> ckks.PublicKey:
        """The keys with that for a rotation by a power of two; MissingKey, a ValueError, where there is none."""
        if not self._galois:
            raise MissingKey(
                "the context doesn't hold Galois keys, which sums, dot and matrix products need: its owner makes them"
                " with context.generate_galois_keys(), before serialize or make_context_public"
            )
        keys = self.native
        if self._element(shift) not in keys.galois_elements:
            secret = self._private(None, "a rotation")
            keys = self._keys = keys.joined(secret.public_key(relinearise=False, rotations=(shift,)))
        return keys

    def has_galois_keys(self) -> bool:
        return self._galois

    def galois_keys(self) -> GaloisKeys:
        if not self._galois:
            raise MissingKey(
                "the context doesn't hold Galois keys: make them with context.generate_galois_keys()"
            )
        return GaloisKeys(self._complete(self._secret))

    def generate_galois_keys(self, secret_key: SecretKey | None = None) -> None:
        """Keys for sums and matrix products. On a private context each is made when it is first needed."""
        self._check_special("Galois")
        if secret_key is None and not self._is_public:
            self._galois = True
            return
        secret = self._private(secret_key, "generate_galois_keys")
        self._galois = True
        self._complete(secret)

    def has_relin_keys(self) -> bool:
        return self._relin

    def relin_keys(self) -> RelinKeys:
        if not self._relin:
            raise MissingKey(
                "the context doesn't hold relinearization keys: make them with context.generate_relin_keys()"
            )
        return RelinKeys(self._complete(self._secret))

    def generate_relin_keys(self, secret_key: SecretKey | None = None) -> None:
        """The key for products of ciphertexts, which a new context has."""
        self._check_special("relinearization")
        if secret_key is None and not self._is_public:
            self._relin = True
            return
        secret = self._private(secret_key, "generate_relin_keys")
        self._relin = True
        self._complete(secret)

    def _check_special(self, what: str) -> None:
        if not self._sizes.special:
            raise ValueError(
                f"coeff_mod_bit_sizes {list(self._sizes.given)} has one prime, {what} keys need a special one besides:"
                " give another size at the end"
            )

    def has_secret_key(self) -> bool:
        return not self._is_public

    def secret_key(self) -> SecretKey:
        if self._is_public:
            raise ValueError("the context is public, it doesn't hold a secret key: ask its owner to decrypt")
        return SecretKey(self._private(None, "secret_key"))

    def has_public_key(self) -> bool:
        self._check_asymmetric("has_public_key")
        return self._public_part

    def public_key(self) -> PublicKey:
        self._check_asymmetric("public_key")
        if not self._public_part:
            raise MissingKey(
                "the context was serialized without its public key: serialize it with save_public_key"
            )
        return PublicKey(self.native)

    def _check_asymmetric(self, what: str) -> None:
        if self._type is ENCRYPTION_TYPE.SYMMETRIC:
            raise ValueError(
                f"{what} is not supported for symmetric encryption: ENCRYPTION_TYPE.ASYMMETRIC has it"
            )

    def is_private(self) -> bool:
        return not self._is_public

    def is_public(self) -> bool:
        return self._is_public

    def make_context_public(
        self, generate_galois_keys: bool = False, generate_relin_keys: bool = False
    ) -> None:
        """Forget the secret key, after making the evaluation keys that the context has or is to have."""
        if self._is_public:
            return
        self._check_asymmetric("make_context_public")
        if generate_galois_keys:
            self.generate_galois_keys()
        if generate_relin_keys:
            self.generate_relin_keys()
        self._complete(self._private(None, "make_context_public"))
        self._secret, self._is_public = None, True
