# SPDX-License-Identifier: Apache-2.0
"""Two parties in one process, for tests and demonstrations: the same session, frames, windows and counters as
gRPC."""

from __future__ import annotations

import threading

from crypsis.errors import ChannelError
from crypsis.mpc.transport.channel import Channel, ChannelOptions
from crypsis.mpc.transport.engine import Connection
from crypsis.mpc.transport.frames import unpack, unpack_hello
from crypsis.mpc.transport.session import Session


def memory_pair(
    party: str = "alice", peer: str = "bob", *, options: ChannelOptions | None = None
) -> tuple[Channel, Channel]:
    """Two connected channels. `close` returns when both are closed, so close them from two threads."""
    options = options or ChannelOptions()
    left = Session(party=party, peer=peer, where="in this process", options=options)
    right = Session(party=peer, peer=party, where="in this process", options=options)
    ends = (Connection(), Connection())

    hello = left.hello()
    right.count_received(len(hello))
    right.attach(ends[1], unpack_hello(next(unpack(hello))))
    answer = right.hello()
    left.count_received(len(answer))
    left.attach(ends[0], unpack_hello(next(unpack(answer))))

    for source, from_end, sink, to_end in ((left, ends[0], right, ends[1]), (right, ends[1], left, ends[0])):
        threading.Thread(
            target=_pump, args=(source, from_end, sink, to_end), name=f"crypsis {source.party}", daemon=True
        ).start()
    return left, right


def _pump(source: Session, from_end: Connection, sink: Session, to_end: Connection) -> None:
    while (packet := source.next_packet(from_end)) is not None:
        sink.on_packet(to_end, packet)
    if source.failure is not None:
        # There is nothing to re-dial in one process: what ended here has ended there.
        sink.fail(ChannelError(f"party {source.party!r} ended: {source.failure}"))
