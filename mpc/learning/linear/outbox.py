# SPDX-License-Identifier: Apache-2.0
"""`Outbox`: sends in a thread of its own, so that two parties that both send do not wait for each other to receive."""

from __future__ import annotations

import queue
import threading
from types import TracebackType
from typing import Any

import numpy.typing as npt

from crypsis.mpc.learning.ciphers import CipherArray
from crypsis.mpc.learning.session import CIPHERS, Session

_END_S = 1.0

Item = CipherArray | npt.NDArray[Any] | bytes


class Outbox:
    """What is put is sent in order, while the caller computes on. Holds at most what was put and not yet taken by the
    line: in the protocols here the ciphertexts of one batch.

    A failure to send is raised by the next `put` or `flush`. Use it with `with`: at the end everything is sent, and
    after a failure nothing more is waited for.
    """

    def __init__(self, session: Session) -> None:
        self._session, self._peer = session, session.peer
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._pending = 0
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="crypsis-outbox", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Sends ciphertexts, as an array or as bytes, or numbers as `Session.send_array` does, some time soon."""
        self._raise()
        with self._changed:
            self._pending += 1
        self._queue.put(item)

    def flush(self) -> None:
        """Waits until the channel has taken everything."""
        with self._session.meter("wait"), self._changed:
            self._changed.wait_for(lambda: not self._pending or self._failure is not None)
        self._raise()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                if self._failure is None:
                    if isinstance(item, CipherArray):
                        self._session.send_ciphertexts(self._peer, item)
                    elif isinstance(item, bytes):
                        with self._session.meter("wait"):
                            self._session.channel(self._peer).send(CIPHERS, item)
                    else:
                        self._session.send_array(self._peer, item)
            except BaseException as error:
                self._failure = error
            with self._changed:
                self._pending -= 1
                self._changed.notify_all()

    def __enter__(self) -> Outbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._queue.put(None)
            self._thread.join(_END_S if kind is not None else None)
