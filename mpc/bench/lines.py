# SPDX-License-Identifier: Apache-2.0
"""The line between the two processes of a job: loopback as it is, or so many bits a second and so long a round trip,
shaped by the kernel (netns.py) or by a thread of ours (shaped_link.py)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from crypsis.mpc.bench.shaped_link import ShapedLink
from crypsis.mpc.transport.ports import free_port

THROTTLE = "in-process throttle"
TC = "tc in a network namespace"


@dataclass(frozen=True)
class Link:
    """A line between the parties: bits a second each way, and the time of a round trip (0: as it comes)."""

    name: str
    megabits: float
    round_trip_ms: float


class Ends(NamedTuple):
    """Where a line is taken up: the address that one party listens at, the one that the other connects to, and what
    stands before the command of each."""

    listen: str
    connect: str
    enter: tuple[list[str], list[str]] = ([], [])


def open_line(link: Link | None, *, by_tc: bool = False) -> AbstractContextManager[Ends]:
    """A line that is there while the context lasts; for `by_tc`, netns.NoNamespace where that is not possible."""
    from crypsis.mpc.bench import netns

    if link is None:
        return _loopback()
    return netns.line(link) if by_tc else _throttled(link)


@contextmanager
def _loopback() -> Iterator[Ends]:
    address = f"127.0.0.1:{free_port()}"
    yield Ends(address, address)


@contextmanager
def _throttled(link: Link) -> Iterator[Ends]:
    port = free_port()
    with ShapedLink(port, megabits=link.megabits, delay_ms=link.round_trip_ms / 2) as line:
        yield Ends(f"127.0.0.1:{port}", f"127.0.0.1:{line.port}")
