# SPDX-License-Identifier: Apache-2.0
"""Times of work on a device: by its own events, and by the wall clock; and the clock it ran at."""

from __future__ import annotations

import ctypes
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from crypsis.cuda import Device
from crypsis.cuda._cupy import CupyDevice

ROUNDS = 7
ROUND_SECONDS = 0.15
"""A round repeats the call until it takes about this long, so that a clock's steps and one launch do not count."""


def is_gpu(device: Device) -> bool:
    """Whether there are CUDA events, page-locked memory and a driver to ask: not on the shim."""
    return isinstance(device, CupyDevice)


class Timer(Protocol):
    """Seconds that the device took for everything `call` queued."""

    def __call__(self, call: Callable[[], object]) -> float: ...


def wall(device: Device) -> Timer:
    """From the call to the end of all its work."""

    def timer(call: Callable[[], object]) -> float:
        device.synchronize()
        start = time.perf_counter()
        call()
        device.synchronize()
        return time.perf_counter() - start

    return timer


def events(device: Device) -> Timer:
    """Between two CUDA events; by the wall clock on a device that has none (the shim)."""
    if not is_gpu(device):
        return wall(device)
    cuda = device.xp.cuda

    def timer(call: Callable[[], object]) -> float:
        with device.current():
            begin, end = cuda.Event(), cuda.Event()
            begin.record()
            call()
            end.record()
            end.synchronize()
            return float(cuda.get_elapsed_time(begin, end)) / 1000

    return timer


def seconds_per_call(
    timer: Timer, call: Callable[[], object], *, rounds: int = ROUNDS, round_seconds: float = ROUND_SECONDS
) -> list[float]:
    """One value a round, after a call that warms up."""
    once = timer(call)
    repeat = max(1, min(1000, int(round_seconds / max(once, 1e-9))))

    def several() -> None:
        for _ in range(repeat):
            call()

    return [timer(several) / repeat for _ in range(rounds)]


def rate(seconds: Sequence[float], items: int) -> dict[str, Any]:
    """Items a second: the median over the rounds, the extremes, and the distance of the quartiles in percent."""
    middle = statistics.median(seconds)
    low, _, high = (
        statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else (middle,) * 3
    )
    return {
        "per_second": items / middle,
        "lowest": items / max(seconds),
        "highest": items / min(seconds),
        "spread_percent": 100 * (high - low) / middle,
        "rounds": len(seconds),
    }


class Nvml:
    """NVIDIA's management library, read only: clock, driver. `open` gives None where it is not there."""

    SM, MEMORY = 1, 2

    def __init__(self, library: Any, handle: Any) -> None:
        self._library, self._handle = library, handle

    @classmethod
    def open(cls, bus_id: str) -> Nvml | None:
        try:
            library = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            return None
        handle = ctypes.c_void_p()
        if library.nvmlInit_v2() != 0:
            return None
        if library.nvmlDeviceGetHandleByPciBusId_v2(bus_id.encode(), ctypes.byref(handle)) != 0:
            return None
        return cls(library, handle)

    def _number(self, function: str, *of: int) -> int | None:
        value = ctypes.c_uint(0)
        try:
            failed = getattr(self._library, function)(self._handle, *of, ctypes.byref(value))
        except AttributeError:  # an older library
            return None
        return None if failed else int(value.value)

    def sm_mhz(self) -> int | None:
        return self._number("nvmlDeviceGetClockInfo", self.SM)

    def max_sm_mhz(self) -> int | None:
        return self._number("nvmlDeviceGetMaxClockInfo", self.SM)

    def memory_bytes_per_second(self) -> float | None:
        """Highest clock x width of the bus x 2, as every kind of memory on GPUs since 2010 has it."""
        mhz = self._number("nvmlDeviceGetMaxClockInfo", self.MEMORY)
        bits = self._number("nvmlDeviceGetMemoryBusWidth")
        return 2e6 * mhz * bits / 8 if mhz and bits else None

    def driver(self) -> str | None:
        text = ctypes.create_string_buffer(96)
        return None if self._library.nvmlSystemGetDriverVersion(text, 96) else text.value.decode()


class ClockWatch(AbstractContextManager["ClockWatch"]):
    """Reads the multiprocessors' clock every 20 ms while the block runs; `mhz` is the median, None where unknown."""

    def __init__(self, nvml: Nvml | None, interval: float = 0.02) -> None:
        self._nvml, self._interval = nvml, interval
        self._seen: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while self._nvml is not None and not self._stop.is_set():
            mhz = self._nvml.sm_mhz()
            if mhz:
                self._seen.append(mhz)
            self._stop.wait(self._interval)

    @property
    def mhz(self) -> dict[str, float] | None:
        if not self._seen:
            return None
        return {
            "median": statistics.median(self._seen),
            "lowest": min(self._seen),
            "highest": max(self._seen),
        }

    def __enter__(self) -> ClockWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
