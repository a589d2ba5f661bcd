# SPDX-License-Identifier: Apache-2.0
"""Ciphertexts as they are made, multiplied and sent back: three types, of which the second cannot be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crypsis import ntt
from crypsis._arguments import kind
from crypsis._bgv import serial
from crypsis._bgv.parameters import Parameters
from crypsis._ckks.coins import expand
from crypsis._homomorphic.secret import Frozen
from crypsis.errors import InvalidCiphertext

if TYPE_CHECKING:
    from crypsis._bgv.keys import PublicKey, SecretKey

Residues = npt.NDArray[np.uint64]


class Ciphertexts(Frozen):
    """What `SecretKey.encrypt` makes, for the party that multiplies. Immutable; `len` is how many.

    Second halves are a seed, expanded where they are used first.
    """

    __slots__ = ("_second", "first", "key_id", "parameters", "seed")

    parameters: Parameters
    key_id: bytes
    first: Residues
    """c_0 in the NTT domain, `uint64[count, primes, N]`."""
    seed: bytes
    _second: Residues | None

    def __init__(self, parameters: Parameters, key_id: bytes, first: Residues, seed: bytes) -> None:
        self._set(parameters=parameters, key_id=key_id, first=first, seed=seed, _second=None)

    def __len__(self) -> int:
        return len(self.first)

    @property
    def second(self) -> Residues:
        """c_1 in the NTT domain, `uint64[count, primes, N]`."""
        if (found := self._second) is None:
            found = expand(self.seed, (len(self),), self.parameters.basis)
            self._set(_second=found)
        return found

    def to_bytes(self) -> bytes:
        """One buffer, for `from_bytes`: the first halves packed to the bits of their primes, and the seed."""
        return serial.ciphertexts_to_bytes(self)

    @classmethod
    def from_bytes(
        cls, data: bytes | bytearray | memoryview, key: PublicKey | SecretKey, count: int
    ) -> Ciphertexts:
        """The `count` ciphertexts of that key that `to_bytes` wrote. CorruptData for a damaged buffer or another count,
        InvalidCiphertext for another key's or numbers that are no residues."""
        return cls(key.parameters, key.id, *serial.parse_ciphertexts(data, key.parameters, key.id, count))

    def __repr__(self) -> str:
        return f"Ciphertexts({len(self)} of key {self.key_id[:4].hex()})"


class Products(Frozen):
    """Ciphertexts that were multiplied: they show their factors to the key's owner and cannot be sent. `hide` them.

    squared: of each, ||X||^2 of the plaintexts that went into it. sources: the seeds of the ciphertexts that did. `+`
    adds; len is how many.
    """

    __slots__ = ("first", "key_id", "parameters", "second", "sources", "squared")

    parameters: Parameters
    key_id: bytes
    first: Residues
    second: Residues
    squared: npt.NDArray[np.float64]
    sources: frozenset[bytes]

    def __init__(
        self,
        parameters: Parameters,
        key_id: bytes,
        first: Residues,
        second: Residues,
        squared: npt.NDArray[np.float64],
        sources: frozenset[bytes],
    ) -> None:
        self._set(
            parameters=parameters,
            key_id=key_id,
            first=first,
            second=second,
            squared=squared,
            sources=sources,
        )

    def __len__(self) -> int:
        return len(self.first)

    def __add__(self, other: Any) -> Products:
        """Sums, one by one, of products under the same key."""
        if not isinstance(other, Products):
            return NotImplemented
        if other.key_id != self.key_id or len(other) != len(self):
            raise InvalidCiphertext(
                f"{len(self)} products of key {self.key_id[:4].hex()} and {len(other)} of {other.key_id[:4].hex()}:"
                " add as many of the same key"
            )
        basis = self.parameters.basis
        squared = self.squared + other.squared
        if not self.sources.isdisjoint(other.sources):  # the same noise could be in both
            squared = (np.sqrt(self.squared) + np.sqrt(other.squared)) ** 2
        return Products(
            self.parameters,
            self.key_id,
            ntt.add(self.first, other.first, basis),
            ntt.add(self.second, other.second, basis),
            squared,
            self.sources | other.sources,
        )

    def __repr__(self) -> str:
        return f"Products({len(self)} of key {self.key_id[:4].hex()})"


class Hidden(Frozen):
    """Products that `hide` made safe for the key's owner to see, who decrypts them. Immutable; len is how many.

    coefficients: which of each polynomial it holds; of the second halves all travel.
    """

    __slots__ = ("coefficients", "first", "key_id", "parameters", "second")

    parameters: Parameters
    key_id: bytes
    first: Residues
    """c_0 at `coefficients`, not transformed: `uint64[count, primes, len(coefficients)]`."""
    second: Residues
    """c_1 in the NTT domain, `uint64[count, primes, N]`."""
    coefficients: range

    def __init__(
        self, parameters: Parameters, key_id: bytes, first: Residues, second: Residues, coefficients: range
    ) -> None:
        self._set(parameters=parameters, key_id=key_id, first=first, second=second, coefficients=coefficients)

    def __len__(self) -> int:
        return len(self.second)

    def to_bytes(self) -> bytes:
        """One buffer, for `from_bytes`, residues packed to the bits of their primes."""
        return serial.hidden_to_bytes(self)

    @classmethod
    def from_bytes(
        cls,
        data: bytes | bytearray | memoryview,
        key: PublicKey | SecretKey,
        count: int,
        *,
        coefficients: range | None = None,
    ) -> Hidden:
        """The `count` products under that key, with these coefficients (all by default), that `to_bytes` wrote.

        CorruptData for a damaged buffer or another count, InvalidCiphertext for another key's, other coefficients or
        numbers that are no residues.
        """
        places = check_coefficients(coefficients, key.parameters)
        return cls(
            key.parameters, key.id, *serial.parse_hidden(data, key.parameters, key.id, count, places), places
        )

    def __repr__(self) -> str:
        return f"Hidden({len(self)} of key {self.key_id[:4].hex()}, {self.coefficients})"


def check_coefficients(coefficients: Any, parameters: Parameters) -> range:
    """A range of coefficients that goes up; None is all."""
    if coefficients is None:
        return range(parameters.n)
    if not isinstance(coefficients, range):
        raise TypeError(f"coefficients is {kind(coefficients)}: give a range, or None for all")
    inside = len(coefficients) and coefficients.step > 0 and coefficients.start >= 0
    if not inside or coefficients[-1] >= parameters.n:
        raise ValueError(
            f"coefficients is {coefficients}: give a range that goes up inside 0 to {parameters.n - 1}"
        )
    return coefficients
