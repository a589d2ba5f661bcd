# SPDX-License-Identifier: Apache-2.0
"""Agreement on the public configuration, before the first cryptographic message.

    both -> peer   control: {"type": "config", "role", "public": {...}, "digest": sha256(public), "n_unique"}

The digests are compared first; when they differ the fields are, so that the message names the one to change.
Both sides find the same mismatch from the same two messages, and say so to each other before either ends the
job.
"""

from __future__ import annotations

from typing import Any, get_args

from crypsis.errors import ConfigError, ProtocolAbort
from crypsis.mpc.psi.options import PsiOptions, Role
from crypsis.mpc.transport import Channel
from crypsis.mpc.transport.agreement import (
    compare_public,
    count_field,
    hear_refusal,
    public_digest,
    recv_json,
    send_json,
)

MAX_KEYS = (1 << 32) - 1  # one exchange; positions travel as uint32
MAX_ROWS = 1 << 40


def agree(channel: Channel, options: PsiOptions, n_unique: int, more: dict[str, Any] | None = None) -> int:
    """Exchanges and compares the public configuration, `more` included; returns the peer's number of unique keys.

    Raises ConfigError naming the first field that differs, with both values, on both sides.
    """
    own = options.public() | (more or {})
    send_json(
        channel,
        {
            "type": "config",
            "role": options.role,
            "public": own,
            "digest": public_digest(own),
            "n_unique": n_unique,
        },
    )
    message = recv_json(channel, "config")
    compare_public(channel, own, message)
    if message.get("role") not in get_args(Role):
        raise ProtocolAbort(f"the peer sent role = {str(message.get('role'))[:40]!r}; ended")
    if message["role"] == options.role:
        hear_refusal(channel)
        raise ConfigError(
            f"both parties are '{options.role}': one must be the receiver, the other the sender"
        )
    return count_field(message, "n_unique", MAX_KEYS)
