# SPDX-License-Identifier: Apache-2.0
"""VOLE-PSI [RS21, RR22]: one encoding from the receiver, one VOLE, one message of tags back, bin by bin.

R has keys X, S has keys Y (16-byte digests, distinct, grouped by inner bin as `layout` says). V: keys to field elements,
O: the hash of a tag, both below. A session has S's secret Delta and any number of VOLEs w = v + u Delta (R: u, w; S: v).
Of every outer bin, for each of its inner bins:

    S -> R    TAGS    malicious only: SHA-256(c_i), for all inner bins i                            32 bytes each
    R -> S    TABLE   the seed of the OKVS; malicious: a random d_i for all i                       16 bytes, 16 each
    R -> S    TABLE   P + u, P the OKVS [GPR+21, RR22] with P(x) = V(x) for R's keys x of the bin   `layout.table_bytes`
    S                 K = v + (P + u) Delta = w + P Delta
    S -> R    TAGS    malicious: c_i; then O(K(y) + V(y) Delta + c_i + d_i, y) for S's keys y of the bin, padded with
                      random tags to the bound, ascending                                           `layout.tags_bytes`
    R                 compares with O(w(x) + c_i + d_i, x): w(x) = K(x) + P(x) Delta, so tags of common keys are equal
    R -> S    RESULT  with broadcast: a bit a tag, whether it matched                               `layout.result_bytes`

P(x), K(x), w(x) are decodings, linear in the table. For y not in X, P(y) + V(y) is not zero, and S's tag hides behind
(P(y) + V(y)) Delta. Field: GF(2^128); semi-honest with up to 2^24 keys of S, u, P and V are in GF(2^64) and Delta, v, w
are pairs: half the table, and Delta keeps its 128 bits. Semi-honest V and O are pi(x) + x with AES under two fixed
keys; malicious they are BLAKE3, and O takes the key too.

Ascending order says nothing about the order of S's keys, and tags are pseudorandom; a bin's tags are distinct. Both
parties may hold an outer bin for granted once its last message came; nothing binds one bin to the next, so bins can be
run again in another session.

Assumes   what `crypsis.mpc.ot.silent_vole` assumes; AES as an ideal cipher (semi-honest), BLAKE3 and SHA-256 as random
          oracles. Semi-honest, or malicious: then S cannot make R accept a key it does not know, and R cannot test more
          keys than the table has columns (about 1.3 for each of its own [RS21, section 5]) [RS21, Fig. 5].
Leaks     the bounds on both parties' keys that the layout was made of; to R the intersection, with broadcast to both.
Rounds    one and a half an outer bin, and bins do not wait for each other; a few at the start for base OTs.
Bytes     exact: `layout.receiver_bytes`, `layout.sender_bytes`, `layout.vole_bytes`.
Cost      of R an encoding, a decoding, the VOLEs (1.3 a key) and a match; of S the VOLEs and a decoding.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from crypsis import aes, bitmatrix, hashing, okvs, partition
from crypsis.errors import ConfigError, CorruptData, DataError, ProtocolAbort
from crypsis.mpc.ot.silent_vole import SilentVoleReceiver, SilentVoleSender
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender
from crypsis.mpc.psi.conveyor import Conveyor, Crew
from crypsis.mpc.psi.layout import COMMITMENT_BYTES, HELLO_BYTES, NONCE_BYTES, OT_K, SEED_BYTES, Layout
from crypsis.mpc.psi.options import Progress, PsiOptions, Role
from crypsis.mpc.transport import Channel

VOLE, TABLE, TAGS, RESULT = 1, 2, 3, 4  # streams
BLOCK_BYTES = 16

SLUGS = ("hashing", "aes", "bitmatrix", "vole", "okvs", "partition")
ASSUMES = {
    "semi-honest": "semi-honest parties; dual LPN (expand-convolute codes, regular noise); computational Diffie-Hellman in "
    "Ristretto255; AES as an ideal cipher, SHA-256 and BLAKE3 as random oracles",
    "malicious": "malicious parties; dual LPN (expand-convolute codes, regular noise); computational Diffie-Hellman in "
    "Ristretto255; AES as an ideal cipher, SHA-256 and BLAKE3 as random oracles",
}
LEAKS = (
    "to each party the number of rows with a key of the other (of distinct keys where nothing is spilled)",
    "to the receiver (with broadcast to both) which of its own keys the other has",
)

_VERSION = b"crypsis/psi/vole/v1"
# Fixed, public AES keys; any two will do [GKWY20]: the first bytes of SHA-256 of these texts.
_VALUE_KEY = hashlib.sha256(_VERSION + b" value").digest()[:BLOCK_BYTES]
_TAG_KEY = hashlib.sha256(_VERSION + b" tag").digest()[:BLOCK_BYTES]
_AHEAD = 4
"""Steps that a thread may be ahead of the one that takes up its results."""

_WAITING_TAGS = 32 << 20
"""Bytes of own tags that wait for the peer's."""

Bytes = npt.NDArray[np.uint8]
Index = npt.NDArray[np.uint32]
Starts = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class KeyBins:
    """Distinct keys of one outer bin, uint8[n, 16], those of inner bin i at starts[i]:starts[i + 1]."""

    keys: Bytes
    starts: Starts


Bins = Iterable[tuple[int, KeyBins]]
Matches = Iterator[tuple[int, Index | None]]


@dataclass(frozen=True)
class _Step:
    """Inner bins [first, last) of outer bin `outer`, worked on together: one a thread."""

    outer: int
    first: int
    last: int
    ends_outer: bool


def check_kernels(options: PsiOptions) -> None:
    """Runs the protocol's kernels on one item; raises BackendUnavailable now for what would stop the job later."""
    keys = np.zeros((1, BLOCK_BYTES), np.uint8)
    layout = Layout(1, 1, security=options.security)
    grouped, _, starts = partition.by_bin(keys, 1, threads=options.threads)
    values = bitmatrix.gf128_multiply(keys, keys[0], threads=options.threads)
    values = aes.mmo(values, threads=options.threads)[:, : layout.field // 8]
    values = np.ascontiguousarray(values)
    okvs.encode(grouped, starts, values, layout.table, seed=bytes(SEED_BYTES), threads=options.threads)


def intersect_digests(
    channel: Channel,
    role: Role,
    digests: Bytes,
    layout: Layout,
    *,
    broadcast: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Index | None:
    """Which rows of `digests`, uint8[n, 16] and distinct, the peer has too: indices in an order that both parties share;
    None for a sender without broadcast. In memory, one outer bin."""
    keys, order, starts = partition.by_bin(digests, layout.inner, threads=threads)
    session = VolePsi(channel, role, layout, broadcast=broadcast, threads=threads, progress=progress)
    ((_, matched),) = session.run([(0, KeyBins(keys, starts))])
    return None if matched is None else order[matched]


class VolePsi:
    """One party's session: takes outer bins, gives what matched in each.

    channel: streams 1 to 4 are used. session: public bytes, the same at both parties; fresh randomness of both is added.
    Both parties give the same outer bins in the same order.
    """

    def __init__(
        self,
        channel: Channel,
        role: Role,
        layout: Layout,
        *,
        session: bytes = b"",
        broadcast: bool = False,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._channel = channel
        self._role = role
        self._layout = layout
        self._broadcast = broadcast
        self._threads = threads
        self._progress = progress or (lambda phase, done, total: None)
        self._session = self._greet(session)
        self._malicious = layout.security == "malicious"

    def _greet(self, session: bytes) -> bytes:
        """Both parties' random contributions, and whether they mean the same layout."""
        layout = self._layout
        values = [getattr(layout, field.name) for field in fields(layout)]
        derived = [layout.inner, layout.table_bytes, layout.tags_bytes, layout.field, self._broadcast]
        text = repr((_VERSION, values, derived)).encode()
        own = secrets.token_bytes(32)
        sends, receives = (TABLE, TAGS) if self._role == "receiver" else (TAGS, TABLE)
        self._channel.send(sends, hashlib.sha256(text).digest() + own)
        peer = bytes(self._channel.recv(receives))
        if len(peer) != HELLO_BYTES or peer[:32] != hashlib.sha256(text).digest():
            raise ConfigError(
                f"{self._channel.peer} has other bins, sizes or security for this exchange than {layout}: give both parties "
                "the same options and the same version"
            )
        parts = (own, peer[32:]) if self._role == "receiver" else (peer[32:], own)
        return hashlib.sha256(_VERSION + b"".join(parts) + session).digest()

    def run(self, bins: Bins) -> Matches:
        """(outer bin, own keys that matched) for each of `bins`, in order: indices into its keys, in an order that both
        parties share; None for a sender without broadcast.

        Raises DataError for an inner bin above its bound before anything of its outer bin is sent, ProtocolAbort,
        ChannelError. After an error the channel has been ended.
        """
        crew = Crew(self._tell)
        work = self._receive(crew, bins) if self._role == "receiver" else self._send(crew, bins)
        try:
            yield from work
        except BaseException as error:
            crew.fail(error)
            crew.join()
            raise
        crew.join()

    def _tell(self, error: BaseException) -> None:
        # Only what is about the peer's own messages is told in full.
        self._channel.abort(str(error) if isinstance(error, ProtocolAbort) else type(error).__name__)

    # -- both sides ----------------------------------------------------------------------------------------------------

    def _steps(self, outer: int) -> Iterator[_Step]:
        inner, step = self._layout.inner, max(self._threads or 1, 1)
        for first in range(0, inner, step):
            last = min(first + step, inner)
            yield _Step(outer, first, last, last == inner)

    def _checked(self, outer: int, bins: KeyBins, bound: int) -> KeyBins:
        sizes = np.diff(bins.starts.astype(np.int64))
        if len(sizes) != self._layout.inner:
            raise ValueError(f"outer bin {outer} has {len(sizes)} inner bins: give {self._layout.inner}")
        if len(sizes) and int(sizes.max()) > bound:
            raise DataError(
                f"bin {outer}.{int(sizes.argmax())} has {int(sizes.max())} keys and its bound is {bound}: the rows announced "
                "were too few, or somebody chose keys to fill it; start the job anew, with a new work directory, for other bins"
            )
        return bins

    def _values(self, keys: Bytes) -> Bytes:
        """V: uint8[n, field / 8]."""
        if self._malicious:
            return hashing.blake3(
                keys, digest_size=BLOCK_BYTES, domain=b"crypsis/psi/vole/value/v1", threads=self._threads
            )
        values = aes.mmo(keys, key=_VALUE_KEY, threads=self._threads)
        return values if self._layout.field == 128 else np.ascontiguousarray(values[:, :8])

    def _tags(self, keys: Bytes, decoded: Bytes, masks: list[bytes], starts: Starts) -> Bytes:
        """O, uint8[n, tag_bytes]; `decoded` is used up."""
        width = self._layout.tag_bytes
        if not self._malicious:
            hashed = aes.mmo(decoded, key=_TAG_KEY, threads=self._threads)
            return np.ascontiguousarray(hashed[:, :width])
        for i, mask in enumerate(masks):
            decoded[int(starts[i]) : int(starts[i + 1])] ^= np.frombuffer(mask, np.uint8)
        return hashing.blake3(
            np.concatenate([decoded, keys], axis=1),
            digest_size=width,
            domain=b"crypsis/psi/vole/tag/v1",
            threads=self._threads,
        )

    def _times_delta(self, elements: Bytes, delta: Bytes) -> Bytes:
        """uint8[n, field / 8] times Delta, uint8[n, 16]."""
        if self._layout.field == 64:
            return bitmatrix.gf64_multiply(elements, delta, threads=self._threads)
        return bitmatrix.gf128_multiply(elements, delta, threads=self._threads)

    def _message(self, stream: int, what: str, size: int) -> Bytes:
        raw = self._channel.recv(stream)
        if len(raw) != size:
            raise ProtocolAbort(
                f"{self._channel.peer} sent {len(raw)} bytes where {size} of {what} were due; ended"
            )
        return np.frombuffer(raw, np.uint8)

    # -- receiver ------------------------------------------------------------------------------------------------------

    def _receive(self, crew: Crew, bins: Bins) -> Matches:
        layout = self._layout
        voles: Conveyor[tuple[Bytes, Bytes]] = crew.conveyor(_AHEAD)
        wanted: Conveyor[int] = crew.conveyor(1 << 16)
        waiting = max(_WAITING_TAGS // max(layout.receiver_bound * layout.tag_bytes, 1), 2)
        own: Conveyor[tuple[_Step, int, Starts, Bytes, list[bytes]]] = crew.conveyor(waiting)
        crew.start("vole", lambda: self._expand_receiver(wanted, voles))
        crew.start("encode", lambda: self._encode(bins, wanted, voles, own))
        matched: list[Index] = []
        for step, begin, starts, tags, openings in own:
            index = self._match(step, starts, tags, openings)
            index += np.uint32(begin)
            matched.append(index)
            if step.ends_outer:
                self._progress("exchange", step.outer, 0)
                yield step.outer, np.concatenate(matched)
                matched = []

    def _expand_receiver(self, wanted: Conveyor[int], voles: Conveyor[tuple[Bytes, Bytes]]) -> None:
        layout = self._layout
        base = SoftSpokenReceiver(
            self._channel,
            session=b"ots" + self._session,
            k=OT_K,
            security=layout.security,
            stream=VOLE,
            threads=self._threads,
        )
        with closing(base):
            source = SilentVoleReceiver(
                self._channel,
                base,
                session=b"vole" + self._session,
                parameters=layout.parameters,
                stream=VOLE,
                threads=self._threads,
                field=layout.field,
            )
            with closing(source):
                for n in wanted:
                    u = np.empty((n, layout.field // 8), np.uint8)
                    w = np.empty((n, BLOCK_BYTES), np.uint8)
                    done = 0
                    for more_u, more_w in source.blocks(n):
                        end = done + len(more_w)
                        u[done:end], w[done:end] = more_u, more_w
                        done = end
                    voles.put((u, w))

    def _encode(
        self,
        bins: Bins,
        wanted: Conveyor[int],
        voles: Conveyor[tuple[Bytes, Bytes]],
        own: Conveyor[tuple[_Step, int, Starts, Bytes, list[bytes]]],
    ) -> None:
        layout, channel = self._layout, self._channel
        columns = layout.table.columns
        for outer, unchecked in bins:
            these = self._checked(outer, unchecked, layout.receiver_bound)
            commitments = self._commitments() if self._malicious else []
            nonces = [secrets.token_bytes(NONCE_BYTES) for _ in commitments]
            seed = secrets.token_bytes(SEED_BYTES)
            channel.send(TABLE, seed + b"".join(nonces))
            steps = list(self._steps(outer))
            for step in steps:
                wanted.put((step.last - step.first) * columns)
            for step in steps:
                begin, end = int(these.starts[step.first]), int(these.starts[step.last])
                keys = these.keys[begin:end]
                starts = these.starts[step.first : step.last + 1] - these.starts[step.first]
                table = okvs.encode(
                    keys, starts, self._values(keys), layout.table, seed=seed, threads=self._threads
                )
                u, w = voles.get()
                table ^= u.reshape(table.shape)
                for part in table:
                    channel.send(TABLE, part)
                decoded = okvs.decode(
                    keys,
                    starts,
                    w.reshape(len(table), columns, BLOCK_BYTES),
                    layout.table,
                    seed=seed,
                    threads=self._threads,
                )
                if self._malicious:
                    # The sender's share of the mask comes with its tags: what is hashed then waits till then.
                    keep = np.concatenate([decoded, keys], axis=1)
                    parts = [
                        commitments[i] + nonces[i] for i in range(step.first, step.last)
                    ]
                    own.put((step, begin, starts, keep, parts))
                else:
                    own.put((step, begin, starts, self._tags(keys, decoded, [], starts), []))
        wanted.finish()
        own.finish()

    def _commitments(self) -> list[bytes]:
        raw = self._message(TAGS, "commitments", COMMITMENT_BYTES * self._layout.inner).tobytes()
        return [raw[i : i + COMMITMENT_BYTES] for i in range(0, len(raw), COMMITMENT_BYTES)]

    def _match(self, step: _Step, starts: Starts, own: Bytes, promised: list[bytes]) -> Index:
        """Own keys of a step that matched, counted from its first, in the order of the peer's tags."""
        layout = self._layout
        messages = [
            self._message(TAGS, "tags", layout.tags_bytes) for _ in range(step.last - step.first)
        ]
        if self._malicious:
            masks = []
            for message, promise in zip(messages, promised, strict=True):
                opening = message[:NONCE_BYTES].tobytes()
                if not secrets.compare_digest(_commitment(self._session, opening), promise[:COMMITMENT_BYTES]):
                    raise ProtocolAbort(f"{self._channel.peer} opened another value than it committed to; ended")
                masks.append(_xor(opening, promise[COMMITMENT_BYTES:]))
            messages = [message[NONCE_BYTES:] for message in messages]
            decoded, keys = np.ascontiguousarray(own[:, :BLOCK_BYTES]), own[:, BLOCK_BYTES:]
            own = self._tags(keys, decoded, masks, starts)
        peer = messages[0] if len(messages) == 1 else np.concatenate(messages)
        bound = layout.sender_bound
        peer_starts = np.arange(len(messages) + 1, dtype=np.uint64) * np.uint64(bound)
        try:
            index, places = partition.match(
                own,
                np.ascontiguousarray(starts),
                peer.reshape(-1, layout.tag_bytes),
                peer_starts,
                threads=self._threads,
            )
        except CorruptData as error:
            raise ProtocolAbort(f"{self._channel.peer} sent tags that are not in order: {error}; ended") from error
        if self._broadcast:
            bits = np.zeros(len(messages) * bound, np.uint8)
            bits[places] = 1
            for part in bits.reshape(len(messages), bound):
                self._channel.send(RESULT, np.packbits(part, bitorder="little"))
        return index

    # -- sender --------------------------------------------------------------------------------------------------------

    def _send(self, crew: Crew, bins: Bins) -> Matches:
        voles: Conveyor[tuple[Bytes, Bytes]] = crew.conveyor(_AHEAD)
        wanted: Conveyor[int] = crew.conveyor(1 << 16)
        sent: Conveyor[tuple[_Step, int, Starts, Index]] = crew.conveyor(1 << 10)
        crew.start("vole", lambda: self._expand_sender(wanted, voles))
        crew.start("tags", lambda: self._answer(bins, wanted, voles, sent))
        matched: list[Index] = []
        for step, begin, starts, order in sent:
            if self._broadcast:
                matched.append(self._result(step, begin, starts, order))
            if step.ends_outer:
                self._progress("exchange", step.outer, 0)
                yield step.outer, np.concatenate(matched) if self._broadcast else None
                matched = []

    def _expand_sender(self, wanted: Conveyor[int], voles: Conveyor[tuple[Bytes, Bytes]]) -> None:
        layout = self._layout
        base = SoftSpokenSender(
            self._channel,
            session=b"ots" + self._session,
            k=OT_K,
            security=layout.security,
            stream=VOLE,
            threads=self._threads,
        )
        with closing(base):
            source = SilentVoleSender(
                self._channel,
                base,
                session=b"vole" + self._session,
                parameters=layout.parameters,
                stream=VOLE,
                threads=self._threads,
                field=layout.field,
            )
            with closing(source):
                for n in wanted:
                    v = np.empty((n, BLOCK_BYTES), np.uint8)
                    done = 0
                    for more in source.blocks(n):
                        v[done : done + len(more)] = more
                        done += len(more)
                    voles.put((v, source.delta.copy()))

    def _answer(
        self,
        bins: Bins,
        wanted: Conveyor[int],
        voles: Conveyor[tuple[Bytes, Bytes]],
        sent: Conveyor[tuple[_Step, int, Starts, Index]],
    ) -> None:
        layout, channel = self._layout, self._channel
        columns = layout.table.columns
        for outer, unchecked in bins:
            these = self._checked(outer, unchecked, layout.sender_bound)
            openings: list[bytes] = []
            if self._malicious:
                openings = [secrets.token_bytes(NONCE_BYTES) for _ in range(layout.inner)]
                channel.send(TAGS, b"".join(_commitment(self._session, one) for one in openings))
            steps = list(self._steps(outer))
            for step in steps:
                wanted.put((step.last - step.first) * columns)
            head = self._message(
                TABLE, "a seed and nonces", SEED_BYTES + NONCE_BYTES * len(openings)
            ).tobytes()
            seed, nonces = head[:SEED_BYTES], head[SEED_BYTES:]
            for step in steps:
                begin, end = int(these.starts[step.first]), int(these.starts[step.last])
                keys = these.keys[begin:end]
                starts = these.starts[step.first : step.last + 1] - these.starts[step.first]
                v, delta = voles.get()
                for i, part in enumerate(v.reshape(-1, columns, BLOCK_BYTES)):
                    table = self._message(TABLE, "a table", layout.table_bytes).reshape(columns, -1)
                    part ^= self._times_delta(table, delta)
                decoded = okvs.decode(
                    keys,
                    starts,
                    v.reshape(-1, columns, BLOCK_BYTES),
                    layout.table,
                    seed=seed,
                    threads=self._threads,
                )
                decoded ^= self._times_delta(self._values(keys), delta)
                masks = [
                    _xor(openings[i], nonces[NONCE_BYTES * i : NONCE_BYTES * (i + 1)])
                    for i in range(step.first, step.last if self._malicious else step.first)
                ]
                tags = self._tags(keys, decoded, masks, starts)
                delta.fill(0)
                order = self._send_tags(step, starts, tags, openings)
                sent.put((step, begin, starts, order))
        wanted.finish()
        sent.finish()

    def _send_tags(self, step: _Step, starts: Starts, tags: Bytes, openings: list[bytes]) -> Index:
        """Sends the tags of a step; the place that each of them came from, those of padding included."""
        layout = self._layout
        bound, n_bins = layout.sender_bound, step.last - step.first
        padded = np.empty((n_bins * bound, layout.tag_bytes), np.uint8)
        for i in range(n_bins):
            begin, end = int(starts[i]), int(starts[i + 1])
            padded[i * bound : i * bound + end - begin] = tags[begin:end]
            padding = padded[i * bound + end - begin : (i + 1) * bound]
            padding[...] = np.frombuffer(secrets.token_bytes(padding.size), np.uint8).reshape(padding.shape)
        padded_starts = np.arange(n_bins + 1, dtype=np.uint64) * np.uint64(bound)
        in_order, order = partition.sort_tags(padded, padded_starts, threads=self._threads)
        for i in range(n_bins):
            part = in_order[i * bound : (i + 1) * bound]
            if self._malicious:
                self._channel.send(TAGS, openings[step.first + i] + part.tobytes())
            else:
                self._channel.send(TAGS, part)
        return order

    def _result(self, step: _Step, begin: int, starts: Starts, order: Index) -> Index:
        """Own keys that matched, in the order of the tags."""
        bound = self._layout.sender_bound
        found = []
        for i in range(step.last - step.first):
            raw = self._message(RESULT, "results", self._layout.result_bytes)
            places = np.flatnonzero(np.unpackbits(raw, count=bound, bitorder="little"))
            own = order[i * bound + places].astype(np.int64) - i * bound
            if np.any(own >= int(starts[i + 1] - starts[i])) or np.any(np.unpackbits(raw, bitorder="little")[bound:]):
                raise ProtocolAbort(f"{self._channel.peer} says that padding is in its set; ended")
            found.append((own + begin + int(starts[i])).astype(np.uint32))
        return np.concatenate(found)


def _commitment(session: bytes, opening: bytes) -> bytes:
    return hashlib.sha256(_VERSION + b" commitment" + session + opening).digest()


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(len(a), "little")
