# SPDX-License-Identifier: Apache-2.0
"""The run report of a private list query: what one party did, with whom, and what that assumed and disclosed. It holds
no identifier and no secret. The same shape as a PSI's (`crypsis.mpc.psi.report`)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from crypsis import backends
from crypsis.errors import DataError
from crypsis.mpc.data.sinks import OutputFile
from crypsis.mpc.pir import ot_query
from crypsis.mpc.pir.agree import Agreed
from crypsis.mpc.pir.options import QueryOptions
from crypsis.mpc.psi.report import SCHEMA_VERSION, FileRecord, peak_memory_bytes, versions
from crypsis.mpc.transport import ChannelStats
from crypsis.mpc.transport.agreement import public_digest

_SLUGS = ("hashing", "curve25519", "aes", "bitmatrix", "vole")


@dataclass(frozen=True, kw_only=True)
class QueryReport:
    """Everything about one party's run. `own`, `counts`: what this party decided, and counted."""

    role: str
    party: str
    peer: str
    options: QueryOptions
    own: dict[str, Any]
    agreed: Agreed
    counts: dict[str, int | None]
    stats: ChannelStats
    security: dict[str, Any]
    input: FileRecord
    output: FileRecord | None
    started: datetime
    finished: datetime
    seconds: dict[str, float]
    peak_memory: int = field(default_factory=peak_memory_bytes)

    @property
    def total_seconds(self) -> float:
        """Wall time from the first check to the last byte, waiting for the peer included."""
        return (self.finished - self.started).total_seconds()

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        public, stats = self.options.public(), self.stats
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "query",
            "party": self.party,
            "peer": self.peer,
            "role": self.role,
            "started": _iso(self.started),
            "finished": _iso(self.finished),
            "protocol": {
                "name": public["protocol"],
                "assumes": ot_query.ASSUMES,
                "leaks": list(ot_query.LEAKS),
            },
            "public_configuration": public,
            "public_configuration_sha256": public_digest(public),
            "agreed": self.agreed.as_dict(),
            "own_configuration": {
                "keys": [{"name": key.name, "type": key.type} for key in self.options.keys],
                "null_policy": self.options.null_policy,
                "threads": self.options.threads,
                **self.own,
            },
            "counts": self.counts,
            "traffic": {
                "payload_bytes_sent": stats.payload_bytes_sent,
                "payload_bytes_received": stats.payload_bytes_received,
                "wire_bytes_sent": stats.wire_bytes_sent,
                "wire_bytes_received": stats.wire_bytes_received,
                "messages_sent": stats.messages_sent,
                "messages_received": stats.messages_received,
                "rounds": stats.rounds,
                "reconnects": stats.reconnects,
                "blocked_send_seconds": round(stats.blocked_send_s, 6),
                "blocked_receive_seconds": round(stats.blocked_recv_s, 6),
            },
            "security": self.security,
            "input": self.input.as_dict(),
            "output": self.output.as_dict() if self.output is not None else None,
            "seconds": {name: round(value, 6) for name, value in self.seconds.items()},
            "total_seconds": round(self.total_seconds, 6),
            "peak_memory_bytes": self.peak_memory,
            "versions": versions(),
            "cpu_features": backends.cpu_features(),
            "backends": [
                {"slug": row.slug, "variant": row.variant, "backend": row.backend}
                for row in backends.report()
                if row.chosen and row.slug in _SLUGS
            ],
        }

    def write(self, path: str) -> None:
        """Puts the report under `path`, whole or not at all. Raises DataError."""
        text = json.dumps(self.as_dict(), indent=2) + "\n"
        try:
            with OutputFile(path, overwrite=True) as file:
                file.write(text.encode())
                file.commit()
        except OSError as error:
            raise DataError(f"{path}: the report cannot be written: {error.strerror}") from error


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
