# SPDX-License-Identifier: Apache-2.0
"""Committed rows (benchmarks/results/*.jsonl), and their figures as text: what tools/performance_page.py shows."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path("benchmarks/results")
PAGE = Path("docs/performance.md")
_OF_A_RUN = re.compile(r"\d{4}-\d\d-\d\d-(?:[0-9a-f]{12,40}|release .*)\.jsonl")
"""What `make bench` writes here, by commit or (without git) release, and git ignores: rows that are quoted are
committed under the name of a subject."""
# A row without the field is of the first version.
SCHEMA_VERSIONS = {1}
NEEDED = ("name", "items", "unit", "rounds", "seconds_median", "seconds_iqr", "per_second", "peers", "extra")
NEEDED_ENVIRONMENT = ("date", "commit", "dirty", "cpu", "cpu_flags", "machine", "python")
FILE = re.compile(r"^\d{4}-\d\d-\d\d-(?P<suite>[\w-]+)\.jsonl$")

Machine = tuple[str, str, tuple[str, ...]]
"""Processor, architecture, flags."""


class BadRow(ValueError):
    """A row, or a cell that quotes one, that cannot be shown; the message names file and line."""


@dataclass(frozen=True)
class Row:
    """One measurement and where it stands."""

    file: str
    line: int
    values: Mapping[str, Any]

    @property
    def suite(self) -> str:
        """As the row says, or else its file's name."""
        match = FILE.match(self.file)
        assert match is not None
        return str(self.values.get("suite", match["suite"]))

    @property
    def machine(self) -> Machine:
        return self.values["cpu"], self.values["machine"], tuple(self.values["cpu_flags"])

    @property
    def forced(self) -> str:
        """CRYPSIS_BACKEND of the run, which is not what this machine would choose; empty where nothing was forced."""
        return str(self.values.get("forced_backend") or "")

    @property
    def place(self) -> str:
        return f"{RESULTS.as_posix()}/{self.file}#L{self.line}"


def load(root: Path) -> list[Row]:
    """Every committed row, file by file. BadRow where one is no JSON, lacks a field or is of another version."""
    rows = []
    for path in sorted((root / RESULTS).glob("*.jsonl")):
        if _OF_A_RUN.fullmatch(path.name):
            continue
        if not FILE.match(path.name):
            raise BadRow(f"{path.name}: the name is not <date>-<suite>.jsonl")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            where = f"{path.name}:{number}"
            try:
                values = json.loads(line)
            except ValueError as error:
                raise BadRow(f"{where}: not JSON: {error}") from None
            if not isinstance(values, dict):
                raise BadRow(f"{where}: not an object")
            version = values.get("schema", 1)
            if version not in SCHEMA_VERSIONS:
                raise BadRow(
                    f"{where}: schema version {version!r}; this tool knows {sorted(SCHEMA_VERSIONS)}"
                )
            if lacking := [name for name in (*NEEDED, *NEEDED_ENVIRONMENT) if name not in values]:
                raise BadRow(f"{where}: lacks {', '.join(lacking)}")
            rows.append(Row(path.name, number, values))
    return rows


# --- links -----------------------------------------------------------------------------------------------------------


def link(words: str, target: str, page: Path) -> str:
    """A link on `page` to `target`, a path in the checkout with its anchor."""
    path, hash_, anchor = target.partition("#")
    path = "" if Path(path) == page else os.path.relpath(path, page.parent)
    return f"[{words}]({path}{hash_}{anchor})"


def commit_anchor(commit: str) -> str:
    """Of the heading `### Commit ...` of docs/performance.md."""
    return "commit-" + re.sub(r"[^\w\- ]", "", commit.lower()).replace(" ", "-")


def commit_link(row: Row, page: Path, digits: int = 40) -> str:
    commit = row.values["commit"]
    short = commit if commit.startswith("release") else commit[:digits]
    return link(f"`{short}`", f"{PAGE.as_posix()}#{commit_anchor(commit)}", page)


# --- machines --------------------------------------------------------------------------------------------------------


def machines_of(rows: Iterable[Row]) -> dict[Machine, int]:
    """A number for each machine, in the order in which they appear."""
    numbers: dict[Machine, int] = {}
    for row in rows:
        numbers.setdefault(row.machine, len(numbers) + 1)
    return numbers


def cpu_name(cpu: str) -> str:
    return re.sub(r"\s+", " ", cpu.replace("(R)", "").replace("(TM)", "")).strip()


def machine_name(machine: Machine, language: str) -> str:
    """Short: the processor, and what of AVX-512 it has."""
    cpu, _, flags = machine
    none = {"en": "no AVX-512", "zh": "无 AVX-512"}[language]
    wide = "AVX-512 IFMA" if "avx512ifma" in flags else "AVX-512" if "avx512f" in flags else none
    return f"{cpu_name(cpu).removesuffix(' Processor')}, {wide}"


# --- figures as text -------------------------------------------------------------------------------------------------


def significant(value: float, digits: int = 3) -> str:
    """Three digits, never in scientific notation: 0.0123, 1.20, 132, 1230."""
    text = f"{value:#.{digits}g}"
    return f"{float(text):.0f}" if "e" in text else text.rstrip(".")


def scaled(value: float) -> str:
    for factor, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor * 0.9995:
            return significant(value / factor) + suffix
    return significant(value)


def seconds(value: float) -> str:
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= factor:
            return f"{significant(value / factor)} {unit}"
    return f"{significant(value / 1e-9)} ns"


def times(value: float) -> str:
    """A ratio; bold where we are faster by more than the last digit."""
    text = f"{value:.0f}x" if value >= 99.5 else f"{significant(value)}x"
    return f"**{text}**" if value >= 1.05 else text


def percent(value: float) -> str:
    return f"{significant(value, 2)} %" if value < 99.5 else f"{value:.0f} %"


def share(value: float) -> str:
    return f"±{100 * value:.1f} %"


def spread(row: Mapping[str, Any]) -> str:
    """As `crypsis bench` says it; rows of before it was written down have the quartiles."""
    found = row.get("spread", row["seconds_iqr"] / 2 / row["seconds_median"])
    return "one round" if row["rounds"] < 2 else f"{share(found)} of {row['rounds']}"


def rate(row: Row) -> str:
    unit = row.values["unit"]
    per_second = scaled(row.values["per_second"])
    return f"{per_second}B/s" if unit == "bytes" and per_second[-1] in "kMG" else f"{per_second} {unit}/s"
