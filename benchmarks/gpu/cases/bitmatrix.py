# SPDX-License-Identifier: Apache-2.0
"""Bit matrices of 128 rows, and products in GF(2^128)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.gpu import limits
from benchmarks.gpu.cases.base import Case, Work, chosen, random_bytes, row_by_row, same
from crypsis import bitmatrix
from crypsis.cuda import Device

FEW = 4096


def _transpose(device: Device, n: int, bits: int) -> Work:
    """128 rows of n bits to n blocks of 16 bytes, as oblivious transfer has them; an item is a block."""
    n_bytes = -(-n // 8)
    matrix = random_bytes(16, 128, n_bytes)
    there, out = device.from_host(matrix), device.empty((8 * n_bytes, 16), np.uint8)

    def check(result: Any) -> int:
        checked, most = 0, min(n_bytes, FEW // 8)
        for first in (0, n_bytes - most):
            wanted = bitmatrix.transpose(np.ascontiguousarray(matrix[:, first : first + most]))
            checked += same(
                "transpose", chosen(device, result, np.arange(8 * first, 8 * (first + most))), wanted
            )
        return checked

    def end_to_end() -> Any:
        return device.to_host(bitmatrix.transpose(device.from_host(matrix)))

    return Work(lambda: bitmatrix.transpose(there, out=out), check, end_to_end)


def _multiply(device: Device, n: int, bits: int) -> Work:
    inputs = [random_bytes(17, n, 16), random_bytes(18, n, 16)]
    return row_by_row("GF(2^128)", device, bitmatrix.gf128_multiply, inputs, most=1024)


CASES = (
    Case("bitmatrix/transpose", "blocks", 128, 1 << 26, FEW, limits.bit_transpose(), _transpose, 600),
    Case("bitmatrix/gf128_multiply", "products", 128, 1 << 24, FEW, limits.gf128_multiply(), _multiply, 300),
)
