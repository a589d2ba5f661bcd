# SPDX-License-Identifier: Apache-2.0
"""Progress bars on a terminal: one for each phase that takes longer than two seconds, with rate and time
left."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import Task, TaskID

SHOW_AFTER_S = 2.0
_METRICS_SHOWN = 2


class Display(Protocol):
    """What a job tells of its progress: a phase, steps done of steps in all (0: unknown), and metrics of the step."""

    def __call__(
        self, phase: str, done: int, total: int, metrics: Mapping[str, float] | None = None, /
    ) -> None: ...


@contextmanager
def progress_bars(party: str, *, enabled: bool = True) -> Iterator[Display | None]:
    """A callback for `crypsis.mpc.psi` and `crypsis.mpc.learning`, called from any thread; None where stderr is no
    terminal or not `enabled`."""
    if not enabled or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """Items a second, once there are any."""

        def render(self, task: Task) -> Text:
            if not task.total:
                return Text("")
            speed = task.finished_speed or task.speed
            return Text(f"{_short(speed)}/s" if speed else "", style="progress.data.speed")

    class ShareColumn(ProgressColumn):
        """Done of all, or the seconds so far where the amount is not known."""

        def render(self, task: Task) -> Text:
            if task.total:
                return Text(f"{_short(task.completed)}/{_short(task.total)}")
            return Text(f"{task.elapsed or 0.0:.0f} s")

    columns = (
        SpinnerColumn(),
        TextColumn(party + "  {task.description}"),
        BarColumn(bar_width=16),  # rate and time left still fit on 80 columns
        ShareColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=5) as bars:
        shown = _Bars(bars)
        try:
            yield shown.update
        finally:
            shown.stop()


class _Bars:
    """The bars by phase. A thread shows those that have lasted long enough, also while nothing advances."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[TaskID, float] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._show_lasting, name="crypsis progress", daemon=True)
        self._thread.start()

    def update(
        self, phase: str, done: int, total: int, metrics: Mapping[str, float] | None = None, /
    ) -> None:
        """`done` of `total` items (0: unknown) of `phase`; a phase ends when both are equal. The first metrics stand
        behind its name."""
        with self._lock:
            finished = 0 < total <= done
            task = self._tasks.get(phase)
            if task is None:
                if finished:
                    return
                task = self._bars.add_task(phase, total=None, visible=False)
                self._tasks[phase] = task
                self._begun[task] = time.monotonic()
            self._bars.update(task, completed=done, total=total or None)
            if metrics:
                told = [f"{name} {value:.4g}" for name, value in [*metrics.items()][:_METRICS_SHOWN]]
                self._bars.update(task, description=f"{phase}  {', '.join(told)}")
            if finished and task in self._begun:
                # A bar that came to be seen stays, full; one that did not is never drawn.
                self._bars.stop_task(task)
                del self._begun[task]

    def stop(self) -> None:
        """Ends the thread; the bars are left as they are."""
        self._stopped.set()
        self._thread.join()

    def _show_lasting(self) -> None:
        while not self._stopped.wait(0.2):
            now = time.monotonic()
            with self._lock:
                for task, begun in self._begun.items():
                    if now - begun >= SHOW_AFTER_S:
                        self._bars.update(task, visible=True)


def _short(value: float) -> str:
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:.1f}{unit}"
    return f"{value:.0f}"
