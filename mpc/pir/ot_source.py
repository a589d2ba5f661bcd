# SPDX-License-Identifier: Apache-2.0
"""Where the random OTs of a query come from: malicious SoftSpoken, or any other source of correlated OTs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crypsis.mpc.ot.correlation import BLOCK_BYTES, CotReceiver, CotSender
from crypsis.mpc.ot.forms import random_receive, random_send
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender
from crypsis.mpc.pir.ot_query import OTS, RandomOtReceiver, RandomOtSender
from crypsis.mpc.transport import Channel

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class OtSource:
    """Makes both sides' random OTs: from the channel, the session (32 bytes) and the number of threads (None: all)."""

    sender: Callable[[Channel, bytes, int | None], RandomOtSender]
    receiver: Callable[[Channel, bytes, int | None], RandomOtReceiver]


class FromCorrelatedSender:
    """The owner's random OTs from correlated ones: `crypsis.mpc.ot.forms`."""

    def __init__(self, source: CotSender) -> None:
        self._source = source

    def keys(self, n_items: int) -> Bytes:
        """As `RandomOtSender.keys`."""
        out = np.empty((n_items, 2, BLOCK_BYTES), np.uint8)
        done = 0
        for piece in random_send(self._source, n_items, chosen=True):
            out[done : done + len(piece)] = piece
            done += len(piece)
        return out


class FromCorrelatedReceiver:
    """The querier's."""

    def __init__(self, source: CotReceiver) -> None:
        self._source = source

    def keys(self, choices: Bytes) -> Bytes:
        """As `RandomOtReceiver.keys`."""
        out = np.empty((len(choices), BLOCK_BYTES), np.uint8)
        done = 0
        for _, piece in random_receive(self._source, len(choices), np.packbits(choices, bitorder="little")):
            out[done : done + len(piece)] = piece
            done += len(piece)
        return out


softspoken_source = OtSource(
    sender=lambda channel, session, threads: FromCorrelatedSender(
        SoftSpokenSender(channel, session=session, stream=OTS, threads=threads)
    ),
    receiver=lambda channel, session, threads: FromCorrelatedReceiver(
        SoftSpokenReceiver(channel, session=session, stream=OTS, threads=threads)
    ),
)
