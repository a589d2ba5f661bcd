# SPDX-License-Identifier: Apache-2.0
"""One section of `make gpu-check` in a process of its own: a line `ROW {json}` for each row as soon as it is there.

    python -m benchmarks.gpu.worker warm NAME | cases NAME ... | units | memory | info

`warm` runs a case small, answers checked: what it compiles is then in CuPy's cache on disk. A wrong answer is a line
`WRONG text` and exit code 3.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from benchmarks.gpu import cases, memory, units
from benchmarks.gpu.timing import ClockWatch, Nvml, events, is_gpu, rate, seconds_per_call, wall
from crypsis.cuda import Device, get_device
from crypsis.errors import DeviceMemoryError

WRONG = 3
END_TO_END_ROUNDS = 5
SMALLEST_SHARE = 16
"""A batch that does not fit is halved, down to this part of it."""


def info(device: Device) -> dict[str, Any]:
    """The device, its driver and compiler."""
    about = device.info()
    nvml = nvml_of(device)
    found: dict[str, Any] = {
        "model": about.model,
        "compute_capability": list(about.compute_capability),
        "multiprocessors": about.multiprocessors,
        "memory_bytes": about.memory_bytes,
        "driver": nvml.driver() if nvml else None,
        "max_sm_mhz": nvml.max_sm_mhz() if nvml else None,
        "memory_bytes_per_second": nvml.memory_bytes_per_second() if nvml else None,
    }
    if is_gpu(device):
        runtime = device.xp.cuda.runtime
        found |= {
            "cuda_runtime": runtime.runtimeGetVersion(),
            "cuda_driver": runtime.driverGetVersion(),
            "nvrtc": list(device.xp.cuda.nvrtc.getVersion()),
            "cupy": device.xp.__version__,
        }
    return found


def nvml_of(device: Device) -> Nvml | None:
    if not is_gpu(device):
        return None
    number = int(device.name.partition(":")[2])
    return Nvml.open(device.xp.cuda.runtime.deviceGetPCIBusId(number))


def measure(
    device: Device,
    case: cases.Case,
    items: int,
    nvml: Nvml | None,
    *,
    rounds: int,
    round_seconds: float,
    bits: int = 0,
) -> dict[str, Any]:
    """The row of one case: checked, then timed by events and by the wall clock. bits: others than the case's."""
    work = case.prepare(device, items, bits or case.bits)
    checked = work.check(work.resident())
    with ClockWatch(nvml) as watch:
        kernel = seconds_per_call(events(device), work.resident, rounds=rounds, round_seconds=round_seconds)
    row: dict[str, Any] = {
        "name": case.name,
        "unit": case.unit,
        "items": items,
        "checked": checked,
        "kernel": rate(kernel, items),
        "sm_mhz": watch.mhz,
        "need": asdict(case.need),
    }
    if work.end_to_end is not None:
        whole = seconds_per_call(
            wall(device),
            work.end_to_end,
            rounds=min(rounds, END_TO_END_ROUNDS),
            round_seconds=round_seconds / 2,
        )
        row["end_to_end"] = rate(whole, items)
    return row


def fitting(
    device: Device, case: cases.Case, nvml: Nvml | None, *, rounds: int, round_seconds: float
) -> dict[str, Any]:
    """`measure` with the case's batch, halved while the device's memory is too small for it."""
    items = case.items
    while True:
        try:
            return measure(device, case, items, nvml, rounds=rounds, round_seconds=round_seconds)
        except DeviceMemoryError:
            if items * SMALLEST_SHARE <= case.items:
                raise
            items //= 2
            gc.collect()


def warm(device: Device, name: str, *, few: int = 0, bits: int = 0) -> dict[str, Any]:
    """Runs a case small and compares the results: {"name", "checked"}. few, bits: others than the case's."""
    if name.startswith("unit/"):
        return {"name": name, "checked": sum(units.check(device, unit) for unit in units.UNITS)}
    case = cases.CASES[name]
    work = case.prepare(device, few or case.few, bits or case.bits)
    checked = work.check(work.resident())
    if work.end_to_end is not None:
        work.check(work.end_to_end())
    return {"name": name, "checked": checked}


def section(device: Device, arguments: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of one section."""
    kind, names = arguments[0], arguments[1:]
    if kind == "info":
        yield info(device)
    elif kind == "warm":
        yield from (warm(device, name) for name in names)
    elif kind == "units":
        yield from (units.measure(device, unit) for unit in units.UNITS)
    elif kind == "memory":
        yield from memory.rows(device)
    elif kind == "cases":
        nvml = nvml_of(device)
        for name in names:
            yield fitting(device, cases.CASES[name], nvml, rounds=7, round_seconds=0.15)
            gc.collect()
    else:
        raise ValueError(f"section is {kind!r}: give info, warm, cases, units or memory")


def main(arguments: list[str], device: Device | None = None, say: Callable[[str], object] = print) -> int:
    if (
        os.environ.get("CRYPSIS_GPU_CHECK_POOL") == "0"
    ):  # a pool hides stores behind an array from the sanitizer
        import cupy

        cupy.cuda.set_allocator(None)
    try:
        for row in section(device or get_device("cuda:0"), arguments):
            say("ROW " + json.dumps(row))
            sys.stdout.flush()
    except units.WrongAnswer as error:
        say(f"WRONG {error}")
        return WRONG
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
