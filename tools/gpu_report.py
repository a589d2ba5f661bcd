# SPDX-License-Identifier: Apache-2.0
"""The file that `make gpu-check` writes, and its table. Written whole after each section, so that a killed run leaves
what it measured."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import rows
from benchmarks.gpu import limits
from gpu_sections import Outcome, Section

UNKNOWN = "unknown"


def slug(model: str) -> str:
    """ "NVIDIA H100 80GB HBM3" -> "h100-80gb-hbm3"."""
    words = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    return words.removeprefix("nvidia-") or UNKNOWN


def _limit(
    row: dict[str, Any],
    wanted: limits.Need,
    count: int,
    mhz: float,
    per_clock: float,
    bandwidth: float | None,
    how: str,
) -> dict[str, Any] | None:
    most = wanted.per_second(count, mhz * 1e6, per_clock, bandwidth)
    if math.isinf(most):  # the bandwidth is not known
        return None
    if most < wanted.of_unit(count, mhz * 1e6, per_clock):
        what = f"{bandwidth:.3g} bytes a second{how} / {wanted.n_bytes:.4g} an item: {wanted.what}"
    else:
        what = f"{count} multiprocessors x {mhz:g} MHz x {per_clock:.3g} {wanted.unit} a clock{how} / "
        what += f"{wanted.per_item:.4g} an item: {wanted.what}"
    return {"per_second": most, "percent": 100 * row["kernel"]["per_second"] / most, "what": what}


def with_limit(row: dict[str, Any], device: dict[str, Any], units: dict[str, float]) -> dict[str, Any]:
    """The row of a case with its limit at the highest clocks and, where known, at the clock, unit rate and bandwidth
    measured (`units`: by unit, and "bytes")."""
    need, mhz, count = row.get("need"), device.get("max_sm_mhz"), device.get("multiprocessors")
    if not need or not count:
        return row
    wanted = limits.Need(need["unit"], need["per_item"], need["what"], need.get("n_bytes", 0))
    told = dict(row)
    if mhz:
        bandwidth = device.get("memory_bytes_per_second")
        told["limit"] = _limit(row, wanted, count, mhz, limits.PER_CLOCK[wanted.unit], bandwidth, "")
    seen, measured = row.get("sm_mhz"), units.get(wanted.unit)
    if seen and (measured or wanted.unit == "bytes"):
        told["limit_measured"] = _limit(
            row, wanted, count, seen["median"], measured or 0, units.get("bytes"), ", measured"
        )
    return told


class Report:
    """Rows and outcomes so far. folder: of the results; copy_to: a second folder, $OUT."""

    def __init__(self, folder: Path, copy_to: str | None, *, commit: str = "") -> None:
        self._folders = [folder, *([Path(copy_to)] if copy_to else [])]
        environment = rows.environment()
        if commit:
            environment |= {"commit": commit[:12], "dirty": None}
        self._environment = environment
        self._device: dict[str, Any] = {}
        self._rows: list[dict[str, Any]] = []
        self._sections: list[dict[str, Any]] = []
        self.failures: list[str] = []

    @property
    def good(self) -> bool:
        return not self.failures

    @property
    def paths(self) -> list[Path]:
        return [folder / f"gpu-{slug(self._device.get('model', UNKNOWN))}.json" for folder in self._folders]

    def row(self, section: str, row: dict[str, Any]) -> None:
        """A row that a section wrote; those of `info` and `warm` are about the run."""
        if section == "info":
            before, self._device = self.paths, row
            for path in before:  # of this run, from before the model was known
                path.unlink(missing_ok=True)
        elif not section.startswith(("warm", "sanitizer")):
            self._rows.append({"section": section, **row})

    def add(self, section: Section, outcome: Outcome) -> None:
        entry = {"name": section.name, "seconds": round(outcome.seconds, 1), "verdict": outcome.verdict}
        if "tests" in section.name and outcome.told:
            entry["told"] = outcome.told[-1]
        self._sections.append(entry)
        if not outcome.good:
            self.failures.append(f"{section.name} ({outcome.verdict})")

    def skip(self, name: str, left: float, least: float) -> None:
        verdict = f"skipped: {left:.0f} s were left, it takes {least:.0f}"
        self._sections.append({"name": name, "seconds": 0, "verdict": verdict})

    @property
    def content(self) -> dict[str, Any]:
        """What stands in the file."""
        # Lane operations of `alu` are those of its best kernel.
        rates = {
            row["name"]: row.get("per_clock_per_sm") for row in self._rows if row["name"].startswith("unit/")
        }
        alu = [rates[name] for name in ("unit/iadd3", "unit/lop3", "unit/shf") if rates.get(name)]
        copies = [row.get("per_second") for row in self._rows if row["name"] == "copy/device"]
        units = {
            "wide": rates.get("unit/wide"),
            "alu": max(alu, default=None),
            "lds": rates.get("unit/lds"),
            "bytes": copies[0] if copies else None,
        }
        known = {name: value for name, value in units.items() if value}
        return {
            "environment": self._environment,
            "device": self._device,
            "right": self.good,
            "failures": self.failures,
            "sections": self._sections,
            "rows": [with_limit(row, self._device, known) for row in self._rows],
        }

    def write(self) -> None:
        """The files anew, each in one step: a reader sees the old one or the new one."""
        text = json.dumps(self.content, indent=1, ensure_ascii=False) + "\n"
        for path in self.paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=path.parent, prefix=".gpu-", encoding="utf-8", delete=False
            ) as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            Path(file.name).replace(path)


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _percent(entry: dict[str, Any] | None) -> str:
    return "-" if not entry else f"{entry['percent']:.1f}"


def table(content: dict[str, Any]) -> str:
    """The rows for a person."""
    device = content["device"]
    lines = [
        "",
        f"{device.get('model', 'no device')}, driver {device.get('driver')}, CUDA {device.get('cuda_runtime')}, "
        f"commit {content['environment']['commit']}",
        "",
        f"{'case':38} {'batch':>9} {'kernel/s':>9} {'+-%':>5} {'whole/s':>9} {'MHz':>5} {'limit%':>7} {'meas.%':>7}",
    ]
    for row in content["rows"]:
        if "kernel" in row:
            whole, mhz = row.get("end_to_end"), row.get("sm_mhz")
            lines.append(
                f"{row['name']:38} {row['items']:>9} {_rate(row['kernel']['per_second']):>9} "
                f"{row['kernel']['spread_percent']:>5.1f} {_rate(whole and whole['per_second']):>9} "
                f"{_rate(mhz and mhz['median']):>5} {_percent(row.get('limit')):>7} "
                f"{_percent(row.get('limit_measured')):>7}"
            )
    lines += ["", f"{'unit':38} {'lanes a clock and multiprocessor':>33}  instruction"]
    for row in content["rows"]:
        if "per_clock_per_sm" in row:
            lines.append(f"{row['name']:38} {_rate(row['per_clock_per_sm']):>33}  {row['instruction']}")
    lines += ["", f"{'memory and launches':38} {'a second':>9} {'+-%':>5}"]
    for row in content["rows"]:
        if row.get("section") == "memory":
            lines.append(
                f"{row['name']:38} {_rate(row['per_second']):>9} {row['spread_percent']:>5.1f}  {row['what']}"
            )
    lines += [
        "",
        *(
            f"{s['name']:38} {s['seconds']:>6.0f} s  {s['verdict']} {s.get('told', '')}"
            for s in content["sections"]
        ),
        "",
    ]
    return "\n".join(lines)
