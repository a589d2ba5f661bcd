# SPDX-License-Identifier: Apache-2.0
"""Private list query: the owner's entries of one answer, one thread, beside the hashes that bound it; Ristretto255."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.rows import Rate
from crypsis import hashing, ristretto255
from crypsis.mpc.pir.entries import Shape, combine, entries


@pytest.mark.parametrize("hash", ["sha256", "blake3"])
def test_answer(compare: Any, size: Callable[[int, int], int], hash: str) -> None:
    n, width = size(4_603, 67_385), 64  # a bucket of a million keys with 8 prefix bits, with 4
    random = np.random.default_rng(1)
    shape = Shape(prefix_bits=8, bound=n, width=width, session=bytes(32), hash=hash)
    keys = random.integers(0, 256, (16, 8, 2, 16), np.uint8)
    digests = random.integers(0, 256, (16, n), np.uint8)
    records = random.integers(0, 256, (n, width), np.uint8)
    rows = random.integers(0, 256, (n, 32), np.uint8)
    long_rows = random.integers(0, 256, (n, 16 + width), np.uint8)

    def hashes() -> Rate:
        """The hashes of an answer and nothing else: three of 32 bytes and one of the record."""
        import time

        start = time.perf_counter()
        for batch in (rows, rows, rows, long_rows):
            hashing.digest(hash, batch, domain=bytes(55), threads=1)
        return Rate(n / (time.perf_counter() - start))

    def check(ours: np.ndarray, _: dict[str, Any]) -> None:
        finders = ours[:, :8].copy().view(np.uint64)[:, 0]
        assert (np.diff(finders.astype(np.float64)) >= 0).all()
        # One digest by hand: its key is the exclusive or of the 128 chosen ones.
        bits = np.unpackbits(digests[:, 0], bitorder="little")
        by_hand = np.bitwise_xor.reduce(keys.reshape(128, 2, 16)[np.arange(128), bits])
        assert (combine(keys, digests[:, :1])[0] == by_hand).all()

    compare(
        f"query/answer/{hash}/64-byte records",
        lambda: entries(shape, 0, 0, combine(keys, digests), records),
        items=n,
        unit="entries",
        check=check,
        peers={"the hashes alone": hashes},
        extra={"threads": 1, "entry_bytes": shape.entry_bytes},
    )


@pytest.mark.parametrize("operation", ["scalar_mult", "scalar_mult_base", "derive"])
def test_ristretto255(compare: Any, size: Callable[[int, int], int], operation: str) -> None:
    n = size(512, 8192)
    scalars = ristretto255.random_scalars(n)
    elements = ristretto255.scalar_mult_base(scalars)
    uniform = np.concatenate([scalars, scalars[::-1]], axis=1)
    calls: dict[str, Callable[[], np.ndarray]] = {
        "scalar_mult": lambda: ristretto255.scalar_mult(scalars, elements, threads=1),
        "scalar_mult_base": lambda: ristretto255.scalar_mult_base(scalars, threads=1),
        "derive": lambda: ristretto255.derive(uniform, threads=1),
    }

    def check(ours: np.ndarray, _: dict[str, Any]) -> None:
        ristretto255.check(ours)

    compare(
        f"curve25519/ristretto255/{operation}",
        calls[operation],
        items=n,
        unit="elements",
        check=check,
        extra={"backend": "portable", "threads": 1},
    )
