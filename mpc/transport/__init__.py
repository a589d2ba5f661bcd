# SPDX-License-Identifier: Apache-2.0
"""Channels between two parties: in one process (`memory_pair`), or over gRPC with mutual TLS
(`open_channel`).

gRPC is imported when the first such channel is opened, `cryptography` when certificates are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crypsis.mpc.transport.channel import MAX_STREAMS, Channel, ChannelOptions, ChannelStats
from crypsis.mpc.transport.memory import memory_pair
from crypsis.mpc.transport.tls import TlsFiles

if TYPE_CHECKING:
    from crypsis.mpc.transport.opening import connect, listen, open_channel

__all__ = [
    "MAX_STREAMS",
    "Channel",
    "ChannelOptions",
    "ChannelStats",
    "TlsFiles",
    "connect",
    "listen",
    "memory_pair",
    "open_channel",
]


def __getattr__(name: str) -> Any:
    if name in {"connect", "listen", "open_channel"}:
        from crypsis.mpc.transport import opening

        return getattr(opening, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
