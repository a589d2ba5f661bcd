# SPDX-License-Identifier: Apache-2.0
"""Connections over gRPC: one bidirectional-streaming method, bytes in and bytes out, mutual TLS.

One party listens (grpc_listener.py), the other one dials and dials again (grpc_dialer.py). Each connection is
one call of one method; the session above lives through any number of them. See frames.py for why there is no
protobuf here.

gRPC and fork do not mix: open channels in the process that uses them, and start workers with "spawn".
"""

from __future__ import annotations

import os

# gRPC's C++ core writes multi-line reports of every refused connection to stderr; what matters of them is in
# our own messages. It reads this variable when it is first used, and a value that the user has set is kept.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc as grpc

from crypsis.errors import ProtocolAbort
from crypsis.mpc.transport.channel import ChannelOptions
from crypsis.mpc.transport.frames import (
    MAX_PACKET_BYTES,
    Frame,
    Hello,
    Kind,
    unpack,
    unpack_hello,
)

SERVICE = "crypsis.Transport"
METHOD = "Exchange"


def grpc_options(options: ChannelOptions) -> list[tuple[str, int | str]]:
    return [
        ("grpc.max_send_message_length", MAX_PACKET_BYTES),
        ("grpc.max_receive_message_length", MAX_PACKET_BYTES),
        ("grpc.max_metadata_size", 16 << 10),
        ("grpc.so_reuseport", 0),  # a port in use is an error, not half of the connections
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),  # the session resends, and knows what
        ("grpc.use_local_subchannel_pool", 1),  # each dial is a connection of its own
        ("grpc.keepalive_time_ms", int(options.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", int(options.keepalive_timeout_s * 1000)),
        ("grpc.http2.bdp_probe", 0),  # the window below is wide enough, and probes delay keepalive pings
        ("grpc.http2.ping_timeout_ms", int(options.keepalive_timeout_s * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 100),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.http2.lookahead_bytes", 8 << 20),
        ("grpc.http2.max_frame_size", 1 << 20),
    ]


def first_frame(packet: bytes) -> Hello | Frame:
    """The hello in a connection's first packet, or the ABORT or LATER that is there in its place."""
    all_frames = list(unpack(packet))
    if len(all_frames) != 1:
        raise ProtocolAbort("the peer's first packet is not a hello alone")
    frame = all_frames[0]
    return frame if frame.kind in (Kind.ABORT, Kind.LATER) else unpack_hello(frame)


def join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
