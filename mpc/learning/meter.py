# SPDX-License-Identifier: Apache-2.0
"""Where the time of a training goes: seconds by kind, and what is told to who watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

Kind = Literal["he", "wait", "native"]
"""he: kernels on ciphertexts, keys and blinding. wait: for the peer, or for the line to take what was sent. native:
compiled loops over numbers in the clear (numba, NumPy's matrix products, Arrow). What is left of the wall time is
Python."""

Progress = Callable[[str, int, int, dict[str, float]], None]
"""Phase, steps done, steps in all (0: unknown), metrics of the step by name."""


def no_progress(phase: str, done: int, total: int, metrics: dict[str, float]) -> None:
    """Tells nobody."""


class Meter:
    """Seconds by kind on the thread that made it. Kinds do not nest: the inner one is taken out of the outer one.

    Other threads that measure add to `overlapped` instead: what they do takes no wall time of the first one.
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._open: list[tuple[Kind, float]] = []
        self._seconds: dict[Kind, float] = dict.fromkeys(get_args(Kind), 0.0)
        self._overlapped: dict[Kind, float] = dict.fromkeys(get_args(Kind), 0.0)
        self._started = time.perf_counter()

    @contextmanager
    def __call__(self, kind: Kind) -> Iterator[None]:
        if kind not in self._seconds:
            raise ValueError(f"kind is {kind!r}: give one of {', '.join(self._seconds)}")
        if threading.get_ident() != self._thread:
            begun = time.perf_counter()
            try:
                yield
            finally:
                with self._lock:
                    self._overlapped[kind] += time.perf_counter() - begun
            return
        self._switch()
        self._open.append((kind, time.perf_counter()))
        try:
            yield
        finally:
            self._switch()
            self._open.pop()
            if self._open:
                self._open[-1] = (self._open[-1][0], time.perf_counter())

    def _switch(self) -> None:
        """Puts down what the kind that is open now has taken so far."""
        if self._open:
            kind, since = self._open[-1]
            now = time.perf_counter()
            self._seconds[kind] += now - since
            self._open[-1] = (kind, now)

    def seconds(self) -> dict[str, float]:
        """Wall seconds since the start, or since `restart`, by kind, with "python" and "total"; and "overlapped_he"
        and so on, of other threads."""
        total = time.perf_counter() - self._started
        told: dict[str, float] = {str(kind): spent for kind, spent in self._seconds.items()}
        told["python"] = max(0.0, total - sum(self._seconds.values()))
        told["total"] = total
        with self._lock:
            return told | {f"overlapped_{kind}": spent for kind, spent in self._overlapped.items() if spent}

    def restart(self) -> dict[str, float]:
        """`seconds`, then zero: for an account of each epoch or tree. ValueError inside of a `with` of this meter."""
        if self._open:
            raise ValueError(f"the meter is inside of {self._open[-1][0]!r}: restart it between steps")
        told = self.seconds()
        self._seconds = dict.fromkeys(self._seconds, 0.0)
        with self._lock:
            self._overlapped = dict.fromkeys(self._overlapped, 0.0)
        self._started = time.perf_counter()
        return told


def shares(seconds: dict[str, float]) -> dict[str, Any]:
    """Each kind's part of the wall time, from 0 to 1."""
    total = seconds["total"]
    return {
        name: spent / total
        for name, spent in seconds.items()
        if total > 0 and name != "total" and not name.startswith("overlapped_")
    }
