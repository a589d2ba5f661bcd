# SPDX-License-Identifier: Apache-2.0
"""Batches in blocks that fit a device's memory: the one place where work is split, and where it is said that it cannot
be split further."""

from __future__ import annotations

from collections.abc import Callable

from crypsis.cuda._device import Device
from crypsis.errors import DeviceMemoryError


def in_blocks(
    device: Device,
    n: int,
    item_bytes: int,
    work: Callable[[slice], None],
    *,
    what: str,
    least: int = 1,
    most: int | None = None,
) -> None:
    """Calls `work(slice)` for blocks that cover 0 to n, in order, the device being current.

    Args:
        item_bytes: what the work on one item takes of the device's memory meanwhile, about; 0 for nothing. Blocks
            begin with half of what is free: it may be in pieces, and others take of it.
        work: takes its memory before it writes what it reads. A block for which memory runs out all the same is
            tried again at half the size, and what follows too.
        what: names the work in the error.
        least, most: items of a block; fewer than `least` only where there are not so many.

    Raises:
        DeviceMemoryError: `least` items do not fit; outputs of the blocks before are written.
    """
    size = n if most is None else min(n, most)
    if item_bytes:
        size = min(size, device.free_bytes() // 2 // item_bytes)
    size = max(size, min(least, n))
    begin = 0
    while begin < n:
        part = slice(begin, min(begin + size, n))
        if _done(device, work, part):
            begin = part.stop
            continue
        count = part.stop - begin
        if count <= least:
            raise DeviceMemoryError(
                f"{device.name} has too little memory for {what}: {count * item_bytes:,} bytes needed at a time, and"
                f" {device.free_bytes():,} bytes are free; free arrays on the device, or use smaller batches"
            )
        size = max(least, count // 2)


def _done(device: Device, work: Callable[[slice], None], part: slice) -> bool:
    """Whether there was memory enough. The error goes here, for its frames hold what was taken so far."""
    try:
        with device.current():
            work(part)
    except DeviceMemoryError:
        return False
    return True
