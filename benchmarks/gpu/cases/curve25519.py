# SPDX-License-Identifier: Apache-2.0
"""X25519 and Elligator 2: what ECDH-PSI does for every row."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu import limits
from benchmarks.gpu.cases.base import Bytes, Case, Work, chosen, random_bytes, row_by_row, same, sample
from crypsis import curve25519
from crypsis.cuda import Device

ITEMS = 1 << 20


def _coordinates(n: int) -> Bytes:
    """Below 2^255: the kernel reduces what is not canonical."""
    rows = random_bytes(11, n, curve25519.N_BYTES)
    rows[:, -1] &= 0x7F
    return rows


def _scalar_mult(device: Device, n: int, bits: int) -> Work:
    """One scalar for all points, as each party of ECDH-PSI has it."""
    points, scalar = _coordinates(n), random_bytes(12, curve25519.N_BYTES)
    there, secret = device.from_host(points), device.from_host(scalar)
    out = device.empty(points.shape, "u1")
    at = sample(n)

    def check(result: Any) -> int:
        return same("X25519", chosen(device, result, at), curve25519.scalar_mult(scalar, points[at]))

    def end_to_end() -> Any:
        return device.to_host(curve25519.scalar_mult(device.from_host(scalar), device.from_host(points)))

    return Work(lambda: curve25519.scalar_mult(secret, there, out=out), check, end_to_end)


def _map_to_curve(device: Device, n: int, bits: int) -> Work:
    return row_by_row("Elligator 2", device, curve25519.map_to_curve, [_coordinates(n)])


CASES = (
    Case("curve25519/scalar_mult", "points", 255, ITEMS, 300, limits.x25519(), _scalar_mult),
    Case("curve25519/map_to_curve", "points", 255, ITEMS, 300, limits.elligator(), _map_to_curve, 5),
)
