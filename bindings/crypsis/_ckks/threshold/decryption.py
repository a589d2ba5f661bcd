# SPDX-License-Identifier: Apache-2.0
"""Decryption shares, and what all of them together give."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import ntt
from crypsis._arguments import flag, kind
from crypsis._ckks import encoder, encrypting
from crypsis._ckks.array import CkksArray
from crypsis._ckks.threshold import messages
from crypsis._ckks.threshold.messages import HASH_BYTES, SHARE
from crypsis._ckks.threshold.transcript import JointKey
from crypsis._homomorphic.secret import Frozen
from crypsis.errors import ProtocolAbort

MAX_ROWS = 1 << 32
Residues = npt.NDArray[np.uint64]


class DecryptionShare(Frozen):
    """One party's c1 s_i + f of the ciphertexts of one array. Of a sum of encryptions, it says nothing without those
    of all other parties.

    party: whose it is. digest: of the array it is for. data: `uint64[rows, L, N]`, NTT domain. From `KeyShare.share`.
    """

    __slots__ = ("data", "digest", "joint", "party")

    joint: JointKey
    party: str
    digest: bytes
    data: Residues

    def __init__(self, joint: JointKey, party: str, digest: bytes, data: Residues) -> None:
        """Not for users: `KeyShare.share` and `from_bytes` make shares."""
        self._set(joint=joint, party=party, digest=digest, data=data)

    def to_bytes(self) -> bytes:
        """The share as one buffer."""
        agreement = self.joint.agreement
        return messages.write(
            SHARE,
            agreement.index(self.party),
            agreement.digest,
            self.digest,
            struct.pack("<I", len(self.data)),
            *messages.write_residues(agreement, self.data),
        )

    @classmethod
    def from_bytes(
        cls, buffer: bytes | bytearray | memoryview, joint: JointKey, *, party: str | None = None
    ) -> DecryptionShare:
        """The share that `to_bytes` wrote; party: whom it must be from. ProtocolAbort for anything else."""
        agreement = joint.agreement
        if party is None:
            party = messages.sender(buffer, agreement)
        body = messages.read(buffer, SHARE, agreement, party, None)
        at = HASH_BYTES + 4
        rows = int.from_bytes(body[HASH_BYTES:at], "little") if len(body) >= at else 0
        due = at + messages.residue_bytes(agreement, rows)
        if rows == 0 or len(body) != due:
            raise ProtocolAbort(
                f"party {party!r} sent a decryption share of {len(body)} bytes for {rows} ciphertexts, which take"
                f" {due}; ended"
            )
        data = messages.read_residues(agreement, body[at:], rows, party, SHARE)
        return cls(joint, party, bytes(body[:HASH_BYTES]), data)

    def __repr__(self) -> str:
        return f"DecryptionShare(of {self.party!r}, {len(self.data)} ciphertexts, {self.digest[:4].hex()})"


class Combiner:
    """Adds up the decryption shares of one array, in any order, each once; keeps only the sum.

    joint: the key. array: the sum that was decrypted, as the parties had it. InvalidCiphertext, LevelError, ScaleError
    for an array that no share may be made of.
    """

    def __init__(self, joint: JointKey, array: CkksArray) -> None:
        joint.agreement.check(array, joint.id)
        self.joint = joint
        self._array = array.to("cpu")
        self._digest = ciphertext_digest(self._array)
        self._missing = list(joint.agreement.parties)
        limbs, n = joint.agreement.level + 1, joint.agreement.parameters.n
        self._basis = joint.agreement.parameters.basis(joint.agreement.level)
        data = self._array.data.reshape(array.size, 2, limbs, n)
        self._sum: Residues = np.ascontiguousarray(data[:, 0]).copy()

    @property
    def missing(self) -> tuple[str, ...]:
        """Parties whose share is not there yet."""
        return tuple(self._missing)

    def add(self, share: DecryptionShare) -> None:
        """ProtocolAbort for a share of another array or key, or one of a party that was there."""
        if not isinstance(share, DecryptionShare):
            raise TypeError(f"share is {kind(share)}: give a DecryptionShare; from_bytes reads one")
        if share.joint.id != self.joint.id or share.joint.agreement != self.joint.agreement:
            raise ProtocolAbort(f"the share of party {share.party!r} is of another joint key; ended")
        if share.digest != self._digest or len(share.data) != len(self._sum):
            raise ProtocolAbort(
                f"the share of party {share.party!r} is for ciphertexts {share.digest[:4].hex()}, not for these,"
                f" {self._digest[:4].hex()}: all parties must have the same sum"
            )
        if share.party not in self._missing:
            raise ProtocolAbort(f"party {share.party!r} sent a share of these ciphertexts twice; ended")
        ntt.add(self._sum, share.data, self._basis, out=self._sum)
        self._missing.remove(share.party)

    def result(self, *, complex: bool = False) -> npt.NDArray[Any]:
        """The numbers, as `SecretKey.decrypt` gives them, off by up to `agreement.error`; safe to be shown to others
        [LM21], being made up of shares that are. ProtocolAbort naming the parties whose share is missing."""
        as_complex = flag("complex", complex)
        if self._missing:
            names = ", ".join(map(repr, self._missing[:8])) + (" ..." if len(self._missing) > 8 else "")
            raise ProtocolAbort(
                f"no decryption share of {names}: all {len(self.joint.agreement.parties)} parties are needed"
            )
        agreement = self.joint.agreement
        slots = encoder.decode(agreement.parameters, self._sum.copy(), agreement.level, agreement.scale)
        return encrypting.unpacked(self._array, slots, as_complex)


def combine(
    joint: JointKey, array: CkksArray, shares: Iterable[DecryptionShare], *, complex: bool = False
) -> npt.NDArray[Any]:
    """What an array holds, from the shares of all parties: float64 (complex=True: complex128) `[*shape, length]`; of a
    packed array, in its shape. Raises as `Combiner`."""
    combiner = Combiner(joint, array)
    for share in shares:
        combiner.add(share)
    return combiner.result(complex=complex)


def ciphertext_digest(array: CkksArray) -> bytes:
    """SHA-256 that names an array: key, level, scale, shapes and every residue."""
    packing = array.packing if array.packing is not None else ()
    total = hashlib.sha256(b"crypsis ckks ciphertexts 1\0" + array.key_id)
    total.update(
        struct.pack(
            "<BdIBBB", array.level, array.scale, array.length, array.ndim, len(packing), array.size_of
        )
    )
    total.update(bytes([array.packing is not None]))
    total.update(struct.pack(f"<{array.ndim + len(packing)}Q", *array.shape, *packing))
    total.update(np.ascontiguousarray(array.to("cpu").data).data)
    return total.digest()
