# SPDX-License-Identifier: Apache-2.0
"""Channels between two parties: in one process (`memory_pair`), or over gRPC with mutual TLS
(`open_channel`); several of them at once over one port (`open_hub`, `memory_hubs`).

gRPC is imported when the first such channel is opened, `cryptography` when certificates are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crypsis.mpc.transport.channel import MAX_STREAMS, Channel, ChannelOptions, ChannelStats
from crypsis.mpc.transport.hub import Hub
from crypsis.mpc.transport.memory import memory_hubs, memory_pair
from crypsis.mpc.transport.tls import TlsFiles

if TYPE_CHECKING:
    from crypsis.mpc.transport.opening import connect, listen, open_channel, open_hub

__all__ = [
    "MAX_STREAMS",
    "Channel",
    "ChannelOptions",
    "ChannelStats",
    "Hub",
    "TlsFiles",
    "connect",
    "listen",
    "memory_hubs",
    "memory_pair",
    "open_channel",
    "open_hub",
]


def __getattr__(name: str) -> Any:
    if name in {"connect", "listen", "open_channel", "open_hub"}:
        from crypsis.mpc.transport import opening

        return getattr(opening, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
