# SPDX-License-Identifier: Apache-2.0
"""Whether the core was ours while we measured. Where other programs or other guests had it, figures are too low, and no
statistics of one run shows by how much another will differ."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

TAKEN: Final = "core_taken"
"""In a row's `extra`: the share of a pass, the worst one, in which this thread could have gone on and did not."""
_MUCH: Final = 0.01
_TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class CoreTime:
    """Time of this thread on its core, over the calls made within it. Nothing is known where Linux does not say."""

    def __init__(self) -> None:
        self._had = self._waited = self._wall = 0

    def of(self, call: Callable[[], float]) -> float:
        """What the call returns."""
        before = _now()
        found = call()
        after = _now()
        if before is not None and after is not None:
            had, waited, wall = (b - a for a, b in zip(before, after, strict=True))
            self._had, self._waited, self._wall = self._had + had, self._waited + waited, self._wall + wall
        return found

    def taken(self) -> dict[str, float]:
        """The share under its name; nothing where this thread slept for most of the time: others of ours worked."""
        wanted = self._had + self._waited
        return {TAKEN: round(self._waited / wanted, 4)} if wanted > self._wall / 2 else {}


def _now() -> tuple[int, int, int] | None:
    """Nanoseconds: run, runnable or with its core given to another guest, and by the wall clock."""
    try:
        had, waited, _ = map(int, Path("/proc/thread-self/schedstat").read_text().split())
        return had, waited + _stolen(), time.perf_counter_ns()
    except (OSError, ValueError):
        return None


def _stolen() -> int:
    """Of the core of a process that has one only."""
    cores = os.sched_getaffinity(0)
    if len(cores) != 1:
        return 0
    name = f"cpu{min(cores)} "
    lines = Path("/proc/stat").read_text().splitlines()
    return _TICK_NS * next((int(line.split()[8]) for line in lines if line.startswith(name)), 0)


def remark(rows: Iterable[Mapping[str, Any]]) -> str:
    """For a person; empty where the core was ours."""
    taken = [share for row in rows if isinstance(share := row["extra"].get(TAKEN), float)]
    if not taken or statistics.median(taken) <= _MUCH:
        return ""
    return (
        f"others had the core for {100 * statistics.median(taken):.0f} % of a case's time (the median;"
        f" {100 * max(taken):.0f} % at most): an idle machine gives higher figures, and two runs that agree"
    )
