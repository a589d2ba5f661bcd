# SPDX-License-Identifier: Apache-2.0
"""What one measurement is, and the JSON row that records it with everything needed to judge it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import ssl
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from crypsis.errors import CorruptData, DataError

SCHEMA = 1
"""Of the rows written here. Rows of before it was written down have none and are of version 1."""
_REQUIRED: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "items": (int, float),
    "unit": str,
    "seconds_median": (int, float),
    "seconds_iqr": (int, float),
    "per_second": (int, float),
    "peers": dict,
    "date": str,
    "commit": str,
    "cpu": str,
}
_MOST = 1e300  # of a figure that is read: what is made of it stays finite
AXES = ("rows", "threads", "line")
"""What `crypsis bench scale` varies: `extra.axis` of its rows."""
_HOME = Path(__file__).resolve().parents[2]  # the checkout, where this file lies in one
LIBRARIES = (
    "crypsis",
    "numpy",
    "pyarrow",
    "cryptography",
    "PyNaCl",
    "blake3",
    "grpcio",
    "pytest-benchmark",
    "phe",
    "gmpy2",
    "numba",
)
# What decides which of our backends, or of a peer's, runs; the other hundred flags of a CPU do not.
FLAGS = ("adx", "aes", "avx2", "avx512f", "avx512ifma", "bmi2", "gfni", "sha_ni", "vaes", "vpclmulqdq")


@dataclass(frozen=True)
class Limit:
    """The most items per second that the hardware allows, and the sum that says so ("2 madd52 a cycle")."""

    per_second: float
    what: str


@dataclass(frozen=True)
class Rate:
    """What a peer returns when it times itself (`openssl speed`): items per second by its own clock."""

    per_second: float


def spread_of(values: Sequence[float], passes: Sequence[int] = ()) -> float:
    """How far another run's median may lie from this one's: half the distance between the quartiles as a share of the
    median, or what the median of any pass is off by (`off`), whichever is more. passes: how many of the values are of
    each pass."""
    middle = statistics.median(values)
    parts, begin = [], 0
    for count in passes or (len(values),):
        parts.append(statistics.median(values[begin : begin + count]))
        begin += count
    return max(_iqr(values) / 2 / middle, *(off(part, middle) for part in parts))


def off(one: float, other: float) -> float:
    """0.25 where one is 1.25 times the other, whichever is larger: of seconds the same as of items a second."""
    return max(one / other, other / one) - 1


def _iqr(values: Sequence[float]) -> float:
    """Distance between the quartiles: one disturbed round cannot move it. 0 for a single round."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low


@dataclass(frozen=True)
class Timing:
    """Seconds per call: one value a round. passes: rounds of each pass, where there were several, some time apart."""

    seconds: Sequence[float]
    passes: Sequence[int] = ()

    @classmethod
    def joined(cls, parts: Sequence[Timing]) -> Timing:
        """One of several passes, each of which was timed as one."""
        return cls([one for part in parts for one in part.seconds], [len(part.seconds) for part in parts])

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def iqr(self) -> float:
        """Between the quartiles of all rounds."""
        return _iqr(self.seconds)

    def as_row(self, items: int) -> dict[str, float]:
        return {
            "seconds_median": self.median,
            "seconds_iqr": self.iqr,
            "spread": spread_of(self.seconds, self.passes),
            "per_second": items / self.median,
        }


@dataclass(frozen=True)
class Measurement:
    """Ours and its peers, timed in the same run, round by round."""

    name: str
    items: int
    unit: str
    ours: Timing
    peers: dict[str, Timing]
    limit: Limit | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    suite: str | None = None
    skipped: dict[str, str] = field(default_factory=dict)  # peers that were not timed, and why

    def ratio(self, peer: str) -> float:
        """How many times faster than `peer` we are: median over the rounds of (its time / our time)."""
        return statistics.median(self._ratios(peer))

    def ratio_spread(self, peer: str) -> float:
        """As `spread_of` has it."""
        return spread_of(self._ratios(peer), self.ours.passes)

    def _ratios(self, peer: str) -> list[float]:
        pairs = zip(self.peers[peer].seconds, self.ours.seconds, strict=True)
        return [theirs / mine for theirs, mine in pairs]

    def as_row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"schema": SCHEMA} | ({"suite": self.suite} if self.suite else {})
        row |= {"name": self.name, "items": self.items, "unit": self.unit}
        row |= {"rounds": len(self.ours.seconds), "passes": max(1, len(self.ours.passes))}
        row |= self.ours.as_row(self.items)
        row["peers"] = {
            peer: timing.as_row(self.items)
            | {"ratio": self.ratio(peer), "ratio_spread": self.ratio_spread(peer)}
            for peer, timing in self.peers.items()
        }
        if self.limit is not None:
            share = 100 * self.items / self.ours.median / self.limit.per_second
            row["limit"] = {"per_second": self.limit.per_second, "what": self.limit.what, "percent": share}
        if self.skipped:
            row["skipped"] = self.skipped
        return row | {"extra": self.extra}

    def as_text(self) -> str:
        """One line for a person."""
        spread = 100 * spread_of(self.ours.seconds, self.ours.passes)
        text = f"{self.name}: {scaled(self.items / self.ours.median)} {self.unit}/s (±{spread:.0f} %)"
        text += "".join(f", {self.ratio(peer):.2f}x {peer}" for peer in self.peers)
        if self.limit is not None:
            text += f", {self.as_row()['limit']['percent']:.0f} % of {self.limit.what}"
        return text


def scaled(value: float) -> str:
    """Three digits and a prefix: 1.23 M."""
    for factor, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:.3g}{suffix}"
    return f"{value:.3g}"


def spread(row: Mapping[str, Any]) -> float:
    """Of a row's figure, as a share of it. Rows of before it was written down have the quartiles."""
    found: float = row.get("spread", row["seconds_iqr"] / 2 / row["seconds_median"])
    return found


def spread_as_text(row: Mapping[str, Any]) -> str:
    """For a person. One round alone has none."""
    return "one round" if row.get("rounds") == 1 and not row.get("spread") else f"±{100 * spread(row):.1f} %"


def machine_of(row: Mapping[str, Any]) -> str:
    """The processor, and the backends that were forced on it: with another one it is no longer the same machine."""
    forced = row.get("forced_backend")
    return str(row["cpu"]) + (f" (forced: {forced})" if forced else "")


def environment() -> dict[str, Any]:
    """Commit, CPU and versions of this run. No host name, user or path: rows are published."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short=12", "HEAD") or f"release {_version('crypsis') or 'unknown'}",
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "cpu": _cpuinfo("model name") or platform.processor() or "unknown",
        "cpus": len(os.sched_getaffinity(0)),
        "cpu_flags": sorted(set((_cpuinfo("flags") or "").split()) & set(FLAGS)),
        "forced_backend": os.environ.get("CRYPSIS_BACKEND") or None,  # not what this CPU would choose
        "machine": platform.machine(),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "versions": {name: version for name in LIBRARIES if (version := _version(name)) is not None},
    }


def append(path: Path, row: dict[str, Any]) -> None:
    """Add `row` to the file, one JSON object a line. DataError where it cannot be written."""
    line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        line = "\n" * _ends_open(path) + line
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error


def _ends_open(path: Path) -> bool:
    """The last line has no end, as some editors leave it: a row behind it would spoil both."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file. DataError where it cannot be read, CorruptData for what is no row or has another schema."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CorruptData(f"{path}: this is no file of rows: it is not UTF-8") from error
    rows = [_checked(path, i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not rows:
        raise CorruptData(f"{path}: has no rows")
    return rows


def _checked(path: Path, number: int, line: str) -> dict[str, Any]:
    where = f"{path}, line {number}"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CorruptData(f"{where}: this is no JSON object a line: {error}") from error
    if not isinstance(row, dict):
        raise CorruptData(f"{where}: this is no JSON object")
    version = row.get("schema", SCHEMA)
    if version != SCHEMA or isinstance(version, bool):
        raise CorruptData(
            f"{where}: the row has schema version {version!r}, this release reads {SCHEMA}: measure again, or use the"
            " release that wrote it"
        )
    for name, kind in _REQUIRED.items():
        if not isinstance(row.get(name), kind) or isinstance(row.get(name), bool):
            raise CorruptData(f"{where}: the row has no usable {name!r}")
    for name in ("items", "seconds_median", "per_second"):
        if not (0 < row[name] < _MOST):
            raise CorruptData(f"{where}: {name} is {row[name]}: it must be positive and finite")
    if not (0 <= row["seconds_iqr"] < _MOST):
        raise CorruptData(f"{where}: seconds_iqr is {row['seconds_iqr']}: it must be finite and not negative")
    if not _is_share(row.get("spread", 0)):
        raise CorruptData(f"{where}: spread is {row['spread']!r}: it must be finite and not negative")
    for peer, told in row["peers"].items():
        ratio = told.get("ratio") if isinstance(told, dict) else None
        if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not (0 < ratio < _MOST):
            raise CorruptData(f"{where}: peer {peer!r} has no usable ratio")
        if not _is_share(told.get("ratio_spread", 0)):
            raise CorruptData(f"{where}: peer {peer!r} has no usable ratio_spread")
    _check_limit(where, row.get("limit"))
    extra = row.get("extra", {})
    if not isinstance(extra, dict):
        raise CorruptData(f"{where}: the row has no usable 'extra'")
    if row.get("suite") == "scale" or "axis" in extra:
        at = extra.get("at")
        counts = isinstance(at, int) and not isinstance(at, bool) and 0 < at < 1 << 40
        fits = isinstance(at, str) if extra.get("axis") == "line" else counts
        if extra.get("axis") not in AXES or not fits:
            raise CorruptData(f"{where}: the row of a scaling has no usable 'axis' and 'at'")
    return row


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _MOST


def _check_limit(where: str, limit: Any) -> None:
    if limit is None:
        return
    percent = limit.get("percent") if isinstance(limit, dict) else None
    usable = isinstance(percent, (int, float)) and not isinstance(percent, bool) and 0 <= percent < _MOST
    if not usable or not isinstance(limit.get("what"), str):
        raise CorruptData(f"{where}: the row has no usable 'limit'")


def _git(*arguments: str) -> str:
    """Output of a git command in the checkout; empty where there is none (a wheel, a source archive)."""
    if not (_HOME / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", *arguments], cwd=_HOME, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _cpuinfo(key: str) -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == key), None)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
