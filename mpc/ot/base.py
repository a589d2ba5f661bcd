# SPDX-License-Identifier: Apache-2.0
"""Base oblivious transfer: the endemic OT of Masny and Rindal [MR19] from Diffie-Hellman over Ristretto255, batched.

n random 1-of-2 OTs: the sender ends with two random keys of 16 bytes for each item, the receiver with the one of its
choice. Message flow for item i, choice c (G the generator; a, b, x fresh random scalars; all hashes take the session,
the number of items and i as well):

    receiver              r_(1-c) = x G,   r_c = b G - H(c, r_(1-c))        H: hash to the group [RFC 9496, 4.3.4]
    receiver -> sender    r_0, r_1                                          64 bytes an item
    sender -> receiver    A = a G                                           32 bytes an item
    sender                k_j = K(j, A, r_0, r_1, a (r_j + H(j, r_(1-j))))  for j = 0, 1
    receiver              k_c = K(c, A, r_0, r_1, b A)

[MR19, section 4]: the one-round protocol from a key agreement whose messages are uniform group elements, here
Diffie-Hellman. The scalar a is fresh for every item, as the paper has it.

Assumes   malicious parties; computational Diffie-Hellman in Ristretto255, H and K as random oracles. The receiver's
          choices are hidden unconditionally: r_0 and r_1 are uniform whichever it is.
Endemic   a cheating party can steer its own outputs: the sender both of its keys, the receiver the key of its choice
          (never the other one). So these keys are not "uniform OT", and no protocol may rely on the peer's outputs
          being random. OT extension does not: it uses the keys as seeds of its own generator, and what a party does
          to its own seeds harms only that party [MR19, section 5], [Roy22].
Leaks     the number of items.
Bits      768 an OT. Kernels: the sender one fixed-base and two variable-base multiplications an item, the receiver two
          fixed-base and one variable-base.
Rounds    one. The two messages do not depend on each other and could cross; the sender sends after it has received,
          so that no two windows can fill and wait for each other. An extension loses nothing by that: its next
          message, from the base sender, needs the keys, hence r_0 and r_1.
LAN, WAN  128 items for IKNP and SoftSpoken, fewer milliseconds than a round trip: no other setting.

A replayed message gives keys that do not match (the scalars are fresh, and K takes the session and all of the
transcript), which the consistency checks of the protocols above notice. A session id must be new for each call.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from crypsis import hashing, ristretto255
from crypsis.errors import InvalidPoint, ProtocolAbort
from crypsis.mpc.transport import Channel

KEY_BYTES = 16
MAX_ITEMS = 1 << 18
ASSUMES = "malicious parties; computational Diffie-Hellman in Ristretto255; the hashes as random oracles"

_POINT = ristretto255.N_BYTES
_GROUP_DOMAINS = (b"crypsis/ot/base/group/0/v1", b"crypsis/ot/base/group/1/v1")
_KEY_DOMAIN = b"crypsis/ot/base/key/v1"

Bytes = npt.NDArray[np.uint8]


def send(
    channel: Channel, n_items: int, *, session: bytes, stream: int = 0, threads: int | None = None
) -> Bytes:
    """The sender's side: `uint8[n_items, 2, 16]`, both keys of each item, secret.

    session: bytes both parties agree on, new for each call. stream: of the channel. Raises ValueError and TypeError
    for wrong arguments, InvalidPoint and ProtocolAbort for a peer that does not follow the protocol.
    """
    context = _context(n_items, session)
    scalars = ristretto255.random_scalars(n_items)
    shared = np.empty((2, n_items, _POINT), np.uint8)
    try:
        own = ristretto255.scalar_mult_base(scalars, threads=threads)
        r = _receive_points(channel, stream, n_items, 2)
        channel.send(stream, own.data.cast("B"))
        keys = np.empty((n_items, 2, KEY_BYTES), np.uint8)
        for j in (0, 1):
            tag = np.full(n_items, j, np.uint8)
            mask = _hash_to_group(context, tag, r[:, 1 - j], threads)
            public = ristretto255.add(np.ascontiguousarray(r[:, j]), mask, threads=threads)
            _check(channel, public, threads)
            shared[j] = ristretto255.scalar_mult(scalars, public, threads=threads)
            keys[:, j] = _keys(context, tag, own, r, shared[j], threads)
        return keys
    finally:
        scalars.fill(0)
        shared.fill(0)


def receive(
    channel: Channel, choices: Bytes, *, session: bytes, stream: int = 0, threads: int | None = None
) -> Bytes:
    """The receiver's side: `uint8[n, 16]`, the key of each item's choice, secret.

    choices: `uint8[n]` of 0 and 1, secret. The rest as for `send`.
    """
    choices = _choices(choices)
    n_items = len(choices)
    context = _context(n_items, session)
    scalars = ristretto255.random_scalars(2 * n_items)
    shared = np.empty((n_items, _POINT), np.uint8)
    try:
        points = ristretto255.scalar_mult_base(scalars, threads=threads)
        chosen, other = points[:n_items], points[n_items:]
        chosen = ristretto255.sub(chosen, _hash_to_group(context, choices, other, threads), threads=threads)
        first = (0 - choices)[:, None]  # all ones where the choice is 1: r_0 is then the other one
        swapped = (chosen ^ other) & first
        r = np.stack([chosen ^ swapped, other ^ swapped], axis=1)
        channel.send(stream, r.data.cast("B"))
        peer = _receive_points(channel, stream, n_items, 1)[:, 0]
        shared[:] = ristretto255.scalar_mult(scalars[:n_items], peer, threads=threads)
        return _keys(context, choices, peer, r, shared, threads)
    finally:
        scalars.fill(0)
        shared.fill(0)


def _context(n_items: int, session: bytes) -> Bytes:
    """`uint8[n, 36]`: what every hash begins with, the session's digest and the item's index."""
    if not isinstance(n_items, int | np.integer) or isinstance(n_items, bool):
        raise TypeError(f"n_items is {type(n_items).__name__}: give an int")
    if not 1 <= n_items <= MAX_ITEMS:
        raise ValueError(f"n_items is {n_items}: give 1 to {MAX_ITEMS}")
    if not isinstance(session, bytes):
        raise TypeError(f"session is {type(session).__name__}: give bytes")
    if not session:
        raise ValueError("session is empty: give bytes that no other call of the two parties uses")
    digest = hashlib.sha256(b"crypsis/ot/base/v1" + int(n_items).to_bytes(8, "little") + session).digest()
    rows = np.empty((n_items, 36), np.uint8)
    rows[:, :32] = np.frombuffer(digest, np.uint8)
    rows[:, 32:] = np.arange(n_items, dtype="<u4").view(np.uint8).reshape(-1, 4)
    return rows


def _choices(choices: Bytes) -> Bytes:
    if not isinstance(choices, np.ndarray) or choices.dtype != np.uint8:
        kind = choices.dtype if isinstance(choices, np.ndarray) else type(choices).__name__
        raise TypeError(f"choices is {kind}: give a NumPy array of uint8")
    if choices.ndim != 1 or not len(choices):
        raise ValueError(f"choices has shape {choices.shape}: give uint8[n], n at least 1")
    if int(choices.max()) > 1:
        raise ValueError("choices has a value above 1: give zeros and ones")
    return choices


def _receive_points(channel: Channel, stream: int, n_items: int, n_each: int) -> Bytes:
    """`uint8[n_items, n_each, 32]` from the peer: elements, none the identity."""
    raw = channel.recv(stream)
    due = n_items * n_each * _POINT
    if len(raw) != due:
        raise ProtocolAbort(f"{channel.peer} sent {len(raw)} bytes of base OT where {due} were due; ended")
    points = np.frombuffer(raw, np.uint8).reshape(-1, _POINT)
    _check(channel, points, None)
    return points.reshape(n_items, n_each, _POINT)


def _check(channel: Channel, points: Bytes, threads: int | None) -> None:
    try:
        ristretto255.check(points, allow_identity=False, threads=threads)
    except InvalidPoint as error:
        raise InvalidPoint(f"{channel.peer} sent a bad base OT: {error}") from error


def _hash_to_group(context: Bytes, tags: Bytes, points: Bytes, threads: int | None) -> Bytes:
    """`uint8[n, 32]`: H(tag, point) of each item, the element derived from 64 hashed bytes."""
    rows = np.concatenate([context, tags[:, None], points], axis=1)
    halves = [hashing.sha256(rows, domain=domain, threads=threads) for domain in _GROUP_DOMAINS]
    return ristretto255.derive(np.concatenate(halves, axis=1), threads=threads)


def _keys(context: Bytes, tags: Bytes, sender: Bytes, r: Bytes, shared: Bytes, threads: int | None) -> Bytes:
    """`uint8[n, 16]`: K(tag, A, r_0, r_1, shared) of each item."""
    rows = np.concatenate([context, tags[:, None], sender, r.reshape(len(r), -1), shared], axis=1)
    try:
        keys: Bytes = hashing.sha256(rows, digest_size=KEY_BYTES, domain=_KEY_DOMAIN, threads=threads)
        return keys
    finally:
        rows.fill(0)
