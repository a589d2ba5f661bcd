# SPDX-License-Identifier: Apache-2.0
"""Scores of rows by all trees, jointly, in one round.

    guest -> host   how many rows a block has
    host -> guest   for each block of rows: a bit for each of its splits and rows, left or not

Leaks. The guest learns of every row on which side of every split of a host it is, also of splits that are not on the
row's path; not what the splits are. The host learns nothing but that its rows are scored: asking it only about the
splits on a row's path would tell it the path, and take a round a level. Splits are the ones the guest knows from
training, where it learned the same bits of the training rows on the path.
"""

from __future__ import annotations

import numpy as np

from crypsis.errors import ProtocolAbort
from crypsis.mpc.learning.boosting.losses import Floats
from crypsis.mpc.learning.boosting.model import GuestPart, Part
from crypsis.mpc.learning.boosting.trees import goes_left
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.session import Session
from crypsis.mpc.transport.agreement import count_field

BLOCK_ROWS = 1 << 15
BLOCK_BITS = 1 << 28
"""Rows of a block times splits of all parties: a byte each, at the guest."""


def answer(session: Session, part: Part, frame: Frame) -> None:
    """The host's side: `frame` has the columns of the model."""
    rows = count_field(session.hear(session.peer, "boosting scores"), "rows", BLOCK_ROWS)
    if not rows:
        raise ProtocolAbort(f"{session.peer} asks for blocks of no rows; ended")
    for begin in range(0, len(frame), rows):
        with session.meter("native"):
            block = _block(frame, begin, rows)
            bits = np.packbits(goes_left(part.records, block), axis=1)
        session.send_array(session.peer, bits)


def scores(session: Session, part: GuestPart, frame: Frame) -> Floats:
    """The guest's side: float64[rows, outputs], base scores included. Leaves are added in the order of the trees."""
    result = np.tile(part.base, (len(frame), 1))
    counts = [len(part.records), *(part.host_records(i) for i in range(1, len(part.hosts) + 1))]
    offsets = [sum(counts[:i]) for i in range(len(counts))]
    rows = max(1, min(BLOCK_ROWS, BLOCK_BITS // max(1, sum(counts))))
    for peer in session.peers:
        session.tell(peer, "boosting scores", rows=rows)
    for begin in range(0, len(frame), rows):
        with session.meter("native"):
            block = _block(frame, begin, rows)
            goes = np.empty((sum(counts), len(block)), dtype=bool)
            goes[: counts[0]] = goes_left(part.records, block)
        for i, peer in enumerate(session.peers, start=1):
            told = session.receive_array(peer, np.uint8, (counts[i], -(-len(block) // 8)))
            with session.meter("native"):
                goes[offsets[i] : offsets[i] + counts[i]] = np.unpackbits(told, axis=1, count=len(block))
        with session.meter("native"):
            for trees in part.rounds:
                for k, tree in enumerate(trees):
                    result[begin : begin + len(block), k] += tree.value[tree.leaves(goes, offsets)]
    return result


def _block(frame: Frame, begin: int, rows: int) -> Frame:
    return Frame(frame.names, frame.values[begin : begin + rows], categories=frame.categories)
