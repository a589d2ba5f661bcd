# SPDX-License-Identifier: Apache-2.0
"""Messages of key generation and decryption, one buffer each. All numbers are little-endian.

    offset  bytes  what
    0       4      magic "CKTH"
    4       2      version, 2
    6       1      kind: 1 seed commitment, 2 seed, 3 key commitment, 4 key part, 5 decryption share, 6 joint key
    7       1      zero
    8       2      number of the party in the agreement; 65535 for a joint key
    10      32     digest of the agreement
    42      ...    what the kind has
    ...     4      CRC-32 of all before: against accidents, not against an adversary

    commitments    32     SHA-256
    seed           32     contribution to the seed of the common polynomial: the public half of an X25519 key
    key part       32     nonce of its commitment, then b_i: residues as in `crypsis._ckks.serial`; the first party's
                          has the key for vouchers behind, 48 bytes for each other party (`vouchers`)
    share          32 + 4 digest of the array it is for, number of ciphertexts, then residues
    joint key      32     SHA-256 of the messages of key generation, then the public key's own buffer

Every parser knows the length that is due before it reads. What does not fit is a ProtocolAbort that names the party.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crypsis._ckks import serial
from crypsis.errors import ProtocolAbort

if TYPE_CHECKING:
    from crypsis._ckks.threshold.agreement import Agreement

MAGIC, VERSION = b"CKTH", 2
SEED_COMMITMENT, SEED, KEY_COMMITMENT, KEY_PART, SHARE, JOINT_KEY = range(1, 7)
NAMES = {
    SEED_COMMITMENT: "seed commitment",
    SEED: "seed",
    KEY_COMMITMENT: "key commitment",
    KEY_PART: "key part",
    SHARE: "decryption share",
    JOINT_KEY: "joint key",
}
HASH_BYTES = 32
NOBODY = 0xFFFF
HEAD = struct.Struct("<4sHBBH32s")
OVERHEAD = HEAD.size + 4
"""Bytes of a message beside what its kind has."""

Residues = npt.NDArray[np.uint64]


def write(kind: int, party: int, digest: bytes, *body: Any) -> bytes:
    """A message."""
    return serial.sealed([HEAD.pack(MAGIC, VERSION, kind, 0, party, digest), *body])


def read(buffer: Any, kind: int, agreement: Agreement, party: str | None, due: int | None) -> memoryview:
    """The body of the message of `kind` that is due from `party`, of `due` bytes (None: any). ProtocolAbort else."""
    who = repr(party) if party is not None else "the sender"
    view = memoryview(buffer).cast("B")
    what = NAMES[kind]
    if len(view) < OVERHEAD:
        raise ProtocolAbort(f"party {who} sent {len(view)} bytes where a {what} was due; ended")
    magic, version, found, zero, index, digest = HEAD.unpack_from(view)
    if magic != MAGIC or zero or found != kind:
        raise ProtocolAbort(
            f"party {who} sent {NAMES.get(found, 'something') if magic == MAGIC else 'something else'} where a {what}"
            " was due; ended"
        )
    if version != VERSION:
        raise ProtocolAbort(
            f"party {who} sent version {version}, this crypsis reads {VERSION}: upgrade one side"
        )
    if digest != agreement.digest:
        raise ProtocolAbort(
            f"party {who} has agreement {digest[:4].hex()}, here it is {agreement.digest[:4].hex()}: give all parties"
            " the same parameters, names in the same order, n_summands, n_ciphertexts, magnitude and session"
        )
    expected = NOBODY if party is None else agreement.index(party)
    if index != expected:
        raise ProtocolAbort(f"party {who} sent the {what} of party number {index}, not its own; ended")
    if due is not None and len(view) != OVERHEAD + due:
        raise ProtocolAbort(
            f"party {who} sent a {what} of {len(view)} bytes where {OVERHEAD + due} were due; ended"
        )
    if zlib.crc32(view[:-4]) != int.from_bytes(view[-4:], "little"):
        raise ProtocolAbort(f"the {what} of party {who} is damaged (checksum): have it sent again")
    return view[HEAD.size : -4]


def sender(buffer: Any, agreement: Agreement) -> str:
    """Whom a message says it is from. ProtocolAbort where that is nobody of the agreement."""
    view = memoryview(buffer).cast("B")
    index = HEAD.unpack_from(view)[4] if len(view) >= OVERHEAD else NOBODY
    if index >= len(agreement.parties):
        raise ProtocolAbort(f"a message of {len(view)} bytes is from none of the parties; ended")
    return agreement.parties[index]


def residue_bytes(agreement: Agreement, count: int = 1) -> int:
    """Bytes of `count` polynomials over the moduli of the agreement's level."""
    parameters = agreement.parameters
    return serial.packed_bytes(count, parameters.basis(agreement.level).primes, parameters.n)


def write_residues(agreement: Agreement, data: Residues) -> list[Any]:
    """`uint64[..., limbs, N]` as buffers."""
    return serial.packed(data, agreement.parameters.basis(agreement.level).primes)


def read_residues(agreement: Agreement, view: memoryview, count: int, party: str, kind: int) -> Residues:
    """`uint64[count, limbs, N]`. ProtocolAbort for numbers that are no residues."""
    primes = agreement.parameters.basis(agreement.level).primes
    data = serial.unpacked(view, count, primes, agreement.parameters.n)
    if not serial.are_residues(data, primes):
        raise ProtocolAbort(
            f"a number in the {NAMES[kind]} of party {party!r} is no residue of its modulus; ended"
        )
    return data
