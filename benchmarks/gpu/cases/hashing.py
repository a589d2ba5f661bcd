# SPDX-License-Identifier: Apache-2.0
"""Digests of short messages."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.gpu import limits
from benchmarks.gpu.cases.base import Case, Prepare, Work, chosen, same, sample
from crypsis import hashing
from crypsis.cuda import Device


def _digest(algorithm: str) -> Prepare:
    def prepare(device: Device, n: int, bits: int) -> Work:
        width = bits // 8
        messages = np.random.default_rng(width).integers(0, 256, (n, width), dtype=np.uint8)
        there, out = device.from_host(messages), device.empty((n, 32), np.uint8)
        at = sample(n, 4096)

        def check(result: Any) -> int:
            return same(algorithm, chosen(device, result, at), hashing.digest(algorithm, messages[at]))

        def end_to_end() -> Any:
            return device.to_host(hashing.digest(algorithm, device.from_host(messages)))

        return Work(lambda: hashing.digest(algorithm, there, out=out), check, end_to_end)

    return prepare


CASES = tuple(
    Case(
        f"hashing/{algorithm}/{width}",
        "messages",
        8 * width,
        1 << 24,
        70_000,
        limits.compression(algorithm, width),
        _digest(algorithm),
        40,
    )
    for algorithm in hashing.ALGORITHMS
    for width in (16, 32)
)
