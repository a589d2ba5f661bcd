# SPDX-License-Identifier: Apache-2.0
"""The messages of a masked sum, and the keys that go into them.

    head          magic, version, kind, sender (a client's index, or SERVER), digest of the plan
    ADVERTISE     two X25519 public keys (shares, masks), active: a signature over them
    KEYS          (index, ADVERTISE's body) of each holder that is there
    SHARES        commitment to the self-mask seed; (index, sealed shares) for each other holder
    INBOX         (index, sealed shares) from each other holder that is there
    MASKED        n_words ring elements
    SURVIVORS     indices of the clients whose masked input is in the sum (holders only, with a degree)
    SIGNED        active: a signature over SURVIVORS
    SIGNATURES    active: (index, signature)
    REVEAL        (index, kind of the secret, share)

Lists ascend by index.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from crypsis import aes, curve25519
from crypsis.errors import ProtocolAbort
from crypsis.mpc.learning.horizontal import shamir
from crypsis.mpc.learning.horizontal.plan import Plan, Words

ADVERTISE, KEYS, SHARES, INBOX, MASKED, SURVIVORS, SIGNED, SIGNATURES, REVEAL = range(1, 10)
NAMES = {
    ADVERTISE: "public keys",
    KEYS: "list of public keys",
    SHARES: "shares",
    INBOX: "shares of others",
    MASKED: "masked input",
    SURVIVORS: "list of survivors",
    SIGNED: "signature",
    SIGNATURES: "list of signatures",
    REVEAL: "answer for unmasking",
}
SERVER = 0xFFFFFFFF
HEAD = struct.Struct("<4sBBI32s")
INDEX = struct.Struct("<I")
KEY_BYTES = 32
SIGNATURE_BYTES = 64
NONCE_BYTES = 12
SEALED_BYTES = NONCE_BYTES + 2 * shamir.SHARE_BYTES + 16
SELF_SEED, MASK_KEY = 1, 2
"""The two secrets of a client; of one client, at most one of them is ever revealed."""

_MAGIC, _VERSION = b"CKMS", 1
_BLOCK_WORDS = 1 << 16

Bytes = npt.NDArray[np.uint8]


def write(plan: Plan, kind: int, sender: int, *parts: bytes) -> bytes:
    return b"".join((HEAD.pack(_MAGIC, _VERSION, kind, sender, plan.digest), *parts))


def read(plan: Plan, message: Any, kinds: int | Iterable[int], sender: int) -> tuple[int, memoryview]:
    """(kind, body) of the message that is due. ProtocolAbort, naming the sender, for another."""
    kinds = (kinds,) if isinstance(kinds, int) else tuple(kinds)
    who = "the server" if sender == SERVER else repr(plan.clients[sender])
    due = " or ".join(NAMES[kind] for kind in kinds)
    view = memoryview(message)
    if len(view) < HEAD.size:
        raise ProtocolAbort(f"{who} sent {len(view)} bytes where a {due} was due; ended")
    magic, version, kind, found, digest = HEAD.unpack_from(view)
    if magic != _MAGIC or version != _VERSION:
        raise ProtocolAbort(f"{who} sent something else, or of another version, where a {due} was due; ended")
    if digest != plan.digest:
        raise ProtocolAbort(
            f"{who} sent a message of another sum ({digest[:4].hex()}, here {plan.digest[:4].hex()}): all must have the"
            " same plan, and a session is used once"
        )
    if kind not in kinds:
        raise ProtocolAbort(f"{who} sent a {NAMES.get(kind, 'nothing known')} where a {due} was due; ended")
    if found != sender:
        raise ProtocolAbort(f"{who} sent a message in another's name; ended")
    return kind, view[HEAD.size :]


def entries(body: memoryview, size: int, what: str) -> dict[int, bytes]:
    """{index: rest} of a list of (index, `size` bytes). ProtocolAbort where it is not one, or does not ascend."""
    step = INDEX.size + size
    if len(body) % step:
        raise ProtocolAbort(f"a {what} of {len(body)} bytes is not a list of {step} each; ended")
    found: dict[int, bytes] = {}
    last = -1
    for at in range(0, len(body), step):
        (index,) = INDEX.unpack_from(body, at)
        if index <= last:
            raise ProtocolAbort(f"a {what} names client {index} twice or out of order; ended")
        last = index
        found[index] = bytes(body[at + INDEX.size : at + step])
    return found


def listing(items: dict[int, bytes]) -> bytes:
    return b"".join(INDEX.pack(index) + items[index] for index in sorted(items))


# ---- keys


def derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 [RFC 5869], 32 bytes."""
    extracted = hmac.digest(salt, secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


def public_key(secret: bytes) -> bytes:
    return curve25519.scalar_mult_base(np.frombuffer(secret, np.uint8)).tobytes()


def agree(secret: bytes, publics: dict[int, bytes]) -> dict[int, bytes]:
    """The X25519 secret with each public key; they are checked before, by `check_keys`."""
    if not publics:
        return {}
    points = np.frombuffer(b"".join(publics.values()), np.uint8).reshape(-1, KEY_BYTES)
    common = curve25519.scalar_mult(np.frombuffer(secret, np.uint8), points)
    return {index: row.tobytes() for index, row in zip(publics, common, strict=True)}


def check_keys(key_pairs: Iterable[bytes]) -> None:
    """The public keys of all, 64 bytes a client. ProtocolAbort for one that is no good, or there twice."""
    joined = b"".join(key_pairs)
    points = np.frombuffer(joined, np.uint8).reshape(-1, KEY_BYTES)
    curve25519.check_points(points)
    if len({row.tobytes() for row in points}) != len(points):
        raise ProtocolAbort("two of the clients' public keys are equal: somebody repeats another's; ended")


def mask_seed(plan: Plan, common: bytes, one: int, other: int) -> bytes:
    """The 16-byte seed of the mask of two clients."""
    pair = INDEX.pack(min(one, other)) + INDEX.pack(max(one, other))
    return derive(common, plan.digest, b"crypsis mask" + pair)[:16]


def self_seed(plan: Plan, secret: bytes, owner: int) -> bytes:
    return derive(secret, plan.digest, b"crypsis self mask" + INDEX.pack(owner))[:16]


def commitment(plan: Plan, secret: bytes, owner: int) -> bytes:
    """To a client's self-mask secret: what shares give is checked against it."""
    return derive(secret, plan.digest, b"crypsis commitment" + INDEX.pack(owner))


def seal(plan: Plan, common: bytes, sender: int, receiver: int, text: bytes) -> bytes:
    """nonce, ChaCha20-Poly1305 [RFC 8439] under a key for this way in this sum. The nonce is random: a client whose
    stored state is taken up twice then seals two messages under one key."""
    way = INDEX.pack(sender) + INDEX.pack(receiver)
    key = derive(common, plan.digest, b"crypsis shares" + way)
    nonce = os.urandom(NONCE_BYTES)
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, text, plan.digest + way)


def unseal(plan: Plan, common: bytes, sender: int, receiver: int, sealed: bytes) -> bytes:
    way = INDEX.pack(sender) + INDEX.pack(receiver)
    key = derive(common, plan.digest, b"crypsis shares" + way)
    try:
        return ChaCha20Poly1305(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], plan.digest + way)
    except InvalidTag:
        raise ProtocolAbort(
            f"the shares of {plan.clients[sender]!r} were changed on their way, or are not for this client; ended"
        ) from None


def sign(plan: Plan, key: Ed25519PrivateKey, kind: int, body: bytes) -> bytes:
    return key.sign(b"crypsis masked sum" + bytes([kind]) + plan.digest + body)


def verify(plan: Plan, index: int, kind: int, body: bytes, signature: bytes) -> None:
    """ProtocolAbort, naming the client, for a signature that is not its."""
    if plan.identities is None:
        raise ProtocolAbort("a signature came and the plan has no identities; ended")
    name = plan.clients[index]
    try:
        key = Ed25519PublicKey.from_public_bytes(plan.identities[name])
        key.verify(signature, b"crypsis masked sum" + bytes([kind]) + plan.digest + body)
    except (InvalidSignature, ValueError):
        raise ProtocolAbort(
            f"the signature over the {NAMES[kind]} of {name!r} is not its own; ended"
        ) from None


# ---- masks


def add_masks(total: Words, seeds: list[tuple[bytes, int]]) -> None:
    """Adds (sign 1) or takes away (-1) the mask of each 16-byte seed: AES-128 in counter mode, as little-endian words.

    In place, block by block, so that the streams stay in the cache.
    """
    size = total.dtype.itemsize
    buffer = np.empty((_BLOCK_WORDS * size // 16, 16), np.uint8)
    stream = buffer.reshape(-1).view(total.dtype)
    for start in range(0, len(total), _BLOCK_WORDS):
        part = total[start : start + _BLOCK_WORDS]
        n_blocks = -(-len(part) * size // 16)
        for seed, way in seeds:
            aes.ctr_stream(seed, n_blocks, counter=start * size // 16, out=buffer[:n_blocks], threads=1)
            if way > 0:
                part += stream[: len(part)]
            else:
                part -= stream[: len(part)]
