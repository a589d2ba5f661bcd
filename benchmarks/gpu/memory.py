# SPDX-License-Identifier: Apache-2.0
"""Copies on the device and over the bus, and what a launch takes. Answers are checked here too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.gpu.timing import events, is_gpu, rate, seconds_per_call, wall
from benchmarks.gpu.units import SLUG, WrongAnswer
from crypsis.cuda import Device
from crypsis.cuda._tuning import block_of, launch_shape


def _pinned(device: Device, n_bytes: int) -> Any:
    """Page-locked memory of the host, where the device has such; else plain."""
    if not is_gpu(device):
        return np.empty(n_bytes, np.uint8)
    return np.frombuffer(device.xp.cuda.alloc_pinned_memory(n_bytes), np.uint8, n_bytes)


def _equal(name: str, got: Any, wanted: Any) -> None:
    if not np.array_equal(got, wanted):
        raise WrongAnswer(f"{name}: the bytes are not those that were copied")


def rows(
    device: Device,
    *,
    n_bytes: int = 1 << 30,
    launches: int = 2000,
    rounds: int = 7,
    round_seconds: float = 0.15,
) -> Iterator[dict[str, Any]]:
    """A row each. n_bytes: of one copy, a multiple of 16."""
    host = _pinned(device, n_bytes)
    host[:] = np.resize(np.random.default_rng(1).integers(0, 256, 1 << 20, dtype=np.uint8), n_bytes)
    source, target = device.empty(n_bytes, np.uint8), device.empty(n_bytes, np.uint8)
    back = _pinned(device, n_bytes)

    def copy() -> None:
        block = block_of(SLUG, "copy16")
        grid = min(
            device.n_multiprocessors * launch_shape(SLUG, "copy16")["blocks"], -(-n_bytes // (16 * block))
        )
        args = [target, source, np.uint64(n_bytes // 16)]
        device.launch(SLUG, "copy16", grid=grid, block=block, args=args)

    def up() -> None:
        with device.current():
            source.set(host)

    def down() -> None:
        if is_gpu(device):
            source.get(out=back)
        else:
            back[:] = device.to_host(source)

    def row(
        name: str, unit: str, items: int, call: Callable[[], object], timer: Any, what: str
    ) -> dict[str, Any]:
        seconds = seconds_per_call(timer, call, rounds=rounds, round_seconds=round_seconds)
        return {"name": name, "unit": unit, "items": items, "what": what, **rate(seconds, items)}

    up()
    _equal("up", device.to_host(source), host)
    yield row("copy/up/pinned", "bytes", n_bytes, up, wall(device), "page-locked host to device")
    down()
    _equal("down", back, host)
    yield row("copy/down/pinned", "bytes", n_bytes, down, wall(device), "device to page-locked host")
    copy()
    _equal("copy", device.to_host(target), host)
    yield row("copy/device", "bytes", 2 * n_bytes, copy, events(device), "bytes read and written, copy16")
    plain = np.array(host)
    yield row(
        "copy/up/from_host",
        "bytes",
        n_bytes,
        lambda: device.from_host(plain),
        wall(device),
        "as the library does",
    )
    yield row(
        "copy/down/to_host",
        "bytes",
        n_bytes,
        lambda: device.to_host(source),
        wall(device),
        "as the library does",
    )

    word, warp = device.empty(1, np.uint32), block_of(SLUG, "nothing")

    def launch_many() -> None:
        for _ in range(launches):
            device.launch(SLUG, "nothing", grid=1, block=warp, args=[word])

    def launch_one() -> None:
        device.launch(SLUG, "nothing", grid=1, block=warp, args=[word])
        device.synchronize()

    yield row(
        "launch/queued", "launches", launches, launch_many, wall(device), "Device.launch, one after the other"
    )
    yield row("launch/waited", "launches", 1, launch_one, wall(device), "Device.launch and synchronize")
