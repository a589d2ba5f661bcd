# SPDX-License-Identifier: Apache-2.0
"""Where the random OTs of a query come from: malicious SoftSpoken, or any other source of correlated OTs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crypsis import hashing
from crypsis.mpc.ot.correlation import CotReceiver, CotSender
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender
from crypsis.mpc.pir.ot_query import OTS, RandomOtReceiver, RandomOtSender
from crypsis.mpc.transport import Channel

_DOMAIN = b"crypsis/query/ot/v1/"

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class OtSource:
    """Makes both sides' random OTs: from the channel, the session (32 bytes) and the number of threads (None: all)."""

    sender: Callable[[Channel, bytes, int | None], RandomOtSender]
    receiver: Callable[[Channel, bytes, int | None], RandomOtReceiver]


class HashedSender:
    """Random OTs from correlated ones: K(i, c) = hash(q_i ^ c Delta, i), with a domain of the session's."""

    def __init__(self, source: CotSender, session: bytes) -> None:
        self._source, self._domain, self._next = source, _DOMAIN + session, 0

    def keys(self, n_items: int) -> Bytes:
        """As `RandomOtSender.keys`."""
        out = np.empty((n_items, 2, 16), np.uint8)
        done = 0
        for q in self._source.blocks(n_items, chosen=True):
            for choice, blocks in ((0, q), (1, q ^ self._source.delta)):
                out[done : done + len(q), choice] = _hash(self._domain, self._next + done, blocks)
            done += len(q)
        self._next += n_items
        return out


class HashedReceiver:
    """The receiver's side of `HashedSender`."""

    def __init__(self, source: CotReceiver, session: bytes) -> None:
        self._source, self._domain, self._next = source, _DOMAIN + session, 0

    def keys(self, choices: Bytes) -> Bytes:
        """As `RandomOtReceiver.keys`."""
        out = np.empty((len(choices), 16), np.uint8)
        done = 0
        for _, t in self._source.blocks(len(choices), np.packbits(choices, bitorder="little")):
            out[done : done + len(t)] = _hash(self._domain, self._next + done, t)
            done += len(t)
        self._next += len(choices)
        return out


def _hash(domain: bytes, first: int, blocks: Bytes) -> Bytes:
    """`uint8[n, 16]`: BLAKE3 of each block and its running number, which no other block of the session has."""
    rows = np.empty((len(blocks), 24), np.uint8)
    rows[:, :16] = blocks
    rows[:, 16:] = np.arange(first, first + len(blocks), dtype="<u8").view(np.uint8).reshape(-1, 8)
    digests: Bytes = hashing.blake3(rows, digest_size=16, domain=domain, threads=1)
    rows.fill(0)
    return digests


softspoken_source = OtSource(
    sender=lambda channel, session, threads: HashedSender(
        SoftSpokenSender(channel, session=session, stream=OTS, threads=threads), session
    ),
    receiver=lambda channel, session, threads: HashedReceiver(
        SoftSpokenReceiver(channel, session=session, stream=OTS, threads=threads), session
    ),
)
