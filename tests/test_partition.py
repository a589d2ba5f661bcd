# SPDX-License-Identifier: Apache-2.0
"""partition: known answers, differential against the reference, properties, over every backend and threads."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import backends, partition
from partition_cases import as_list, as_starts, distinct_rows, from_hex, halves, random_rows
from reference import partition as reference

VECTORS = json.loads((Path(__file__).parent / "vectors" / "partition.json").read_text())
BACKENDS = backends.runnable("partition")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
Array = np.ndarray


def check_by_bin(keys: Array, n_bins: int, **options: object) -> None:
    found = partition.by_bin(keys, n_bins, **options)
    wanted = reference.by_bin(as_list(keys), n_bins)
    assert (as_list(found.keys), found.order.tolist(), found.starts.tolist()) == wanted


def check_records(digests: Array, rows: Array, n_bins: int, **options: object) -> None:
    found = partition.records(digests, n_bins, rows=rows, **options)
    assert (as_list(found.records), found.starts.tolist()) == reference.records(
        as_list(digests), rows.tolist(), n_bins
    )


def check_group(records: Array, n_bins: int, **options: object) -> None:
    found = partition.group(records, n_bins, **options)
    wanted = reference.group(as_list(records), n_bins)
    lists = (as_list(found.keys), found.starts.tolist(), found.row_starts.tolist(), found.rows.tolist())
    assert lists == wanted


def check_sort_tags(tags: Array, starts: list[int], **options: object) -> None:
    found = partition.sort_tags(tags, as_starts(starts), **options)
    assert (as_list(found.tags), found.order.tolist()) == reference.sort_tags(as_list(tags), starts)


def check_match(
    own: Array, own_starts: list[int], peer: Array, peer_starts: list[int], **options: object
) -> None:
    found = partition.match(own, as_starts(own_starts), peer, as_starts(peer_starts), **options)
    pairs = list(zip(found.own_index.tolist(), found.peer_index.tolist(), strict=True))
    assert pairs == reference.match(as_list(own), own_starts, as_list(peer), peer_starts)


# Known answers


@every_backend
def test_vectors(backend: str) -> None:
    digests, rows = from_hex(VECTORS["digests"]), np.array(VECTORS["rows"], np.uint32)
    case = VECTORS["by_bin"]
    keys, order, starts = partition.by_bin(digests, case["n_bins"], backend=backend)
    assert keys.tobytes().hex() == case["keys"]
    assert (order.tolist(), starts.tolist()) == (case["order"], case["starts"])
    case = VECTORS["records"]
    records, starts = partition.records(digests, case["n_bins"], rows=rows, backend=backend)
    assert records.tobytes().hex() == case["records"]
    assert starts.tolist() == case["starts"]
    case = VECTORS["group"]
    groups = partition.group(records, case["n_bins"], backend=backend)
    assert groups.keys.tobytes().hex() == case["keys"]
    assert groups.starts.tolist() == case["starts"]
    assert groups.row_starts.tolist() == case["row_starts"]
    assert groups.rows.tolist() == case["rows"]
    case = VECTORS["tags"]
    tags, starts = from_hex(case["tags"], 10), as_starts(case["starts"])
    ordered, order = partition.sort_tags(tags, starts, backend=backend)
    assert ordered.tobytes().hex() == case["sorted"]
    assert order.tolist() == case["order"]
    case = VECTORS["match"]
    peer = from_hex(case["peer"], 10)
    found = partition.match(tags, starts, peer, as_starts(case["peer_starts"]), backend=backend)
    assert np.stack(found, axis=1).tolist() == case["pairs"]


# Differential, sizes around every edge: a line is 4 rows, a bucket sorts alone above 24, chunks are 2^14 rows.

EDGES = [
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    9,
    15,
    16,
    17,
    23,
    24,
    25,
    26,
    31,
    32,
    33,
    63,
    64,
    65,
    127,
    128,
    129,
    255,
    257,
    1000,
]


@every_backend
@pytest.mark.parametrize("n_bins", [1, 2, 3, 63, 64, 65, 66, 200, 1000])
def test_distribution_at_every_edge(backend: str, n_bins: int) -> None:
    for n in EDGES:
        digests = random_rows(n, n)
        check_by_bin(digests, n_bins, backend=backend)
        check_records(digests, np.arange(n, dtype=np.uint32)[::-1].copy(), n_bins, backend=backend)


@every_backend
@pytest.mark.parametrize("n_bins", [1, 2, 5, 48, 300])
def test_group_at_every_edge(backend: str, n_bins: int) -> None:
    for n in EDGES:
        records = random_rows(n, n)
        check_group(records, n_bins, backend=backend)
        if n:  # about a third of the digests occur again
            records[:, :12] = records[np.random.default_rng(n).integers(0, n, n), :12]
            check_group(records, n_bins, backend=backend)


@every_backend
@pytest.mark.parametrize("width", range(8, 17))
def test_tags_at_every_edge(backend: str, width: int) -> None:
    for n in EDGES:
        tags = random_rows(n, n, width)
        check_sort_tags(tags, [0, n], backend=backend)
        check_sort_tags(tags, halves(n, 4, n), backend=backend)
        own = distinct_rows(n, n, width)
        peer = np.concatenate([own[::2], distinct_rows(n + 1, n // 2, width)])
        starts = [0, len(peer) // 3, len(peer) // 3, len(peer)]
        peer = partition.sort_tags(np.unique(peer, axis=0), as_starts([0, len(np.unique(peer, axis=0))])).tags
        starts = [0, len(peer) // 3, len(peer) // 3, len(peer)]
        for own_starts in ([0, n // 2, n // 2, n], [0, 0, 0, n], [0, n, n, n]):
            check_match(own, own_starts, peer, starts, backend=backend)
        check_match(own, [0, n], peer, [0, len(peer)], backend=backend)


@every_backend
@pytest.mark.parametrize("n_bins", [64, 500, 8192, 8193, 20_000])
def test_many_bins(backend: str, n_bins: int) -> None:
    digests = random_rows(n_bins, 40_000)
    check_by_bin(digests, n_bins, backend=backend, threads=2)
    rows = np.random.default_rng(1).permutation(40_000).astype(np.uint32)
    check_records(digests, rows, n_bins, backend=backend, threads=2)
    check_group(digests, n_bins, backend=backend, threads=2)


@pytest.mark.parametrize("n_bins", [1, 3, 480, 2**24])
def test_backends_and_threads_agree_on_large_batches(n_bins: int) -> None:
    """And with the slow and certain NumPy: a stable sort by bin."""
    n = 300_007
    digests = random_rows(5, n)
    digests[n // 2 :: 3] = digests[7]  # skewed: a sixth of all rows are one
    inner = [int(x) * n_bins >> 64 for x in digests.view(np.uint64)[:, 0]]
    outer = (digests.view(np.uint32)[:, 3].astype(object) * n_bins) >> 32
    order = np.argsort(np.array(inner), kind="stable")
    outer_order = np.argsort(outer.astype(np.int64), kind="stable")
    records = digests.copy()
    records.view(np.uint32)[:, 3] = np.arange(n)
    for backend in BACKENDS:
        for threads in (1, 2, 5):
            options = {"backend": backend, "threads": threads}
            binned = partition.by_bin(digests, n_bins, **options)
            assert np.array_equal(binned.order, order)
            assert np.array_equal(binned.keys, digests[order])
            if n_bins < 2**24:
                assert np.array_equal(
                    binned.starts, np.searchsorted(np.array(inner)[order], np.arange(n_bins + 1))
                )
            found = partition.records(digests, n_bins, **options)
            assert np.array_equal(found.records, records[outer_order])
            assert np.array_equal(np.diff(found.starts)[:1], [np.sum(outer == 0)])


@pytest.mark.parametrize("n_bins", [1, 7, 40])
def test_large_groups_of_every_backend_and_threads(n_bins: int) -> None:
    n = 150_011
    records = random_rows(6, n)
    records[:, 12:] = 0
    records.view(np.uint32)[:, 3] = np.random.default_rng(6).permutation(n)
    records[1::2, :12] = records[:-1:2, :12][: len(records[1::2])]  # nearly every key twice
    words = records.view(np.uint64)
    order = np.lexsort((records.view(np.uint32)[:, 3], records.view(np.uint32)[:, 2], words[:, 0]))
    keys = records[order, :12]
    first = np.concatenate([[True], np.any(keys[1:] != keys[:-1], axis=1)])
    for backend in BACKENDS:
        for threads in (1, 2, 5):
            found = partition.group(records, n_bins, backend=backend, threads=threads)
            assert np.array_equal(found.rows, records.view(np.uint32)[order, 3])
            assert np.array_equal(found.row_starts, [*np.flatnonzero(first), n])
            assert np.array_equal(found.keys[:, :12], keys[first])
            assert not found.keys[:, 12:].any()
            bins = [int(key) * n_bins >> 64 for key in words[order, 0][first]]
            assert np.array_equal(found.starts, np.searchsorted(bins, np.arange(n_bins + 1)))


@pytest.mark.parametrize("width", [8, 10, 12, 13, 16])
def test_large_tags_of_every_backend_and_threads(width: int) -> None:
    n, n_bins = 120_011, 5
    tags = distinct_rows(7, n, width)
    starts = as_starts(halves(n, n_bins, 8))
    bins = np.repeat(np.arange(n_bins), np.diff(starts).astype(np.int64))
    wide = np.zeros((n, 16), np.uint8)
    wide[:, :width] = tags
    words = wide.view(">u8")
    order = np.lexsort((words[:, 1], words[:, 0], bins))
    own = tags.copy()
    keep = np.arange(n) % 3 == 0
    own[keep] = random_rows(9, int(keep.sum()), width)
    kept_order = order[~keep[order]]
    peer_index = np.flatnonzero(~keep[order])
    for backend in BACKENDS:
        for threads in (1, 2, 5):
            options = {"backend": backend, "threads": threads}
            found = partition.sort_tags(tags, starts, **options)
            assert np.array_equal(found.order, order)
            assert np.array_equal(found.tags, tags[order])
            matches = partition.match(own, starts, found.tags, starts, **options)
            assert np.array_equal(matches.own_index, kept_order)
            assert np.array_equal(matches.peer_index, peer_index)


# Buffers


@every_backend
def test_unaligned_buffers_and_nothing_else_is_written(backend: str) -> None:
    n = 700
    for offset in (0, 1, 16, 32, 48, 60):
        memory = random_rows(offset, n + 10).reshape(-1)
        digests = memory[offset : offset + 16 * n].reshape(n, 16)
        for n_bins in (3, 100):
            target = np.full(16 * n + 256, 0xA5, np.uint8)
            order = np.full(n + 2, 77, np.uint32)
            out = target[64 + offset : 64 + offset + 16 * n].reshape(n, 16)
            found = partition.by_bin(digests, n_bins, out=(out, order[1:-1]), backend=backend)
            assert found.keys is out
            wanted = reference.by_bin(as_list(digests), n_bins)
            assert (as_list(out), order[1:-1].tolist()) == wanted[:2]
            assert partition.records(digests, n_bins, out=out, backend=backend).records is out
            assert as_list(out) == reference.records(as_list(digests), list(range(n)), n_bins)[0]
            assert (target[: 64 + offset] == 0xA5).all()
            assert (target[64 + offset + 16 * n :] == 0xA5).all()
            assert order[[0, -1]].tolist() == [77, 77]


@every_backend
def test_tags_end_where_their_memory_ends(backend: str) -> None:
    """No byte after the last tag is written; what stands there is not read into a result."""
    for width in range(8, 17):
        n = 37
        memory = np.full(n * width + 32, 0xFF, np.uint8)
        memory[5 : 5 + n * width] = random_rows(width, n, width).reshape(-1)
        tags = memory[5 : 5 + n * width].reshape(n, width)
        target, order = np.full(n * width + 32, 0xA5, np.uint8), np.empty(n, np.uint32)
        out = target[3 : 3 + n * width].reshape(n, width)
        partition.sort_tags(tags, as_starts([0, 20, n]), out=(out, order), backend=backend)
        assert (as_list(out), order.tolist()) == reference.sort_tags(as_list(tags), [0, 20, n])
        assert (target[:3] == 0xA5).all()
        assert (target[3 + n * width :] == 0xA5).all()


@every_backend
def test_group_into_buffers_used_again(backend: str) -> None:
    buffers = partition.group_buffers(300)
    for n in (300, 17, 0, 255):
        records = random_rows(n, n)
        records[n // 2 :, :12] = records[: n - n // 2, :12]
        found = partition.group(records, 6, out=buffers, backend=backend)
        wanted = partition.group(records, 6, backend="portable")
        for ours, theirs in zip(found, wanted, strict=True):
            assert np.array_equal(ours, theirs)
        assert np.shares_memory(found.keys, buffers.keys) or not n


# Properties

small_keys = st.lists(st.binary(min_size=1, max_size=1), max_size=60)


@given(
    digests=st.lists(
        st.sampled_from(
            [bytes([i % 3, 0, 0, 0, 0, 0, 0, i, 0, 0, 0, i % 2, i, 1, 2, i]) for i in range(256)]
        ),
        max_size=90,
    ),
    n_bins=st.integers(1, 80),
)
@settings(max_examples=60)
def test_rows_survive_the_way_to_keys(digests: list[bytes], n_bins: int) -> None:
    """Every row comes back once, under its own digest's first 12 bytes; bins only ever hold their own keys."""
    array = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16).copy()
    for backend in BACKENDS:
        records, starts = partition.records(array, n_bins, backend=backend)
        check_group(records, n_bins, backend=backend)
        seen: dict[int, bytes] = {}
        for b in range(n_bins):
            groups = partition.group(records[int(starts[b]) : int(starts[b + 1])], 3, backend=backend)
            for k, key in enumerate(groups.keys):
                for row in groups.rows[groups.row_starts[k] : groups.row_starts[k + 1]]:
                    assert reference.outer_bin(digests[row], n_bins) == b
                    seen[int(row)] = key.tobytes()
        assert seen == {i: digest[:12] + bytes(4) for i, digest in enumerate(digests)}


@given(data=st.data(), width=st.integers(8, 16), n_bins=st.integers(1, 4))
@settings(max_examples=60)
def test_matches_are_the_intersection(data: st.DataObject, width: int, n_bins: int) -> None:
    alphabet = st.binary(min_size=2, max_size=2).map(lambda two: two[:1] * (width - 1) + two[1:])
    sides = []
    for _ in range(2):
        bins = [sorted(data.draw(st.sets(alphabet, max_size=40))) for _ in range(n_bins)]
        rows = np.frombuffer(b"".join(b"".join(b) for b in bins), np.uint8).reshape(-1, width).copy()
        sides.append((rows, [0, *np.cumsum([len(b) for b in bins]).tolist()]))
    (own, own_starts), (peer, peer_starts) = sides
    for backend in BACKENDS:
        check_match(own, own_starts, peer, peer_starts, backend=backend)
        shuffled = own.copy()
        for begin, end in pairwise(own_starts):
            shuffled[begin:end] = shuffled[begin:end][::-1]
        check_match(shuffled, own_starts, peer, peer_starts, backend=backend)
