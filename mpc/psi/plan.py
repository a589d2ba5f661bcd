# SPDX-License-Identifier: Apache-2.0
"""What a job will take, before it is run: traffic, time, memory, disk; and which protocol is the faster one.

Traffic is exact for the rows given (`Layout`; `ecdh`). Time is a model: a stage takes as long as the busiest of what it
needs, the cores of either party, the line in either direction, or the disk,

    seconds = max(items * seconds an item / cores, bytes / bandwidth, bytes / disk)

and stages follow one another, but for the exchange of bins, in which all of them overlap. Seconds an item are those of
one core (`Rates`): the constants here were measured on a reference machine, `crypsis bench calibrate` measures others.

`recommend` uses integers and constants of this file only, so that both parties come to the same answer from the same
public numbers, whatever machines they have.
"""

from __future__ import annotations

from typing import Final

from crypsis.mpc.psi.layout import Layout, outer_bins
from crypsis.mpc.psi.matching import tag_bytes
from crypsis.mpc.psi.options import Protocol, Security

POINT_BYTES: Final = 32
POSITION_BYTES: Final = 4
COUNT_BYTES: Final = 4

# Of `recommend`: picoseconds a key on one core, beyond what both protocols do (reading, writing).
_VOLE_RECEIVER_PS: Final = (240_000, 50_000)  # at the receiver, a key of (receiver, sender)
_VOLE_SENDER_PS: Final = (80_000, 80_000)  # at the sender
_ECDH_OWN_PS: Final = 8_000_000  # a key of one's own: to the curve, multiplied, matched
_ECDH_PEER_PS: Final = 7_100_000
_VOLE_SET_UP_PS: Final = 150_000_000_000  # base OTs, trees
_CORES: Final = 4  # of a party
_BANDWIDTH: Final = 1_000_000_000  # bits a second, where nothing is said


def vole_bytes(
    layout: Layout, *, broadcast: bool = False, sessions: int = 1, n_counted: int = 0
) -> tuple[int, int]:
    """Payload bytes that (receiver, sender) send for all outer bins, shared evenly by `sessions` workers; n_counted:
    matched keys of an aligned join, whose rows are counted. Without control messages, about a kilobyte."""
    receiver = layout.n_outer * layout.receiver_bytes(broadcast=broadcast)
    sender = layout.n_outer * layout.sender_bytes()
    for number in range(sessions):
        bins = (layout.n_outer + number) // sessions
        if bins:
            more = layout.vole_bytes(bins)
            sender, receiver = sender + more[0], receiver + more[1]
    return receiver + COUNT_BYTES * n_counted, sender + COUNT_BYTES * n_counted


def ecdh_bytes(n_receiver: int, n_sender: int, *, n_told: int = 0, n_counted: int = 0) -> tuple[int, int]:
    """Payload bytes that (receiver, sender) send; n_told: matched keys, with broadcast; n_counted: the same where the
    join is aligned."""
    counts = COUNT_BYTES * n_counted
    return (
        POINT_BYTES * n_receiver + POSITION_BYTES * n_told + counts,
        POINT_BYTES * n_sender + tag_bytes(n_receiver, n_sender) * n_receiver + counts,
    )


def recommend(
    n_receiver: int, n_sender: int, bandwidth: int | None = None, security: Security = "semi-honest"
) -> tuple[Protocol, str]:
    """(protocol, why) for keys of either party and a line of `bandwidth` bits a second; None: 1 Gbit/s.

    The faster one for four cores a party; less traffic where they are about as fast (within a tenth).
    """
    if security == "malicious":
        return "vole", "the only one with malicious security"
    rate = _BANDWIDTH if bandwidth is None else max(bandwidth, 1)
    n_outer = outer_bins(max(n_receiver, n_sender))
    vole = vole_bytes(Layout(n_receiver, n_sender, n_outer))
    ecdh = ecdh_bytes(n_receiver, n_sender)
    vole_work = max(
        each[0] * n_receiver + each[1] * n_sender for each in (_VOLE_RECEIVER_PS, _VOLE_SENDER_PS)
    )
    ecdh_work = max(
        _ECDH_OWN_PS * n_receiver + _ECDH_PEER_PS * n_sender,
        _ECDH_OWN_PS * n_sender + _ECDH_PEER_PS * n_receiver,
    )
    vole_ps = _VOLE_SET_UP_PS + max(vole_work // _CORES, _line_ps(max(vole), rate))
    ecdh_ps = max(ecdh_work // _CORES, _line_ps(max(ecdh), rate))
    if 10 * abs(vole_ps - ecdh_ps) <= max(vole_ps, ecdh_ps):
        chosen: Protocol = "vole" if sum(vole) <= sum(ecdh) else "ecdh"
    else:
        chosen = "vole" if vole_ps < ecdh_ps else "ecdh"
    line = "" if bandwidth is not None else ", assumed"
    return chosen, (
        f"vole exchanges in about {_told(vole_ps)} s with {_megabytes(sum(vole))} MB, ecdh in about {_told(ecdh_ps)} s "
        f"with {_megabytes(sum(ecdh))} MB, at {n_receiver} and {n_sender} rows, {_CORES} cores each and a line of "
        f"{rate / 1e6:g} Mbit/s{line}"
    )


def _line_ps(n_bytes: int, rate: int) -> int:
    return 8 * n_bytes * 10**12 // rate


def _told(picoseconds: int) -> str:
    return f"{picoseconds / 1e12:.2g}" if picoseconds < 10**14 else f"{picoseconds / 1e12:.0f}"


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.2g}" if n_bytes < 10**8 else f"{n_bytes / 1e6:.0f}"
