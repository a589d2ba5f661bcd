# SPDX-License-Identifier: Apache-2.0
"""Private list query by oblivious transfer: the querier learns whether its identifier is on the owner's list, and its
record; the owner learns the first k bits of the identifier's digest and nothing else.

H: identifier -> 128 bits, salted with the list's public name; bucket b: the digests whose first k bits are b; M: a
public bound of any bucket's size (`bucket_bound`). The owner fills every bucket up to M with random digests. For query
number q, of digest h (H(x) for identifier x) in bucket b:

    both                  128 random OTs: the owner has K(0,0), K(0,1) .. K(127,0), K(127,1), the querier K(i, h_i) for
                          the bits h_i of h: a 1-of-2^128 OT [NP99] of the keys  key(y) = XOR over i of K(i, y_i)
    querier -> owner      b, 4 bytes                                               (before those, for all of a batch)
    owner -> querier      M entries, one for each digest y in bucket b, in the order of their finders:
                              finder  8 bytes             of hash(key(y), q, b, 0)
                              record  the public width    XOR hash(key(y), q, b, 1), hash(key(y), q, b, 2), ...
                              mac     16 bytes            hash(16 more bytes of hash(key(y), q, b, 0), record as sent)
    querier               finds the entry with the finder of key(h), if there is one, checks its mac, decrypts it

Each hash has a domain with the session's digest. key(y) for y != h differs from what the querier has by a sum of
differences K(i,0) ^ K(i,1) that it knows nothing of, hence is uniform to it, whatever linear relations hold among the
digests of a bucket; the hash, a random oracle, makes unrelated values of related keys. All entries but one look random.

Assumes   malicious parties as far as the OTs are for them (SoftSpoken's malicious form in production); the hash as a
          random oracle.
Querier   who cheats gets, for each query, the record of one 128-bit value of its choice, which may be the digest of any
          identifier: asking is not proving a right to ask. The owner bounds the number of queries, and reports it.
Owner     who cheats can answer anything: records that are wrong, missing, invented, different from query to query.
          It learns no more: everything that the querier sends is fixed before the answers arrive, and nothing that it
          does while the channel is open depends on which entry opens. A damaged entry shows to the querier alone, after
          the job; what it says of that to the owner is then its own decision.
Leaks     to the owner: k bits of each identifier's digest, and the number of queries (which `pad_queries` hides). The
          salt is the list's name and not a random one: whoever asks for one identifier twice shows the same k bits
          again, and not k more. Equal prefixes can be linked.
          to the querier: M, the columns and the width of a record; so the list's size up to the rounding of its
          capacity. Not the sizes of buckets, nor in which order a list is.
Cost      M entries a query, computed, sent and read, with M about capacity / 2^k. The owner computes for each entry 15
          XORs of 16 bytes, and 2 + ceil(width / 32) hashes.
Bytes     owner: (24 + width) M a query; querier: 4 a query, rounded up; and the OTs.
Rounds    one a batch of `BATCH_QUERIES` queries, besides those of the OTs.
LAN, WAN  bytes count, not rounds: choose k so that M is some thousands (`recommended_prefix_bits`), if that many bits
          may be shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from crypsis.errors import ProtocolAbort
from crypsis.mpc.pir.entries import (
    DIGEST_BYTES,
    FINDER_BYTES,
    MAC_BYTES,
    N_BITS,
    Bytes,
    Shape,
    combine,
    entries,
    finders,
    mac,
    pad,
)
from crypsis.mpc.transport import Channel

MAX_PREFIX_BITS = 24
BATCH_QUERIES = 256
AHEAD_BYTES = 256 << 20
"""Answers of more than a message each that are made at a time, one a thread."""
BUCKETS, ANSWERS = 1, 2  # streams; the OTs have OTS
OTS = 3

ASSUMES = "malicious parties; malicious OT extension; the hash as a random oracle"
LEAKS = (
    "to the owner the first prefix_bits bits of the salted digest of each identifier asked for",
    "to the owner the number of queries, made-up ones included",
    "to the querier the capacity of the list, its columns and the width of a record",
    "to the querier, of one identifier a query, whether it is on the list, and its record",
)


class RandomOtSender(Protocol):
    """The owner's source of random OTs."""

    def keys(self, n_items: int) -> Bytes:
        """`uint8[n_items, 2, 16]`, never the same twice."""


class RandomOtReceiver(Protocol):
    """The querier's source."""

    def keys(self, choices: Bytes) -> Bytes:
        """`uint8[n, 16]`: the keys of the choices, `uint8[n]` of 0 and 1."""


def bucket_bound(capacity: int, prefix_bits: int) -> int:
    """Entries that a bucket of a list of up to `capacity` random digests exceeds with probability 2^-40 at most, over
    all 2^prefix_bits buckets: the smallest m whose bound on 2^k P[Binomial(capacity, 2^-k) > m] is 2^-40.

    The tail is its first term times a geometric series.
    """
    if prefix_bits == 0:
        return max(capacity, 1)
    p = 2.0**-prefix_bits
    log_p, log_q = math.log(p), math.log1p(-p)

    def log_tail(m: int) -> float:
        i = m + 1
        term = (
            math.lgamma(capacity + 1)
            - math.lgamma(i + 1)
            - math.lgamma(capacity - i + 1)
            + i * log_p
            + (capacity - i) * log_q
        )
        ratio = (capacity - i) / (i + 1) * p / (1 - p)
        return term - math.log1p(-ratio) if ratio < 1 else 0.0

    goal = -(40 + prefix_bits) * math.log(2)
    low, high = int(capacity * p), capacity  # fails (if there is a tail at all), holds
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if log_tail(middle) <= goal else (middle, high)
    return max(high, 1)


def recommended_prefix_bits(capacity: int, entries: int = 4096) -> int:
    """The smallest k whose buckets have at most `entries` entries: the trade that is usual on a LAN. Smaller hides
    more."""
    for prefix_bits in range(MAX_PREFIX_BITS + 1):
        if bucket_bound(capacity, prefix_bits) <= entries:
            return prefix_bits
    return MAX_PREFIX_BITS


def bucket_of(digests: Bytes, prefix_bits: int) -> npt.NDArray[np.uint32]:
    """uint32[n]: the first `prefix_bits` bits of `uint8[n, 16]` digests, the first byte's highest bit first."""
    head = np.ascontiguousarray(digests[:, :4]).view(">u4")[:, 0].astype(np.uint64)
    return (head >> np.uint64(32 - prefix_bits)).astype(np.uint32)


def choice_bits(digests: Bytes) -> Bytes:
    """uint8[n * 128] of 0 and 1: the querier's choices, bit j of byte i being number 8 i + j of a query."""
    return np.unpackbits(digests, axis=1, bitorder="little").reshape(-1)


def answer(
    channel: Channel,
    shape: Shape,
    n_queries: int,
    ots: RandomOtSender,
    bucket: Callable[[int], tuple[Bytes, Bytes]],
    *,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> None:
    """The owner's side. `bucket(b)` gives the M digests `uint8[16, M]`, byte by byte, and records `uint8[M, width]` of
    bucket b. `progress` is called with the queries answered. Raises ProtocolAbort for a peer that cheats."""
    with ThreadPoolExecutor(threads, thread_name_prefix="crypsis-query") as pool:
        for begin in range(0, n_queries, BATCH_QUERIES):
            size = min(BATCH_QUERIES, n_queries - begin)
            numbers = _receive_buckets(channel, shape, size)
            keys = ots.keys(size * N_BITS).reshape(size, DIGEST_BYTES, 8, 2, DIGEST_BYTES)

            def one(i: int, keys: Bytes = keys, numbers: Bytes = numbers, begin: int = begin) -> Bytes:
                number = int(numbers[i])
                digests, records = bucket(number)
                return entries(shape, begin + i, number, combine(keys[i], digests), records)

            group = shape.queries_per_message
            step = group if group > 1 else max(1, min(threads, AHEAD_BYTES // shape.answer_bytes))
            for first in range(0, size, step):
                answers = list(pool.map(one, range(first, min(first + step, size))))
                for at in range(0, len(answers), group):
                    _send_answers(channel, shape, answers[at : at + group])
                if progress is not None:
                    progress(begin + first + len(answers))
            keys.fill(0)


def _receive_buckets(channel: Channel, shape: Shape, size: int) -> Bytes:
    raw = channel.recv(BUCKETS)
    if len(raw) != 4 * size:
        raise ProtocolAbort(
            f"{channel.peer} sent {len(raw)} bytes of buckets where {4 * size} were due; ended"
        )
    numbers = np.frombuffer(raw, "<u4")
    if int(numbers.max()) >> shape.prefix_bits:
        raise ProtocolAbort(
            f"{channel.peer} asked for bucket {int(numbers.max())}, which does not exist; ended"
        )
    return numbers


def _send_answers(channel: Channel, shape: Shape, answers: list[Bytes]) -> None:
    if len(answers) > 1:
        channel.send(ANSWERS, np.concatenate(answers).data.cast("B"))
        return
    for begin in range(0, shape.bound, shape.entries_per_message):
        part = answers[0][begin : begin + shape.entries_per_message]
        channel.send(ANSWERS, np.ascontiguousarray(part).data.cast("B"))


@dataclass(frozen=True)
class Answers:
    """What the querier has when the channel may close: for each query the entry of its finder, or any other one.

    keys `uint8[n, 16]`, buckets uint32[n], entries `uint8[n, entry_bytes]`; all secret, or about secrets.
    """

    shape: Shape
    keys: Bytes
    buckets: npt.NDArray[np.uint32]
    entries: Bytes

    def open(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], Bytes]:
        """(found bool[n], damaged bool[n], records `uint8[n, width]`): locally, after the channel is closed. `damaged`:
        the finder is there and the mac is not right."""
        shape = self.shape
        numbers = np.arange(len(self.keys), dtype=np.uint64)
        finder, mac_keys = finders(shape, numbers, self.buckets, self.keys)
        hit = (self.entries[:, :FINDER_BYTES] == finder).all(axis=1)
        sent = np.ascontiguousarray(self.entries[:, FINDER_BYTES:-MAC_BYTES])
        right = (mac(shape, mac_keys, sent) == self.entries[:, -MAC_BYTES:]).all(axis=1)
        return hit & right, hit & ~right, sent ^ pad(shape, numbers, self.buckets, self.keys)


def ask(
    channel: Channel,
    shape: Shape,
    digests: Bytes,
    ots: RandomOtReceiver,
    *,
    progress: Callable[[int], None] | None = None,
) -> Answers:
    """The querier's side for `uint8[n, 16]` digests. Nothing that it sends depends on what it receives. Raises
    ProtocolAbort for answers of a wrong size."""
    n = len(digests)
    buckets = bucket_of(digests, shape.prefix_bits)
    keys = np.empty((n, DIGEST_BYTES), np.uint8)
    kept = np.empty((n, shape.entry_bytes), np.uint8)
    for begin in range(0, n, BATCH_QUERIES):
        batch = slice(begin, min(begin + BATCH_QUERIES, n))
        size = batch.stop - begin
        channel.send(BUCKETS, buckets[batch].astype("<u4").data.cast("B"))
        parts = ots.keys(choice_bits(digests[batch])).reshape(size, N_BITS, 2, 8).view(np.uint64)[..., 0]
        keys[batch] = np.bitwise_xor.reduce(parts, axis=1).view(np.uint8)
        numbers = np.arange(begin, batch.stop, dtype=np.uint64)
        finder, _ = finders(shape, numbers, buckets[batch], keys[batch])
        for i, found in enumerate(_receive_answers(channel, shape, size)):
            kept[begin + i] = found[_place_of(finder[i], found)]
            if progress is not None and (i + 1 == size or i % 16 == 15):
                progress(begin + i + 1)
    return Answers(shape, keys, buckets, kept)


def _place_of(finder: Bytes, entries: Bytes) -> int:
    """The last entry with that finder, or 0. In the same time wherever it is: the owner sees when the next batch comes,
    and it is the owner who puts the entries in order. So nothing here ends early, as argmax and all do."""
    heads = np.ascontiguousarray(entries[:, :FINDER_BYTES]).view(np.uint64)[:, 0]
    same = (heads == finder.view(np.uint64)[0]).astype(np.int64)
    return int((same * np.arange(len(same))).max())


def _receive_answers(channel: Channel, shape: Shape, size: int) -> Iterator[Bytes]:
    """`uint8[M, entry_bytes]` for each query."""
    group = shape.queries_per_message
    for first in range(0, size, group):
        n = min(group, size - first)
        if n > 1:
            yield from _entries_of(channel, shape, n * shape.bound).reshape(n, shape.bound, -1)
            continue
        parts = [
            _entries_of(channel, shape, min(shape.entries_per_message, shape.bound - begin))
            for begin in range(0, shape.bound, shape.entries_per_message)
        ]
        yield parts[0] if len(parts) == 1 else np.concatenate(parts)


def _entries_of(channel: Channel, shape: Shape, n_entries: int) -> Bytes:
    raw = channel.recv(ANSWERS)
    due = n_entries * shape.entry_bytes
    if len(raw) != due:
        raise ProtocolAbort(f"{channel.peer} sent {len(raw)} bytes of answers where {due} were due; ended")
    return np.frombuffer(raw, np.uint8).reshape(n_entries, shape.entry_bytes)
