# SPDX-License-Identifier: Apache-2.0
"""Tables of 50,000 keys a bin, as VOLE-PSI encodes and decodes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.gpu import limits
from benchmarks.gpu.cases.base import Bytes, Case, Work, chosen, random_bytes, same
from crypsis import okvs
from crypsis.cuda import Device

BIN = 50_000
BINS = 16_384
"""Of the whole set: what the probability of failure counts."""
SEED = bytes(range(16))


def _bins(n: int) -> tuple[okvs.Parameters, Any, Bytes]:
    """Parameters, starts and keys of n keys in full bins, the last one shorter."""
    starts = np.minimum(np.arange(-(-n // BIN) + 1) * BIN, n).astype(np.uint64)
    return okvs.parameters(min(n, BIN), BINS), starts, random_bytes(23, n, 16)


def _encode(device: Device, n: int, bits: int) -> Work:
    parameters, starts, keys = _bins(n)
    values = random_bytes(24, n, 16)
    there = [device.from_host(array) for array in (keys, starts, values)]
    out = device.empty((len(starts) - 1, parameters.columns, 16), np.uint8)

    def check(result: Any) -> int:
        last = int(starts[-2])
        for part, where in ((slice(0, int(starts[1])), 0), (slice(last, n), len(starts) - 2)):
            ends = np.array([0, part.stop - part.start], np.uint64)
            wanted = okvs.encode(keys[part], ends, values[part], parameters, seed=SEED)
            same("okvs/encode", chosen(device, result, np.array([where])), wanted)
        return int(starts[1]) + n - last

    def end_to_end() -> Any:
        arrays = [device.from_host(array) for array in (keys, starts, values)]
        return device.to_host(okvs.encode(*arrays, parameters, seed=SEED))

    return Work(lambda: okvs.encode(*there, parameters, seed=SEED, out=out), check, end_to_end)


def _decode(device: Device, n: int, bits: int) -> Work:
    parameters, starts, keys = _bins(n)
    table = random_bytes(25, len(starts) - 1, parameters.columns, 16)
    there = [device.from_host(array) for array in (keys, starts, table)]
    out = device.empty((n, 16), np.uint8)

    def check(result: Any) -> int:
        last = int(starts[-2])
        for part, where in ((slice(0, int(starts[1])), 0), (slice(last, n), len(starts) - 2)):
            ends = np.array([0, part.stop - part.start], np.uint64)
            wanted = okvs.decode(keys[part], ends, table[where : where + 1], parameters, seed=SEED)
            same("okvs/decode", chosen(device, result, np.arange(part.start, part.stop)), wanted)
        return int(starts[1]) + n - last

    def end_to_end() -> Any:
        arrays = [device.from_host(array) for array in (keys, starts, table)]
        return device.to_host(okvs.decode(*arrays, parameters, seed=SEED))

    return Work(lambda: okvs.decode(*there, parameters, seed=SEED, out=out), check, end_to_end)


ITEMS = 264 * BIN
"""Two bins a multiprocessor of the largest GPU."""
FEW = 3_000
"""One short bin: sanitizers run it too."""
CASES = (
    Case("okvs/encode", "keys", 128, ITEMS, FEW, limits.okvs_encode(), _encode, 300),
    Case("okvs/decode", "keys", 128, ITEMS, FEW, limits.okvs_decode(), _decode, 300),
)
