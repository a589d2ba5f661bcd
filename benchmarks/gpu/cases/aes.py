# SPDX-License-Identifier: Apache-2.0
"""AES-128: hashes of blocks, counter mode, a level of a GGM tree."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.gpu import limits
from benchmarks.gpu.cases.base import Case, Work, chosen, random_bytes, row_by_row, same
from crypsis import aes
from crypsis.cuda import Device

ITEMS = 1 << 26
FEW = 1000
TWEAK = 1 << 70
KEY = bytes(range(16))


def _mmo(device: Device, n: int, bits: int) -> Work:
    return row_by_row("MMO", device, aes.mmo, [random_bytes(13, n, 16)])


def _tmmo(device: Device, n: int, bits: int) -> Work:
    """A block's tweak follows from its number: the first and the last ones are compared."""
    blocks = random_bytes(14, n, 16)
    there, out = device.from_host(blocks), device.empty(blocks.shape, np.uint8)

    def check(result: Any) -> int:
        checked = 0
        for at in (np.arange(min(n, FEW)), np.arange(max(0, n - FEW), n)):
            wanted = aes.tmmo(blocks[at], TWEAK + int(at[0]))
            checked += same("TMMO", chosen(device, result, at), wanted)
        return checked

    def end_to_end() -> Any:
        return device.to_host(aes.tmmo(device.from_host(blocks), TWEAK))

    return Work(lambda: aes.tmmo(there, TWEAK, out=out), check, end_to_end)


def _ctr(device: Device, n: int, bits: int) -> Work:
    """Bytes of a generator's stream; an item is a block."""
    key = device.from_host(np.frombuffer(KEY, np.uint8))
    out = device.empty((n, 16), np.uint8)

    def check(result: Any) -> int:
        checked = 0
        for at in (np.arange(min(n, FEW)), np.arange(max(0, n - FEW), n)):
            wanted = aes.ctr_stream(KEY, len(at), counter=int(at[0])).reshape(-1, 16)
            checked += same("CTR", chosen(device, result.reshape(-1, 16), at), wanted)
        return checked

    return Work(lambda: aes.ctr_stream(key, n, out=out), check)


def _ggm_level(device: Device, n: int, bits: int) -> Work:
    """An item is a child."""
    parents = random_bytes(15, -(-n // 2), 16)
    there, out = device.from_host(parents), device.empty((2 * len(parents), 16), np.uint8)

    def check(result: Any) -> int:
        at = np.arange(min(len(parents), FEW))
        return same("GGM", chosen(device, result, np.arange(2 * len(at))), aes.ggm_level(parents[at]))

    return Work(lambda: aes.ggm_level(there, out=out), check)


CASES = (
    Case("aes/mmo", "blocks", 128, ITEMS, FEW, limits.aes(1, 32), _mmo, 300),
    Case("aes/tmmo", "blocks", 128, ITEMS, FEW, limits.aes(2, 32), _tmmo, 300),
    Case("aes/ctr", "blocks", 128, ITEMS, FEW, limits.aes(1, 16), _ctr, 300),
    Case("aes/ggm_level", "children", 128, ITEMS, FEW, limits.aes(1, 24), _ggm_level, 300),
)
