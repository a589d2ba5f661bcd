# SPDX-License-Identifier: Apache-2.0
"""`Context`: parameters, keys and switches that encrypted vectors and tensors share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import ckks
from crypsis._arguments import flag, kind
from crypsis.compat.tenseal import _format
from crypsis.compat.tenseal._errors import MissingKey
from crypsis.compat.tenseal._keys import (
    ENCRYPTION_TYPE,
    SCHEME_TYPE,
    GaloisKeys,
    Keyring,
    PublicKey,
    RelinKeys,
    SecretKey,
)
from crypsis.compat.tenseal._parameters import Sizes

__all__ = [
    "ENCRYPTION_TYPE",
    "SCHEME_TYPE",
    "Context",
    "GaloisKeys",
    "PublicKey",
    "RelinKeys",
    "SecretKey",
]


class Context(Keyring):
    """Parameters and keys, with TenSEAL's arguments; keys are made when they are first needed.

    coeff_mod_bit_sizes: of the primes in bits, the last one special. n_threads: accepted and not used;
    `CRYPSIS_NUM_THREADS` says how many threads there are. ValueError for insecure or impossible parameters,
    NotImplementedError for BFV. Until keys are used, `global_scale` may change.
    """

    def __init__(
        self,
        scheme: SCHEME_TYPE | None = None,
        poly_modulus_degree: int | None = None,
        plain_modulus: int | None = None,
        coeff_mod_bit_sizes: Any = (),
        encryption_type: ENCRYPTION_TYPE = ENCRYPTION_TYPE.ASYMMETRIC,
        n_threads: int | None = None,
    ) -> None:
        if scheme == SCHEME_TYPE.BFV:
            raise NotImplementedError(
                "BFV is not implemented in crypsis.compat.tenseal: SCHEME_TYPE.CKKS is; for exact integers there is"
                " crypsis.paillier"
            )
        if scheme != SCHEME_TYPE.CKKS:
            raise ValueError(f"scheme is {scheme!r}: give SCHEME_TYPE.CKKS")
        if not isinstance(encryption_type, ENCRYPTION_TYPE):
            raise TypeError(f"encryption_type is {kind(encryption_type)}: give an ENCRYPTION_TYPE")
        self._start(Sizes(poly_modulus_degree, coeff_mod_bit_sizes), encryption_type)

    def _start(self, sizes: Sizes, encryption_type: ENCRYPTION_TYPE) -> None:
        self._sizes = sizes
        self._type = encryption_type
        self._scale = None
        self._parameters = None
        self._secret = None
        self._keys = None
        self._public_part = encryption_type is ENCRYPTION_TYPE.ASYMMETRIC
        self._is_public = False
        self._relin, self._galois = bool(sizes.special), False
        self.auto_mod_switch = self.auto_relin = self.auto_rescale = True

    # Scales and parameters.

    @property
    def global_scale(self) -> float:
        """What values are multiplied by; ValueError where none is set."""
        if self._scale is None:
            raise ValueError("no global scale: set context.global_scale, such as 2**40 for primes of 40 bits")
        return self._scale

    @global_scale.setter
    def global_scale(self, value: float) -> None:
        scale = float(value)
        if not (math.isfinite(scale) and scale > 1):
            raise ValueError(f"global_scale is {value!r}: give a power of two, such as 2**40")
        if self._parameters is not None:
            self.check_scale(scale)
        else:
            self._sizes.log_scale(scale)
        self._scale = scale

    def check_scale(self, scale: float) -> None:
        """ValueError where vectors of this scale would be less precise than asked for."""
        own = self.parameters.literal.log_scale
        if not 1 < scale <= 2.0 ** (own + 1):
            raise ValueError(
                f"scale is {scale:.6g} (2^{math.log2(scale) if scale > 0 else math.nan:.1f}), the keys of this context"
                f" are for 2^{own}: set context.global_scale before keys are used, or give primes of that size"
            )

    # What vectors and tensors need.

    def encrypt(self, rows: npt.NDArray[np.float64]) -> ckks.CkksArray:
        """Ciphertexts of `[..., n_slots]` numbers; by the secret key where the context has it: half as many bytes."""
        self.native  # noqa: B018  (makes the keys of a new context)
        if self._secret is None and not self._public_part:
            raise MissingKey(
                "this context doesn't support encryption: it has neither a secret nor a public key: its owner gives a"
                " public one with serialize(save_public_key=True) on an asymmetric context"
            )
        top = float(np.abs(rows).max(initial=0.0))
        if math.isfinite(top) and top > self.parameters.max_value:
            # They fit a fresh ciphertext and none at the lowest level: products may overflow, as TenSEAL's do.
            return self.zeros(rows.shape[:-1]) + rows
        return self._encrypted(rows, None)

    def zeros(self, shape: tuple[int, ...], level: int | None = None) -> ckks.CkksArray:
        """Encryptions of 0: in place of a product with 0, which would show that the factor was 0."""
        return self._encrypted(np.zeros((*shape, self.n_slots)), level)

    def _encrypted(self, rows: npt.NDArray[np.float64], level: int | None) -> ckks.CkksArray:
        keys = self.native
        if self._secret is not None:
            return self._secret.encrypt(rows, level=level, keys=keys)
        return keys.encrypt(rows, level=level)

    def decrypt(self, array: ckks.CkksArray, secret_key: SecretKey | None) -> npt.NDArray[np.float64]:
        """The slots of each ciphertext."""
        values: npt.NDArray[np.float64] = self._private(secret_key, "decrypt").decrypt(array)
        return values

    # Copies and bytes.

    def copy(self) -> Context:
        """A context with the same keys and switches of its own."""
        keys = self.native
        twin = Context.__new__(Context)
        twin.__dict__.update(self.__dict__)
        twin._keys = keys
        return twin

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> Context:
        return self.copy()

    def serialize(
        self,
        save_public_key: bool = True,
        save_secret_key: bool = False,
        save_galois_keys: bool = True,
        save_relin_keys: bool = True,
    ) -> bytes:
        """The context as bytes, in a format of its own. With the secret key only where `save_secret_key` says so."""
        with_secret = flag("save_secret_key", save_secret_key) and not self._is_public
        if flag("save_public_key", save_public_key) and self._type is ENCRYPTION_TYPE.ASYMMETRIC:
            self.public_key()
        keys = self.native
        relin, galois = save_relin_keys and self._relin, save_galois_keys and self._galois
        if not with_secret:
            keys = self._complete(self._secret).with_only(relinearise=bool(relin), galois=bool(galois))
        secret = self._private(None, "serialize") if with_secret else None
        return _format.pack_context(
            _format.ContextFields(
                symmetric=self._type is ENCRYPTION_TYPE.SYMMETRIC,
                public_part=self._public_part and save_public_key,
                relin=bool(relin),
                galois=bool(galois),
                switches=(self.auto_relin, self.auto_rescale, self.auto_mod_switch),
                degree=self._sizes.degree,
                sizes=self._sizes.given,
                scale=self._scale,
                log_scale=self.parameters.literal.log_scale,
                secret=None if secret is None else secret.to_seed(),
                keys=b"" if with_secret else keys.to_bytes(),
            )
        )

    @classmethod
    def load(cls, data: bytes, n_threads: int | None = None) -> Context:
        """The context that `serialize` wrote. CorruptData, a ValueError, for other bytes."""
        found = _format.unpack_context(data)
        context = cls.__new__(cls)
        kinds = ENCRYPTION_TYPE
        context._start(
            Sizes(found.degree, found.sizes), kinds.SYMMETRIC if found.symmetric else kinds.ASYMMETRIC
        )
        context._parameters = ckks.Parameters.of(context._sizes.literal(found.log_scale))
        context._scale = found.scale
        context._public_part, context._is_public = found.public_part, found.secret is None
        context._relin, context._galois = found.relin, found.galois
        context.auto_relin, context.auto_rescale, context.auto_mod_switch = found.switches
        if found.secret is None:
            context._keys = _format.public_key(found.keys, context._parameters)
        else:
            context._secret = ckks.SecretKey(context._parameters, found.secret)
            context._keys = context._secret.public_key(relinearise=False)
        return context

    def __reduce__(self) -> Any:
        # As `serialize()`: what travels has no secret key unless someone writes save_secret_key=True.
        return Context.load, (self.serialize(save_public_key=self._public_part),)

    def seal_context(self) -> Any:
        raise NotImplementedError("there is no SEAL here: context.parameters has the constants")

    encryptor = decryptor = seal_context

    def __repr__(self) -> str:
        held = "public" if self._is_public else "private"
        return f"<Context CKKS {self._sizes.degree} {list(self._sizes.given)}, {held}>"
