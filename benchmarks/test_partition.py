# SPDX-License-Identifier: Apache-2.0
"""partition on one core: against NumPy's sorts and a Python dictionary, and against the copying of as many bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.rows import Limit
from crypsis import backends, partition

every_backend = pytest.mark.parametrize("backend", backends.runnable("partition"))
Size = Callable[[int, int], int]
BIN = 50_000  # items of an inner bin


def random_rows(seed: int, n: int, width: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, width), dtype=np.uint8)


def moving(n_bytes: int, per_item: int, what: str) -> Limit:
    """The rate at which memcpy moves (reads and writes) `per_item` bytes on this core, in arrays of n_bytes."""
    source, target = np.ones(n_bytes, np.uint8), np.zeros(n_bytes, np.uint8)
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - start)
    return Limit(2 * n_bytes / min(seconds) / per_item, f"{per_item} bytes moved as memcpy does: {what}")


def options(backend: str) -> dict[str, Any]:
    return {"backend": backend, "threads": 1}


@every_backend
def test_records(compare: Any, size: Size, backend: str) -> None:
    """A million digests of a stream to 477 outer bins, as 1e9 rows have them."""
    n, n_bins = size(1 << 20, 1 << 20), 477
    digests, out = random_rows(1, n), np.zeros((n, 16), np.uint8)

    def by_numpy() -> np.ndarray:
        bins = digests.view(np.uint32)[:, 3].astype(np.uint64) * np.uint64(n_bins) >> np.uint64(32)
        rows = digests.copy()
        rows.view(np.uint32)[:, 3] = np.arange(n)
        return rows[np.argsort(bins.astype(np.uint16), kind="stable")]

    def check(ours: partition.Records, peers: dict[str, Any]) -> None:
        assert np.array_equal(ours.records, peers["numpy stable argsort"])

    compare(
        f"partition/records/2^20 to {n_bins} bins/{backend}",
        lambda: partition.records(digests, n_bins, out=out, **options(backend)),
        items=n,
        unit="rows",
        check=check,
        peers={"numpy stable argsort": by_numpy},
        limit=moving(16 * n, 48, "16 read twice, 16 written"),
        extra=options(backend),
    )


@every_backend
def test_by_bin(compare: Any, size: Size, backend: str) -> None:
    n = size(1 << 20, 1 << 24)
    n_bins = max(1, n // BIN)
    keys, out = random_rows(2, n), (np.zeros((n, 16), np.uint8), np.zeros(n, np.uint32))

    def by_numpy() -> np.ndarray:
        bins = keys.view(np.uint32)[:, 1].astype(np.uint64) * np.uint64(n_bins) >> np.uint64(32)
        return np.argsort(bins.astype(np.uint16), kind="stable")

    def check(ours: partition.Binned, peers: dict[str, Any]) -> None:
        # 32 of the 64 bits put one key in some millions elsewhere; those are few.
        assert np.mean(ours.order != peers["numpy stable argsort, order only"]) < 1e-2
        assert np.array_equal(ours.keys, keys[ours.order])

    compare(
        f"partition/by_bin/{n} to {n_bins} bins/{backend}",
        lambda: partition.by_bin(keys, n_bins, out=out, **options(backend)),
        items=n,
        unit="keys",
        check=check,
        peers={"numpy stable argsort, order only": by_numpy},
        limit=moving(16 * n, 52, "16 read twice, 20 written"),
        extra=options(backend),
    )


@every_backend
@pytest.mark.parametrize("skew", ["distinct", "each key twice", "all equal"])
def test_group(compare: Any, size: Size, backend: str, skew: str) -> None:
    """An outer bin."""
    n = size(1 << 19, 1 << 21)
    n_bins = n // BIN
    records = random_rows(3, n)
    if skew == "each key twice":
        records[n // 2 :] = records[: n // 2]
    elif skew == "all equal":
        records[:] = records[0]
    records.view(np.uint32)[:, 3] = np.arange(n)
    buffers = partition.group_buffers(n)

    def by_numpy() -> tuple[np.ndarray, np.ndarray]:
        first, last = records.view(np.uint64)[:, 0], records.view(np.uint32)[:, 2]
        order = np.lexsort((last, first))
        return order, np.concatenate([[True], np.diff(first[order]) != 0])

    def check(ours: partition.Groups, peers: dict[str, Any]) -> None:
        order, new = peers["numpy lexsort"]
        assert np.array_equal(ours.rows, order)
        assert np.array_equal(ours.row_starts[:-1], np.flatnonzero(new))
        assert np.array_equal(ours.keys[:, :12], records[order[new], :12])

    compare(
        f"partition/group/{n} records, {skew}/{backend}",
        lambda: partition.group(records, n_bins, out=buffers, **options(backend)),
        items=n,
        unit="records",
        check=check,
        peers={"numpy lexsort": by_numpy},
        limit=moving(16 * n, 88, "16 read twice, written, read; 24 written"),
        extra=options(backend) | {"skew": skew},
    )


def bins_of_tags(n_bins: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return random_rows(4, n_bins * BIN, width), np.arange(0, (n_bins + 1) * BIN, BIN, dtype=np.uint64)


@every_backend
@pytest.mark.parametrize("width", [10, 16])
def test_sort_tags(compare: Any, size: Size, backend: str, width: int) -> None:
    tags, starts = bins_of_tags(size(4, 40), width)
    out = (np.zeros_like(tags), np.zeros(len(tags), np.uint32))

    def by_numpy() -> np.ndarray:
        first = np.ascontiguousarray(tags[:, :8]).view(">u8")[:, 0].astype(np.uint64)
        return np.concatenate([b + np.argsort(first[b : b + BIN]) for b in range(0, len(tags), BIN)])

    def check(ours: partition.SortedTags, peers: dict[str, Any]) -> None:
        assert np.array_equal(ours.order, peers["numpy argsort of 8 bytes"])
        assert np.array_equal(ours.tags, tags[ours.order])

    compare(
        f"partition/sort_tags/{width} bytes, {BIN} a bin/{backend}",
        lambda: partition.sort_tags(tags, starts, out=out, **options(backend)),
        items=len(tags),
        unit="tags",
        check=check,
        peers={"numpy argsort of 8 bytes": by_numpy},
        limit=moving(
            16 * BIN, 2 * width + 8 + 8 + 4, "in the second cache: read, to a line and back, written"
        ),
        extra=options(backend) | {"width": width},
    )


@every_backend
@pytest.mark.parametrize("overlap", [0, 50, 100])
def test_match(compare: Any, size: Size, backend: str, overlap: int) -> None:
    """Tags of 10 bytes; an item is one own tag with one of the peer's."""
    own, starts = bins_of_tags(size(4, 40), 10)
    peer = random_rows(5, len(own), 10)
    common = np.random.default_rng(6).random(len(own)) * 100 < overlap
    peer[common] = own[common]
    peer = partition.sort_tags(peer, starts).tags

    def by_dictionary() -> list[tuple[int, int]]:
        pairs = []
        for b in range(0, len(own), BIN):
            index = {tag.tobytes(): i for i, tag in enumerate(own[b : b + BIN], start=b)}
            pairs += [
                (index[t], i)
                for i, tag in enumerate(peer[b : b + BIN], start=b)
                if (t := tag.tobytes()) in index
            ]
        return pairs

    def by_numpy() -> np.ndarray:
        found = []
        for b in range(0, len(own), BIN):
            ours, theirs = (
                np.ascontiguousarray(x[b : b + BIN, :8]).view(">u8")[:, 0].astype(np.uint64)
                for x in (own, peer)
            )
            _, i, j = np.intersect1d(ours, theirs, assume_unique=True, return_indices=True)
            found.append(np.stack([b + i, b + j], axis=1))
        return np.concatenate(found)

    def check(ours: partition.Matches, peers: dict[str, Any]) -> None:
        pairs = np.stack(ours, axis=1)
        assert len(pairs) == common.sum()
        assert np.array_equal(pairs, peers["numpy intersect1d of 8 bytes"])
        assert pairs.tolist() == [list(pair) for pair in by_dictionary()]

    compare(
        f"partition/match/{overlap} % of {BIN} a bin/{backend}",
        lambda: partition.match(own, starts, peer, starts, **options(backend)),
        items=len(own),
        unit="items",
        check=check,
        peers={"numpy intersect1d of 8 bytes": by_numpy},
        limit=moving(
            16 * BIN, 10 + 8 + 8 + 10 + 10 + 8, "in the second cache: read, to a line and back, compared"
        ),
        extra=options(backend) | {"overlap": overlap},
    )
