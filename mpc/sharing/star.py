# SPDX-License-Identifier: Apache-2.0
"""One party in the middle with a channel to each of the others: who failed is known, and all hear that someone did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crypsis.errors import ChannelError, CrypsisError, ProtocolAbort
from crypsis.mpc.transport import Channel

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Star:
    """Channels by party. `channels` must have exactly `parties`; ValueError names who is missing or too many."""

    def __init__(self, channels: Mapping[str, Channel], parties: tuple[str, ...], stream: int) -> None:
        if not isinstance(channels, Mapping):
            raise TypeError(f"channels is {type(channels).__name__}: give a dict of party to Channel")
        for party in parties:
            if party not in channels:
                raise ValueError(
                    f"channels has none to party {party!r}: all {len(parties)} parties are needed"
                )
        for party, channel in channels.items():
            if party not in parties:
                raise ValueError(f"channels has one to {party!r}, who is not of the agreement: leave it out")
            if channel.peer != party:
                raise ValueError(
                    f"the channel of party {party!r} leads to {channel.peer!r}: parties have the names that their"
                    " channels know them by"
                )
        self.parties = parties
        self._channels = dict(channels)
        self._stream = stream
        self._talking_to = ""

    def receive(self, party: str) -> memoryview:
        """The next message of a party. ChannelError, naming it, where none comes."""
        self._talking_to = party
        return receive(self._channels[party], self._stream, party)

    def send_all(self, payload: Buffer) -> None:
        """The same message to every party."""
        for party in self.parties:
            self._talking_to = party
            try:
                self._channels[party].send(self._stream, payload)
            except ChannelError as error:
                raise ChannelError(_gone(party, error)) from error

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """If the block fails, every channel is ended, with the party that it failed at as the reason."""
        try:
            yield
        except BaseException as error:
            who = f" at party {self._talking_to!r}" if self._talking_to else ""
            for channel in self._channels.values():
                # The kind of failure only: a message's text may quote numbers.
                channel.abort(f"{type(error).__name__}{who}; see the log of {channel.party!r}")
            raise


def receive(channel: Channel, stream: int, party: str) -> memoryview:
    """The next message. ChannelError, naming the party, where none comes."""
    try:
        return channel.recv(stream)
    except ChannelError as error:
        raise ChannelError(_gone(party, error)) from error


@contextmanager
def from_party(party: str, what: str) -> Iterator[None]:
    """What is wrong with a message becomes a ProtocolAbort that names its sender."""
    try:
        yield
    except ProtocolAbort as error:
        if repr(party) in str(error):
            raise
        raise _refused(party, what, error) from error
    except (CrypsisError, ValueError) as error:
        raise _refused(party, what, error) from error


def _refused(party: str, what: str, error: Any) -> ProtocolAbort:
    return ProtocolAbort(f"the {what} of party {party!r} is refused: {error}")


def _gone(party: str, error: ChannelError) -> str:
    return f"party {party!r} is gone, and without it there is no result: {error}"
