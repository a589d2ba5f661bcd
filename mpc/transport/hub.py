# SPDX-License-Identifier: Apache-2.0
"""`Hub`: several sessions between the same two parties, told apart by number, over one port.

A session is a `Channel` with windows, streams and reconnections of its own; one of them may end, in order or
not, without any other noticing. Numbers are used once: what replaces a lost session has a fresh number.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import fields, replace
from types import TracebackType
from typing import Self

from crypsis.errors import ChannelError, CrypsisError
from crypsis.mpc.transport.channel import Channel, ChannelOptions, ChannelStats
from crypsis.mpc.transport.engine import Refused
from crypsis.mpc.transport.frames import MAX_SESSION, Hello
from crypsis.mpc.transport.session import Session

MAX_SESSIONS = 256
"""Sessions that may be open at one time in one hub. MAX_SESSIONS * MAX_STREAMS * window_bytes bounds what a
peer can make a party hold, and a party holds nothing for a number that it has not asked for."""

HOLD_S = 5.0
"""So long a caller is held whose session has not been asked for here; then it is told to come again."""

_NO_STATS = ChannelStats(0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0)


class NotYet(ChannelError):
    """The session that a caller named is not open here now; it may be later."""


def total(stats: list[ChannelStats]) -> ChannelStats:
    """The sum, counter by counter."""
    return ChannelStats(*(sum(getattr(one, field.name) for one in stats) for field in fields(ChannelStats)))


class Hub(ABC):
    """One party's end of all sessions with one peer. As a context manager it closes, or aborts, all of
    them."""

    port: int | None = None
    """Where this party listens; None when it dials."""

    def __init__(
        self, *, party: str, peer: str, where: str, options: ChannelOptions, limit: int = MAX_SESSIONS
    ) -> None:
        self.party, self.peer, self.options = party, peer, options
        self._where = where
        self._limit = limit
        self._changed = threading.Condition()
        self._open: dict[int, Session] = {}
        self._ended: dict[int, str] = {}  # number -> why, "" in order
        self._past = _NO_STATS
        self._over = ""  # why the hub takes no session any more

    # ---- for the application

    def channel(self, number: int) -> Channel:
        """Session `number`, 0 to 65535; returns when both parties have asked for it, in whichever order.

        The same channel again while it is open. Raises ValueError (number), ChannelError (the number was used
        before, MAX_SESSIONS are open, peer not there within the patience, refused, hub closed).
        """
        if type(number) is not int or not 0 <= number <= MAX_SESSION:
            raise ValueError(f"session {number!r} is outside 0 to {MAX_SESSION}")
        session, is_new = self._take(number)
        if is_new:
            try:
                self._start(session)
                session.wait_connected()
            except BaseException:
                session.abort("the job ended before it began")
                raise
        else:
            session.wait_connected()
        return session

    def fresh_number(self) -> int:
        """A number above all that this party has used. ChannelError when they are used up."""
        with self._changed:
            number = max((0, *self._open, *self._ended)) + 1
        if number > MAX_SESSION:
            raise ChannelError(f"all {MAX_SESSION} session numbers with party {self.peer!r} are used up")
        return number

    def drop(self, number: int, reason: str) -> None:
        """Abort session `number`, also one that is still waiting for the peer, and never use it again."""
        with self._changed:
            session = self._open.get(number)
            if session is None:
                self._ended.setdefault(number, reason)
                self._changed.notify_all()
        if session is not None:
            session.abort(reason)

    def close(self) -> None:
        """End in order: every open session as `Channel.close` has it, in the order of their numbers."""
        for session in self._sessions():
            session.close()
        self._finish("it has closed")

    def abort(self, reason: str) -> None:
        """End all sessions now, as `Channel.abort` has it. Never raises."""
        with self._changed:
            self._over = self._over or f"it has ended: {reason}"
            self._changed.notify_all()
        sessions = self._sessions()
        for session in sessions:
            session.fail(ChannelError(f"this party ended the job: {reason}"), tell=reason)
        threads = [
            threading.Thread(target=session.abort, args=(reason,), daemon=True) for session in sessions
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._finish(f"it has ended: {reason}")

    @property
    def stats(self) -> ChannelStats:
        """The sum over all sessions, those that have ended included."""
        with self._changed:
            return total([self._past, *(session.stats for session in self._open.values())])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort(f"{type(error).__name__} at party {self.party!r}; see its own log")

    # ---- for the link below

    @abstractmethod
    def _start(self, session: Session) -> None:
        """Let `session`, which is new, find its peer; `session.end` must call `_forget`."""

    @abstractmethod
    def _release(self) -> None:
        """Give up the port, if any. May be called again."""

    def _finish(self, why: str) -> None:
        with self._changed:
            self._over = self._over or why
            self._changed.notify_all()
        self._release()

    def _sessions(self) -> list[Session]:
        with self._changed:
            return [session for _, session in sorted(self._open.items())]

    def _take(self, number: int) -> tuple[Session, bool]:
        with self._changed:
            if self._over:
                raise ChannelError(f"the hub to party {self.peer!r} takes no session: {self._over}")
            if number in self._open:
                return self._open[number], False
            if number in self._ended:
                raise ChannelError(
                    f"session {number} with party {self.peer!r} has ended"
                    f" ({self._ended[number] or 'in order'}); use a fresh number"
                )
            # Failed ones count: whoever does not end them must not open others without limit.
            if len(self._open) >= self._limit:
                raise ChannelError(
                    f"{self._limit} sessions with party {self.peer!r} are open already; end one first"
                )
            session = Session(
                party=self.party, peer=self.peer, where=self._where, options=self.options, number=number
            )
            session.end = lambda: self._forget(session)
            self._open[number] = session
            self._changed.notify_all()
            return session, True

    def _forget(self, session: Session) -> None:
        """`session` has ended: keep its counters and the reason, nothing else."""
        with self._changed:
            if self._open.pop(session.number, None) is not None:
                error = session.failure
                self._ended[session.number] = "" if error is None else str(error)
                self._past = replace(total([self._past, session.stats]), unacknowledged_bytes=0)
            self._changed.notify_all()

    def _find(self, hello: Hello, *, hold_s: float = HOLD_S) -> Session:
        """The session of a caller, waited for up to `hold_s`. Raises Refused, NotYet."""
        if (hello.party, hello.peer) != (self.peer, self.party):
            raise Refused(self._mismatch(hello))
        number = hello.session
        with self._changed:
            if self._limit == 1 and number:
                raise Refused(
                    f"party {self.party!r} has one session only, and was asked for session {number}"
                )
            self._changed.wait_for(
                lambda: number in self._open or number in self._ended or bool(self._over), hold_s
            )
            if number in self._open:
                return self._open[number]
            if number in self._ended:
                why = self._ended[number]
                text = f"session {number} of party {self.party!r} has ended ({why or 'in order'})"
                if not why and hello.knows:
                    # The caller may lack our last farewell; it gives up by itself.
                    raise NotYet(text)
                raise Refused(text)
            if self._over:
                raise Refused(f"party {self.party!r} takes no session: {self._over}")
        raise NotYet(f"party {self.party!r} has not asked for session {number} yet")

    def _mismatch(self, hello: Hello) -> str:
        text = (
            f"names differ: party {hello.party!r} expects to talk to {hello.peer!r},"
            f" party {self.party!r} expects {self.peer!r}"
        )
        self._fail_unmet(ChannelError(text))
        return text

    def _fail_unmet(self, error: CrypsisError) -> None:
        """Fail what waits for its peer, unless the peer has been met in any session before."""
        sessions = self._sessions()
        if not self._ended and not any(session.connected_once for session in sessions):
            for session in sessions:
                session.fail(error)
