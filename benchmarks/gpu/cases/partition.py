# SPDX-License-Identifier: Apache-2.0
"""Keys to bins, tags sorted and matched: the ends of every intersection."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.gpu import limits
from benchmarks.gpu.cases.base import Bytes, Case, Work, random_bytes, same
from benchmarks.gpu.units import WrongAnswer
from crypsis import partition
from crypsis.cuda import Device

BIN = 50_000
TAG = limits.TAG_BYTES
ITEMS = 1 << 24
OUTER_BIN = 2_400_000
FEW = 60_000


def _bins(n: int) -> int:
    return max(2, n // BIN)


def _tags(keys: Bytes) -> Bytes:
    """Bytes that do not say which bin they are of, as those of the protocol."""
    return np.ascontiguousarray(keys[:, -TAG:])


def _equal(device: Device, name: str, got: Any, wanted: Any) -> int:
    """Every array of two results, whole."""
    for part, ours, theirs in zip(wanted._fields, got, wanted, strict=True):
        same(f"{name}, {part}", ours if isinstance(ours, np.ndarray) else device.to_host(ours), theirs)
    return len(wanted[0])


def _by_bin(device: Device, n: int, bits: int) -> Work:
    keys = random_bytes(26, n, 16)
    there = device.from_host(keys)

    def check(result: Any) -> int:
        return _equal(device, "by_bin", result, partition.by_bin(keys, _bins(n)))

    return Work(lambda: partition.by_bin(there, _bins(n)), check)


def _group(device: Device, n: int, bits: int) -> Work:
    """Records of which a sixteenth has the key of another."""
    digests = random_bytes(27, n, 16)
    digests[: n // 16] = digests[n - n // 16 :]
    records = partition.records(digests, 1).records
    there = device.from_host(records)

    def check(result: Any) -> int:
        return _equal(device, "group", result, partition.group(records, _bins(n)))

    def end_to_end() -> Any:
        found = partition.group(device.from_host(records), _bins(n))
        return partition.Groups(*(device.to_host(part) for part in found))

    return Work(lambda: partition.group(there, _bins(n)), check, end_to_end)


def _sort_tags(device: Device, n: int, bits: int) -> Work:
    keys, _, starts = partition.by_bin(random_bytes(28, n, 16), _bins(n))
    tags = _tags(keys)
    there, ends = device.from_host(tags), device.from_host(starts)

    def check(result: Any) -> int:
        return _equal(device, "sort_tags", result, partition.sort_tags(tags, starts))

    return Work(lambda: partition.sort_tags(there, ends), check)


def _match(device: Device, n: int, bits: int) -> Work:
    """As many own tags as the peer has, every second one of which is the peer's too."""
    common, mine, theirs = (
        random_bytes(29, n // 2, 16),
        random_bytes(30, n - n // 2, 16),
        random_bytes(31, n - n // 2, 16),
    )
    own, _, own_starts = partition.by_bin(np.concatenate([mine, common]), _bins(n))
    peer, _, peer_starts = partition.by_bin(np.concatenate([common, theirs]), _bins(n))
    own, peer = _tags(own), partition.sort_tags(_tags(peer), peer_starts).tags
    hosts = (own, own_starts, peer, peer_starts)
    there = [device.from_host(array) for array in hosts]

    def check(result: Any) -> int:
        checked = _equal(device, "match", result, partition.match(*hosts))
        if checked != n // 2:
            raise WrongAnswer(f"match: {checked} tags are in both, not {n // 2}")
        return checked

    def end_to_end() -> Any:
        found = partition.match(*(device.from_host(array) for array in hosts))
        return partition.Matches(*(device.to_host(part) for part in found))

    return Work(lambda: partition.match(*there), check, end_to_end)


CASES = (
    Case("partition/by_bin", "keys", 128, ITEMS, FEW, limits.by_bin(), _by_bin, 3000),
    Case("partition/group", "records", 128, OUTER_BIN, FEW, limits.group(), _group, 3000),
    Case("partition/sort_tags", "tags", 8 * TAG, ITEMS, FEW, limits.sort_tags(), _sort_tags, 3000),
    Case("partition/match", "tags", 8 * TAG, ITEMS, FEW, limits.match(), _match, 3000),
)
