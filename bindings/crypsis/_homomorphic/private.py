# SPDX-License-Identifier: Apache-2.0
"""What the private keys of all schemes share: decryption of arrays, and encryption by the owner."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any

import numpy as np

from crypsis import bigint
from crypsis._homomorphic import devices, limbs
from crypsis._homomorphic.blinding import BlindingPool
from crypsis._homomorphic.cipher_array import CipherArray, UnblindedCipherArray
from crypsis._homomorphic.decoding import decode
from crypsis._homomorphic.encoding import DEFAULT, Encoded, Encoding
from crypsis._homomorphic.keys import PublicKeyBase, place_of_result
from crypsis._homomorphic.limbs import Bools, Limbs
from crypsis._homomorphic.packing import Packing
from crypsis._homomorphic.secret import Frozen, wipe
from crypsis.cuda._device import Device
from crypsis.errors import InvalidCiphertext


class PrivateKeyBase(Frozen):
    """`decrypt`, and what the public key does, faster."""

    __slots__ = ()

    public_key: PublicKeyBase

    @property
    def modulus(self) -> bigint.Modulus:
        """What ciphertexts are taken modulo."""
        return self.public_key.modulus

    @property
    def digest(self) -> bytes:
        """That of the public key."""
        return self.public_key.digest

    def __repr__(self) -> str:
        return f"PrivateKey(of {self.public_key!r})"

    def encrypt(
        self,
        values: Any,
        *,
        encoding: Encoding = DEFAULT,
        pool: BlindingPool | None = None,
        device: str | None = None,
    ) -> CipherArray:
        """As `PublicKey.encrypt`, with the same result, faster."""
        if pool is not None:
            return self.public_key.encrypt(values, encoding=encoding, pool=pool, device=device)
        place = place_of_result(values, device, None)
        blinder = partial(self.blinding_factors, device=place)
        return self.public_key.encrypt_with(blinder, values, encoding=encoding, device=place)

    def encrypt_vartime(
        self, values: Any, *, encoding: Encoding = DEFAULT, device: str | None = None
    ) -> CipherArray:
        """As `PublicKey.encrypt_vartime`, faster."""
        place = place_of_result(values, device, None)
        blinder = partial(self.blinding_factors_vartime, device=place)
        return self.public_key.encrypt_with(blinder, values, encoding=encoding, vartime=True, device=place)

    def decrypt_encoded(self, ciphertexts: UnblindedCipherArray) -> Encoded:
        """The signed integers that the ciphertexts hold, with their exponents: what `decrypt` decodes.

        OverflowError naming the first value beyond `max_int`: a computation left the range of the plaintexts.
        InvalidCiphertext for ciphertexts of another key, and for one that is no encryption. Constant-time.
        """
        encoded = self._decrypt_unchecked(ciphertexts)
        wrong = self.public_key.first_out_of_range(encoded)
        if wrong is not None:
            raise OverflowError(
                f"decrypted value {wrong} is beyond the range of the plaintexts: the computation overflowed;"
                " use a coarser encoding or fewer products"
            )
        return encoded

    def _decrypt_unchecked(self, ciphertexts: UnblindedCipherArray) -> Encoded:
        """`decrypt_encoded` without the range check."""
        if not isinstance(ciphertexts, UnblindedCipherArray):
            raise TypeError(f"ciphertexts is {type(ciphertexts).__name__}: give a CipherArray")
        if ciphertexts.public_key != self.public_key:
            raise InvalidCiphertext(
                f"the ciphertexts are of {ciphertexts.public_key!r}, not of {self.public_key!r}:"
                " decrypt with the key they were made for"
            )
        rows, device = ciphertexts._rows, ciphertexts._device
        magnitudes: list[Limbs] = []
        signs: list[Bools] = []

        def work(part: slice) -> None:
            residues = self.residues(rows[part], first=part.start)
            try:
                magnitude, negative = self.signed(residues)
            finally:
                wipe(residues)
            magnitudes.append(devices.to_host_secret(magnitude))
            signs.append(devices.to_host_secret(negative))

        with devices.at(device):
            devices.in_blocks(len(rows), device, 8 * self.modulus.limbs, work, what="decryption")
        magnitude = np.concatenate(magnitudes) if magnitudes else np.zeros((0, 1), dtype=np.uint64)
        used = limbs.n_limbs(limbs.bit_length(magnitude))
        return Encoded(
            np.ascontiguousarray(magnitude[:, :used]),
            np.concatenate(signs) if signs else np.zeros(0, dtype=bool),
            ciphertexts.exponent,
            ciphertexts.base,
            ciphertexts.shape,
        )

    def decrypt(
        self,
        ciphertexts: UnblindedCipherArray,
        *,
        dtype: Any = None,
        packing: Packing | None = None,
        n_items: int | None = None,
    ) -> Any:
        """The values of a cipher array, as an array of its shape.

        dtype: by default int64 where all exponents are 0, else float64; `object` gives exact Python integers and
        fractions. packing, n_items: the packing that the values were packed with, and how many the last axis had.
        Decryption runs where the ciphertexts are, decoding on the host.
        OverflowError for values outside the plaintext range or the dtype; InvalidCiphertext for another key's.
        Decryption is constant-time; decoding the values is not.
        """
        return self._decoded(self.decrypt_encoded(ciphertexts), dtype, packing, n_items)

    @staticmethod
    def _decoded(encoded: Encoded, dtype: Any, packing: Packing | None, n_items: int | None) -> Any:
        if packing is not None:
            encoded = packing.unpack(encoded, n_items)
        return decode(encoded, dtype)

    @staticmethod
    def _refuse_wrong(right: Bools, residues: Limbs, first: int) -> None:
        """Wipe and refuse `residues` where one of them is no plaintext; `first` is the number of the first."""
        if not right.all():
            wipe(residues)
            raise InvalidCiphertext(
                f"ciphertext {first + int(right.argmin())} decrypts to no plaintext of this key: its sender is faulty"
                " or attacks the key, or this machine computes wrongly; tell nobody more than this"
            )

    @abstractmethod
    def residues(self, rows: Limbs, *, first: int = 0) -> Limbs:
        """Plaintext residues, where the rows are, in Montgomery form. InvalidCiphertext for what is no encryption."""

    @abstractmethod
    def signed(self, residues: Limbs) -> tuple[Limbs, Bools]:
        """(magnitude, negative) of residues."""

    @abstractmethod
    def blinding_factors(self, count: int, *, device: Device | None = None) -> Limbs:
        """As of the public key."""

    @abstractmethod
    def blinding_factors_vartime(self, count: int, *, device: Device | None = None) -> Limbs:
        """As of the public key."""

    @abstractmethod
    def full_blinding_factors(self, count: int, *, device: Device | None = None) -> Limbs:
        """As of the public key."""
