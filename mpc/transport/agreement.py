# SPDX-License-Identifier: Apache-2.0
"""JSON messages between two parties before and between their cryptographic ones, and what both must have the same.

    both -> peer   {"type": "config", "public": {...}, "digest": sha256(public), ...}

The digests are compared first; when they differ the fields are, so that the message names the one to change.
Both sides find the same mismatch from the same two messages, and say so to each other before either ends the
job.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import Any

from crypsis.errors import ChannelError, ConfigError, ProtocolAbort
from crypsis.mpc.transport.channel import Channel

CONTROL = 0  # stream of small JSON messages
MAX_CONTROL_BYTES = 1 << 16

# Public field -> the field of the configuration file that it comes from, and what to do, where the general
# words would not help.
_REMEDIES = {
    "version": ("version", "install the same release of crypsis at both parties"),
    "key_types": ("keys", "give both the same number of keys with the same types, in the same order"),
}


def send_json(channel: Channel, message: dict[str, Any]) -> None:
    """Sends one control message."""
    channel.send(CONTROL, json.dumps(message, sort_keys=True).encode())


def recv_json(channel: Channel, expected: str) -> dict[str, Any]:
    """Receives one control message of type `expected`; anything else ends the job."""
    raw = bytes(channel.recv(CONTROL))
    if len(raw) > MAX_CONTROL_BYTES:
        raise ProtocolAbort(
            f"the peer sent a control message of {len(raw)} bytes where '{expected}' was due; ended"
        )
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ProtocolAbort(
            f"the peer sent bytes that are no JSON where '{expected}' was due; ended"
        ) from error
    if not isinstance(message, dict) or message.get("type") != expected:
        got = message.get("type") if isinstance(message, dict) else type(message).__name__
        raise ProtocolAbort(
            f"the peer sent {str(got)[:40]!r} where '{expected}' was due; do both run the same version?"
        )
    return message


def count_field(message: dict[str, Any], name: str, maximum: int) -> int:
    """A whole number in 0..maximum from a peer's message."""
    value = message.get(name)
    if type(value) is not int or not 0 <= value <= maximum:
        raise ProtocolAbort(
            f"the peer sent {name} = {str(value)[:40]!r}: a whole number up to {maximum} was due; ended"
        )
    return value


def public_digest(public: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON text of the public configuration."""
    return hashlib.sha256(json.dumps(public, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def compare_public(channel: Channel, own: dict[str, Any], message: dict[str, Any]) -> None:
    """Compares one's own public configuration with that in the peer's message. Raises ConfigError naming the first
    field that differs, with both values, on both sides; ProtocolAbort for a message that is not in order."""
    peer_public = message.get("public")
    if not isinstance(peer_public, dict):
        raise ProtocolAbort("the peer sent a configuration without public fields; ended")
    if public_digest(peer_public) != message.get("digest"):
        raise ProtocolAbort("the peer's configuration does not match its own digest; ended")
    if message["digest"] != public_digest(own):
        for name in [*own, *sorted(set(peer_public) - set(own))]:
            mine, theirs = own.get(name), peer_public.get(name)
            if mine != theirs:
                hear_refusal(channel)
                field, remedy = _REMEDIES.get(name, (name, "give both the same value"))
                raise ConfigError(
                    f"the parties disagree on {field[:40]!r}: {mine!r} here, {repr(theirs)[:80]} at {channel.peer}; "
                    f"{remedy}"
                )
        # Different bytes that Python takes for equal (1 and true, null and absent): no version of ours writes those.
        raise ProtocolAbort(f"the configuration of {channel.peer} is not written as this version does; ended")


def hear_refusal(channel: Channel) -> None:
    """Waits until the peer has seen the mismatch too: ending the job at once could overtake one's own
    configuration."""
    with suppress(ChannelError, ProtocolAbort):
        send_json(channel, {"type": "refused"})
        recv_json(channel, "refused")


def confirm(channel: Channel) -> None:
    """Tells the peer that one's own output is staged, and waits to hear the same: both files appear, or
    neither.

    (Up to the loss of the very last message, which no protocol can rule out.)
    """
    send_json(channel, {"type": "staged"})
    recv_json(channel, "staged")
