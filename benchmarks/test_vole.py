# SPDX-License-Identifier: Apache-2.0
"""Kernels of vole on one core, each beside the AES rounds alone in the same run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.conftest import Compare
from benchmarks.test_aes import limit, units_peer
from crypsis import backends, vole
from crypsis.mpc.ot.softspoken import aligned_empty

Size = Callable[[int, int], int]
every_backend = pytest.mark.parametrize("backend", backends.runnable("vole"))
fast_backend = pytest.mark.parametrize("backend", [b for b in backends.runnable("vole") if b != "portable"])


def random_blocks(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 16), dtype=np.uint8)


def aes_backend(backend: str) -> str:
    """The aes backend with the same registers."""
    return {"avx2": "aesni"}.get(backend, backend)


def against_aes(backend: str, n_items: int, blocks_an_item: float) -> dict[str, Any]:
    name = aes_backend(backend)
    return {
        "peers": {"AES rounds alone": units_peer(name, n_items * blocks_an_item)},
        "limit": limit(name, aes_per_item=blocks_an_item),
    }


@every_backend
@pytest.mark.parametrize("depth", [4, 13])
def test_trees(compare: Compare, size: Size, backend: str, depth: int) -> None:
    n_leaves = size(1 << 15, 1 << 19) if backend != "portable" else 1 << 13
    n = max(1, n_leaves >> depth)
    seeds = random_blocks(1, n)
    leaves, sums = np.empty((n, 1 << depth, 16), np.uint8), np.empty((n, depth, 2, 16), np.uint8)
    position = np.full(n, 3, np.uint64)

    def check(result: Any, _: Any) -> None:
        away = 1 - ((3 >> np.arange(depth)[::-1]) & 1)
        known = np.ascontiguousarray(result[1][:, np.arange(depth), away])
        again = vole.reconstruct_trees(known, position, depth)
        assert (np.delete(again, 3, axis=1) == np.delete(result[0], 3, axis=1)).all()

    compare(
        f"vole/expand_trees/depth {depth}/{backend}",
        lambda: vole.expand_trees(seeds, depth, leaves=leaves, sums=sums, backend=backend, threads=1),
        items=n << depth,
        unit="leaves",
        check=check,
        **against_aes(backend, n << depth, 2 * (1 - 0.5**depth)),
        extra={"backend": backend, "threads": 1},
    )


@fast_backend
def test_reconstruction(compare: Compare, size: Size, backend: str) -> None:
    depth, n = 13, size(8, 64)
    leaves, sums = vole.expand_trees(random_blocks(1, n), depth)
    known = np.ascontiguousarray(sums[:, :, 1])
    out = np.empty_like(leaves)
    compare(
        f"vole/reconstruct_trees/depth {depth}/{backend}",
        lambda: vole.reconstruct_trees(
            known, np.zeros(n, np.uint64), depth, leaves=out, backend=backend, threads=1
        ),
        items=n << depth,
        unit="leaves",
        check=lambda result, _: np.testing.assert_array_equal(result[:, 1:], leaves[:, 1:]),
        **against_aes(backend, n << depth, 2 * (1 - 0.5**depth)),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_small_field(compare: Compare, backend: str, k: int) -> None:
    """Both parties one after the other, 65,536 positions, which is a chunk of SoftSpokenOT."""
    n_blocks = 512 if backend != "portable" else 32
    depths = vole.tree_depths(k)
    leaves = random_blocks(k, sum(1 << depth for depth in depths))
    delta = random_blocks(9)
    full, punctured = vole.SmallField(k, leaves), vole.SmallField(k, leaves, delta.tobytes())
    # Rows that begin within a cache line cost a third more: every store of a register then touches two lines.
    corrections = aligned_empty(full.n_rows(False) * 16 * n_blocks)
    bits = aligned_empty(16 * n_blocks)
    t, q = (aligned_empty(128 * n_blocks * 16).reshape(-1, 16) for _ in range(2))

    def both() -> None:
        full.extend_full(
            0, n_blocks, choices=None, corrections=corrections, bits=bits, rows=t, backend=backend, threads=1
        )
        punctured.extend_punctured(
            0, n_blocks, chosen=False, corrections=corrections, rows=q, backend=backend, threads=1
        )

    def check(*_: Any) -> None:
        c = np.unpackbits(bits, bitorder="little")[:, None]
        np.testing.assert_array_equal(t, q ^ c * delta)

    blocks = sum((2 << depth) - 1 for depth in depths) / 128
    compare(
        f"vole/small_field both parties/k {k}/{backend}",
        both,
        items=128 * n_blocks,
        unit="correlations",
        check=check,
        **against_aes(backend, 128 * n_blocks, blocks),
        extra={"backend": backend, "threads": 1, "aes_blocks_an_item": blocks},
    )


@fast_backend
def test_hash_columns(compare: Compare, backend: str) -> None:
    n_blocks = 512
    columns = np.random.default_rng(1).integers(0, 256, vole.columns_bytes(n_blocks), dtype=np.uint8)
    want = vole.hash_columns(bytes(16), columns, n_blocks, backend="portable")
    compare(
        f"vole/hash_columns/{backend}",
        lambda: vole.hash_columns(bytes(16), columns, n_blocks, backend=backend),
        items=128 * n_blocks,
        unit="positions",
        check=lambda result, _: np.testing.assert_array_equal(result, want),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@pytest.mark.parametrize(("form", "blocks"), [("MMO", 2), ("TMMO", 4)])
def test_random_keys(compare: Compare, backend: str, form: str, blocks: int) -> None:
    n = 1 << 16 if backend != "portable" else 1 << 12
    q, delta = random_blocks(1, n), random_blocks(2)
    out = np.empty((n, 2, 16), np.uint8)
    tweak = None if form == "MMO" else 5
    want = vole.random_keys(q ^ delta, tweak=tweak, backend="portable")
    compare(
        f"vole/random_keys sender/{form}/{backend}",
        lambda: vole.random_keys(q, delta=delta.tobytes(), tweak=tweak, out=out, backend=backend, threads=1),
        items=n,
        unit="pairs",
        check=lambda result, _: np.testing.assert_array_equal(result[:, 1], want),
        **against_aes(backend, n, blocks),
        extra={"backend": backend, "threads": 1},
    )
