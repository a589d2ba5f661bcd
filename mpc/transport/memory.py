# SPDX-License-Identifier: Apache-2.0
"""Two parties in one process, for tests and demonstrations: the same session, frames, windows and counters as
gRPC."""

from __future__ import annotations

import threading

from crypsis.errors import ChannelError
from crypsis.mpc.transport.channel import Channel, ChannelOptions
from crypsis.mpc.transport.engine import Connection
from crypsis.mpc.transport.frames import unpack, unpack_hello
from crypsis.mpc.transport.hub import Hub
from crypsis.mpc.transport.session import Session

_WHERE = "in this process"


def memory_pair(
    party: str = "alice", peer: str = "bob", *, options: ChannelOptions | None = None
) -> tuple[Channel, Channel]:
    """Two connected channels. `close` returns when both are closed, so close them from two threads."""
    options = options or ChannelOptions()
    left = Session(party=party, peer=peer, where=_WHERE, options=options)
    right = Session(party=peer, peer=party, where=_WHERE, options=options)
    _join(left, right)
    return left, right


def memory_hubs(
    party: str = "alice", peer: str = "bob", *, options: ChannelOptions | None = None
) -> tuple[Hub, Hub]:
    """Two hubs that meet in this process. `channel(n)` returns when both were asked for `n`: use two
    threads."""
    options = options or ChannelOptions()
    meeting = _Meeting()
    return (
        _MemoryHub(meeting, party=party, peer=peer, where=_WHERE, options=options),
        _MemoryHub(meeting, party=peer, peer=party, where=_WHERE, options=options),
    )


class _Meeting:
    """Sessions that wait for their opposite number, by number."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: dict[int, Session] = {}


class _MemoryHub(Hub):
    def __init__(
        self, meeting: _Meeting, *, party: str, peer: str, where: str, options: ChannelOptions
    ) -> None:
        super().__init__(party=party, peer=peer, where=where, options=options)
        self._meeting = meeting

    def _start(self, session: Session) -> None:
        with self._meeting.lock:
            other = self._meeting.waiting.pop(session.number, None)
            if other is None or other.party == session.party:
                self._meeting.waiting[session.number] = session
            elif other.failure is not None:
                session.fail(ChannelError(f"party {self.peer!r} ended: {other.failure}"))
            else:
                _join(other, session)

    def _release(self) -> None:
        return


def _join(left: Session, right: Session) -> None:
    """Connect the two and keep packets moving between them."""
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


def _pump(source: Session, from_end: Connection, sink: Session, to_end: Connection) -> None:
    while (packet := source.next_packet(from_end)) is not None:
        sink.on_packet(to_end, packet)
    if source.failure is not None:
        # There is nothing to re-dial in one process: what ended here has ended there.
        sink.fail(ChannelError(f"party {source.party!r} ended: {source.failure}"))
