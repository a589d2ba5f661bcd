# SPDX-License-Identifier: Apache-2.0
"""How a whole PSI job grows: with rows, with threads, and on slower lines. Two processes on this machine, mutual TLS.

A line has so many bits a second and half a round trip each way: shaped by tc where that is allowed (netns.py), else by
threads of ours (shaped_link.py). The size of a job bounds the disk that is needed, not the memory.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crypsis.errors import DataError
from crypsis.mpc.bench import netns, rows
from crypsis.mpc.bench.jobs import check_outputs, job_files, run_job
from crypsis.mpc.bench.lines import TC, THROTTLE, Link
from crypsis.mpc.bench.rows import AXES, Measurement, Timing
from crypsis.mpc.bench.suite import WrongAnswer

LAN = "LAN (loopback, not shaped)"
LINES = (Link("1 Gbit/s, 1 ms", 1000, 1), Link("100 Mbit/s, 10 ms", 100, 10))
FIRST_ROWS = 10_000
# Of disk: the data of both parties (37), what a party asks for before it begins, output and temporary files that put it
# in order (84), and what the other has spilled by then (20); with room for more.
_BYTES_A_ROW, _SPARE_BYTES = 160, 256 << 20
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
    progress: Callable[[str, int, int], None] | None = None,
    keep: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Runs the jobs; each row is told to `keep` when it is there. folder: for the data, on a disk with room. `say` is
    told what is measured next, `progress` of each step: its name, how much is done of how much (0: not known)."""
    cpus = len(os.sched_getaffinity(0))
    threads = max(cpus // 2, 1)  # two parties share the machine
    middle = min(max_rows, _MANY)
    _need_space(folder, max_rows if "rows" in axes else middle)
    scaling = _Scaling(folder, protocol, say, progress, keep)
    if "rows" in axes:
        for n_rows in sizes_up_to(max_rows):
            scaling.measure("rows", n_rows, n_rows, threads)
    if "threads" in axes:
        for n_threads in range(1, (most_threads or cpus) + 1):
            scaling.measure("threads", n_threads, middle, n_threads)
    if "line" in axes:
        for link in (None, *LINES):
            scaling.measure("line", LAN if link is None else link.name, middle, threads, link)
    return scaling.done


@dataclass
class _Scaling:
    folder: Path
    protocol: str
    say: Callable[[str], None] | None
    progress: Callable[[str, int, int], None] | None
    keep: Callable[[Row], None] | None
    environment: Row = field(default_factory=rows.environment)
    done: list[Row] = field(default_factory=list)
    made: int = 0  # rows of the data in the folder

    def measure(self, axis: str, at: str | int, n_rows: int, threads: int, link: Link | None = None) -> None:
        """A row: jobs that differ in nothing, each with its answer checked."""
        shaping = _shaping(link)
        what = f"{axis} {at}"
        if self.say is not None:
            self.say(what + (f" ({shaping['shaped']})" if shaping else ""))
        if self.made != n_rows:
            self._make(what, n_rows)
        times = 1 if n_rows >= _MANY else 3
        found = [
            self._job(f"{what}, job {i} of {times}", n_rows, threads, link, by_tc=shaping.get("shaped") == TC)
            for i in range(1, times + 1)
        ]
        extra = {"axis": axis, "at": at, "threads": threads, "protocol": self.protocol}
        extra |= {"payload_bytes": found[-1]["payload_bytes"], "peak_rss": found[-1]["peak_rss"]}
        extra |= {"line": LAN if link is None else link.name} | shaping
        name = f"scale/psi/{self.protocol}/" + ("rows" if axis == "rows" else what)
        timing = Timing([job["seconds"] for job in found])
        measured = Measurement(name, n_rows, "rows", timing, {}, extra=extra, suite="scale")
        row = measured.as_row() | self.environment
        self.done.append(row)
        if self.keep is not None:
            self.keep(row)

    def _make(self, what: str, n_rows: int) -> None:
        """Other data than those that are there, which go first."""
        self.made = 0
        for old in self.folder.iterdir():
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        _need_space(self.folder, n_rows)
        step = f"{what}, making data"
        self._tell(step, 0, 2 * n_rows)
        job_files(self.folder, n_rows, csv=False, advance=lambda done: self._tell(step, done, 2 * n_rows))
        self.made = n_rows

    def _job(self, step: str, n_rows: int, threads: int, link: Link | None, *, by_tc: bool) -> dict[str, Any]:
        self._tell(step, 0, 0)
        found = run_job(self.folder, self.protocol, threads=threads, link=link, by_tc=by_tc)
        self._tell(step, 1, 1)
        n_common = n_rows - n_rows // 2
        if found["intersection"] != n_common:
            raise WrongAnswer(
                f"scale psi: {found['intersection']} rows in common were found: there are {n_common}"
            )
        check = f"{step}, checking"
        self._tell(check, 0, 3 * n_common)
        check_outputs(self.folder, n_rows, advance=lambda done: self._tell(check, done, 3 * n_common))
        shutil.rmtree(self.folder / "out", ignore_errors=True)  # a job writes its output beside an older one
        return found

    def _tell(self, step: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(step, done, total)


def _shaping(link: Link | None) -> dict[str, str]:
    """How a line is shaped here, and what stands against tc where it is not."""
    if link is None:
        return {}
    why = netns.refusal(link)
    return {"shaped": TC} if why is None else {"shaped": THROTTLE, "not_by_tc": why}


def fit_of(found: Sequence[Mapping[str, Any]]) -> Fit | None:
    """Of the rows that differ in their number of rows alone; several of one size count as their median."""
    by_size: dict[int, list[float]] = {}
    for row in found:
        if row.get("extra", {}).get("axis") == "rows":
            by_size.setdefault(int(row["items"]), []).append(row["seconds_median"])
    sizes = sorted(by_size)
    return fit(sizes, [statistics.median(by_size[n]) for n in sizes])


def _need_space(folder: Path, n_rows: int) -> None:
    free, needed = shutil.disk_usage(folder).free, _BYTES_A_ROW * n_rows + _SPARE_BYTES
    if free < needed:
        raise DataError(
            f"{folder}: {needed >> 20} MiB are needed for {n_rows} rows, {free >> 20} are free;"
            " name another --folder, or fewer --max-rows"
        )
