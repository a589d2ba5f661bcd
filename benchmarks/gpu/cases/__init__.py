# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of `make gpu-check`, a module a slug: work on a device, the same on the CPU as its check, and what
limits it."""

from benchmarks.gpu.cases import (
    aes,
    bigint,
    bitmatrix,
    ckks,
    curve25519,
    hashing,
    okvs,
    paillier,
    partition,
    psi,
    rings,
    vole,
)
from benchmarks.gpu.cases.base import TEST_BITS, Case, Work

__all__ = ["CASES", "TEST_BITS", "Case", "Work"]

MODULES = (bigint, paillier, hashing, rings, ckks, curve25519, aes, bitmatrix, vole, okvs, partition, psi)
CASES = {case.name: case for module in MODULES for case in module.CASES}
