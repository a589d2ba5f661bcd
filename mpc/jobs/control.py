# SPDX-License-Identifier: Apache-2.0
"""What the two drivers tell each other, on one stream of their own channel: small JSON lists, checked.

leader -> follower                            follower -> leader
["start", {...}]   first, in both directions: both have the same bins, and one of them leads
["open", k]        a worker pair on session k
["assign", k, b]   bin b for pair k           ["done", k, b]   its worker has done bin b
["last", k]        pair k gets no more bins
    ["lost", k, why]   pair k has ended, in either direction; its bins will come again
["complete", b]    both have done bin b
["finish"]         no bins are left           ["finished"]     last message of either side
"""

from __future__ import annotations

import json
import queue
import threading
from typing import Any

from crypsis.errors import CrypsisError, ProtocolAbort
from crypsis.mpc.transport import MAX_STREAMS, Channel
from crypsis.mpc.transport.frames import MAX_SESSION

CONTROL_STREAM = MAX_STREAMS - 1
"""Of session 0: the drivers' stream while bins run. Nothing else may use it meanwhile."""

MAX_TEXT = 300
_MAX_MESSAGE = 4096
_UNREAD = 4096  # messages that may wait here for the driver's attention

_SHAPES: dict[str, tuple[type, ...]] = {
    "start": (dict,),
    "open": (int,),
    "assign": (int, int),
    "last": (int,),
    "done": (int, int),
    "lost": (int, str),
    "complete": (int,),
    "finish": (),
    "finished": (),
}
FROM_LEADER = frozenset({"open", "assign", "last", "lost", "complete", "finish"})
FROM_FOLLOWER = frozenset({"done", "lost", "finished"})

Said = list[Any]


def send(channel: Channel, *words: object) -> None:
    """Say one thing to the other driver."""
    channel.send(CONTROL_STREAM, json.dumps(words, separators=(",", ":")).encode())


def receive(channel: Channel, allowed: frozenset[str]) -> Said:
    """What the other driver says next. ProtocolAbort for anything that is not in `allowed` or misshapen."""
    message = channel.recv(CONTROL_STREAM)
    try:
        if len(message) > _MAX_MESSAGE:
            raise ValueError
        said = json.loads(bytes(message))
        word, *rest = said
        shape = _SHAPES[word] if word in allowed else None
    except (ValueError, TypeError, KeyError, RecursionError):
        shape = None
    if shape is None or len(rest) != len(shape):
        raise ProtocolAbort("the peer's driver said something that its role does not have")
    for value, kind in zip(rest, shape, strict=True):
        if type(value) is not kind or (type(value) is int and not 0 <= value <= 1 << 53):
            raise ProtocolAbort(f"the peer's driver said {word!r} with a value out of range")
    if word in ("open", "assign", "last", "done", "lost") and not 1 <= rest[0] <= MAX_SESSION:
        raise ProtocolAbort(f"the peer's driver said {word!r} of session {rest[0]}")
    return list(said)


def printable(text: str) -> str:
    """The peer's words as one line for a log."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_TEXT])


class Listener:
    """Reads the peer's driver in a thread and puts ("peer", said) or ("failed", error) into `events`.

    At most _UNREAD messages wait: `heard` says that one was dealt with.
    """

    def __init__(
        self, channel: Channel, events: queue.SimpleQueue[tuple[Any, ...]], allowed: frozenset[str], last: str
    ) -> None:
        self._channel, self._events, self._allowed, self._last = channel, events, allowed, last
        self._room = threading.Semaphore(_UNREAD)
        self.thread = threading.Thread(target=self._run, name="crypsis control", daemon=True)
        self.thread.start()

    def heard(self) -> None:
        """Room for one more."""
        self._room.release()

    def _run(self) -> None:
        try:
            while True:
                self._room.acquire()
                said = receive(self._channel, self._allowed)
                self._events.put(("peer", said))
                if said[0] == self._last:
                    return
        except CrypsisError as error:
            self._events.put(("failed", error))
