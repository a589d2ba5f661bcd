# SPDX-License-Identifier: Apache-2.0
"""VOLE-PSI [RS21, RR22]: one encoding from the receiver, one VOLE, one message of tags back, bin by bin.

R has keys X, S has keys Y (16-byte digests, distinct, grouped by inner bin as `layout` says). V: keys to field
elements, O: the hash of a tag, both below. A session has S's secret Delta and any number of VOLEs w = v + u Delta (R:
u, w; S: v). Of every outer bin, for each of its inner bins:

    S -> R    COMMITMENTS   malicious only: SHA-256(c_i), for all inner bins i                 32 bytes each
    R -> S    TABLE   the seed of the OKVS; malicious: a random d_i for all i                  16 bytes, 16 each
    R -> S    TABLE   P + u, P the OKVS [GPR+21, RR22] with P(x) = V(x) for R's keys x         `layout.table_bytes`
    S                 K = v + (P + u) Delta = w + P Delta
    S -> R    TAGS    malicious: c_i; then O(K(y) + V(y) Delta + c_i + d_i, y) for S's keys y of the bin, padded with
                      random tags to the bound, ascending                                      `layout.tags_bytes`
    R                 compares with O(w(x) + c_i + d_i, x): w(x) = K(x) + P(x) Delta, so tags of common keys are equal
    R -> S    RESULT  with broadcast: a bit a tag, whether it matched; malicious: 16 bytes     `layout.result_bytes`
                      that follow the tag in O's output where it matched, random ones elsewhere

P(x), K(x), w(x) are decodings, linear in the table. For y not in X, P(y) + V(y) is not zero, and S's tag hides behind
(P(y) + V(y)) Delta. Field: GF(2^128); semi-honest with up to 2^24 keys of S, u, P and V are in GF(2^64) and Delta, v, w
are pairs: half the table, and Delta keeps its 128 bits. Semi-honest V and O are pi(x) + x with AES under two public
keys of the session; malicious they are BLAKE3, and O takes the key too.

Ascending order says nothing about the order of S's keys, and tags are pseudorandom; a bin's tags are distinct. Both
parties may hold an outer bin for granted once its last message came; nothing binds one bin to the next, so bins can be
run again in another session: u, Delta and all hashes are new then, and two runs on the same keys show no more than one.
A malicious party may bring other keys to the second run: whoever calls this counts attempts, told by `before_keys` of
`run` (`crypsis.mpc.psi.bins`).

Malicious, S cannot make R accept a key that S does not know, nor R make S: the 16 bytes behind a tag come from O at a
point that is R's for its own keys only. Either may leave out keys, or make up others. S may send as many keys a bin as
its bound says. R may encode as many as the table has columns, about 1.3 for each that its bound says (unless it finds
collisions of V, beyond 2^64 of work).

Assumes   what `crypsis.mpc.ot.silent_vole` assumes; AES as an ideal cipher (semi-honest), BLAKE3 and SHA-256 as random
          oracles. Semi-honest, or malicious [RS21, Fig. 5]. One tag in 2^128 evaluations of AES, divided by the tags of
          a session, gives Delta away when semi-honest: 2^104 for 2^24 tags; malicious O takes the key, and it is 2^128.
Fails     with 2^-40 at most each, over all bins: a bin over its bound, of either party; no table for a bin; two tags
          that are equal by chance; GF(2^64): a key of S, not in X, that P meets, whose tag R can then recognise.
Leaks     the bounds on both parties' keys that the layout was made of; to R the intersection, with broadcast to both;
          that a party's bin was over its bound, and which, if ever it is.
Rounds    one and a half an outer bin, and bins do not wait for each other; a few at the start for base OTs.
Bytes     exact: `layout.receiver_bytes`, `layout.sender_bytes`, `layout.vole_bytes`.
Cost      of R an encoding, a decoding, the VOLEs (1.3 a key) and a match; of S the VOLEs and a decoding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crypsis import aes, bitmatrix, hashing, okvs, partition
from crypsis import vole as vole_kernels
from crypsis.mpc.place import HOST, Place
from crypsis.mpc.psi.layout import SEED_BYTES, Layout
from crypsis.mpc.psi.options import Progress, PsiOptions, Role
from crypsis.mpc.psi.vole.receiver import Receiver
from crypsis.mpc.psi.vole.room import BLOCK_BYTES
from crypsis.mpc.psi.vole.sender import Sender
from crypsis.mpc.psi.vole.session import (
    COMMITMENTS,
    RESULT,
    TABLE,
    TAGS,
    VOLE,
    Bins,
    Bytes,
    Index,
    KeyBins,
    Matches,
    Session,
)
from crypsis.mpc.transport import Channel

__all__ = [
    "ASSUMES",
    "COMMITMENTS",
    "LEAKS",
    "RESULT",
    "SLUGS",
    "TABLE",
    "TAGS",
    "VOLE",
    "Bins",
    "Index",
    "KeyBins",
    "Matches",
    "check_kernels",
    "intersect_digests",
    "open_session",
]

SLUGS = ("hashing", "aes", "bitmatrix", "vole", "okvs", "partition")
_BELOW = (
    "dual LPN (expand-convolute codes, regular noise); computational Diffie-Hellman in Ristretto255; AES as an ideal "
    "cipher, SHA-256 and BLAKE3 as random oracles"
)
ASSUMES = {security: f"{security} parties; {_BELOW}" for security in ("semi-honest", "malicious")}
LEAKS = (
    "to each party the number of rows with a key of the other (of distinct keys where nothing is spilled)",
    "to the receiver (with broadcast to both) which of its own keys the other has",
    "with broadcast and align to both how many rows the other has of each common key, for outer joins without one too",
    "to who measures time, to the sender too: roughly how large the receiver's output is",
)


def open_session(
    channel: Channel,
    role: Role,
    layout: Layout,
    *,
    session: bytes = b"",
    broadcast: bool = False,
    threads: int | None = None,
    place: Place = HOST,
) -> Session:
    """One party's session on a channel, of which streams 1 to 4 and 6 are used: `run` takes outer bins and gives what
    matched.

    session: public bytes, the same at both parties; fresh randomness of both is added. threads: those of the process
    if None. place: where the keys of the bins are, and all that is made of them. Both parties give the same outer bins
    in the same order. Raises ConfigError where the peer's layout is another, DeviceMemoryError.
    """
    kind = Receiver if role == "receiver" else Sender
    return kind(channel, layout, session=session, broadcast=broadcast, threads=threads, place=place)


def intersect_digests(
    channel: Channel,
    role: Role,
    digests: Bytes,
    layout: Layout,
    *,
    broadcast: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
    place: Place = HOST,
) -> Index | None:
    """Which rows of `digests`, uint8[n, 16] and distinct, the peer has too: indices in an order that both parties
    share; None for a sender without broadcast. In memory, one outer bin. progress: told of keys exchanged. place: where
    the work is done; digests and result are on the host.

    Whoever can put rows in a party's data before the exchange cannot fill a bin with them: bins go by the digests
    as AES under a key of both parties' fresh randomness permutes them."""
    session = open_session(channel, role, layout, broadcast=broadcast, threads=threads, place=place)
    with place.stage("load"):
        keyed = aes.permute(place.from_host(digests), key=session.derive(b"bins"), threads=threads)
        binned = partition.by_bin(keyed, layout.inner, threads=threads)
        bins = KeyBins(binned.keys, place.to_host(binned.starts))
        order = place.to_host(binned.order)
    del keyed, binned
    ((_, matched),) = session.run([(0, bins)], progress)
    return None if matched is None else order[matched]


def check_kernels(options: PsiOptions, place: Place = HOST) -> None:
    """Runs the protocol's kernels on a few items; raises BackendUnavailable now for what would stop the job later. On a
    GPU they are compiled now, while no peer waits."""
    layout, threads = Layout(1, 1, security=options.security), options.threads
    with place.stage("check"):
        keys = place.from_host(np.zeros((1, BLOCK_BYTES), np.uint8))
        grouped, starts, _, _ = partition.group(keys, 1, threads=threads)
        grouped, _, starts = partition.by_bin(grouped, 1, threads=threads)
        values = bitmatrix.gf128_multiply(keys, keys[0], threads=threads)
        if layout.field == 64:
            values = bitmatrix.gf64_multiply(keys[:, :8].copy(), keys[0], threads=threads)
        if options.security == "malicious":
            values = hashing.blake3(values, digest_size=BLOCK_BYTES, domain=b"check", threads=threads)
        values = aes.mmo(values, threads=threads)[:, : layout.field // 8].copy()
        common: dict[str, Any] = {"seed": bytes(SEED_BYTES), "threads": threads}
        table = okvs.encode(grouped, starts, values, layout.table, **common)
        if layout.field == 64:  # of pairs
            table = place.xp.concatenate([table, table], axis=2)
        tags, _ = partition.sort_tags(okvs.decode(grouped, starts, table, layout.table, **common), starts)
        partition.match(tags, starts, tags, starts, threads=threads)
        _check_voles(place, layout, threads)


def _check_voles(place: Place, layout: Layout, threads: int | None) -> None:
    """Both parties' side of one tree, without the messages."""
    depth, width = 7, layout.field // 8
    leaves = place.empty((1 << depth, BLOCK_BYTES))
    zero = place.from_host(np.zeros((1, BLOCK_BYTES), np.uint8))
    sums, _ = vole_kernels.expand_noise(zero, depth, leaves, threads=threads)
    where = place.from_host(np.zeros(1, np.uint64))
    vole_kernels.reconstruct_noise(sums[:, :, 1].copy(), where, zero, depth, leaves, threads=threads)
    noise = place.empty((1 << depth, width))
    vole_kernels.place_noise(where, zero[:, :width].copy(), depth, noise, threads=threads)
    second = noise, place.empty((1 << depth - 1, width))
    vole_kernels.expand_convolute(
        zero[0],
        leaves,
        place.empty((1 << depth - 1, BLOCK_BYTES)),
        weight=layout.parameters.weight,
        field=layout.field,
        second=second,
        threads=threads,
    )
    if layout.security == "malicious":
        bitmatrix.gf128_inner_product(leaves.reshape(1, -1, BLOCK_BYTES), leaves, threads=threads)
