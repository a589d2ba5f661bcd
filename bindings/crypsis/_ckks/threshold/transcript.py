# SPDX-License-Identifier: Apache-2.0
"""What anyone who hears key generation checks, party or not: nobody chose anything after seeing the others' choice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from crypsis import ntt
from crypsis._arguments import kind
from crypsis._ckks.array import CkksArray
from crypsis._ckks.coins import SEED_BYTES, Coins
from crypsis._ckks.keys import PublicKey
from crypsis._ckks.noise import Estimate
from crypsis._ckks.switch_keys import EncryptionKey
from crypsis._ckks.threshold import messages, vouchers
from crypsis._ckks.threshold.agreement import Agreement
from crypsis._ckks.threshold.flooding import fresh_deviation
from crypsis._ckks.threshold.messages import (
    HASH_BYTES,
    JOINT_KEY,
    KEY_COMMITMENT,
    KEY_PART,
    SEED,
    SEED_COMMITMENT,
)
from crypsis._homomorphic.secret import Frozen
from crypsis.errors import ProtocolAbort

Messages = Mapping[str, Any]
"""Party to message."""


class JointKey(Frozen):
    """The public key of several parties and what they agreed on. Immutable.

    public_key: a `PublicKey` like any other, without evaluation keys; the estimates of what it encrypts are for keys of
    one share, sqrt(parties) too small: use `encrypt` here where they matter. fingerprint: SHA-256 of the whole of key
    generation: parties that have no other proof that the relay between them is honest compare it by telephone.
    """

    __slots__ = ("agreement", "fingerprint", "public_key", "transcript")

    agreement: Agreement
    public_key: PublicKey
    fingerprint: bytes

    transcript: bytes

    def __init__(self, agreement: Agreement, public_key: PublicKey, transcript: bytes) -> None:
        """Not for users: `Transcript.joint_key` and `from_bytes` make keys. transcript: SHA-256 of the messages."""
        if public_key.parameters != agreement.parameters:
            raise ValueError(
                f"the public key is of {public_key.parameters!r}, the agreement of {agreement.parameters!r}"
            )
        # Made here and never read: a key that came with a fingerprint of the sender's choice would pass for another.
        total = hashlib.sha256(b"crypsis ckks threshold fingerprint 1\0" + agreement.digest)
        total.update(transcript + public_key.id)
        self._set(
            agreement=agreement, public_key=public_key, transcript=transcript, fingerprint=total.digest()
        )

    @property
    def id(self) -> bytes:
        """That of the public key."""
        return self.public_key.id

    def encrypt(self, values: Any, *, packed: bool = False, coins: Coins | None = None) -> CkksArray:
        """A summand: `public_key.encrypt` of numbers up to the agreement's magnitude, with the estimate of the error
        that a key of several shares has. ValueError for larger numbers."""
        agreement = self.agreement
        array = self.public_key.encrypt(values, packed=packed, magnitude=agreement.magnitude, coins=coins)
        parameters = agreement.parameters
        error = fresh_deviation(parameters, len(agreement.parties)) * parameters.n**0.5 / agreement.scale
        magnitude = array.estimate.magnitude if array.estimate else agreement.magnitude
        return array.with_estimate(Estimate(parameters, array.level, array.scale, error, magnitude))

    def to_bytes(self) -> bytes:
        """The key as one buffer, for `from_bytes`, without the agreement, which everybody has."""
        return messages.write(
            JOINT_KEY, messages.NOBODY, self.agreement.digest, self.transcript, self.public_key.to_bytes()
        )

    @classmethod
    def from_bytes(cls, buffer: bytes | bytearray | memoryview, agreement: Agreement) -> JointKey:
        """The key that `to_bytes` wrote. ProtocolAbort or CorruptData for a damaged buffer or another agreement's,
        InvalidCiphertext for a key of other parameters."""
        body = messages.read(buffer, JOINT_KEY, agreement, None, None)
        if len(body) < HASH_BYTES:
            raise ProtocolAbort(f"a joint key of {len(body)} bytes is truncated: have it sent again")
        key = PublicKey.from_bytes(body[HASH_BYTES:], parameters=agreement.parameters)
        return cls(agreement, key, bytes(body[:HASH_BYTES]))

    def __repr__(self) -> str:
        return f"JointKey({self.id[:4].hex()}, fingerprint {self.fingerprint[:8].hex()}, {self.agreement!r})"


class Transcript:
    """The four rounds of key generation, checked: `seed_commitments`, `seeds`, `key_commitments`, `key_part` of every
    party, in this order, then `joint_key`. Holds no secret, and one key part at a time.

    ProtocolAbort names the party whose message is missing, malformed, or not what was committed to.
    """

    def __init__(self, agreement: Agreement) -> None:
        if not isinstance(agreement, Agreement):
            raise TypeError(f"agreement is {kind(agreement)}: give a crypsis.ckks.threshold.Agreement")
        self.agreement = agreement
        self._stage = 0
        self._committed: dict[str, bytes] = {}
        self._seed = b""
        self._contributions: dict[str, bytes] = {}
        self._sealed = b""
        self._mask: npt.NDArray[Any] | None = None
        self._sum: npt.NDArray[Any] | None = None
        self._missing = list(agreement.parties)
        self._total = hashlib.sha256(b"crypsis ckks threshold transcript 1\0" + agreement.digest)

    @property
    def common_seed(self) -> bytes:
        """The seed of the common polynomial a, once all seeds are known."""
        if self._stage < 2:
            raise ValueError("the common seed is not known before all seeds are: call seeds() first")
        return self._seed

    @property
    def contributions(self) -> Messages:
        """What each party gave for the common seed: 32 bytes, the public half of an X25519 key."""
        return self._contributions

    @property
    def sealed(self) -> bytes:
        """The keys for vouchers that the first party's key part has sealed for the others."""
        return self._sealed

    def seed_commitments(self, received: Messages) -> None:
        """Round 1."""
        self._enter(0)
        self._committed = self._bodies(received, SEED_COMMITMENT, HASH_BYTES)

    def seeds(self, received: Messages) -> bytes:
        """Round 2: what was committed to; gives the common seed."""
        self._enter(1)
        bodies = self._bodies(received, SEED, SEED_BYTES)
        total = hashlib.sha256(b"crypsis ckks threshold a 1\0" + self.agreement.digest)
        for party, body in bodies.items():
            self._check(party, SEED, body)
            total.update(body)
        self._seed = total.digest()
        self._contributions = bodies
        return self._seed

    def key_commitments(self, received: Messages) -> None:
        """Round 3."""
        self._enter(2)
        self._committed = self._bodies(received, KEY_COMMITMENT, HASH_BYTES)

    def key_part(self, party: str, message: Any) -> None:
        """Round 4, one party at a time, in any order."""
        if self._stage != 3:
            raise ValueError("key parts come after all key commitments: call key_commitments() first")
        agreement = self.agreement
        agreement.index(party)
        if party not in self._missing:
            raise ProtocolAbort(f"party {party!r} sent its key part twice; ended")
        end = HASH_BYTES + messages.residue_bytes(agreement)
        is_first = party == agreement.parties[0]
        due = end + (vouchers.sealed_bytes(agreement) if is_first else 0)
        body = messages.read(message, KEY_PART, agreement, party, due)
        self._check(party, KEY_PART, body)
        part = messages.read_residues(agreement, body[HASH_BYTES:end], 1, party, KEY_PART)[0]
        if is_first:
            self._sealed = bytes(body[end:])
        self._missing.remove(party)
        if self._sum is None:
            self._sum = part
        else:
            ntt.add(self._sum, part, agreement.parameters.moduli, out=self._sum)

    def joint_key(self) -> JointKey:
        """The key, once every part is there. ProtocolAbort naming the parties that are missing."""
        if self._stage != 3 or self._sum is None or self._missing:
            raise ProtocolAbort(
                f"no key part of {_some(self._missing)}: a joint key needs all {len(self.agreement.parties)} parties"
            )
        encryption = EncryptionKey(self.agreement.parameters, self._sum, self._seed)
        return JointKey(self.agreement, PublicKey(encryption), self._total.digest())

    def _enter(self, stage: int) -> None:
        if self._stage != stage:
            raise ValueError(
                "the rounds have an order: seed_commitments(), seeds(), key_commitments(), key_part(), once each"
            )
        self._stage += 1

    def _bodies(self, received: Messages, wanted: int, size: int) -> dict[str, bytes]:
        """By party, in the order of the agreement."""
        parties = self.agreement.parties
        absent = [party for party in parties if party not in received]
        if absent:
            raise ProtocolAbort(
                f"no {messages.NAMES[wanted]} of {_some(absent)}: key generation needs all {len(parties)} parties"
            )
        if len(received) > len(parties):
            extra = [party for party in received if party not in parties]
            raise ProtocolAbort(
                f"a {messages.NAMES[wanted]} of {_some(extra)} came, not of the agreement; ended"
            )
        result = {}
        for party in parties:
            body = messages.read(received[party], wanted, self.agreement, party, size)
            self._total.update(body)
            result[party] = bytes(body)
        return result

    def _check(self, party: str, opened: int, body: Any) -> None:
        if commitment(self.agreement, opened, party, self._seed, body) != self._committed[party]:
            raise ProtocolAbort(
                f"the {messages.NAMES[opened]} of party {party!r} is not what it committed to; ended: the key is not"
                " made"
            )


def commitment(agreement: Agreement, opened: int, party: str, common_seed: bytes, body: Any) -> bytes:
    """SHA-256 that hides `body`, which has 32 random bytes in front, and binds the party to it."""
    total = hashlib.sha256(b"crypsis ckks threshold commitment 1\0" + agreement.digest)
    total.update(bytes([opened]) + agreement.index(party).to_bytes(2, "little"))
    total.update(common_seed if opened == KEY_PART else bytes(SEED_BYTES))
    total.update(body)
    return total.digest()


def _some(parties: list[str]) -> str:
    shown = ", ".join(map(repr, parties[:8])) or "anyone"
    return f"party {shown}" if len(parties) <= 1 else f"parties {shown}{' ...' if len(parties) > 8 else ''}"
