# SPDX-License-Identifier: Apache-2.0
"""What every source of correlated oblivious transfers offers: blocks of them, for any number in bounded memory.

The sender has a fixed random Delta of 128 bits and a block q_i an item; the receiver a bit c_i and
t_i = q_i ^ c_i Delta. `softspoken` and `ferret` make these; `forms` turns them into random, chosen-message and 1-of-N
transfers. A block is 16 bytes; packed bits are least significant first.

A source is bound to one channel and one session. Whatever goes wrong, in the peer, in the channel or because a caller
stops in the middle of an iteration, ends it for good: later calls raise `DeadSource`. So no correlation can come out
twice, and none of a chunk comes out before everything that the protocol checks of it was checked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from crypsis.errors import CrypsisError

BLOCK_BYTES = 16
MAX_ITEMS = 1 << 40
"""Most items of one call."""

SEMI_HONEST, MALICIOUS = "semi-honest", "malicious"

Bytes = npt.NDArray[np.uint8]


class DeadSource(CrypsisError):
    """A source of correlations that failed, was closed or was left in the middle: start a new session."""

    exit_code = 6


class CotSource(ABC):
    """What both sides share: how secure the correlations are, and the life of the object."""

    security: str
    """`SEMI_HONEST` or `MALICIOUS`."""

    session: bytes
    """32 bytes that both parties agree on, unlike those of any other session."""

    _why_dead: str = ""
    _next_tweak: int = 0
    _running: bool = False

    @property
    def alive(self) -> bool:
        """Whether `blocks` may still be called."""
        return not self._why_dead

    def take_tweaks(self, count: int) -> int:
        """The first of `count` tweaks for `vole.random_keys` that nobody had before, the same at both parties.

        The session makes the upper half, a counter the lower one.
        """
        first = self._next_tweak
        if first + count >= 1 << 64:
            raise DeadSource("2^64 tweaks were used: start a new session")
        self._next_tweak += count
        return int.from_bytes(self.session[:8], "little") << 64 | first

    def close(self) -> None:
        """Wipe the secrets. The channel stays open: it is the caller's."""
        self._kill("it was closed")

    def _kill(self, why: str) -> None:
        if not self._why_dead:
            self._why_dead = why
            self._wipe()

    @abstractmethod
    def _wipe(self) -> None:
        """Overwrite what is secret; called once."""

    def check_open(self) -> None:
        """Raises DeadSource if the source is dead: rows taken from it before this call may be wiped, and are not to be
        used. So whoever makes keys of rows calls this before a key goes anywhere, as another thread may close it."""
        if self._why_dead:
            raise DeadSource(
                f"this {type(self).__name__} gives no more correlations: {self._why_dead}; start a new session"
            )

    def _check_alive(self) -> None:
        self.check_open()
        if self._running:
            raise DeadSource(
                f"this {type(self).__name__} is in the middle of another iteration: finish that one first"
            )

    @contextmanager
    def _use(self) -> Generator[None]:
        """Around all that talks to the peer: the object dies unless the block comes to its end."""
        self._check_alive()
        self._running = True
        try:
            yield
        except BaseException as error:
            self._kill(_reason(error))
            raise
        finally:
            self._running = False

    @contextmanager
    def to_the_end(self) -> Generator[None]:
        """Around a protocol that uses this source: the source dies unless the block comes to its end."""
        try:
            yield
        except BaseException as error:
            if not isinstance(error, DeadSource | ValueError | TypeError) or self._running:
                self._kill(_reason(error))
            raise


def _reason(error: BaseException) -> str:
    if isinstance(error, GeneratorExit):
        return "an iteration was not finished"
    return f"it failed before ({type(error).__name__})"


class CotSender(CotSource):
    """The side that has Delta."""

    delta: Bytes
    """uint8[16], secret, the same for all items."""

    @abstractmethod
    def blocks(self, n_items: int, *, chosen: bool = False) -> Iterator[Bytes]:
        """The next n_items >= 1 correlations in pieces: q, uint8[m, 16].

        chosen: the receiver gives `choices`; the two must agree about it.
        Each array is a view of memory that the next step overwrites: copy what must stay. The peer must ask for as
        many items at the same time. The iterator must be taken to its end. Raises ValueError, DeadSource, ChannelError,
        ProtocolAbort.
        """


class CotReceiver(CotSource):
    """The side that has the choices."""

    @abstractmethod
    def blocks(self, n_items: int, choices: Bytes | None = None) -> Iterator[tuple[Bytes, Bytes]]:
        """The next n_items >= 1 correlations in pieces: (c, t), uint8[ceil(m / 8)] of packed bits and uint8[m, 16].

        choices: uint8[ceil(n_items / 8)], packed, or None for random ones. All pieces but the last have a multiple of
        8 items, and the unused bits of the last byte are 0. Otherwise as in `CotSender.blocks`.
        """


def check_items(n_items: int) -> int:
    """`n_items` as an int from 1 to MAX_ITEMS."""
    if isinstance(n_items, bool) or not isinstance(n_items, int | np.integer):
        raise TypeError(f"n_items is {type(n_items).__name__}: give an int")
    if not 1 <= n_items <= MAX_ITEMS:
        raise ValueError(f"n_items is {n_items}: give 1 to {MAX_ITEMS}")
    return int(n_items)


def check_choices(choices: Bytes, n_items: int) -> Bytes:
    """`choices` as packed bits of `n_items` items."""
    if not isinstance(choices, np.ndarray) or choices.dtype != np.uint8:
        kind = f"an array of {choices.dtype}" if isinstance(choices, np.ndarray) else type(choices).__name__
        raise TypeError(f"choices is {kind}: give packed bits, a NumPy array of uint8")
    if choices.shape != ((n_items + 7) // 8,):
        raise ValueError(
            f"choices has shape {choices.shape}: {n_items} packed bits need uint8[{(n_items + 7) // 8}]"
        )
    return choices


def check_session(session: bytes) -> bytes:
    """`session` as bytes of a length that leaves no doubt where it ends."""
    if not isinstance(session, bytes | bytearray | memoryview):
        raise TypeError(f"session is {type(session).__name__}: give bytes")
    session = bytes(session)
    if not 1 <= len(session) <= 255:
        raise ValueError(f"session has {len(session)} bytes: give 1 to 255 that no other session has")
    return session
