# SPDX-License-Identifier: Apache-2.0
"""What changed between two files of rows beyond the noise.

A case has one row or several, of several runs. Its rate is the median over the runs; its noise is the spread that a
run prints (of rows that have none: the distance between the quartiles), or what the rates of the runs differ by,
whichever is more. A change is beyond the noise when it exceeds the noise of both sides together and two per cent, which
runs on one machine differ by when nothing changed.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crypsis.mpc.bench.core_time import remark
from crypsis.mpc.bench.rows import off

Row = Mapping[str, Any]
LEAST = 0.02


@dataclass(frozen=True)
class Change:
    """A case in both files: rates, and the noise of both together as a share of them."""

    name: str
    before: float
    after: float
    noise: float

    @property
    def change(self) -> float:
        """0.1 for ten per cent more a second."""
        return self.after / self.before - 1

    @property
    def verdict(self) -> str:
        """ "faster" or "slower" beyond the noise, else "within the noise"."""
        if off(self.after, self.before) <= max(self.noise, LEAST):
            return "within the noise"
        return "faster" if self.after > self.before else "slower"


@dataclass(frozen=True)
class Comparison:
    """Cases in both files, those in one of them only, and what makes the files poor to compare."""

    changes: list[Change]
    only_before: list[str]
    only_after: list[str]
    remarks: list[str]


def compare(before: Iterable[Row], after: Iterable[Row]) -> Comparison:
    """Of two files' rows."""
    old, new = _by_case(before), _by_case(after)
    changes = []
    for name in old:
        if name in new:
            (a, noise_a), (b, noise_b) = _rate(old[name]), _rate(new[name])
            changes.append(Change(name, a, b, noise_a + noise_b))
    return Comparison(
        changes,
        [name for name in old if name not in new],
        [name for name in new if name not in old],
        _remarks(old, new),
    )


def _by_case(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows of one name; where the number of items differs they are different cases."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(f"{row['name']} x {row['items']:,}", []).append(row)
    return found


def _rate(rows: list[Row]) -> tuple[float, float]:
    """(items a second, noise as a share of it)."""
    rates = [row["per_second"] for row in rows]
    rate = statistics.median(rates)
    within = max(row.get("spread", row["seconds_iqr"] / row["seconds_median"]) for row in rows)
    between = (max(rates) - min(rates)) / rate
    return rate, max(within, between)


def _remarks(old: Mapping[str, list[Row]], new: Mapping[str, list[Row]]) -> list[str]:
    told = []
    sides = [[row for rows in side.values() for row in rows] for side in (old, new)]
    for what, name in (
        ("processors", "cpu"),
        ("numbers of processors", "cpus"),
        ("backends' flags", "cpu_flags"),
        ("forced backends", "forced_backend"),
    ):
        seen = [{str(row[name]) for row in side if name in row} for side in sides]
        if seen[0] and seen[1] and seen[0] != seen[1]:
            told.append(
                f"the {what} differ: {', '.join(sorted(seen[0]))} and {', '.join(sorted(seen[1]))};"
                " what changed may be the machine"
            )
    for letter, side in zip("AB", sides, strict=True):
        if any(row.get("dirty") for row in side):
            told.append(f"{letter} has rows of a checkout with uncommitted changes")
        if taken := remark(side):
            told.append(f"when {letter} was measured, {taken}")
    return told


def commits(rows: Iterable[Row]) -> str:
    """The commits that the rows come from."""
    return ", ".join(sorted({str(row["commit"]) for row in rows}))
