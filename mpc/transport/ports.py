# SPDX-License-Identifier: Apache-2.0
"""A port for two processes on one machine to meet at."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

FIRST_PORT = 10_240
_ATTEMPTS = 200
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_FIRST_EPHEMERAL = 32_768


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port of `host` that nobody holds now and that the system gives to nobody by itself.

    Ports of the system's ephemeral range (RFC 6056) are not taken: between this call and the listener's start
    such a port may become the local end of any outgoing connection, the peer's own attempts to dial it
    included, and the listener then finds it in use.
    """
    end = _first_ephemeral()
    for _ in range(_ATTEMPTS if end > FIRST_PORT else 0):
        port = FIRST_PORT + secrets.randbelow(end - FIRST_PORT)
        try:
            _bind(host, port)
        except OSError:
            continue
        return port
    return _bind(host, 0)  # everything outside is taken, or the range begins below FIRST_PORT


def _bind(host: str, port: int) -> int:
    with socket.socket() as probe:
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def _first_ephemeral() -> int:
    try:
        return int(_EPHEMERAL_RANGE.read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _USUAL_FIRST_EPHEMERAL
