# SPDX-License-Identifier: Apache-2.0
"""Agreement before the first cryptographic message: the public configuration, the public sizes, the session.

    both -> peer   control: {"type": "query", "role", "public": {...}, "digest": sha256(public), "nonce": 32 bytes, ...}
                   owner:   "capacity", "max_rows", "columns": [[name, type, width], ...], "max_queries"
                   querier: "n_queries", "min_bucket", "max_answer_bytes"

Both sides see the same two messages and find the same reason to refuse. The session is the SHA-256 of both messages, so
every key and every hash of the job depends on all that was agreed.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from crypsis.errors import ConfigError, ProtocolAbort
from crypsis.mpc.pir.entries import Shape
from crypsis.mpc.pir.lists import MAX_CAPACITY, PreparedList
from crypsis.mpc.pir.options import MAX_QUERIES, OwnerOptions, QuerierOptions, QueryOptions
from crypsis.mpc.pir.ot_query import bucket_bound
from crypsis.mpc.pir.records import MAX_ROWS, Column, columns_from_peer, record_bytes
from crypsis.mpc.transport import Channel
from crypsis.mpc.transport.agreement import (
    compare_public,
    count_field,
    hear_refusal,
    public_digest,
    recv_json,
    send_json,
)

Role = Literal["owner", "querier"]
MAX_ANSWER_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """The job as both parties see it."""

    shape: Shape
    columns: tuple[Column, ...]
    max_rows: int
    capacity: int
    n_queries: int

    def as_dict(self) -> dict[str, Any]:
        """For the report; the session's digest tells that both reports are of one job."""
        return {
            "session_sha256": self.shape.session.hex(),
            "capacity": self.capacity,
            "bucket_bound": self.shape.bound,
            "record_bytes": self.shape.width,
            "max_rows": self.max_rows,
            "columns": [{"name": c.name, "type": c.type, "n_bytes": c.width} for c in self.columns],
            "queries": self.n_queries,
            "answer_bytes": self.shape.answer_bytes,
        }


def agree_as_owner(
    channel: Channel, options: QueryOptions, own: OwnerOptions, prepared: PreparedList
) -> Agreed:
    """The owner's side. Raises ConfigError for what the parties disagree on, at both."""
    offer = {
        "capacity": prepared.capacity,
        "max_rows": prepared.max_rows,
        "columns": [[column.name, column.type, column.width] for column in prepared.payload],
        "max_queries": own.max_queries,
    }
    mine, theirs = _exchange(channel, "owner", options, offer)
    return _settle(channel, options, mine, theirs)


def agree_as_querier(channel: Channel, options: QueryOptions, own: QuerierOptions, n_queries: int) -> Agreed:
    """The querier's side."""
    request = {
        "n_queries": n_queries,
        "min_bucket": own.min_bucket,
        "max_answer_bytes": own.max_traffic_mib << 20,
    }
    mine, theirs = _exchange(channel, "querier", options, request)
    return _settle(channel, options, theirs, mine)


def _exchange(
    channel: Channel, role: Role, options: QueryOptions, fields: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One's own message and the peer's, the public part compared."""
    public = options.public()
    mine = {
        "type": "query",
        "role": role,
        "public": public,
        "digest": public_digest(public),
        "nonce": secrets.token_hex(32),
        **fields,
    }
    send_json(channel, mine)
    theirs = recv_json(channel, "query")
    compare_public(channel, public, theirs)
    if theirs.get("role") not in ("owner", "querier"):
        raise ProtocolAbort(f"the peer sent role = {str(theirs.get('role'))[:40]!r}; ended")
    if theirs["role"] == role:
        hear_refusal(channel)
        raise ConfigError(f"both parties are the {role}: one serves the list, the other one asks")
    nonce = theirs.get("nonce")
    if not isinstance(nonce, str) or not re.fullmatch("[0-9a-f]{64}", nonce) or nonce == mine["nonce"]:
        raise ProtocolAbort("the peer sent no nonce of its own; ended")
    return mine, theirs


def _settle(
    channel: Channel, options: QueryOptions, owner: dict[str, Any], querier: dict[str, Any]
) -> Agreed:
    """What follows from the two messages: checked in the same order at both parties."""
    columns = columns_from_peer(owner.get("columns"))
    capacity = count_field(owner, "capacity", MAX_CAPACITY)
    max_rows = count_field(owner, "max_rows", MAX_ROWS)
    max_queries = count_field(owner, "max_queries", MAX_QUERIES)
    n_queries = count_field(querier, "n_queries", MAX_QUERIES)
    min_bucket = count_field(querier, "min_bucket", MAX_CAPACITY)
    max_answer_bytes = count_field(querier, "max_answer_bytes", 1 << 50)
    if not capacity or not max_rows:
        raise ProtocolAbort("the owner offered a list without room; ended")
    session = hashlib.sha256(b"crypsis/query/session/v1" + _canonical(owner) + _canonical(querier)).digest()
    shape = Shape(
        prefix_bits=options.prefix_bits,
        bound=bucket_bound(capacity, options.prefix_bits),
        width=record_bytes(columns, max_rows),
        session=session,
        hash=options.hash,
    )
    refusal = _refusal(shape, n_queries, max_queries, min_bucket, max_answer_bytes)
    if refusal is not None:
        hear_refusal(channel)
        raise ConfigError(refusal)
    return Agreed(shape=shape, columns=columns, max_rows=max_rows, capacity=capacity, n_queries=n_queries)


def _refusal(
    shape: Shape, n_queries: int, max_queries: int, min_bucket: int, max_answer_bytes: int
) -> str | None:
    if n_queries > max_queries:
        return f"the querier has {n_queries} queries, the owner allows {max_queries}: ask fewer, or raise max_queries"
    if shape.bound < min_bucket:
        return (
            f"a bucket has at most {shape.bound} entries and the querier demands {min_bucket}: lower prefix_bits, or "
            "min_bucket"
        )
    if shape.answer_bytes > MAX_ANSWER_BYTES:
        return (
            f"an answer would take {shape.answer_bytes} bytes, at most {MAX_ANSWER_BYTES}: raise prefix_bits"
        )
    if n_queries * shape.answer_bytes > max_answer_bytes:
        return (
            f"the answers would take {n_queries * shape.answer_bytes >> 20} MiB and the querier allows "
            f"{max_answer_bytes >> 20}: raise prefix_bits or max_traffic_mib, or ask fewer"
        )
    return None


def _canonical(message: dict[str, Any]) -> bytes:
    text = json.dumps(message, sort_keys=True, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text
