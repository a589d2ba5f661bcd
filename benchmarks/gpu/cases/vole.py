# SPDX-License-Identifier: Apache-2.0
"""Trees and codes of silent OT and VOLE, at the sizes of crypsis.mpc.ot; an item is a leaf or an output."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.gpu import limits
from benchmarks.gpu.cases.base import Bytes, Case, Work, chosen, random_bytes, same
from crypsis import vole
from crypsis._lpn import MIN_LOG_CODE
from crypsis.cuda import Device

DEPTH = 10
"""Of a tree: Ferret's and the VOLE's are that deep in rounds of 2^16 and 2^20."""
LOG_TABLE = 16
WEIGHT = 7
SEED = bytes(range(16))


def _trees(n: int) -> tuple[int, int]:
    """(trees, their depth) of n leaves, about."""
    depth = min(DEPTH, max(1, n.bit_length() - 2))
    return n >> depth, depth


def _seed() -> Bytes:
    """As the host takes it; a device takes bytes too."""
    return np.frombuffer(SEED, np.uint8).copy()


def _expand_trees(device: Device, n: int, bits: int) -> Work:
    count, depth = _trees(n)
    seeds = random_bytes(19, count, 16)
    there = device.from_host(seeds)
    leaves = device.empty((count, 1 << depth, 16), np.uint8)
    at = np.unique([0, count // 2, count - 1])

    def check(result: Any) -> int:
        wanted, sums = vole.expand_trees(seeds[at], depth)
        same("sums of trees", chosen(device, result[1], at), sums)
        return same("trees", chosen(device, result[0], at), wanted)

    return Work(lambda: vole.expand_trees(there, depth, leaves=leaves), check)


def _expand_noise(device: Device, n: int, bits: int) -> Work:
    count, depth = _trees(n)
    seeds = random_bytes(20, count, 16)
    there = device.from_host(seeds)
    leaves = device.empty((count << depth, 16), np.uint8)
    at = np.unique([0, count // 2, count - 1])

    def run() -> Any:
        return vole.expand_noise(there, depth, leaves)

    def check(result: Any) -> int:
        wanted = np.empty((len(at) << depth, 16), np.uint8)
        sums, totals = vole.expand_noise(seeds[at], depth, wanted)
        same("sums of noise", chosen(device, result[0], at), sums)
        same("totals of noise", chosen(device, result[1], at), totals)
        rows = (at[:, None] * (1 << depth) + np.arange(1 << depth)).reshape(-1)
        return same("noise", chosen(device, leaves, rows), wanted)

    return Work(run, check)


def _primal_encode(device: Device, n: int, bits: int) -> Work:
    """Ten reads of a table of 1 MiB. The outputs begin as zeros; what is timed after the check goes on from there."""
    log_table = min(LOG_TABLE, max(1, n.bit_length()))
    table = random_bytes(21, 1 << log_table, 16)
    there = device.from_host(table)
    out = device.from_host(np.zeros((n, 16), np.uint8))
    at = np.arange(min(n, 4096))

    def check(result: Any) -> int:
        wanted = vole.primal_encode(_seed(), table, np.zeros((len(at), 16), np.uint8))
        return same("primal encode", chosen(device, result, at), wanted)

    return Work(lambda: vole.primal_encode(SEED, there, out), check)


def _expand_convolute(device: Device, n: int, bits: int) -> Work:
    """A vector of twice as many places as outputs, which the code overwrites; what is timed goes on from there."""
    log_code = max(MIN_LOG_CODE, (2 * n - 1).bit_length())
    vector = random_bytes(22, 1 << log_code, 16)
    places, out = device.from_host(vector), device.empty((n, 16), np.uint8)

    def check(result: Any) -> int:
        wanted = np.empty((n, 16), np.uint8)
        vole.expand_convolute(_seed(), vector.copy(), wanted, weight=WEIGHT)
        return same("expand-convolute", chosen(device, result, np.arange(n)), wanted)

    return Work(lambda: vole.expand_convolute(SEED, places, out, weight=WEIGHT), check)


LEAVES = limits.aes(2, 16)
CASES = (
    Case("vole/expand_trees", "leaves", 128, 1 << 24, 1 << 13, LEAVES, _expand_trees, 300),
    Case("vole/expand_noise", "leaves", 128, 1 << 24, 1 << 13, LEAVES, _expand_noise, 300),
    Case("vole/primal_encode", "outputs", 128, 1 << 20, 1 << 13, limits.primal_encode(), _primal_encode, 300),
    Case(
        "vole/expand_convolute",
        "outputs",
        128,
        1 << 16,
        1 << 12,
        limits.expand_convolute(WEIGHT),
        _expand_convolute,
        700,
    ),
)
