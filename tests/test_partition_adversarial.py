# SPDX-License-Identifier: Apache-2.0
"""partition: inputs that no keyed hash makes. Buckets and lines overflow, runs are long, everything stays exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from crypsis import backends, partition
from partition_cases import CASES, Array, as_list, as_starts, random_rows, with_rows
from test_partition import check_by_bin, check_group, check_match, check_records, check_sort_tags

every_backend = pytest.mark.parametrize("backend", backends.runnable("partition"))
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@every_backend
@each_case
def test_bins_and_groups(case: Callable[[], Array], backend: str) -> None:
    rows = case()
    for n_bins in (1, 3, 50, 99, 300):
        check_by_bin(rows, n_bins, backend=backend)
        check_records(rows, np.arange(len(rows), dtype=np.uint32), n_bins, backend=backend)
        check_group(with_rows(rows.copy(), n_bins), n_bins, backend=backend, threads=1 + n_bins % 2)


@every_backend
@each_case
@pytest.mark.parametrize("width", [8, 11, 12, 13, 16])
def test_tags(case: Callable[[], Array], width: int, backend: str) -> None:
    tags = np.ascontiguousarray(case()[:, 16 - width :])
    n = len(tags)
    for tag_rows in (tags, np.ascontiguousarray(tags[:, ::-1])):
        check_sort_tags(tag_rows, [0, n], backend=backend)
        check_sort_tags(tag_rows, [0, 100, 100, n], backend=backend, threads=2)


@every_backend
@each_case
@pytest.mark.parametrize("width", [8, 11, 12, 13, 16])
def test_matches_of_crowded_tags(case: Callable[[], Array], width: int, backend: str) -> None:
    """The distinct ones, on either side, against random ones and each other."""
    for turned in (False, True):
        tags = case()[:, 16 - width :]
        tags = np.unique(tags[:, ::-1] if turned else tags, axis=0)  # ascending by bytes
        other = np.unique(np.concatenate([tags[1::3], random_rows(5, 500, width)]), axis=0)
        mixed = tags[np.random.default_rng(6).permutation(len(tags))]
        check_match(mixed, [0, len(tags)], other, [0, len(other)], backend=backend)
        check_match(other[::-1].copy(), [0, len(other)], tags, [0, len(tags)], backend=backend)
        check_match(mixed, [0, len(tags)], tags, [0, len(tags)], backend=backend)


@every_backend
def test_peer_tags_that_share_prefixes_with_own_ones(backend: str) -> None:
    """First 8, 12 and 15 bytes of own tags with every last byte: only the tag itself matches."""
    own = random_rows(7, 400, 16)
    for kept in (4, 8, 11, 12, 15):
        peer = np.repeat(own[:40], 256, axis=0)
        peer[:, kept] = np.tile(np.arange(256, dtype=np.uint8), 40)
        peer = np.unique(peer, axis=0)
        check_match(own, [0, 400], peer, [0, len(peer)], backend=backend)
        both = np.unique(np.concatenate([own, peer]), axis=0)
        check_match(both[::-1].copy(), [0, len(both)], peer, [0, len(peer)], backend=backend)


@every_backend
def test_tags_alike_in_the_bits_that_a_line_keeps(backend: str) -> None:
    """Equal in the first 60 bits and more, few in a bucket: the order below comes from the whole tag."""
    tags = random_rows(8, 4000, 12)
    tags[1::2, :8] = tags[::2, :8]
    tags[1::4, :10] = tags[::4, :10]
    tags[3::16] = tags[2::16]
    tags = tags[np.random.default_rng(9).permutation(len(tags))]
    for width in (8, 9, 10, 11, 12):
        cut = np.ascontiguousarray(tags[:, :width])
        check_sort_tags(cut, [0, len(cut)], backend=backend)
        distinct = np.unique(cut, axis=0)
        check_match(distinct[::-1].copy(), [0, len(distinct)], distinct, [0, len(distinct)], backend=backend)


@every_backend
def test_one_large_bin_among_empty_ones(backend: str) -> None:
    tags = np.unique(random_rows(10, 70_000, 10), axis=0)
    n = len(tags)
    limits = as_starts([0, 0, 0, n, n, n])
    found = partition.sort_tags(tags[::-1].copy(), limits, backend=backend, threads=2)
    assert np.array_equal(found.tags, tags)
    assert np.array_equal(found.order, np.arange(n)[::-1])
    pairs = partition.match(tags[::-1].copy(), limits, tags, limits, backend=backend, threads=2)
    assert np.array_equal(pairs.own_index, np.arange(n)[::-1])
    assert np.array_equal(pairs.peer_index, np.arange(n))
    empty = partition.match(tags, limits, tags, as_starts([0, n, n, n, n, n]), backend=backend)
    assert empty.own_index.size == empty.peer_index.size == 0


@every_backend
def test_every_key_a_thousand_times(backend: str) -> None:
    digests = np.repeat(random_rows(11, 60), 1000, axis=0)
    records = with_rows(digests[np.random.default_rng(12).permutation(60_000)])
    found = partition.group(records, 7, backend=backend, threads=2)
    assert len(set(as_list(found.keys))) == len(found.keys) == 60
    assert np.array_equal(np.diff(found.row_starts), np.full(60, 1000))
    for k, key in enumerate(found.keys):
        rows = found.rows[found.row_starts[k] : found.row_starts[k + 1]]
        assert (np.diff(rows.astype(np.int64)) > 0).all()
        held = records[np.isin(records.view(np.uint32)[:, 3], rows)]
        assert (held[:, :12] == key[:12]).all()
