# SPDX-License-Identifier: Apache-2.0
"""What a host's columns are called at the guest: "#0", "#1", ... in an order drawn at random, or their names."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from crypsis.errors import ProtocolAbort
from crypsis.mpc.learning.session import Session
from crypsis.mpc.transport.agreement import count_field

MAX_COLUMNS = 1 << 14
_MAX_NAME = 200
_A_MESSAGE = 50  # columns: 64 KiB hold 50 names of 200 characters, escaped


def draw_aliases(names: Sequence[str], *, share_names: bool) -> dict[str, str]:
    """Alias -> name of one's own columns, in random order."""
    order = list(names)
    secrets.SystemRandom().shuffle(order)
    if share_names:
        return {name[:_MAX_NAME]: name for name in order}
    return {f"#{number}": name for number, name in enumerate(order)}


def tell_columns(session: Session, peer: str, aliases: Sequence[str]) -> None:
    """Tells the guest how many columns come, and what they are called."""
    session.tell(peer, "columns", count=len(aliases))
    for begin in range(0, len(aliases), _A_MESSAGE):
        session.tell(peer, "names", names=list(aliases[begin : begin + _A_MESSAGE]))


def hear_columns(session: Session, peer: str) -> tuple[str, ...]:
    """What a host's columns are called, "HOST:ALIAS" each. ProtocolAbort naming the host for no list of names."""
    count = count_field(session.hear(peer, "columns"), "count", MAX_COLUMNS)
    found: list[str] = []
    while len(found) < count:
        names = session.hear(peer, "names").get("names")
        due = min(_A_MESSAGE, count - len(found))
        if (
            not isinstance(names, list)
            or len(names) != due
            or not all(isinstance(n, str) and 0 < len(n) <= _MAX_NAME for n in names)
        ):
            raise ProtocolAbort(f"{peer} sent no list of {due} names of columns; ended")
        found += names
    if len(set(found)) != count:
        raise ProtocolAbort(f"{peer} sent names of columns twice; ended")
    return tuple(f"{peer}:{name}" for name in found)
