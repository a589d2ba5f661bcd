# SPDX-License-Identifier: Apache-2.0
"""Which protocol a job between files runs: what the configurations say, or for `auto` what is faster.

    both -> peer   control: {"type": "plan", "protocol", "security", "rows", "bandwidth"}

Both parties come to the same choice from the same two messages. `auto` gives way to a peer that names a protocol. Two
that are named and differ are left to the comparison of configurations, which says so.
"""

from __future__ import annotations

from typing import Literal, get_args

from crypsis.errors import ProtocolAbort
from crypsis.mpc.data import Source
from crypsis.mpc.psi.agree import MAX_ROWS
from crypsis.mpc.psi.config import JobConfig
from crypsis.mpc.psi.options import Protocol
from crypsis.mpc.psi.plan import recommend
from crypsis.mpc.transport import Channel
from crypsis.mpc.transport.agreement import count_field, recv_json, send_json

_SAMPLE_BYTES = 1 << 20
_MAX_BANDWIDTH = 10**13


def choose(channel: Channel, config: JobConfig, n_rows: int) -> tuple[Protocol, str]:
    """(the protocol, why). Raises ChannelError, ProtocolAbort."""
    bandwidth = config.bandwidth_bps or 0
    send_json(
        channel,
        {
            "type": "plan",
            "protocol": config.protocol,
            "security": config.security,
            "rows": n_rows,
            "bandwidth": bandwidth,
        },
    )
    theirs = recv_json(channel, "plan")
    peer_rows = count_field(theirs, "rows", MAX_ROWS)
    peer_bandwidth = count_field(theirs, "bandwidth", _MAX_BANDWIDTH)
    wanted: Protocol | Literal["auto"] = theirs.get("protocol", "")
    if wanted not in (*get_args(Protocol), "auto") or theirs.get("security") not in (
        "semi-honest",
        "malicious",
    ):
        raise ProtocolAbort(f"{channel.peer} sent protocol = {str(wanted)[:40]!r}; ended")
    if config.protocol != "auto":
        return config.protocol, "named in the configuration"
    if wanted != "auto":
        return wanted, f"{channel.peer} names it"
    if "malicious" in (config.security, theirs["security"]):
        return "vole", "the only one with malicious security"
    receiver, sender = (n_rows, peer_rows) if config.role == "receiver" else (peer_rows, n_rows)
    rates = [rate for rate in (bandwidth, peer_bandwidth) if rate]
    return recommend(receiver, sender, min(rates) if rates else None, config.security)


def expected_rows(source: Source) -> int:
    """Rows of the source, from a footer, or from what a row of its beginning weighs."""
    if source.n_rows is not None:
        return source.n_rows
    total = 0
    for path in source.files:
        with open(path, "rb") as file:
            sample = file.read(_SAMPLE_BYTES)
            file.seek(0, 2)
            total += file.tell() * max(sample.count(b"\n"), 1) // max(len(sample), 1)
    return min(total, MAX_ROWS)
