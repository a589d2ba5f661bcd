# SPDX-License-Identifier: Apache-2.0
"""The run report: what one party did, with whom, on which bytes, and what that assumed and disclosed. No
secrets.

A JSON object; `SCHEMA_VERSION` counts incompatible changes. Sizes are bytes, times are seconds, digests are
SHA-256 in hexadecimal.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from crypsis import backends
from crypsis.errors import DataError
from crypsis.mpc.data.sinks import OutputFile
from crypsis.mpc.psi import ecdh, vole
from crypsis.mpc.psi.devices import Devices
from crypsis.mpc.psi.job import PsiOutcome
from crypsis.mpc.psi.options import PsiOptions
from crypsis.mpc.transport import ChannelStats
from crypsis.mpc.transport.agreement import public_digest

SCHEMA_VERSION = 1
_MAX_REPORT_BYTES = 1 << 26  # paths of a million input files
_PACKAGES = ("crypsis", "numpy", "pyarrow", "grpcio")


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """Files that went in or came out: SHA-256 over their bytes in order, and their size together.

    For a query, its text and its database (without credentials) instead of paths; digest and size are those of its
    result as Parquet.
    """

    paths: list[str]
    sha256: str
    n_bytes: int
    query: str | None = None
    database: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON values, of a query's fields only those it has."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """Everything about one party's run, as `as_dict` gives it and `write` puts it on the disk."""

    party: str
    peer: str
    options: PsiOptions
    outcome: PsiOutcome
    output_rows: int | None
    stats: ChannelStats
    security: dict[str, Any]
    input: FileRecord
    output: FileRecord | None
    started: datetime
    finished: datetime
    seconds: dict[str, float]
    why: str = ""
    bins: dict[str, Any] | None = None
    bins_by_device: dict[str, int] | None = None
    devices: Devices = field(default_factory=lambda: Devices("cpu"))
    peak_memory: int = field(default_factory=lambda: peak_memory_bytes())

    @property
    def total_seconds(self) -> float:
        """Wall time from the first check to the last byte, waiting for the peer included."""
        return (self.finished - self.started).total_seconds()

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        outcome, stats = self.outcome, self.stats
        public = self.options.public()
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "psi",
            "job": self.options.job,
            "party": self.party,
            "peer": self.peer,
            "role": self.options.role,
            "started": _iso(self.started),
            "finished": _iso(self.finished),
            "protocol": {
                "name": self.options.protocol,
                "chosen": self.why,
                "security": self.options.security,
                "assumes": _assumes(self.options),
                "leaks": list(_module(self.options).LEAKS) + _join_leaks(self.options),
            },
            "bins": self.bins,
            "device": self.devices.as_report() | {"bins": self.bins_by_device},
            "public_configuration": public,
            "public_configuration_sha256": public_digest(public),
            "own_configuration": {
                "keys": [{"name": key.name, "type": key.type} for key in self.options.keys],
                "null_policy": self.options.null_policy,
                "batch_size": self.options.batch_size,
                "threads": self.options.threads,
                "max_output_rows": self.options.max_output_rows,
            },
            "counts": {
                "rows": outcome.n_rows,
                "null_keys": outcome.n_null,
                "unique_keys": outcome.n_unique,
                "peer_unique_keys": outcome.n_peer_unique,
                "matched_keys": outcome.n_matched,
                "output_rows": self.output_rows,
            },
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
                if row.chosen and row.slug in _module(self.options).SLUGS
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


def check_report_place(path: str) -> None:
    """Raises DataError now for what would stop `RunReport.write`, and for a file there that is no run report:
    an earlier report is replaced, another file is not."""
    with OutputFile(path, overwrite=True):
        pass
    if os.path.lexists(path) and not _is_report(path):
        raise DataError(f"{path}: exists and is no run report of Crypsis; remove it or name another file")


def _is_report(path: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.loads(file.read(_MAX_REPORT_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "schema_version" in found and "public_configuration_sha256" in found


def peak_memory_bytes() -> int:
    """Most memory that this process has held. Not `ru_maxrss`, which begins with the size of the process it was copied
    from."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return next((int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:")), 0)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages whose behaviour a result rests on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _module(options: PsiOptions) -> Any:
    """Of the protocol."""
    return vole if options.protocol == "vole" else ecdh


def _assumes(options: PsiOptions) -> str:
    return vole.ASSUMES[options.security] if options.protocol == "vole" else ecdh.ASSUMES


def _join_leaks(options: PsiOptions) -> list[str]:
    if not options.aligned:
        return []
    leaks = ["to both how many rows each matched key has at the other party (aligned output)"]
    if options.join != "inner":
        leaks.append("how many rows without partner a party keeps, to the other party (aligned outer join)")
    return leaks


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
