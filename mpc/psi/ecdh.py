# SPDX-License-Identifier: Apache-2.0
"""ECDH-PSI on curve25519 [Mea86, HFH99]: both parties encrypt every item once under each key, and compare.

Message flow (H: 16-byte key digest -> curve point; r, s: fresh secret scalars; pi, sigma: fresh secret
permutations):

    receiver -> sender    POINTS   r H(x_pi(1)), r H(x_pi(2)), ...               32 bytes an item
    sender -> receiver    POINTS   s H(y_sigma(1)), s H(y_sigma(2)), ...         32 bytes an item
    sender -> receiver    TAGS     trunc(s r H(x_pi(1))), ...  in the order received, 8..16 bytes an item
    receiver -> sender    RESULT   positions j with y_sigma(j) in X, ascending   (with broadcast only)

The receiver computes trunc(r s H(y_sigma(j))) itself and matches. All three streams flow at once in batches.

H(d) = Elligator2(hash(d)) [RFC 9380, 6.7.1] with a domain of its own; X25519 scalars are multiples of 8, so
every value on the wire but H's lies in the prime-order subgroup.

Assumes   semi-honest parties; decisional Diffie-Hellman on curve25519; the hash as a random oracle.
          Elligator's map is invertible on its image (half of the curve), so the usual proof programs it by
          rejection sampling.
Leaks     the numbers of distinct keys to each other; to the receiver the intersection; with broadcast, to
          both. Row order and duplicates of items are not shown: items travel distinct, in a secret random
          order.
Rounds    1.5 (2 with broadcast), plus the agreement. Tags collide with probability at most 2^-40
          (matching.tag_bytes).
Cost      each party: n_x + n_y scalar multiplications and as many maps as it has own items.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crypsis import curve25519, hashing
from crypsis.errors import DeviceMemoryError, InvalidPoint, ProtocolAbort
from crypsis.mpc.data import KeyTable
from crypsis.mpc.place import HOST, OnDevice, Place
from crypsis.mpc.psi.matching import PlacedTags, Positions, Tags, TagSet, tag_bytes
from crypsis.mpc.psi.options import Progress, PsiOptions
from crypsis.mpc.transport import Channel

POINTS, TAGS, RESULT = 1, 2, 3  # streams
POINT_BYTES = 32
DEVICE_POINTS = 1 << 18
"""Points that a GPU works on at a time, of several messages: fewer do not fill it."""

_POSITIONS_PER_MESSAGE = 1 << 19
_POINT_DOMAIN = b"crypsis/psi/ecdh/point/v1"

SLUGS = ("hashing", "curve25519")  # the kernels of the protocol
ASSUMES = "semi-honest parties; decisional Diffie-Hellman on curve25519; the hash as a random oracle"
LEAKS = (
    "to each party the number of distinct keys of the other",
    "to the receiver (with broadcast to both) which of its own keys the other has",
)

ByteRows = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Matched:
    """Indices into one's own distinct keys, in an order both parties share (the sender's secret permutation).

    None for a sender without broadcast, who learns nothing.
    """

    own: Positions | None


def hash_to_points(digests: ByteRows, options: PsiOptions) -> ByteRows:
    """uint8[n, 16] key digests to uint8[n, 32] u coordinates, where the digests are; not yet multiplied by the
    cofactor."""
    elements = hashing.digest(options.hash, digests, domain=_POINT_DOMAIN, threads=options.threads)
    return curve25519.map_to_curve(elements, out=elements, threads=options.threads)


def check_kernels(options: PsiOptions, place: Place = HOST) -> None:
    """Runs the protocol's kernels on one item; raises BackendUnavailable now for what would stop the job later."""
    with place.stage("check"):
        points = hash_to_points(place.from_host(np.zeros((1, 16), np.uint8)), options)
        scalar = place.from_host(curve25519.random_scalar())
        curve25519.scalar_mult(scalar, points, threads=options.threads)


def secret_permutation(n_items: int) -> npt.NDArray[np.uint32]:
    """A random order of n_items < 2^32 items from the operating system's generator (sorting 64-bit random
    keys)."""
    if n_items >= 1 << 32:
        raise ValueError(f"n_items is {n_items}: one exchange takes fewer than 2^32 distinct keys")
    keys = np.frombuffer(os.urandom(8 * n_items), dtype=np.uint64)
    return np.argsort(keys).astype(np.uint32)


class EcdhPsi:
    """One party of one exchange. `run` works both directions in threads and returns the matched own keys."""

    def __init__(
        self,
        channel: Channel,
        options: PsiOptions,
        n_peer: int,
        progress: Progress | None = None,
        place: Place = HOST,
    ) -> None:
        self._channel = channel
        self._options = options
        self._n_peer = n_peer
        self._progress = progress or (lambda phase, done, total: None)
        self._place = place
        self._scalar = curve25519.random_scalar()
        with place.stage("own"):
            self._placed_scalar = place.secret_from_host(self._scalar)
        # One kernel call at a time with all of the job's threads: `threads` bounds the cores used, while the
        # other worker moves bytes. A GPU sees to that itself.
        self._compute = threading.Lock() if place is HOST else nullcontext()
        self._least = 1 if place is HOST else DEVICE_POINTS

    def run(self, keys: KeyTable) -> Matched:
        """Uses up `keys.digests`: they are freed as soon as all have been sent, because the tags need the room.

        Errors of either direction end both and tell the peer.
        """
        order = secret_permutation(keys.n_unique)
        width = tag_bytes(keys.n_unique, self._n_peer)
        try:
            if self._options.role == "receiver":
                own_tags, peer_tags = self._tag_sets(keys.n_unique, width)
                self._in_parallel(
                    lambda: self._send_own(keys, order),
                    lambda: self._encrypt_peer(lambda points, sizes: peer_tags.append(points)),
                    lambda: self._receive_tags(own_tags),
                )
                self._progress("match", 0, 0)
                with self._place.stage("match"):
                    own, peer = own_tags.match(peer_tags)
                self._progress("match", 1, 1)
                if self._options.broadcast:
                    self._send_positions(peer)
                return Matched(order[own])

            def reply(points: ByteRows, sizes: list[int]) -> None:
                for tags in _split(self._place.to_host(points[:, :width].copy()), sizes):
                    self._channel.send(TAGS, tags.data.cast("B"))

            self._in_parallel(lambda: self._send_own(keys, order), lambda: self._encrypt_peer(reply))
            if not self._options.broadcast:
                return Matched(None)
            return Matched(order[self._receive_positions(keys.n_unique)])
        finally:
            self._scalar.fill(0)
            self._place.wipe(self._placed_scalar)

    def _tag_sets(self, n_own: int, width: int) -> tuple[Tags, Tags]:
        if isinstance(self._place, OnDevice):
            return _placed_tags(self._place, n_own, self._n_peer, width)
        try:
            return TagSet(n_own, width), TagSet(self._n_peer, width)
        except MemoryError as error:
            raise ProtocolAbort(
                f"{self._channel.peer} announced {self._n_peer} keys: there is no memory here for {n_own} + "
                f"{self._n_peer} tags of {width} bytes; split the job, or take a machine with more; ended"
            ) from error

    def _in_parallel(self, *tasks: Callable[[], None]) -> None:
        with ThreadPoolExecutor(len(tasks), thread_name_prefix="crypsis-psi") as pool:
            futures = [pool.submit(task) for task in tasks]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            except BaseException:  # Ctrl-C: the pool waits for the tasks, which wait for the peer
                self._channel.abort(f"party {self._channel.party!r} was interrupted by its operator")
                raise
            for future in futures:  # in the order given, so that the error told is the same from run to run
                if future in done and (error := future.exception()) is not None:
                    # Wakes the other tasks too. Only what is about the peer's own messages is told in full.
                    self._channel.abort(
                        str(error) if isinstance(error, ProtocolAbort) else type(error).__name__
                    )
                    raise error

    def _multiply(self, points: ByteRows) -> ByteRows:
        return curve25519.scalar_mult(self._placed_scalar, points, threads=self._options.threads)

    def _send_own(self, keys: KeyTable, order: npt.NDArray[np.uint32]) -> None:
        size, n = self._options.batch_size, len(order)
        block = max(self._least // size, 1) * size
        for begin in range(0, n, block):
            digests = keys.digests[order[begin : begin + block]]
            with self._place.stage("own"), self._compute:
                there = self._place.from_host(digests)
                points = self._place.to_host(self._multiply(hash_to_points(there, self._options)))
            for at in range(0, len(points), size):
                batch = points[at : at + size]
                self._channel.send(POINTS, batch.data.cast("B"))
                self._progress("encrypt own", begin + at + len(batch), n)
        keys.release_digests()

    def _encrypt_peer(self, deliver: Callable[[ByteRows, list[int]], None]) -> None:
        """deliver: takes points of the place, and how many of them came in each message."""
        messages: list[ByteRows] = []
        delivered = 0
        for rows, done in self._batches(POINTS, POINT_BYTES, self._n_peer):
            messages.append(rows)
            if done - delivered < self._least and done < self._n_peer:
                continue
            points = messages[0] if len(messages) == 1 else np.concatenate(messages)
            sizes = [len(message) for message in messages]
            messages, delivered = [], done
            with self._place.stage("peer"):
                there = self._place.from_host(points)
                try:
                    curve25519.check_points(there)
                except InvalidPoint as error:
                    raise InvalidPoint(f"{self._channel.peer} sent a bad point: {error}; ended") from error
                with self._compute:
                    encrypted = self._multiply(there)
                deliver(encrypted, sizes)
            self._progress("encrypt peer", done, self._n_peer)

    def _receive_tags(self, tags: Tags) -> None:
        for rows, _done in self._batches(TAGS, tags.width, len(tags)):
            with self._place.stage("tags"):
                tags.append(self._place.from_host(rows))

    def _batches(self, stream: int, width: int, n_items: int) -> Iterator[tuple[ByteRows, int]]:
        """Rows uint8[k, width] off a stream until n_items have come, with the count so far; lengths
        checked."""
        done = 0
        while done < n_items:
            raw = np.frombuffer(self._channel.recv(stream), dtype=np.uint8)
            if len(raw) == 0 or len(raw) % width or len(raw) // width > n_items - done:
                raise ProtocolAbort(
                    f"{self._channel.peer} sent {len(raw)} bytes where up to {n_items - done} items of "
                    f"{width} bytes were due; ended"
                )
            rows = raw.reshape(-1, width)
            done += len(rows)
            yield rows, done

    def _send_positions(self, positions: Positions) -> None:
        """The count, then uint32 positions in messages of at most 2 MiB."""
        self._channel.send(RESULT, len(positions).to_bytes(8, "little"))
        for begin in range(0, len(positions), _POSITIONS_PER_MESSAGE):
            part = positions[begin : begin + _POSITIONS_PER_MESSAGE].astype("<u4")
            self._channel.send(RESULT, part.data.cast("B"))

    def _receive_positions(self, n_own: int) -> Positions:
        head = bytes(self._channel.recv(RESULT))
        n_matched = int.from_bytes(head, "little")
        if len(head) != 8 or n_matched > min(n_own, self._n_peer):
            raise ProtocolAbort(f"{self._channel.peer} announced an intersection larger than the sets; ended")
        positions = np.empty(n_matched, dtype=np.uint32)
        for rows, done in self._batches(RESULT, 4, n_matched):
            positions[done - len(rows) : done] = np.ascontiguousarray(rows).view("<u4")[:, 0]
        if n_matched and (positions[-1] >= n_own or bool(np.any(positions[1:] <= positions[:-1]))):
            raise ProtocolAbort(
                f"{self._channel.peer} sent positions that are not ascending within the set; ended"
            )
        return positions


def _placed_tags(place: OnDevice, n_own: int, n_peer: int, width: int) -> tuple[PlacedTags, PlacedTags]:
    needed, free = PlacedTags.MATCH_BYTES * (n_own + n_peer), place.free_bytes()
    if needed > free:
        raise DeviceMemoryError(
            f"{place.name} has {free:,} bytes free: to match {n_own:,} own keys and {n_peer:,} of the peer needs "
            f"{needed:,} there"
        )
    with place.stage("match"):
        return PlacedTags(place, n_own, width), PlacedTags(place, n_peer, width)


def _split(rows: ByteRows, sizes: list[int]) -> Iterator[ByteRows]:
    """Rows as many messages had them."""
    begin = 0
    for size in sizes:
        yield rows[begin : begin + size]
        begin += size
