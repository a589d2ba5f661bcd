# SPDX-License-Identifier: Apache-2.0
"""What the parties of a joint key agree on before anything is sent, and what follows from it."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable

from crypsis import sampling
from crypsis._arguments import integer, kind
from crypsis._ckks.array import CkksArray
from crypsis._ckks.parameters import Literal, Parameters
from crypsis._ckks.threshold import flooding
from crypsis._homomorphic.secret import Frozen
from crypsis.errors import InvalidCiphertext, LevelError, PrecisionError, ScaleError

MAX_PARTIES = 1024
MAX_SUMMANDS = 1 << 32
MAX_CIPHERTEXTS = 1 << 40
MAX_NAME_BYTES = 63
MIN_PRECISION = 8
"""Bits of a summand's magnitude that a result keeps at least."""


class Agreement(Frozen):
    """Who holds shares, and how much the key will decrypt. Immutable; all parties must have the same.

    parameters: a literal or parameters, as `crypsis.ckks.JOINT`. parties: the names of those who will each hold a
    share, 2 to 1,024 of them, in one order; all of them are needed for every decryption. n_summands: how many fresh
    encryptions a sum that is decrypted has at most, each counted as often as its integer weight. n_ciphertexts: how
    many ciphertexts (rows of arrays) are decrypted in the life of the key. magnitude: what no |number| of a summand
    exceeds. session: 16 to 64 bytes that no other key of these parties has.

    The noise of a share grows with n_summands, sqrt(n_ciphertexts) and sqrt(parties); PrecisionError where less than 8
    bits of `magnitude` are left, ValueError where the largest sum does not fit the modulus.
    """

    __slots__ = (
        "digest",
        "flood_bits",
        "magnitude",
        "n_ciphertexts",
        "n_summands",
        "parameters",
        "parties",
        "session",
    )

    parameters: Parameters
    parties: tuple[str, ...]
    n_summands: int
    n_ciphertexts: int
    magnitude: float
    session: bytes
    flood_bits: int
    """A share's noise is the sum of four integers in [-2^flood_bits, 2^flood_bits)."""
    digest: bytes
    """SHA-256 of all the above; every message carries it."""

    def __init__(
        self,
        parameters: Parameters | Literal,
        parties: Iterable[str],
        *,
        session: bytes,
        n_summands: int,
        n_ciphertexts: int,
        magnitude: float = 1.0,
    ) -> None:
        checked = Parameters.of(parameters)
        names = _names(parties)
        integer("n_summands", n_summands, 1, MAX_SUMMANDS)
        integer("n_ciphertexts", n_ciphertexts, 1, MAX_CIPHERTEXTS)
        largest = float(magnitude)
        if not 0 < largest < math.inf:
            raise ValueError(f"magnitude is {magnitude}: give the largest number of a summand, above 0")
        if not isinstance(session, bytes):
            raise TypeError(f"session is {kind(session)}: give 16 to 64 bytes")
        if not 16 <= len(session) <= 64:
            raise ValueError(f"session has {len(session)} bytes: give 16 to 64 that no other key has")
        bits = flooding.flood_bits(checked, len(names), n_summands, n_ciphertexts)
        total = hashlib.sha256(b"crypsis ckks threshold 1\0" + checked.digest)
        total.update(struct.pack("<HQQdB", len(names), n_summands, n_ciphertexts, largest, len(session)))
        total.update(session)
        for name in names:
            total.update(bytes([len(name.encode())]) + name.encode())
        self._set(
            parameters=checked,
            parties=names,
            n_summands=int(n_summands),
            n_ciphertexts=int(n_ciphertexts),
            magnitude=largest,
            session=session,
            flood_bits=bits,
            digest=total.digest(),
        )
        self._check_room()

    @property
    def level(self) -> int:
        """Of the ciphertexts that are decrypted: that of fresh ones."""
        return self.parameters.top

    @property
    def scale(self) -> float:
        """Of the ciphertexts that are decrypted."""
        return self.parameters.scales[self.level]

    @property
    def error(self) -> float:
        """Six standard deviations of the error of a decrypted number."""
        n_parties = len(self.parties)
        return flooding.result_error(self.parameters, n_parties, self.n_summands, self.flood_bits, self.scale)

    def index(self, party: str) -> int:
        """The position of a party. ValueError for one that is not of the agreement."""
        if party not in self.parties:
            raise ValueError(
                f"party is {party!r}: the agreement has {', '.join(map(repr, self.parties[:8]))}"
                f"{' ...' if len(self.parties) > 8 else ''}: give one of these"
            )
        return self.parties.index(party)

    def check(self, array: CkksArray, key_id: bytes) -> None:
        """InvalidCiphertext, LevelError or ScaleError for an array that no share may be made of."""
        if not isinstance(array, CkksArray):
            raise TypeError(f"array is {kind(array)}: give a CkksArray")
        if array.parameters != self.parameters or array.key_id != key_id:
            raise InvalidCiphertext(
                f"the ciphertexts are of key {array.key_id[:4].hex()} ({array.parameters!r}), the shares of key"
                f" {key_id[:4].hex()} ({self.parameters!r}): use ciphertexts of the joint key"
            )
        if array.level != self.level:
            raise LevelError(
                f"the ciphertexts have level {array.level}, the agreement is on sums of fresh ones, of level"
                f" {self.level}: its noise covers no others"
            )
        if array.scale != self.scale:
            raise ScaleError(
                f"the ciphertexts have scale 2^{math.log2(array.scale):.2f}, the agreement"
                f" 2^{math.log2(self.scale):.2f}: only sums of fresh ciphertexts are decrypted"
            )
        if array.size_of != 2 or array.size == 0:
            raise InvalidCiphertext(
                f"the array has {array.size} ciphertexts of {array.size_of} polynomials: shares are made of ciphertexts"
                " of 2, at least one"
            )

    def _check_room(self) -> None:
        parameters, n_parties = self.parameters, len(self.parties)
        remedy = (
            "take parameters with a larger log_scale and modulus, as crypsis.ckks.JOINT, or agree on fewer summands,"
            " ciphertexts or parties"
        )
        if self.flood_bits > sampling.MAX_FLOOD_BITS or self.error > self.magnitude / 2**MIN_PRECISION:
            raise PrecisionError(
                f"the shares of {n_parties} parties for {self.n_ciphertexts} sums of {self.n_summands} need noise of"
                f" {self.flood_bits} bits: results would be off by up to 2^{math.log2(self.error):.1f}, with"
                f" summands up to {self.magnitude:.4g}: {remedy}"
            )
        most = math.sqrt(2) * self.n_summands * self.magnitude + self.error
        limit = parameters.limit(self.level, self.scale)
        if most > limit or self.magnitude > parameters.max_value:
            raise ValueError(
                f"{self.n_summands} summands up to {self.magnitude:.4g} are up to {most:.4g} together (as packed"
                f" numbers), {parameters!r} holds {limit:.4g}: scale the numbers down, or take a larger modulus"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Agreement) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return (
            f"Agreement({self.digest[:4].hex()}, {len(self.parties)} parties, {self.n_ciphertexts} sums of"
            f" {self.n_summands} below {self.magnitude:.4g}, error 2^{math.log2(self.error):.1f}, {self.parameters!r})"
        )


def _names(parties: Iterable[str]) -> tuple[str, ...]:
    if isinstance(parties, str) or not isinstance(parties, Iterable):
        raise TypeError(f"parties is {kind(parties)}: give the names of all parties, a list of str")
    names = tuple(parties)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a party is {kind(name)}: give names, as str")
        if not name or len(name.encode()) > MAX_NAME_BYTES:
            raise ValueError(f"party {name[:70]!r} is not usable: give names of 1 to {MAX_NAME_BYTES} bytes")
    if not 2 <= len(names) <= MAX_PARTIES:
        raise ValueError(f"parties are {len(names)}: give 2 to {MAX_PARTIES}; one alone needs no joint key")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"party {twice!r} is there twice: give each name once")
    return names
