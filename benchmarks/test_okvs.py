# SPDX-License-Identifier: Apache-2.0
"""okvs on one core, bins of 50,000 keys, beside the random reads that decoding cannot do without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.conftest import Compare
from crypsis import backends, okvs, vole

Size = Callable[[int, int], int]
BIN = 50_000
SEED = bytes(range(16))
every_backend = pytest.mark.parametrize("backend", backends.runnable("okvs"))
# Field and bytes of a decoded row: 16 over GF(2^64) are the two lanes of the protocols.
every_width = pytest.mark.parametrize(("field", "width"), [(128, 16), (64, 8), (64, 16)])


def random_bytes(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def chosen_bins(size: Size, backend: str, field: int) -> tuple[okvs.Parameters, np.ndarray, np.ndarray]:
    n_bins = size(4, 21) if backend != "portable" else 1
    starts = np.arange(n_bins + 1, dtype=np.uint64) * np.uint64(BIN)
    return okvs.parameters(BIN, 21_475, field=field), starts, random_bytes(1, n_bins * BIN, 16)


def reads_alone(n: int) -> Callable[[], Any]:
    """Three reads of a block of 1 MiB for each of n keys, at places that are known ahead, and nothing else."""
    table = random_bytes(2, 1 << 16, 16)
    return lambda: vole.measure_gather(table, -(-3 * n // vole.PRIMAL_WEIGHT))


@every_backend
@pytest.mark.parametrize("field", [128, 64])
@pytest.mark.parametrize("with_fill", [False, True], ids=["no fill", "fill"])
def test_encode(compare: Compare, size: Size, backend: str, field: int, with_fill: bool) -> None:
    parameters, starts, keys = chosen_bins(size, backend, field)
    values = random_bytes(3, len(keys), field // 8)
    out = random_bytes(4, len(starts) - 1, parameters.columns, field // 8)
    fill = out.copy() if with_fill else None

    def check(table: np.ndarray, _: Any) -> None:
        np.testing.assert_array_equal(okvs.decode(keys, starts, table, parameters, seed=SEED), values)

    compare(
        f"okvs/encode/{field} bits{', fill' if with_fill else ''}/{backend}",
        lambda: okvs.encode(
            keys, starts, values, parameters, seed=SEED, fill=fill, out=out, backend=backend, threads=1
        ),
        items=len(keys),
        unit="keys",
        check=check,
        extra={"backend": backend, "threads": 1, "bin": BIN, "expansion": parameters.expansion},
    )


@every_backend
@every_width
def test_decode(compare: Compare, size: Size, backend: str, field: int, width: int) -> None:
    parameters, starts, keys = chosen_bins(size, backend, field)
    table = random_bytes(5, len(starts) - 1, parameters.columns, width)
    out = np.empty((len(keys), width), np.uint8)
    want = okvs.decode(keys[:BIN], starts[:2], table[:1], parameters, seed=SEED, backend="portable")
    compare(
        f"okvs/decode/{field} bits, rows of {width} bytes/{backend}",
        lambda: okvs.decode(keys, starts, table, parameters, seed=SEED, out=out, backend=backend, threads=1),
        items=len(keys),
        unit="keys",
        check=lambda result, _: np.testing.assert_array_equal(result[:BIN], want),
        peers={"three random reads a key alone": reads_alone(len(keys))},
        extra={"backend": backend, "threads": 1, "bin": BIN, "expansion": parameters.expansion},
    )
