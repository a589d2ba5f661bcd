# SPDX-License-Identifier: Apache-2.0
"""The run report of a training or a prediction: what one party did, with whom, on which bytes, and what that assumed
and disclosed. No secrets, and no row of anybody's data.

A JSON object of the shape of PSI's (`crypsis.mpc.psi.report`). Sizes are bytes, times are seconds, digests are SHA-256
in hexadecimal.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from crypsis import backends
from crypsis.errors import DataError
from crypsis.mpc.data.sinks import OutputFile
from crypsis.mpc.learning.meter import shares
from crypsis.mpc.psi.report import FileRecord, peak_memory_bytes
from crypsis.mpc.transport import ChannelStats
from crypsis.mpc.transport.agreement import public_digest

SCHEMA_VERSION = 1
_PACKAGES = ("crypsis", "numpy", "pyarrow", "grpcio", "numba", "matplotlib")
_SLUGS = (
    "bigint",
    "paillier",
    "okamoto_uchiyama",
    "hashing",
    "aes",
    "vole",
    "okvs",
    "partition",
    "bitmatrix",
)


@dataclass(frozen=True, kw_only=True)
class LearningReport:
    """Everything about one party's run, as `as_dict` gives it and `write` puts it on the disk.

    counts: rows and columns. metrics: of the evaluation, at the guest. history: metrics of each epoch or tree.
    kinds: seconds by kind (`Meter.seconds`). outputs: files that were written, by what they are.
    """

    kind: Literal["train", "predict"]
    party: str
    peer: str
    role: str
    job: str
    algorithm: str
    assumes: str
    leaks: Sequence[tuple[str, str]]
    public: Mapping[str, Any]
    own: Mapping[str, Any]
    counts: Mapping[str, Any]
    stats: ChannelStats
    security: Mapping[str, Any]
    input: FileRecord
    outputs: Mapping[str, FileRecord]
    started: datetime
    finished: datetime
    seconds: Mapping[str, float]
    kinds: Mapping[str, float]
    metrics: Mapping[str, Any] | None = None
    history: Sequence[Mapping[str, Any]] = ()
    resumed_after: int | None = None
    steps: Sequence[Mapping[str, Any]] = ()
    peak_memory: int = field(default_factory=peak_memory_bytes)

    @property
    def total_seconds(self) -> float:
        """Wall time from the first check to the last byte, waiting for the peer included."""
        return (self.finished - self.started).total_seconds()

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        stats = asdict(self.stats)
        stats.pop("unacknowledged_bytes")
        stats["blocked_send_seconds"] = round(stats.pop("blocked_send_s"), 6)
        stats["blocked_receive_seconds"] = round(stats.pop("blocked_recv_s"), 6)
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": self.kind,
            "job": self.job,
            "party": self.party,
            "peer": self.peer,
            "role": self.role,
            "started": _iso(self.started),
            "finished": _iso(self.finished),
            "protocol": {
                "name": self.algorithm,
                "security": "semi-honest",
                "assumes": self.assumes,
                "leaks": [{"who": who, "learns": what} for who, what in self.leaks],
            },
            "public_configuration": dict(self.public),
            "public_configuration_sha256": public_digest(dict(self.public)),
            "own_configuration": dict(self.own),
            "preprocess": [dict(step) for step in self.steps],
            "counts": dict(self.counts),
            "metrics": None if self.metrics is None else dict(self.metrics),
            "history": [dict(row) for row in self.history],
            "resumed_after": self.resumed_after,
            "traffic": stats,
            "security": dict(self.security),
            "input": self.input.as_dict(),
            "outputs": {name: record.as_dict() for name, record in self.outputs.items()},
            "seconds": {name: round(value, 6) for name, value in self.seconds.items()},
            "seconds_by_kind": {name: round(value, 6) for name, value in self.kinds.items()},
            "share_by_kind": {name: round(value, 4) for name, value in shares(dict(self.kinds)).items()},
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
        write_report_text(path, self.as_dict())


def write_report_text(path: str, report: Mapping[str, Any]) -> None:
    """Writes a report's JSON values. Raises DataError."""
    text = json.dumps(report, indent=2) + "\n"
    try:
        with OutputFile(path, overwrite=True) as file:
            file.write(text.encode())
            file.commit()
    except OSError as error:
        raise DataError(f"{path}: the report cannot be written: {error.strerror}") from error


def versions() -> dict[str, str]:
    """Versions of Python and of the packages whose behaviour a result rests on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
