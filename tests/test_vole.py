# SPDX-License-Identifier: Apache-2.0
"""vole: known answers, differential against the reference, and algebra, on every backend."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import backends, vole
from reference import vole as reference

VECTORS = json.loads((Path(__file__).parent / "vectors" / "vole.json").read_text())

every_backend = pytest.mark.parametrize("backend", backends.runnable("vole"))


def random_blocks(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 16), dtype=np.uint8)


def sha256(data: np.ndarray) -> str:
    return hashlib.sha256(data.tobytes()).hexdigest()


def known_of(sums: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Of each tree and level the sum away from the path."""
    depth = sums.shape[1]
    away = 1 - ((positions[:, None].astype(np.int64) >> np.arange(depth)[::-1]) & 1)
    return sums[np.arange(len(sums))[:, None], np.arange(depth), away]


def field_pair(k: int, seed: int) -> tuple[vole.SmallField, vole.SmallField, np.ndarray]:
    """Full, punctured (without the leaves it may not have) and Delta."""
    depths = vole.tree_depths(k)
    leaves = random_blocks(seed, sum(1 << depth for depth in depths))
    delta = random_blocks(seed + 1)
    bits = np.unpackbits(delta, bitorder="little")
    without = leaves.copy()
    first = column = 0
    for depth in depths:
        without[first + int(bits[column : column + depth] @ (1 << np.arange(depth)))] = 0x55
        first, column = first + (1 << depth), column + depth
    return vole.SmallField(k, leaves), vole.SmallField(k, without, delta.tobytes()), delta


def extend(
    fields: tuple[vole.SmallField, vole.SmallField, np.ndarray],
    n_blocks: int,
    choices: np.ndarray | None = None,
    first: int = 0,
    **options: object,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(bits, t, q, corrections)."""
    full, punctured, _ = fields
    corrections = np.empty(full.n_rows(choices is not None) * 16 * n_blocks, np.uint8)
    bits = np.empty(16 * n_blocks, np.uint8)
    t, q = (np.empty((128 * n_blocks, 16), np.uint8) for _ in range(2))
    full.extend_full(first, n_blocks, choices=choices, corrections=corrections, bits=bits, rows=t, **options)
    punctured.extend_punctured(
        first, n_blocks, chosen=choices is not None, corrections=corrections, rows=q, **options
    )
    return bits, t, q, corrections


def assert_correlated(bits: np.ndarray, t: np.ndarray, q: np.ndarray, delta: np.ndarray) -> None:
    c = np.unpackbits(bits, bitorder="little")[: len(t), None]
    np.testing.assert_array_equal(t, q ^ c * delta)


# Known answers


@every_backend
@pytest.mark.parametrize("case", VECTORS["trees"], ids=lambda case: f"depth{case['depth']}")
def test_tree_vectors(backend: str, case: dict) -> None:
    seed = np.frombuffer(bytes.fromhex(case["seed"]), np.uint8)[None]
    leaves, sums = vole.expand_trees(seed, case["depth"], backend=backend)
    assert sha256(leaves) == case["leaves_sha256"]
    assert sums.tobytes().hex() == "".join(side for level in case["sums"] for side in level)
    position = np.array([case["position"]], np.uint64)
    again = vole.reconstruct_trees(known_of(sums, position), position, case["depth"], backend=backend)
    assert sha256(again) == case["punctured_sha256"]


@every_backend
@pytest.mark.parametrize("case", VECTORS["small_fields"], ids=lambda case: f"k{case['k']}")
def test_small_field_vectors(backend: str, case: dict) -> None:
    k, n_blocks, first = case["k"], case["n_blocks"], case["first_block"]
    n_leaves = sum(1 << depth for depth in vole.tree_depths(k))
    data = hashlib.shake_128(f"crypsis vole {case['label']}".encode()).digest(16 * n_leaves)
    leaves = np.frombuffer(data, np.uint8).reshape(-1, 16)
    choices = case["choices"] and np.frombuffer(bytes.fromhex(case["choices"]), np.uint8)
    full = vole.SmallField(k, leaves)
    punctured = vole.SmallField(k, leaves, bytes.fromhex(case["delta"]))
    bits, t, q, corrections = extend((full, punctured, None), n_blocks, choices, first, backend=backend)
    assert bits.tobytes().hex() == case["bits"]
    assert sha256(corrections) == case["corrections_sha256"]
    assert (sha256(t), sha256(q)) == (case["t_sha256"], case["q_sha256"])
    columns = np.empty(vole.columns_bytes(n_blocks), np.uint8)
    full.extend_full(
        first, n_blocks, choices=choices, corrections=corrections, columns=columns, backend=backend
    )
    challenge = bytes.fromhex(case["challenge"])
    hashes = vole.hash_columns(challenge, columns, n_blocks, bits=bits, backend=backend)
    assert sha256(hashes) == case["hashes_sha256"]
    assert sha256(vole.random_keys(q, backend=backend)) == case["keys_sha256"]
    assert sha256(vole.random_keys(q, tweak=9, backend=backend)) == case["tweaked_sha256"]


# Differential


@every_backend
@pytest.mark.parametrize("depth", range(1, 8))
def test_trees_are_the_references(backend: str, depth: int) -> None:
    seeds = random_blocks(depth, 2)
    leaves, sums = vole.expand_trees(seeds, depth, backend=backend, threads=1)
    for i, seed in enumerate(seeds):
        want, want_sums = reference.expand_tree(seed.tobytes(), depth)
        assert leaves[i].tobytes() == b"".join(want)
        assert sums[i].tobytes() == b"".join(side for level in want_sums for side in level)


@every_backend
@pytest.mark.parametrize("k", [5, 6])
def test_small_field_is_the_references(backend: str, k: int) -> None:
    leaves = random_blocks(k, sum(1 << depth for depth in vole.tree_depths(k)))
    as_bytes = [leaf.tobytes() for leaf in leaves]
    choices = random_blocks(k + 100)
    bits, corrections, columns = reference.full(
        k, as_bytes, 3, 1, int.from_bytes(choices.tobytes(), "little")
    )
    got = np.empty(16 * len(corrections), np.uint8)
    t = np.empty((128, 16), np.uint8)
    vole.SmallField(k, leaves).extend_full(
        3, 1, choices=choices, corrections=got, rows=t, backend=backend, threads=1
    )
    assert got.tobytes() == reference.in_tiles(corrections, 1)
    assert t.tobytes() == b"".join(reference.rows(columns, 1))
    assert bits.to_bytes(16, "little") == choices.tobytes()


# Algebra


@every_backend
@pytest.mark.parametrize("depth", [1, 2, 3, 5, 6, 8, 11])
def test_a_punctured_tree_lacks_one_leaf(backend: str, depth: int) -> None:
    n = 1 << depth
    positions = np.unique([0, 1, n // 2 - 1, n // 2, n - 2, n - 1, 5 % n]).astype(np.uint64)
    leaves, sums = vole.expand_trees(random_blocks(depth, len(positions)), depth, backend=backend)
    got = vole.reconstruct_trees(known_of(sums, positions), positions, depth, backend=backend)
    leaves[np.arange(len(positions)), positions.astype(np.int64)] = 0
    np.testing.assert_array_equal(got, leaves)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_every_position(depth: int) -> None:
    positions = np.arange(1 << depth, dtype=np.uint64)
    seeds = np.repeat(random_blocks(depth, 1), len(positions), axis=0)
    leaves, sums = vole.expand_trees(seeds, depth)
    got = vole.reconstruct_trees(known_of(sums, positions), positions, depth)
    leaves[np.arange(len(positions)), np.arange(len(positions))] = 0
    np.testing.assert_array_equal(got, leaves)


@every_backend
@pytest.mark.parametrize("k", range(1, 9))
@pytest.mark.parametrize("chosen", [False, True])
def test_every_row_is_correlated(backend: str, k: int, chosen: bool) -> None:
    n_blocks = 1 if backend == "portable" and k > 6 else 33  # a whole tile and one block
    fields = field_pair(k, 10 * k)
    choices = random_blocks(k, n_blocks).reshape(-1) if chosen else None
    bits, t, q, _ = extend(fields, n_blocks, choices, backend=backend, threads=1)
    assert_correlated(bits, t, q, fields[2])
    if chosen:
        np.testing.assert_array_equal(bits, choices)


@every_backend
@pytest.mark.parametrize("n_blocks", [1, 2, 31, 32, 33, 63, 64, 65, 129])
def test_every_edge_of_tiles_gives_the_same(backend: str, n_blocks: int) -> None:
    fields = field_pair(2, 5)
    whole = extend(fields, 130, backend=backends.runnable("vole")[0])
    bits, t, q, _ = extend(fields, n_blocks, backend=backend)
    np.testing.assert_array_equal(t, whole[1][: len(t)])
    np.testing.assert_array_equal(q, whole[2][: len(q)])
    np.testing.assert_array_equal(bits, whole[0][: len(bits)])


@every_backend
def test_streams_are_seekable_and_threads_change_nothing(backend: str) -> None:
    fields = field_pair(4, 6)
    _, t, q, _ = extend(fields, 70, backend=backend, threads=3)
    _, late_t, late_q, _ = extend(fields, 37, first=33, backend=backend, threads=1)
    np.testing.assert_array_equal(t[33 * 128 :], late_t)
    np.testing.assert_array_equal(q[33 * 128 :], late_q)


@every_backend
@pytest.mark.parametrize("n_blocks", [1, 2, 32, 33, 40])
def test_columns_hash_linearly_and_transpose_to_the_rows(backend: str, n_blocks: int) -> None:
    fields = field_pair(3, 7)
    full, punctured, delta = fields
    corrections = np.empty(full.n_rows(False) * 16 * n_blocks, np.uint8)
    bits = np.empty(16 * n_blocks, np.uint8)
    v, w = (np.empty(vole.columns_bytes(n_blocks), np.uint8) for _ in range(2))
    t, q, rows = (np.empty((128 * n_blocks, 16), np.uint8) for _ in range(3))
    options = {"backend": backend, "threads": 1}
    full.extend_full(
        0, n_blocks, choices=None, corrections=corrections, bits=bits, columns=v, rows=t, **options
    )
    punctured.extend_punctured(
        0, n_blocks, chosen=False, corrections=corrections, columns=w, rows=q, **options
    )
    assert_correlated(bits, t, q, delta)
    vole.columns_to_rows(v, n_blocks, rows, **options)
    np.testing.assert_array_equal(rows, t)
    challenge = b"any sixteen byte"
    hv = vole.hash_columns(challenge, v, n_blocks, bits=bits, backend=backend)
    hw = vole.hash_columns(challenge, w, n_blocks, backend=backend)
    mask = np.unpackbits(delta, bitorder="little")[:, None]
    np.testing.assert_array_equal(hw, hv[:128] ^ mask * hv[128])
    for column in (0, 77, 127):
        value = sum(int(t[i, column // 8] >> column % 8 & 1) << i for i in range(128 * n_blocks))
        if n_blocks <= 2:
            assert hv[column].tobytes() == reference.hash_column(challenge, value, n_blocks)


@every_backend
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 127, 128, 129])
@pytest.mark.parametrize("tweak", [None, 0, (1 << 64) - 130])
def test_random_keys(backend: str, n: int, tweak: int | None) -> None:
    rows, delta = random_blocks(n, n), random_blocks(n + 1)
    pairs = vole.random_keys(rows, delta=delta.tobytes(), tweak=tweak, backend=backend)
    for side, block in enumerate((rows, rows ^ delta)):
        np.testing.assert_array_equal(pairs[:, side], vole.random_keys(block, tweak=tweak, backend=backend))
    for i in {0, n // 2, n - 1}:
        want = reference.random_key(rows[i].tobytes(), None if tweak is None else tweak + i)
        assert pairs[i, 0].tobytes() == want
    in_place = rows.copy()
    vole.random_keys(in_place, tweak=tweak, out=in_place, backend=backend)
    np.testing.assert_array_equal(in_place, pairs[:, 0])


@settings(max_examples=25, deadline=None)
@given(k=st.integers(1, 8), seed=st.integers(0, 2**32 - 1), first=st.integers(0, 2**63), n=st.integers(1, 3))
def test_any_delta_and_place(k: int, seed: int, first: int, n: int) -> None:
    fields = field_pair(k, seed)
    bits, t, q, _ = extend(fields, n, first=first, threads=1)
    assert_correlated(bits, t, q, fields[2])


@pytest.mark.parametrize("delta", [bytes(16), b"\xff" * 16])
def test_extreme_deltas(delta: bytes) -> None:
    leaves = random_blocks(3, 512)
    fields = (vole.SmallField(4, leaves), vole.SmallField(4, leaves, delta), np.frombuffer(delta, np.uint8))
    bits, t, q, _ = extend(fields, 2)
    assert_correlated(bits, t, q, fields[2])
