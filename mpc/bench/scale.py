# SPDX-License-Identifier: Apache-2.0
"""How a whole PSI job grows: with rows, with threads, and on slower lines. Two processes on this machine, mutual TLS.

The line is shaped in a process of ours (shaped_link.py): so many bits a second and half a round trip each way.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crypsis.errors import DataError
from crypsis.mpc.bench import rows
from crypsis.mpc.bench.jobs import job_files, run_job
from crypsis.mpc.bench.psi_job import Link
from crypsis.mpc.bench.rows import AXES, Measurement, Timing
from crypsis.mpc.bench.suite import WrongAnswer

LAN = "LAN (loopback, not shaped)"
LINES = (Link("1 Gbit/s, 1 ms", 1000, 1), Link("100 Mbit/s, 10 ms", 100, 10))
FIRST_ROWS = 10_000
_BYTES_A_ROW = 2 * (64 + 64 + 64)  # of both parties: input, output, and what a job puts on disk meanwhile
_MANY = 1_000_000  # from here on a job is run once

Row = dict[str, Any]


@dataclass(frozen=True)
class Fit:
    """seconds = fixed + each * rows, by least squares of relative errors; power: of the two largest sizes alone."""

    fixed: float
    each: float
    power: float
    worst: float

    def as_text(self) -> str:
        """A line for a person."""
        return (
            f"seconds = {self.fixed:.2f} + {1e6 * self.each:.3g} x millions of rows"
            f" (off by {100 * self.worst:.0f} % at most); between the two largest it grows as rows^{self.power:.2f}"
        )


def fit(sizes: Sequence[int], seconds: Sequence[float]) -> Fit | None:
    """None for fewer than two sizes. `fixed` and `each` are not negative."""
    import numpy as np

    if len(set(sizes)) < 2:
        return None
    n, t = np.array(sizes, float), np.array(seconds)
    weighted = np.stack([1 / t, n / t], axis=1)
    fixed, each = np.linalg.lstsq(weighted, np.ones(len(t)), rcond=None)[0]
    if fixed < 0 or each < 0:  # one term alone
        column = weighted[:, 1] if fixed < 0 else weighted[:, 0]
        only = float(column.sum() / (column * column).sum())
        fixed, each = (0.0, only) if fixed < 0 else (only, 0.0)
    order = np.argsort(n)
    a, b = order[-2], order[-1]
    power = math.log(t[b] / t[a]) / math.log(n[b] / n[a]) if n[b] > n[a] else math.nan
    worst = float(np.abs((fixed + each * n) / t - 1).max())
    return Fit(float(fixed), float(each), power, worst)


def sizes_up_to(most: int) -> list[int]:
    """10^4, 10^5, ... and `most` itself."""
    found = []
    n = FIRST_ROWS
    while n < most:
        found.append(n)
        n *= 10
    return [*found, most]


def scale_psi(
    folder: Path,
    *,
    protocol: str,
    max_rows: int,
    axes: Sequence[str] = AXES,
    most_threads: int | None = None,
    say: Callable[[str], None] | None = None,
    keep: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Runs the jobs; each row is told to `keep` when it is there. folder: for the data, on a disk with room."""
    cpus = len(os.sched_getaffinity(0))
    threads = max(cpus // 2, 1)  # two parties share the machine
    environment = rows.environment()
    done: list[Row] = []
    made = 0

    def measure(axis: str, at: str | int, n_rows: int, n_threads: int, link: Link | None) -> None:
        nonlocal made
        if say is not None:
            say(f"{axis} {at}")
        if made != n_rows:
            _need_space(folder, n_rows)
            job_files(folder, n_rows, csv=False)
            made = n_rows
        n_common = n_rows - n_rows // 2
        found = []
        for _ in range(1 if n_rows >= _MANY else 3):
            found.append(run_job(folder, protocol, threads=n_threads, link=link))
            if found[-1]["intersection"] != n_common:
                raise WrongAnswer(
                    f"scale psi: {found[-1]['intersection']} rows in common were found: there are {n_common}"
                )
        extra = {"axis": axis, "at": at, "threads": n_threads, "protocol": protocol}
        extra |= {"payload_bytes": found[-1]["payload_bytes"], "peak_rss": found[-1]["peak_rss"]}
        extra |= {"line": LAN if link is None else link.name}
        name = f"scale/psi/{protocol}/" + ("rows" if axis == "rows" else f"{axis} {at}")
        timing = Timing([job["seconds"] for job in found])
        measured = Measurement(name, n_rows, "rows", timing, {}, extra=extra, suite="scale")
        row = measured.as_row() | environment
        done.append(row)
        if keep is not None:
            keep(row)

    sizes = sizes_up_to(max_rows)
    middle = min(max_rows, _MANY)
    if "rows" in axes:
        for n_rows in sizes:
            measure("rows", n_rows, n_rows, threads, None)
    if "threads" in axes:
        for n_threads in range(1, (most_threads or cpus) + 1):
            measure("threads", n_threads, middle, n_threads, None)
    if "line" in axes:
        for link in (None, *LINES):
            measure("line", LAN if link is None else link.name, middle, threads, link)
    return done


def fit_of(found: Sequence[Mapping[str, Any]]) -> Fit | None:
    """Of the rows that differ in their number of rows alone; several of one size count as their median."""
    by_size: dict[int, list[float]] = {}
    for row in found:
        if row.get("extra", {}).get("axis") == "rows":
            by_size.setdefault(int(row["items"]), []).append(row["seconds_median"])
    sizes = sorted(by_size)
    return fit(sizes, [statistics.median(by_size[n]) for n in sizes])


def _need_space(folder: Path, n_rows: int) -> None:
    free, needed = shutil.disk_usage(folder).free, _BYTES_A_ROW * n_rows
    if free < needed:
        raise DataError(
            f"{folder}: {needed >> 20} MiB are needed for {n_rows} rows, {free >> 20} are free;"
            " name another --folder, or fewer --max-rows"
        )
