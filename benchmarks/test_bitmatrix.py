# SPDX-License-Identifier: Apache-2.0
"""bitmatrix on one core: transposes against NumPy's unpackbits and packbits, products against their units' limits."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from benchmarks.rows import Limit
from crypsis import backends, bitmatrix

BACKENDS = backends.runnable("bitmatrix")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
CYCLES_PER_SECOND = float(os.environ.get("CRYPSIS_BENCH_CPU_HZ", "0"))
# Instructions of the port that binds, an item, counted in csrc/bitmatrix/NOTES.md.
PORT_CYCLES = {"to blocks": 2.25, "to rows": 1.75, "multiply": 2.0, "inner product": 1.0, "gf64": 0.25}


def limit_of(kernel: str, backend: str) -> Limit | None:
    """The AVX-512 bound on this core, when CRYPSIS_BENCH_CPU_HZ says how fast its clock is."""
    if backend != "avx512" or not CYCLES_PER_SECOND:
        return None
    cycles = PORT_CYCLES[kernel]
    return Limit(CYCLES_PER_SECOND / cycles, f"{cycles} cycles of the port that shuffles and multiplies")


def random_bytes(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def numpy_transpose(bits: np.ndarray) -> np.ndarray:
    return np.packbits(np.unpackbits(bits, axis=1, bitorder="little").T, axis=1, bitorder="little")


def check_equal(ours: np.ndarray, peers: dict[str, Any]) -> None:
    for theirs in peers.values():
        assert np.array_equal(ours, theirs)


@every_backend
@pytest.mark.parametrize("direction", ["to blocks", "to rows"])
@pytest.mark.parametrize("n", [8192, 1 << 20], ids=["8192", "2^20"])
def test_transpose_128(compare: Any, backend: str, direction: str, n: int) -> None:
    """128 rows of n bits to n blocks and back: 8192 is what a protocol's arena holds, 2^20 passes the second cache."""
    bits = random_bytes(128, n // 8) if direction == "to blocks" else random_bytes(n, 16)
    out = np.empty((n, 16) if direction == "to blocks" else (128, n // 8), np.uint8)
    compare(
        f"bitmatrix/transpose/128 x {n}, {direction}/{backend}",
        lambda: bitmatrix.transpose(bits, out=out, backend=backend, threads=1),
        items=n,
        unit="blocks",
        check=check_equal,
        peers={"numpy unpackbits, T, packbits": lambda: numpy_transpose(bits)},
        limit=limit_of(direction, backend),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
def test_transpose_square(compare: Any, backend: str) -> None:
    n = 4096
    bits = random_bytes(n, n // 8)
    out = np.empty_like(bits)
    compare(
        f"bitmatrix/transpose/{n} x {n}/{backend}",
        lambda: bitmatrix.transpose(bits, out=out, backend=backend, threads=1),
        items=n * n // 8,
        unit="bytes",
        check=check_equal,
        peers={"numpy unpackbits, T, packbits": lambda: numpy_transpose(bits)},
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@pytest.mark.parametrize("factor", ["elementwise", "one factor"])
def test_gf128_multiply(compare: Any, backend: str, factor: str) -> None:
    n = 16_384  # the call itself costs a microsecond or two
    a, b, out = random_bytes(n, 16), random_bytes(n + 1, 16)[1:].copy(), np.empty((n, 16), np.uint8)
    if factor == "one factor":
        b = b[0].copy()

    def check(ours: np.ndarray, _: dict[str, Any]) -> None:
        assert np.array_equal(ours, bitmatrix.gf128_multiply(a, b, backend="portable"))

    compare(
        f"bitmatrix/gf128_multiply/{factor}/{backend}",
        lambda: bitmatrix.gf128_multiply(a, b, out=out, backend=backend, threads=1),
        items=n,
        unit="products",
        check=check,
        limit=limit_of("multiply", backend),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@pytest.mark.parametrize("field", ["gf128", "gf64"])
def test_universal_hash_of_128_rows(compare: Any, backend: str, field: str) -> None:
    """Rows of 65,536 bits, as a consistency check of OT extension hashes them."""
    width = 16 if field == "gf128" else 8
    n = 65_536 // 8 // width
    a, b = random_bytes(128, n, width), random_bytes(n, width)
    function = bitmatrix.gf128_inner_product if field == "gf128" else bitmatrix.gf64_inner_product

    def check(ours: np.ndarray, _: dict[str, Any]) -> None:
        assert np.array_equal(ours, function(a, b, backend="portable"))

    compare(
        f"bitmatrix/{field}_inner_product/128 rows of 65536 bits/{backend}",
        lambda: function(a, b, backend=backend, threads=1),
        items=128 * n,
        unit="products",
        check=check,
        limit=limit_of("inner product" if field == "gf128" else "gf64", backend),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@pytest.mark.parametrize("k", [4, 8])
@pytest.mark.parametrize("form", ["bytes", "slices"])
def test_gf2k_multiply(compare: Any, backend: str, k: int, form: str) -> None:
    n = 1 << 16
    a, b = random_bytes(2, n) & np.uint8((1 << k) - 1)
    if form == "slices":
        a, b = (bitmatrix.slice_elements(x, k=k) for x in (a, b))
    out = np.empty_like(a)

    def ours(backend: str = backend) -> np.ndarray:
        if form == "slices":
            return bitmatrix.gf2k_multiply_sliced(a, b, out=out, backend=backend, threads=1)
        return bitmatrix.gf2k_multiply(a, b, k=k, out=out, backend=backend, threads=1)

    def check(found: np.ndarray, _: dict[str, Any]) -> None:
        assert np.array_equal(found.copy(), ours("portable"))

    compare(
        f"bitmatrix/gf2k_multiply/k = {k}, {form}/{backend}",
        ours,
        items=n,
        unit="products",
        check=check,
        extra={"backend": backend, "threads": 1},
    )


def test_pack_bits(compare: Any) -> None:
    """NumPy's packbits and a check that all values are bits, against packbits alone."""
    values = random_bytes(1 << 20) & 1
    compare(
        "bitmatrix/pack_bits",
        lambda: bitmatrix.pack_bits(values),
        items=values.size,
        unit="bits",
        check=check_equal,
        peers={"numpy packbits, unchecked": lambda: np.packbits(values, bitorder="little")},
    )
