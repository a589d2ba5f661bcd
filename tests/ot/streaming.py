# SPDX-License-Identifier: Apache-2.0
"""`python tests/ot/streaming.py SOURCE N`: N correlations between two parties of this process, all of them compared.

SOURCE is softspoken, ferret or vole. Writes the peak of the resident memory in KiB. Run by test_bounded_memory.py in a
process of its own, as a peak never falls.
"""

from __future__ import annotations

import queue
import resource
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from crypsis import bitmatrix
from crypsis.mpc.ot.ferret import FerretReceiver, FerretSender, odd_delta
from crypsis.mpc.ot.silent_vole import SilentVoleReceiver, SilentVoleSender
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender
from crypsis.mpc.transport import Channel, memory_pair

WAIT_S = 300
CHECKED_AT_A_TIME = 1 << 14


def sender(source: str, channel: Channel) -> Any:
    base = SoftSpokenSender(channel, session=b"base", delta=odd_delta())
    if source == "softspoken":
        return base
    kind = {"ferret": FerretSender, "vole": SilentVoleSender}[source]
    return kind(channel, base, session=b"above")


def receiver(source: str, channel: Channel) -> Any:
    base = SoftSpokenReceiver(channel, session=b"base")
    if source == "softspoken":
        return base
    kind = {"ferret": FerretReceiver, "vole": SilentVoleReceiver}[source]
    return kind(channel, base, session=b"above")


def check(source: str, delta: np.ndarray, q: np.ndarray, mine: tuple[np.ndarray, np.ndarray]) -> None:
    """One piece of both parties: t = q + c Delta, or w = v + u Delta."""
    first, t = mine
    if len(q) != len(t):
        raise RuntimeError(f"pieces of {len(q)} and {len(t)} correlations")
    for at in range(0, len(t), CHECKED_AT_A_TIME):
        part = slice(at, at + CHECKED_AT_A_TIME)
        if source == "vole":
            expected = bitmatrix.gf128_multiply(first[part], delta)
        else:
            bits = np.unpackbits(first, count=len(t), bitorder="little")[part]
            expected = ((0 - bits)[:, None] & delta).astype(np.uint8)
        if not np.array_equal(q[part] ^ expected, t[part]):
            raise RuntimeError(f"a correlation of the {len(expected)} at {at} does not hold")


def run(source: str, n: int) -> None:
    here, there = memory_pair()
    # One piece at a time is handed over; its memory is the sender's until the other party is done with it.
    pieces: queue.Queue[tuple[np.ndarray, np.ndarray]] = queue.Queue(maxsize=1)
    done: queue.Queue[None] = queue.Queue(maxsize=1)

    def send() -> None:
        party = sender(source, here)
        for q in party.blocks(n):
            pieces.put((party.delta, q), timeout=WAIT_S)
            done.get(timeout=WAIT_S)

    threading.Thread(target=send, daemon=True).start()
    received: Iterator[tuple[np.ndarray, np.ndarray]] = receiver(source, there).blocks(n)
    compared = 0
    for mine in received:
        delta, q = pieces.get(timeout=WAIT_S)
        check(source, delta, q, mine)
        done.put(None, timeout=WAIT_S)
        compared += len(q)
    if compared != n:
        raise RuntimeError(f"{compared} correlations instead of {n}")


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
